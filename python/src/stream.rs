//! The class `Stream`.

use pyo3::prelude::*;
use wgpu_rnn::Device;
use wgpu_rnn::stream::Stream as Steps;

use crate::arrays::{Input, Output, from_state, from_tensor, state, tensor};
use crate::calls::Length;
use crate::forks::Kept;
use crate::rnn::work;
use crate::shared::Shared;

/// A sequence of calls, each of which continues from the previous one.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Stream {
    stream: Shared<Steps>,
    batch: usize,
    input_size: usize,
    device: Kept<Device>,
    /// The multiply-adds of a step of one row.
    work: f64,
}

impl Stream {
    pub fn new(stream: Steps) -> Self {
        let (rnn, batch) = (stream.rnn(), stream.batch());
        let (device, config) = (Kept::new(rnn.device().clone()), rnn.config());
        let (input_size, work) = (config.input_size, work(config));
        Self { batch, input_size, device, work, stream: Shared::new(stream) }
    }

    fn length(&self, rows: f64) -> Length {
        Length::of(&self.device, rows * self.work)
    }
}

#[pymethods]
impl Stream {
    #[getter]
    fn batch(&self) -> usize {
        self.batch
    }

    /// Runs the next steps.
    fn forward<'py>(&self, py: Python<'py>, input: Input<'py>) -> PyResult<Output<'py>> {
        let input = tensor(&input, "the input")?;
        let length = self.length(input.data().len() as f64 / self.input_size as f64);
        let output = self.stream.advance(py, length, move |stream| stream.forward(&input))?;
        from_tensor(py, output)
    }

    /// Reads the state.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<(Output<'py>, Option<Output<'py>>)> {
        from_state(py, self.stream.read(py, self.length(0.0), |stream| stream.state())?)
    }

    /// Replaces the state.
    fn set_state(&self, py: Python<'_>, h: Input<'_>, c: Option<Input<'_>>) -> PyResult<()> {
        let new = state(Some(&h), c.as_ref())?;
        self.stream.renew(py, self.length(0.0), move |stream| match &new {
            Some(new) => stream.set_state(new),
            None => Ok(()),
        })
    }

    /// Sets the state to zero.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.stream.renew(py, self.length(0.0), |stream| {
            stream.reset();
            Ok(())
        })
    }
}
