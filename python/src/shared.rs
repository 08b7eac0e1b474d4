//! Objects that calls change, one call at a time: streams, pools, generators.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use wgpu_rnn::{Error, Result};

use crate::calls::{self, Length};
use crate::errors::exception;
use crate::forks::Kept;

/// A value that calls change one after the other, and whether an interrupted call has left it in
/// an unknown state.
pub struct Shared<T>(Kept<Arc<Inner<T>>>);

struct Inner<T> {
    value: Mutex<T>,
    interrupted: AtomicBool,
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a call after an interrupted one.
    fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Acquire) { Err(interrupted()) } else { Ok(()) }
    }
}

impl<T: Send + 'static> Shared<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        let inner = Inner { value: Mutex::new(value), interrupted: AtomicBool::new(false) };
        Self(Kept::new(Arc::new(inner)))
    }

    /// Runs a call that continues from the state, and loses it when a signal interrupts it.
    ///
    /// # Errors
    /// `StateLostError` after an interrupted call; the errors of the call.
    pub fn advance<R: Send + 'static>(
        &self,
        py: Python<'_>,
        length: Length,
        work: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        self.check(py)?;
        let (inner, left) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let work = move |cancelled: &calls::Cancelled| {
            let value = &mut *inner.lock();
            // The flag of this call comes before the one of the value.
            if cancelled.get() {
                return Err(interrupted());
            }
            inner.check()?;
            work(value)
        };
        let left = move || left.interrupted.store(true, Ordering::Release);
        calls::run_cancellable(py, self.length(length), work, left)
    }

    /// Runs a call that only reads the state.
    ///
    /// # Errors
    /// `StateLostError` after an interrupted call; the errors of the call.
    pub fn read<R: Send + 'static>(
        &self,
        py: Python<'_>,
        length: Length,
        work: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        self.check(py)?;
        let inner = Arc::clone(&self.0);
        calls::run(py, self.length(length), move || {
            let value = &mut *inner.lock();
            inner.check()?;
            work(value)
        })
    }

    /// Runs a call that gives the value another state, after which it is known again.
    ///
    /// # Errors
    /// Those of the call.
    pub fn renew<R: Send + 'static>(
        &self,
        py: Python<'_>,
        length: Length,
        work: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let inner = Arc::clone(&self.0);
        let work = move |cancelled: &calls::Cancelled| {
            let value = &mut *inner.lock();
            if cancelled.get() {
                return Err(interrupted());
            }
            let result = work(value);
            if result.is_ok() {
                inner.interrupted.store(false, Ordering::Release);
            }
            result
        };
        calls::run_cancellable(py, self.length(length), work, || ())
    }

    /// Refuses a call after an interrupted one, which may still run: without a wait for it.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.0.check().map_err(|error| exception(py, error))
    }

    /// A call that has to wait for another is not short.
    fn length(&self, length: Length) -> Length {
        if self.0.value.try_lock().is_err() { Length::Long } else { length }
    }
}

fn interrupted() -> Error {
    Error::StateLost(
        "the state was lost in a call that was interrupted; give it one with set_state() or \
         reset(), or start anew"
            .to_owned(),
    )
}
