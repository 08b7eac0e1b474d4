//! The class `CellStream`.

use pyo3::prelude::*;
use wgpu_rnn::stream::CellStream as Steps;

use crate::arrays::{Input, Output, from_state, from_tensor, state, tensor};
use crate::calls::Length;
use crate::shared::Shared;

/// Steps of a cell, each of which continues from the previous one.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct CellStream {
    stream: Shared<Steps>,
    batch: usize,
    /// The length of a step.
    length: Length,
}

impl CellStream {
    pub fn new(stream: Steps, batch: usize, length: Length) -> Self {
        Self { stream: Shared::new(stream), batch, length }
    }
}

#[pymethods]
impl CellStream {
    #[getter]
    fn batch(&self) -> usize {
        self.batch
    }

    /// Computes the next step.
    fn forward<'py>(&self, py: Python<'py>, input: Input<'py>) -> PyResult<Output<'py>> {
        let input = tensor(&input, "the input")?;
        let h = self.stream.advance(py, self.length, move |stream| stream.step(&input))?;
        from_tensor(py, h)
    }

    /// Reads the state.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<(Output<'py>, Option<Output<'py>>)> {
        from_state(py, self.stream.read(py, self.length, |stream| stream.state())?)
    }

    /// Replaces the state.
    fn set_state(&self, py: Python<'_>, h: Input<'_>, c: Option<Input<'_>>) -> PyResult<()> {
        let new = state(Some(&h), c.as_ref())?;
        self.stream.renew(py, self.length, move |stream| match &new {
            Some(new) => stream.set_state(new),
            None => Ok(()),
        })
    }

    /// Sets the state to zero.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.stream.renew(py, self.length, |stream| {
            stream.reset();
            Ok(())
        })
    }
}
