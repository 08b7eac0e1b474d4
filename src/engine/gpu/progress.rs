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
    #[cfg(not(target_arch = "wasm32"))]
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
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    /// Wakes the future that waits. A waker may run any code, even drop this future.
    pub fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }

    /// Forgets the future that waits.
    pub fn forget(&self) {
        // A waker's drop is a caller's code too.
        drop(self.take_waker());
    }

    fn take_waker(&self) -> Option<Waker> {
        lock(&self.state).waker.take()
    }

    /// Returns whether every mapping succeeded, once all callbacks have run. Until then it
    /// registers the waker of `context`.
    pub fn poll(&self, context: &Context<'_>) -> Poll<bool> {
        let mut waker = Some(context.waker().clone());
        let mut state = lock(&self.state);
        if state.pending > 0 {
            std::mem::swap(&mut state.waker, &mut waker);
            return Poll::Pending;
        }
        Poll::Ready(!state.failed)
    }

    /// Returns as [`poll`](Self::poll) does, after it blocks for a few milliseconds at most.
    pub fn wait(&self) -> Poll<bool> {
        let waited =
            self.changed.wait_timeout_while(lock(&self.state), PATIENCE, |state| state.pending > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.pending == 0 { Poll::Ready(!state.failed) } else { Poll::Pending }
    }
}
