//! Weights under PyTorch's names and in PyTorch's order of gates.
//!
//! | operator | ONNX | here |
//! |---|---|---|
//! | RNN | i | h |
//! | GRU | z, r, h | r, z, n |
//! | LSTM | i, o, f, c | i, f, g, o |
//! | peepholes of an LSTM | i, o, f | i, f, o |
//!
//! Every value is moved, and none is computed: the conversion is exact.

use super::node::RecurrentNode;
use super::operators::Operator;
use super::tensors::Constant;
use crate::error::Result;
use crate::params::blocks::reordered;

/// A tensor under PyTorch's name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Named {
    /// Such as `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub name: String,
    /// PyTorch's shape; `[3·H]` for `weight_p_l0`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// The place in ONNX's order of each gate in PyTorch's.
const fn gates(operator: Operator) -> &'static [usize] {
    match operator {
        Operator::Rnn => &[0],
        Operator::Gru => &[1, 0, 2],
        Operator::Lstm => &[0, 2, 3, 1],
    }
}

/// The place in ONNX's order i, o, f of the peepholes of i, f and o.
const PEEPHOLES: &[usize] = &[0, 2, 1];

/// Converts the weights of a node, which becomes `layer` of a network. `read` returns the values of
/// a tensor. A reverse node has the names of a forward one.
///
/// # Errors
/// The errors of `read`.
pub fn convert(
    node: &RecurrentNode,
    layer: usize,
    read: impl Fn(&Constant) -> Result<Vec<f32>>,
) -> Result<Vec<Named>> {
    let (hidden, order) = (node.hidden_size, gates(node.operator));
    let rows = order.len() * hidden;
    let mut converted = Vec::new();
    let mut add = |stem: &str, tensor: &Constant, order: &[usize], shape: &[usize], part: Part| {
        let values = read(tensor)?;
        let size: usize = shape.iter().product();
        for direction in 0..node.direction.count() {
            let start = (direction * part.of + part.index) * size;
            let suffix = if direction == 1 { "_reverse" } else { "" };
            converted.push(Named {
                name: format!("{stem}_l{layer}{suffix}"),
                shape: shape.to_vec(),
                values: reordered(&values[start..start + size], order)?,
            });
        }
        Result::Ok(())
    };
    add("weight_ih", &node.w, order, &[rows, node.input_size], Part { index: 0, of: 1 })?;
    add("weight_hh", &node.r, order, &[rows, hidden], Part { index: 0, of: 1 })?;
    if let Some(b) = &node.b {
        add("bias_ih", b, order, &[rows], Part { index: 0, of: 2 })?;
        add("bias_hh", b, order, &[rows], Part { index: 1, of: 2 })?;
    }
    if let Some(p) = &node.p {
        add("weight_p", p, PEEPHOLES, &[PEEPHOLES.len() * hidden], Part { index: 0, of: 1 })?;
    }
    Ok(converted)
}

/// A part of each direction's values.
struct Part {
    index: usize,
    of: usize,
}
