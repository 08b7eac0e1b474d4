//! The part that a thread plays: a caller's code, a call of this crate, or a caller's waker.

use std::cell::Cell;

/// The code that a thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The caller's.
    Caller,
    /// A call of this crate into wgpu, which may hold locks and may catch panics. No waker runs
    /// here.
    Crate,
    /// A caller's waker. No other thread may poll for it, so a future that it awaits blocks.
    Waker,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Caller) };
}

impl Role {
    /// Returns the role of this thread.
    pub fn current() -> Self {
        ROLE.get()
    }

    /// Does `work` in this role. The earlier role returns afterwards, also after a panic.
    pub fn during<T>(self, work: impl FnOnce() -> T) -> T {
        struct Earlier(Role);
        impl Drop for Earlier {
            fn drop(&mut self) {
                ROLE.set(self.0);
            }
        }
        let _earlier = Earlier(ROLE.replace(self));
        work()
    }
}
