//! The cells of TensorFlow 1: one matrix reads the input and the state.

use super::Converted;
use super::arrays::{Arrays, Matrix};
use crate::error::Result;
use crate::params::blocks::reordered;
use crate::params::config::{Config, Kind};
use crate::params::module::DirectionParams;
use crate::params::variant::{Reset, Variant};

/// The place in TensorFlow's order i, c, f, o of i, f, g and o.
const LSTM: &[usize] = &[0, 2, 1, 3];
/// The number of f in PyTorch's order.
const FORGET: usize = 1;

pub fn convert(kind: Kind, arrays: &mut Arrays<'_>, forget_bias: f32) -> Result<Converted> {
    match kind {
        Kind::RnnTanh | Kind::RnnRelu => rnn(kind, arrays),
        Kind::Gru => gru(arrays),
        Kind::Lstm => lstm(arrays, forget_bias),
    }
}

/// Returns the number of inputs of a matrix, whose last rows read a state of this size.
fn inputs(arrays: &Arrays<'_>, name: &str, kernel: &Matrix, state: usize) -> Result<usize> {
    let inputs = kernel.rows.checked_sub(state).filter(|inputs| *inputs > 0);
    inputs.ok_or_else(|| {
        arrays.refuse(format!(
            "{name} has shape [{}, {}]: expected more rows than the state's {state}",
            kernel.rows, kernel.columns
        ))
    })
}

fn rnn(kind: Kind, arrays: &mut Arrays<'_>) -> Result<Converted> {
    let kernel = arrays.matrix("kernel")?;
    let hidden = kernel.columns;
    let input = inputs(arrays, "kernel", &kernel, hidden)?;
    let params = DirectionParams {
        weight_ih: kernel.transposed(0..input, &[0])?,
        weight_hh: kernel.transposed(input..kernel.rows, &[0])?,
        bias_ih: arrays.vector("bias", &[hidden])?,
        bias_hh: vec![0.0; hidden],
        weight_hr: Vec::new(),
        weight_p: Vec::new(),
    };
    Ok(Converted { config: Config::new(kind, input, hidden), params })
}

fn gru(arrays: &mut Arrays<'_>) -> Result<Converted> {
    let (gates, candidate) = (arrays.matrix("gates/kernel")?, arrays.matrix("candidate/kernel")?);
    let hidden = candidate.columns;
    let input = inputs(arrays, "candidate/kernel", &candidate, hidden)?;
    arrays.check("gates/kernel", &gates, [candidate.rows, 2 * hidden])?;
    // Both have r before u, and u is PyTorch's z.
    let both = |rows: std::ops::Range<usize>| -> Result<Vec<f32>> {
        let of_gates = gates.transposed(rows.clone(), &[0, 1])?;
        Ok([of_gates, candidate.transposed(rows, &[0])?].concat())
    };
    let biases =
        [arrays.vector("gates/bias", &[2 * hidden])?, arrays.vector("candidate/bias", &[hidden])?];
    let params = DirectionParams {
        weight_ih: both(0..input)?,
        weight_hh: both(input..candidate.rows)?,
        bias_ih: biases.concat(),
        bias_hh: vec![0.0; 3 * hidden],
        weight_hr: Vec::new(),
        weight_p: Vec::new(),
    };
    let variant = Variant { reset: Reset::BeforeProduct, ..Variant::PYTORCH };
    Ok(Converted { config: Config::gru(input, hidden).variant(variant), params })
}

fn lstm(arrays: &mut Arrays<'_>, forget_bias: f32) -> Result<Converted> {
    let kernel = arrays.matrix("kernel")?;
    let (hidden, rest) = (kernel.columns / LSTM.len(), kernel.columns % LSTM.len());
    if rest > 0 || !forget_bias.is_finite() {
        return Err(arrays.refuse(format!(
            "kernel has shape [{}, {}] and forget_bias is {forget_bias}: expected four gates and a \
             finite number",
            kernel.rows, kernel.columns
        )));
    }
    let projection = arrays.shape("projection/kernel").map(|_| arrays.matrix("projection/kernel"));
    let projection = projection.transpose()?;
    let state = projection.as_ref().map_or(hidden, |projection| projection.columns);
    let input = inputs(arrays, "kernel", &kernel, state)?;
    let mut weight_hr = Vec::new();
    if let Some(projection) = &projection {
        arrays.check("projection/kernel", projection, [hidden, state])?;
        weight_hr = projection.transposed(0..hidden, &[0])?;
    }
    // i, f and o, as they are here.
    let diagonals = ["w_i_diag", "w_f_diag", "w_o_diag"];
    let peepholes = diagonals.iter().any(|name| arrays.shape(name).is_some());
    let weight_p = if peepholes {
        let read = diagonals.iter().map(|name| arrays.vector(name, &[hidden]));
        read.collect::<Result<Vec<_>>>()?.concat()
    } else {
        Vec::new()
    };
    let mut bias_hh = vec![0.0; 4 * hidden];
    bias_hh[FORGET * hidden..][..hidden].fill(forget_bias);
    let params = DirectionParams {
        weight_ih: kernel.transposed(0..input, LSTM)?,
        weight_hh: kernel.transposed(input..kernel.rows, LSTM)?,
        bias_ih: reordered(&arrays.vector("bias", &[4 * hidden])?, LSTM)?,
        bias_hh,
        weight_hr,
        weight_p,
    };
    let config = Config::lstm(input, hidden)
        .proj_size(projection.map_or(0, |projection| projection.columns))
        .variant(Variant { peepholes, ..Variant::PYTORCH });
    Ok(Converted { config, params })
}
