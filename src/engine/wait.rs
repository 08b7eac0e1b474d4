//! Waiting: for a mutex, and for a device.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

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

/// Returns the waiting of a blocking call, on a GPU or on the CPU, which is never waited for.
///
/// # Errors
/// [`Error::Unsupported`] in a browser for a GPU: the answer comes when the call has returned.
pub(crate) fn blocking(on_gpu: bool) -> Result<Waiting> {
    if cfg!(target_arch = "wasm32") && on_gpu {
        return Err(Error::Unsupported(
            "a call that blocks until a GPU answers: in a browser the answer comes after the \
             call. Await the form of the call whose name ends in _async"
                .to_owned(),
        ));
    }
    Ok(Waiting::Block)
}

/// Locks a mutex, poisoned or not: a panic leaves no value of this crate half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
