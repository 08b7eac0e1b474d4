//! Warnings of the library, on their way to Python's `logging`.
//!
//! A thread that logs may hold locks of the library, so it must not wait for Python's lock. The
//! warnings wait here until a call returns to Python.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

/// The most warnings that wait; more are dropped.
const MOST: usize = 100;

static WAITING: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ANY: AtomicBool = AtomicBool::new(false);

struct Queue;

impl Log for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn && metadata.target().starts_with("wgpu_rnn")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() < MOST {
                waiting.push(record.args().to_string());
                ANY.store(true, Ordering::Release);
            }
        }
    }

    fn flush(&self) {}
}

/// Connects the library's log. Runs once, when Python loads the module.
pub fn connect() {
    if log::set_logger(&Queue).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Hands the warnings to the logger `wgpu_rnn`.
///
/// # Errors
/// Those of the program's own handlers.
pub fn deliver(py: Python<'_>) -> PyResult<()> {
    if !ANY.swap(false, Ordering::Acquire) {
        return Ok(());
    }
    let texts = mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    let logger = py.import("logging")?.call_method1("getLogger", ("wgpu_rnn",))?;
    for text in texts {
        logger.call_method1("warning", ("%s", text))?;
    }
    Ok(())
}
