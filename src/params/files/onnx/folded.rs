//! Tensors that nodes only move: the weights of a cell, as exporters write them.
//!
//! PyTorch's exporter keeps the order of its gates in the file. It cuts the rows of a weight by
//! `Slice`, joins them by `Concat` in ONNX's order, and adds an axis by `Unsqueeze`. Along the
//! first axis, all of these move whole ranges of values: the result is a list of ranges, which is
//! read only when a network is loaded.

use std::path::Path;

use rten_onnx::onnx::{DataType, NodeProto};

use super::graphs::{Graphs, Maker, Place, is_standard, operator};
use super::states::{Slice, listed, slice};
use super::tensors::{Constant, MOST_STEPS, Part, tensor};
use crate::tensor::element_count;

/// The most nodes that move one tensor. PyTorch's exporter has 33 for the biases of two directions.
const MOST_NODES: usize = 64;

/// The most parts of one tensor. PyTorch's exporter makes 12 of the biases of two directions.
const MOST_PARTS: usize = 32;

/// Returns the tensor that a value is, through nodes that move values along the first axis, and
/// through `Cast` to f32.
///
/// # Errors
/// A message that names the node that computes the value when the model runs.
pub fn constant(
    model: &Path,
    graphs: &Graphs,
    graph: usize,
    name: &str,
) -> Result<Constant, String> {
    let mut folding = Folding { model, graphs, name, left: MOST_NODES };
    let found = folding.value(graph, name, 0)?;
    Ok(Constant { name: name.to_owned(), ..found })
}

struct Folding<'a> {
    model: &'a Path,
    graphs: &'a Graphs,
    name: &'a str,
    /// The nodes that may still be met: several may read one value.
    left: usize,
}

impl Folding<'_> {
    fn value(&mut self, graph: usize, value: &str, depth: usize) -> Result<Constant, String> {
        if self.left == 0 || depth == MOST_STEPS {
            return Err(format!(
                "'{}' is behind more than {MOST_STEPS} nodes, or behind a cycle",
                self.name
            ));
        }
        self.left -= 1;
        let Some(Maker::Node { place, output: 0 }) = self.graphs.maker(graph, value) else {
            return tensor(self.graphs, graph, value);
        };
        let node = self.graphs.node(place);
        let moved = match (is_standard(node), operator(node)) {
            (true, "Identity") => Some(self.input(place, 0, depth)?),
            (true, "Cast") if is_to_f32(node) => Some(self.widened(place, depth)?),
            (true, "Concat") if axis(node) == Some(0) => Some(self.joined(place, depth)?),
            (true, "Slice") => {
                let range = slice(self.model, self.graphs, graph, value);
                let whole = range.is_some().then(|| self.input(place, 0, depth)).transpose()?;
                whole.zip(range).map(|(whole, range)| rows(whole, &range))
            }
            (true, "Unsqueeze") => {
                let axes = listed(self.model, self.graphs, place, "axes", 1);
                let is_first = axes.is_some_and(|axes| axes == [0]);
                is_first.then(|| self.with_axis(place, depth)).transpose()?
            }
            _ => None,
        };
        moved.map_or_else(|| tensor(self.graphs, graph, value), Ok)
    }

    fn input(&mut self, place: Place, input: usize, depth: usize) -> Result<Constant, String> {
        let name = self.graphs.node(place).input.get(input).map_or("", String::as_str);
        self.value(place.graph, name, depth + 1)
    }

    fn with_axis(&mut self, place: Place, depth: usize) -> Result<Constant, String> {
        let mut found = self.input(place, 0, depth)?;
        found.shape.insert(0, 1);
        Ok(found)
    }

    fn widened(&mut self, place: Place, depth: usize) -> Result<Constant, String> {
        let found = self.input(place, 0, depth)?;
        match found.dtype {
            DataType::FLOAT | DataType::FLOAT16 | DataType::BFLOAT16 => {
                Ok(Constant { dtype: DataType::FLOAT, ..found })
            }
            other => Err(format!(
                "'{}' is cast from {other} to FLOAT; expected FLOAT16 or BFLOAT16",
                self.name
            )),
        }
    }

    fn joined(&mut self, place: Place, depth: usize) -> Result<Constant, String> {
        let mut joined = self.input(place, 0, depth)?;
        for input in 1..self.graphs.node(place).input.len() {
            let next = self.input(place, input, depth)?;
            let shape = match (joined.shape.split_first(), next.shape.split_first()) {
                (Some((a, rest)), Some((b, other))) if rest == other => {
                    Some([&[a.saturating_add(*b)], rest].concat())
                }
                _ => None,
            };
            let shape = shape.filter(|shape| element_count(shape).is_some());
            joined.parts.extend(next.parts);
            let fits = joined.dtype == next.dtype && joined.parts.len() <= MOST_PARTS;
            joined.shape = shape.filter(|_| fits).ok_or_else(|| {
                format!(
                    "'{}' joins tensors that do not fit, or more than {MOST_PARTS} parts: {:?} of \
                     {} and {:?} of {}",
                    self.name, joined.shape, joined.dtype, next.shape, next.dtype
                )
            })?;
        }
        Ok(joined)
    }
}

fn axis(node: &NodeProto) -> Option<i64> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some("axis")).map(|a| a.i.unwrap_or(0))
}

fn is_to_f32(node: &NodeProto) -> bool {
    let to = Some(DataType::FLOAT.0.into());
    node.attribute.iter().any(|a| a.name.as_deref() == Some("to") && a.i == to)
}

/// Returns some rows of a tensor. As in ONNX, numbers below 0 count from the end, and those beyond
/// an end stand for it.
fn rows(mut found: Constant, range: &Slice) -> Constant {
    let Some((rows, rest)) = found.shape.split_first_mut() else { return found };
    let bound = |bound: i64| match usize::try_from(bound) {
        Ok(bound) => bound.min(*rows),
        Err(_) => rows.saturating_sub(usize::try_from(bound.unsigned_abs()).unwrap_or(*rows)),
    };
    let (start, end) = (bound(range.start), bound(range.end));
    let width: usize = rest.iter().product();
    *rows = end.saturating_sub(start);
    let wanted = start * width..(start + *rows) * width;
    let mut at = 0;
    found.parts = found
        .parts
        .into_iter()
        .filter_map(|Part { tensor, values }| {
            let place = at..at + values.len();
            at = place.end;
            let common = place.start.max(wanted.start)..place.end.min(wanted.end);
            let within = |at: usize| at - place.start + values.start;
            (common.start < common.end)
                .then(|| Part { tensor, values: within(common.start)..within(common.end) })
        })
        .collect();
    found
}
