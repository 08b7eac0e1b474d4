//! The classes `Pool` and `Slot`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use numpy::PyUntypedArrayMethods;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wgpu_rnn::pool::{Pool as Slots, Slot as Handle};
use wgpu_rnn::{Error, Result};

use crate::arrays::{Input, Output, array, copied, from_state, state};
use crate::calls::{self, Cancelled, Length};
use crate::errors::exception;
use crate::forks::Kept;

/// The place of one sequence in a pool.
#[pyclass(frozen, eq, hash, module = "wgpu_rnn._native")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(Handle);

#[pymethods]
impl Slot {
    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Independent sequences that one module runs.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Pool {
    inner: Kept<Arc<Inner>>,
    /// The multiply-adds of a step of one row.
    work: f64,
    /// The length of a call that runs no step.
    length: Length,
}

struct Inner {
    pool: Slots,
    /// Calls run one after the other, so that a new state is not overtaken by a tick before it.
    turn: Mutex<()>,
    /// The slots of ticks that a signal interrupted.
    interrupted: Mutex<HashSet<Handle>>,
}

impl Inner {
    fn interrupted(&self) -> MutexGuard<'_, HashSet<Handle>> {
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, slot: Handle) -> Result<()> {
        if self.interrupted().contains(&slot) { Err(interrupted()) } else { Ok(()) }
    }

    /// Runs the slots whose states are known.
    fn tick(&self, slots: &[Handle], frames: &[Vec<f32>]) -> Result<Vec<Result<Vec<f32>>>> {
        let lost = self.interrupted().clone();
        let frames = slots.iter().copied().zip(frames.iter().map(Vec::as_slice));
        if lost.is_empty() {
            return self.pool.tick(&frames.collect::<Vec<_>>());
        }
        let known: Vec<_> = frames.filter(|(slot, _)| !lost.contains(slot)).collect();
        let mut results = self.pool.tick(&known)?.into_iter();
        let result = |slot| match lost.contains(slot) {
            true => Some(Err(interrupted())),
            false => results.next(),
        };
        Ok(slots.iter().filter_map(result).collect())
    }
}

fn interrupted() -> Error {
    Error::StateLost(
        "the state of this slot was lost in a tick that was interrupted; reset or restore it"
            .to_owned(),
    )
}

impl Pool {
    pub fn new(pool: Slots, work: f64, length: Length) -> Self {
        let (turn, interrupted) = (Mutex::default(), Mutex::default());
        let inner = Kept::new(Arc::new(Inner { pool, turn, interrupted }));
        Self { inner, work, length }
    }

    /// Runs a call in its turn.
    fn call<R: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Inner) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        self.call_or(py, self.length, work, |_| ())
    }

    /// [`call`](Self::call) of a length, with the work of an interruption.
    fn call_or<R: Send + 'static>(
        &self,
        py: Python<'_>,
        length: Length,
        work: impl FnOnce(&Inner) -> Result<R> + Send + 'static,
        left: impl FnOnce(&Inner),
    ) -> PyResult<R> {
        let inner = Arc::clone(&self.inner);
        let waits = self.inner.turn.try_lock().is_err();
        let work = move |cancelled: &Cancelled| {
            let _turn = inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if cancelled.get() { Err(interrupted()) } else { work(&inner) }
        };
        let length = if waits { Length::Long } else { length };
        calls::run_cancellable(py, length, work, || left(&self.inner))
    }
}

#[pymethods]
impl Pool {
    #[getter]
    fn slots(&self) -> usize {
        self.inner.pool.options().slots
    }

    #[getter]
    fn steps(&self) -> usize {
        self.inner.pool.options().steps
    }

    /// The values of a step of the input.
    #[getter]
    fn input_size(&self) -> usize {
        self.inner.pool.input_size()
    }

    #[getter]
    fn open_count(&self) -> usize {
        self.inner.pool.open_count()
    }

    fn open(&self, py: Python<'_>) -> PyResult<Slot> {
        self.call(py, |inner| inner.pool.open()).map(Slot)
    }

    fn close(&self, py: Python<'_>, slot: &Slot) -> PyResult<()> {
        let slot = slot.0;
        self.call(py, move |inner| {
            inner.pool.close(slot)?;
            inner.interrupted().remove(&slot);
            Ok(())
        })
    }

    fn reset(&self, py: Python<'_>, slot: &Slot) -> PyResult<()> {
        let slot = slot.0;
        self.call(py, move |inner| {
            inner.pool.reset(slot)?;
            inner.interrupted().remove(&slot);
            Ok(())
        })
    }

    /// Runs the next steps of slots, whose frames have `[I]` or `[T, I]` values. Each result is an
    /// array of the rank of its frame, or the exception of its slot.
    fn tick<'py>(
        &self,
        py: Python<'py>,
        slots: Vec<PyRef<'py, Slot>>,
        frames: Vec<Input<'py>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let slots: Vec<Handle> = slots.iter().map(|slot| slot.0).collect();
        let shapes: Vec<Vec<usize>> = frames.iter().map(|frame| frame.shape().to_vec()).collect();
        let mut values = Vec::with_capacity(frames.len());
        for frame in &frames {
            let frame = copied(frame.as_slice()?, "a frame");
            values.push(frame.map_err(|error| exception(py, error))?);
        }
        let total: usize = values.iter().map(Vec::len).sum();
        let features = self.input_size();
        let length = match self.length {
            Length::Short => Length::on_cpu(total as f64 / features as f64 * self.work),
            Length::Long => Length::Long,
        };
        let lost = slots.clone();
        let results = self.call_or(
            py,
            length,
            move |inner| inner.tick(&slots, &values),
            move |inner| inner.interrupted().extend(lost),
        )?;
        let size = self.inner.pool.output_size();
        let results = results.into_iter().zip(shapes);
        let result = |(result, shape): (Result<Vec<f32>>, Vec<usize>)| match result {
            Ok(values) => {
                let shape =
                    if shape.len() < 2 { vec![size] } else { vec![values.len() / size, size] };
                array(py, &shape, values)?.into_bound_py_any(py)
            }
            Err(error) => Ok(exception(py, error).into_value(py).into_bound(py).into_any()),
        };
        results.map(result).collect()
    }

    /// Reads the state of a slot.
    fn state<'py>(
        &self,
        py: Python<'py>,
        slot: &Slot,
    ) -> PyResult<(Output<'py>, Option<Output<'py>>)> {
        let slot = slot.0;
        let state = self.call(py, move |inner| {
            inner.check(slot)?;
            inner.pool.state(slot)
        })?;
        from_state(py, state)
    }

    /// Replaces the state of a slot.
    fn set_state(
        &self,
        py: Python<'_>,
        slot: &Slot,
        h: Input<'_>,
        c: Option<Input<'_>>,
    ) -> PyResult<()> {
        let (slot, new) = (slot.0, state(Some(&h), c.as_ref())?);
        self.call(py, move |inner| {
            if let Some(new) = &new {
                inner.pool.set_state(slot, new)?;
            }
            inner.interrupted().remove(&slot);
            Ok(())
        })
    }

    /// Returns the state of a slot as bytes.
    fn snapshot<'py>(&self, py: Python<'py>, slot: &Slot) -> PyResult<Bound<'py, PyBytes>> {
        let slot = slot.0;
        let bytes = self.call(py, move |inner| {
            inner.check(slot)?;
            inner.pool.snapshot(slot)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Sets the state of a slot from bytes.
    fn restore(&self, py: Python<'_>, slot: &Slot, snapshot: &[u8]) -> PyResult<()> {
        let (slot, snapshot) = (slot.0, snapshot.to_vec());
        self.call(py, move |inner| {
            inner.pool.restore(slot, &snapshot)?;
            inner.interrupted().remove(&slot);
            Ok(())
        })
    }
}
