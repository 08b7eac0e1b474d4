//! The class `Network`.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use wgpu_rnn::network::Network as Module;
use wgpu_rnn::pool::PoolOptions;

use crate::arrays::{Input, Output, from_tensor, tensor};
use crate::calls::{Length, run};
use crate::device::Device;
use crate::errors::exception;
use crate::forks::Kept;
use crate::network_stream::NetworkStream;
use crate::options::Loading;
use crate::pool::Pool;
use crate::sequential::sequential;
use crate::state_dict::StateDict;

/// A network of modules with its weights on a device.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Network(Kept<Module>);

#[pymethods]
impl Network {
    /// Loads the network whose definition `Sequential` collected.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        device: &Device,
        weights: &StateDict,
        input: Option<Vec<usize>>,
        modules: Vec<(String, Bound<'_, PyTuple>)>,
        prefix: String,
        options: Loading,
    ) -> PyResult<Self> {
        let definition = sequential(py, &input, &modules)?;
        let options = options.options().map_err(|error| exception(py, error))?;
        let (device, weights) = (device.0.clone(), weights.0.clone());
        let load = move || definition.load_with(&device, &weights, &prefix, &options);
        run(py, Length::Long, load).map(|network| Self(Kept::new(network)))
    }

    /// The sizes of a step of the input; empty for a token.
    #[getter]
    fn input_shape(&self) -> Vec<usize> {
        self.0.input().sizes()
    }

    /// The sizes of a step of the output.
    #[getter]
    fn output_shape(&self) -> Vec<usize> {
        self.0.output().sizes()
    }

    /// Runs the network from zero states.
    fn forward<'py>(&self, py: Python<'py>, input: Input<'py>) -> PyResult<Output<'py>> {
        let (input, network) = (tensor(&input, "the input")?, self.0.clone());
        from_tensor(py, run(py, Length::Long, move || network.forward(&input))?)
    }

    /// Runs a network of tokens.
    fn forward_tokens<'py>(
        &self,
        py: Python<'py>,
        tokens: Vec<i64>,
        shape: Vec<usize>,
    ) -> PyResult<Output<'py>> {
        let network = self.0.clone();
        from_tensor(py, run(py, Length::Long, move || network.forward_tokens(&tokens, &shape))?)
    }

    /// Opens a stream.
    fn stream(&self, py: Python<'_>, batch: usize) -> PyResult<NetworkStream> {
        let network = self.0.clone();
        run(py, Length::Long, move || network.stream(batch)).map(NetworkStream::new)
    }

    /// Creates a pool.
    fn pool(
        &self,
        py: Python<'_>,
        slots: usize,
        steps: usize,
        rows: Option<usize>,
    ) -> PyResult<Pool> {
        let network = self.0.clone();
        let options = PoolOptions::new(slots).steps(steps).rows(rows.unwrap_or(slots));
        let pool = run(py, Length::Long, move || network.pool(&options))?;
        Ok(Pool::new(pool, 0.0, Length::Long))
    }
}
