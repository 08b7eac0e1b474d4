//! Progress of the mapping of buffers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::wait::lock;

/// The time that a thread leaves to callbacks on other polling threads before it polls again.
const PATIENCE: Duration = Duration::from_millis(5);

/// The progress of the mapping of some buffers, shared with wgpu's callbacks and the poller.
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

    /// Records that a buffer was mapped, or that its mapping failed.
    pub fn called_back(&self, mapped: bool) {
        self.change(|state| {
            state.pending = state.pending.saturating_sub(1);
            state.failed |= !mapped;
        });
    }

    /// Marks the mapping as failed: no callback will come.
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
        // Unlock first: a waker may run any code, even drop this future.
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns whether every mapping succeeded, once all callbacks have run. Until then it
    /// registers the waker of `context`.
    pub fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = lock(&self.state);
        if state.pending == 0 {
            return Poll::Ready(!state.failed);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Returns as [`poll`](Self::poll) does, after it blocks for a few milliseconds at most.
    pub fn wait(&self) -> Poll<bool> {
        let waited =
            self.changed.wait_timeout_while(lock(&self.state), PATIENCE, |state| state.pending > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.pending == 0 { Poll::Ready(!state.failed) } else { Poll::Pending }
    }
}
