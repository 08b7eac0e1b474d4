//! Processes that were forked.
//!
//! A child of `fork` has the memory of its parent, but none of its threads: not those of the CPU
//! engine, of a driver, or of `calls.rs`. A call would wait for them forever.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::errors::error;

/// Whether this process has opened a device.
static USED: AtomicBool = AtomicBool::new(false);
/// Whether the parent of this process had.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Notes a fork. Python calls it in the child.
#[pyfunction]
#[pyo3(name = "_after_fork")]
pub fn after_fork() {
    if USED.load(Ordering::Relaxed) {
        FORKED.store(true, Ordering::Relaxed);
    }
}

/// Notes that this process is about to open a device.
pub fn note_use() {
    USED.store(true, Ordering::Relaxed);
}

/// Refuses a call in a child whose parent had opened a device.
///
/// # Errors
/// `ForkError`, a `RuntimeError`.
pub fn check(py: Python<'_>) -> PyResult<()> {
    if !FORKED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let text = "wgpu_rnn cannot run in this process: fork() made it from a process that had opened \
                a device, and the threads of that device stayed there. Start processes with \
                multiprocessing's 'spawn' or 'forkserver', or open devices after the fork only";
    Err(error(py, "ForkError", text))
}

/// A value that a forked child never drops, since its threads and its driver are the parent's.
pub struct Kept<T>(Option<T>);

impl<T> Kept<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("only drop takes the value"),
        }
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if FORKED.load(Ordering::Relaxed) {
            std::mem::forget(self.0.take());
        }
    }
}
