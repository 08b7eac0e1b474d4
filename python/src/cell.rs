//! The class `Cell`: `LSTMCell`, `GRUCell` and `RNNCell`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgpu_rnn::{Cell as Module, Kind, Params};

use crate::arrays::{Input, Output, from_state, state, tensor};
use crate::calls::{Length, run};
use crate::cell_stream::CellStream;
use crate::device::Device;
use crate::errors::exception;
use crate::forks::Kept;
use crate::options::Loading;
use crate::rnn::{describe, read_params, work};
use crate::state_dict::StateDict;

/// A recurrent cell with its weights on a device.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Cell(Kept<Module>);

#[pymethods]
impl Cell {
    /// Loads the cell under a prefix. `module` is the class that it must have.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        device: &Device,
        weights: &StateDict,
        prefix: String,
        module: &str,
        options: Loading,
    ) -> PyResult<Self> {
        let options = options.options().map_err(|error| exception(py, error))?;
        let (source, how) = ((weights, prefix), (Params::read_cell as _, Kind::cell as _));
        let params = read_params(py, source, options.allow_unused, module, how)?;
        let device = device.0.clone();
        let cell = run(py, Length::Long, move || Module::with_options(&device, &params, &options))?;
        Ok(Self(Kept::new(cell)))
    }

    /// The constructor's arguments.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        describe(py, self.0.config())
    }

    /// Computes one step.
    fn forward<'py>(
        &self,
        py: Python<'py>,
        input: Input<'py>,
        h: Option<Input<'py>>,
        c: Option<Input<'py>>,
    ) -> PyResult<(Output<'py>, Option<Output<'py>>)> {
        let (input, state) = (tensor(&input, "the input")?, state(h.as_ref(), c.as_ref())?);
        let cell = self.0.clone();
        let rows = input.data().len() as f64 / cell.config().input_size as f64;
        let length = Length::of(cell.device(), rows * work(cell.config()));
        let next = run(py, length, move || cell.forward(&input, state.as_ref()))?;
        from_state(py, next)
    }

    /// Opens a stream.
    fn stream(&self, py: Python<'_>, batch: usize) -> PyResult<CellStream> {
        let cell = self.0.clone();
        let (device, step) = (cell.device().clone(), work(cell.config()));
        let length = Length::of(&device, batch as f64 * step);
        let stream = run(py, Length::Long, move || cell.stream(batch))?;
        Ok(CellStream::new(stream, batch, length))
    }
}
