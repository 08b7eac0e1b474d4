//! How far the mapping of buffers is.

use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::wait::lock;

/// How long the callback of another thread that polls may take until this one polls again.
const PATIENCE: Duration = Duration::from_millis(5);

/// How far the mapping of some buffers is; shared with wgpu's callbacks and with the thread that polls.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: usize,
    failed: bool,
    waker: Option<Waker>,
}

impl Progress {
    /// The progress of `count` buffers, none of which is mapped yet.
    pub fn of(count: usize) -> Self {
        let state = State { pending: count, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Notes that a buffer was mapped, or could not be.
    pub fn called_back(&self, mapped: bool) {
        self.change(|state| {
            state.pending = state.pending.saturating_sub(1);
            state.failed |= !mapped;
        });
    }

    /// Gives up: nothing will be called back.
    pub fn fail(&self) {
        self.change(|state| {
            state.pending = 0;
            state.failed = true;
        });
    }

    pub fn is_done(&self) -> bool {
        lock(&self.state).pending == 0
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let waker = if state.pending == 0 { state.waker.take() } else { None };
        // A waker may run anything, this future's end included.
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether everything went well, once everything was called back; until then `context` is to be woken.
    pub fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = lock(&self.state);
        if state.pending == 0 {
            return Poll::Ready(!state.failed);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// As [`poll`](Self::poll), after waiting for a moment.
    pub fn wait(&self) -> Poll<bool> {
        let waited =
            self.changed.wait_timeout_while(lock(&self.state), PATIENCE, |state| state.pending > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.pending == 0 { Poll::Ready(!state.failed) } else { Poll::Pending }
    }
}
