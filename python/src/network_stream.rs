//! The class `NetworkStream`.

use pyo3::prelude::*;
use wgpu_rnn::network::NetworkStream as Steps;

use crate::arrays::{Input, Output, from_tensor, tensor};
use crate::calls::Length;
use crate::shared::Shared;

/// A sequence of calls of a network, each of which continues from the previous one.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct NetworkStream {
    stream: Shared<Steps>,
    batch: usize,
    stride: usize,
}

impl NetworkStream {
    pub fn new(stream: Steps) -> Self {
        let (batch, stride) = (stream.batch(), stream.stride());
        Self { stream: Shared::new(stream), batch, stride }
    }
}

#[pymethods]
impl NetworkStream {
    #[getter]
    fn batch(&self) -> usize {
        self.batch
    }

    /// The steps that make one step of the output.
    #[getter]
    fn stride(&self) -> usize {
        self.stride
    }

    /// Runs the next steps.
    fn forward<'py>(&self, py: Python<'py>, input: Input<'py>) -> PyResult<Output<'py>> {
        let input = tensor(&input, "the input")?;
        let output = self.stream.advance(py, Length::Long, move |stream| stream.forward(&input))?;
        from_tensor(py, output)
    }

    /// Runs the next steps of a network of tokens.
    fn forward_tokens<'py>(
        &self,
        py: Python<'py>,
        tokens: Vec<i64>,
        shape: Vec<usize>,
    ) -> PyResult<Output<'py>> {
        let output = self
            .stream
            .advance(py, Length::Long, move |stream| stream.forward_tokens(&tokens, &shape))?;
        from_tensor(py, output)
    }

    /// Reads the states of all modules, `[B, W]`.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Output<'py>> {
        from_tensor(py, self.stream.read(py, Length::Long, |stream| stream.state())?)
    }

    /// Replaces the states of all modules.
    fn set_state(&self, py: Python<'_>, state: Input<'_>) -> PyResult<()> {
        let state = tensor(&state, "the state")?;
        self.stream.renew(py, Length::Long, move |stream| stream.set_state(&state))
    }

    /// Sets the states to zero.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.stream.renew(py, Length::Long, |stream| {
            stream.reset();
            Ok(())
        })
    }
}
