//! Waiting: for a mutex, and for a device.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a call waits for the device.
///
/// A blocking function and its asynchronous form share one asynchronous core, which takes a value
/// of this type. With [`Block`](Self::Block) the core's future is ready at its first poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// On this thread, which polls the device.
    Block,
    /// In a future that the device wakes.
    Await,
}

/// Locks a mutex, poisoned or not: a panic leaves no value of this crate half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
