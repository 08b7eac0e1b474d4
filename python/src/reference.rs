//! The results of a module by its definition, in f64.

use numpy::PyArrayDyn;
use pyo3::prelude::*;
use wgpu_rnn::{Kind, Params, Tensor};

use crate::arrays::{Input, array, state, tensor};
use crate::calls::{Length, run};
use crate::errors::exception;
use crate::options::Loading;
use crate::state_dict::StateDict;

/// An array of f64 for Python.
type Exact<'py> = Bound<'py, PyArrayDyn<f64>>;

/// Runs the module, or the cell, of a state dict by its definition. With f16 the weights are the
/// rounded ones. The output has the layout of the input; the states have a batch axis.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python passes them by position")]
pub fn reference<'py>(
    py: Python<'py>,
    weights: &StateDict,
    cell: bool,
    options: Loading,
    input: Input<'py>,
    h: Option<Input<'py>>,
    c: Option<Input<'py>>,
    lengths: Option<Vec<usize>>,
) -> PyResult<(Exact<'py>, Exact<'py>, Option<Exact<'py>>)> {
    let options = options.options().map_err(|error| exception(py, error))?;
    let weights = weights.0.clone();
    let (input, state) = (tensor(&input, "the input")?, state(h.as_ref(), c.as_ref())?);
    let shape = input.shape().to_vec();
    let (config, results) = run(py, Length::Long, move || {
        let read = if cell { Params::read_cell } else { Params::read };
        let (params, _) = read(&weights, "", options.allow_unused)?;
        let params = params.rounded(options.weights)?.with(|mut config| {
            config.batch_first = options.batch_first.unwrap_or(config.batch_first);
            config.kind = options.nonlinearity.map_or(config.kind, Kind::from);
            config
        })?;
        let lengths = lengths.as_deref();
        let results =
            wgpu_rnn::diagnostics::reference(&params, &input as &Tensor, lengths, state.as_ref())?;
        Ok((params.config().clone(), results))
    })?;
    let (features, leading) = match shape.split_last() {
        Some((_, leading)) => (config.output_size(), leading),
        None => (0, &[][..]),
    };
    let batch = if config.batch_first { leading.first() } else { leading.get(1) };
    let batch = if leading.len() == 2 { batch.copied().unwrap_or(1) } else { 1 };
    let layers = config.num_layers * config.num_directions();
    let output = array(py, &[leading, &[features]].concat(), results.output)?;
    let h = array(py, &[layers, batch, config.state_size()], results.h_n)?;
    let c = match config.kind {
        Kind::Lstm => Some(array(py, &[layers, batch, config.hidden_size], results.c_n)?),
        _ => None,
    };
    Ok((output, h, c))
}
