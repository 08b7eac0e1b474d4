//! cuDNN: a matrix and a bias for each gate, in PyTorch's order.

use super::Converted;
use super::arrays::Arrays;
use crate::error::Result;
use crate::params::config::{Config, Kind};
use crate::params::module::DirectionParams;

pub fn convert(kind: Kind, arrays: &mut Arrays<'_>) -> Result<Converted> {
    let gates = kind.gate_count();
    let weight = |index: usize| format!("weight_{index}");
    let first = arrays.matrix(&weight(0))?;
    let (hidden, input) = (first.rows, first.columns);
    let projection = match arrays.shape(&weight(2 * gates)) {
        Some(&[size, _]) if kind == Kind::Lstm => size,
        _ => 0,
    };
    let state = if projection > 0 { projection } else { hidden };
    let mut all = |name: &str, range: std::ops::Range<usize>, shape: &[usize]| {
        let read = range.map(|index| arrays.vector(&format!("{name}_{index}"), shape));
        read.collect::<Result<Vec<_>>>().map(|gates| gates.concat())
    };
    let weight_ih = all("weight", 0..gates, &[hidden, input])?;
    let weight_hh = all("weight", gates..2 * gates, &[hidden, state])?;
    let weight_hr = match projection {
        0 => Vec::new(),
        size => arrays.vector(&weight(2 * gates), &[size, hidden])?,
    };
    // cuDNN may have the biases of the input alone, of the state alone, both or none.
    let half = |arrays: &mut Arrays<'_>, range: std::ops::Range<usize>| {
        let there = range.clone().any(|index| arrays.shape(&format!("bias_{index}")).is_some());
        let read = range.filter(|_| there);
        let read = read.map(|index| arrays.vector(&format!("bias_{index}"), &[hidden]));
        read.collect::<Result<Vec<_>>>().map(|gates| gates.concat())
    };
    let (mut bias_ih, mut bias_hh) = (half(arrays, 0..gates)?, half(arrays, gates..2 * gates)?);
    let bias = !bias_ih.is_empty() || !bias_hh.is_empty();
    if bias {
        bias_ih.resize(gates * hidden, 0.0);
        bias_hh.resize(gates * hidden, 0.0);
    }
    let config = Config::new(kind, input, hidden).bias(bias).proj_size(projection);
    let weight_p = Vec::new();
    let params = DirectionParams { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, weight_p };
    Ok(Converted { config, params })
}
