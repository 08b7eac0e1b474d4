//! The class `Rnn`: LSTM, GRU and RNN.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{Config, ForwardOptions, Kind, Params, Result, Rnn as Module};

use crate::arrays::{Input, Results, from_state, from_tensor, state, tensor};
use crate::calls::{Length, run};
use crate::device::Device;
use crate::errors::{error, exception};
use crate::forks::Kept;
use crate::options::Loading;
use crate::pool::Pool;
use crate::state_dict::StateDict;
use crate::stream::Stream;

/// A recurrent module with its weights on a device.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Rnn(Kept<Module>);

/// Returns the multiply-adds of a step of one row.
pub fn work(config: &Config) -> f64 {
    let layer = |layer| config.layer_input_size(layer) + config.state_size();
    let inputs: usize = (0..config.num_layers).map(layer).sum();
    let rows = config.num_directions() * config.gate_count() * config.hidden_size;
    inputs as f64 * rows as f64
}

/// Returns the constructor's arguments as a dict.
pub fn describe<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("kind", config.kind.name())?;
    fields.set_item("module", config.kind.module())?;
    for (name, value) in [
        ("input_size", config.input_size),
        ("hidden_size", config.hidden_size),
        ("num_layers", config.num_layers),
        ("proj_size", config.proj_size),
    ] {
        fields.set_item(name, value)?;
    }
    for (name, value) in [
        ("bias", config.bias),
        ("batch_first", config.batch_first),
        ("bidirectional", config.bidirectional),
    ] {
        fields.set_item(name, value)?;
    }
    fields.set_item("text", config.to_string())?;
    Ok(fields)
}

#[pymethods]
impl Rnn {
    /// Loads the module under a prefix. `module` is the class that it must have.
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
        let (source, how) = ((weights, prefix), (Params::read as _, Kind::module as _));
        let params = read_params(py, source, options.allow_unused, module, how)?;
        let device = device.0.clone();
        let module =
            run(py, Length::Long, move || Module::with_options(&device, &params, &options))?;
        Ok(Self(Kept::new(module)))
    }

    /// The constructor's arguments.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        describe(py, self.0.config())
    }

    /// Runs the module.
    fn forward<'py>(
        &self,
        py: Python<'py>,
        input: Input<'py>,
        h: Option<Input<'py>>,
        c: Option<Input<'py>>,
        lengths: Option<Vec<usize>>,
    ) -> PyResult<Results<'py>> {
        let (input, state) = (tensor(&input, "the input")?, state(h.as_ref(), c.as_ref())?);
        let module = self.0.clone();
        let config = module.config();
        let rows = input.data().len() as f64 / config.input_size as f64;
        let length = Length::of(module.device(), rows * work(config));
        let (output, state) = run(py, length, move || {
            let mut options = ForwardOptions::new();
            (options.state, options.lengths) = (state.as_ref(), lengths.as_deref());
            module.forward_with(&input, &options)
        })?;
        let (h, c) = from_state(py, state)?;
        Ok((from_tensor(py, output)?, h, c))
    }

    /// Opens a stream.
    fn stream(&self, py: Python<'_>, batch: usize) -> PyResult<Stream> {
        let module = self.0.clone();
        run(py, Length::Long, move || module.stream(batch)).map(Stream::new)
    }

    /// Creates a pool.
    fn pool(
        &self,
        py: Python<'_>,
        slots: usize,
        steps: usize,
        rows: Option<usize>,
    ) -> PyResult<Pool> {
        let module = self.0.clone();
        let length = Length::of(module.device(), work(module.config()));
        let options = PoolOptions::new(slots).steps(steps).rows(rows.unwrap_or(slots));
        let pool = run(py, Length::Long, {
            let module = module.clone();
            move || module.pool(&options)
        })?;
        Ok(Pool::new(pool, work(module.config()), length))
    }

    /// Explains the schedule for sizes.
    fn explain(&self, py: Python<'_>, seq_len: usize, batch: usize) -> PyResult<String> {
        let module = self.0.clone();
        run(py, Length::Long, move || Ok(module.explain(seq_len, batch)?.to_string()))
    }
}

/// A function that reads the parameters under a prefix, such as [`Params::read`].
type Read = fn(&wgpu_rnn::StateDict, &str, bool) -> Result<(Params, Option<String>)>;

/// Reads the parameters of a class under a prefix. `name` names the class of a kind.
///
/// # Errors
/// The errors of `read`, and `NoRecurrentWeightsError` for the weights of another class.
pub fn read_params(
    py: Python<'_>,
    (weights, prefix): (&StateDict, String),
    allow_unused: bool,
    wanted: &str,
    (read, name): (Read, fn(Kind) -> &'static str),
) -> PyResult<Params> {
    let (weights, place) = (weights.0.clone(), prefix.clone());
    let (params, _) = run(py, Length::Long, move || read(&weights, &place, allow_unused))?;
    let found = name(params.config().kind);
    if found == wanted {
        return Ok(params);
    }
    let text = format!(
        "the weights under the prefix '{prefix}' are those of {found}, not of {wanted}; load them \
         with wgpu_rnn.{found}"
    );
    Err(error(py, "NoRecurrentWeightsError", text))
}
