//! The origin of initial states: zeros, a part of a value, or a value.

use std::path::Path;

use rten_onnx::onnx::{DataLocation, DataType, NodeProto, TensorProto};

use super::external;
use super::graphs::{Graphs, Maker, Place, is_standard, operator};
use super::tensors::{integers, tensor};
use crate::tensor::element_count;

/// The most values of an initial state that are compared with zero.
const MOST_VALUES: usize = 1 << 20;

/// The most nodes that make zeros.
const MOST_NODES: usize = 64;

/// Returns whether a value is zeros of any shape. Exporters make them from the batch size.
pub fn are_zeros(model: &Path, graphs: &Graphs, graph: usize, name: &str) -> bool {
    let mut waiting = vec![(graph, name)];
    for _ in 0..MOST_NODES {
        let Some((graph, value)) = waiting.pop() else { return true };
        let place = match graphs.maker(graph, value) {
            None | Some(Maker::Input) => return false,
            Some(Maker::Tensor(tensor)) => {
                let compare = || holds_zeros(model, &graphs.tensors[tensor]);
                // Many nodes may share one tensor.
                if !*graphs.zeros.borrow_mut().entry(tensor).or_insert_with(compare) {
                    return false;
                }
                continue;
            }
            Some(Maker::Node { place, .. }) => place,
        };
        let node = graphs.node(place);
        let mut inputs = node.input.iter().map(|input| (place.graph, input.as_str()));
        match operator(node) {
            _ if !is_standard(node) => return false,
            // A file may list any number of inputs.
            "Concat" if node.input.len() <= MOST_NODES => waiting.extend(inputs),
            // A part, a repetition or another shape of zeros.
            "Cast" | "Expand" | "Identity" | "Reshape" | "Slice" | "Squeeze" | "Tile"
            | "Transpose" | "Unsqueeze" => waiting.extend(inputs.next()),
            "ConstantOfShape" => {
                let mut values = node.attribute.iter().filter_map(|attribute| attribute.t.as_ref());
                if !values.all(|tensor| tensor.dims == [1] && holds_zeros(model, tensor)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}

/// Whether a tensor has values, all of them zero.
fn holds_zeros(model: &Path, tensor: &TensorProto) -> bool {
    let shape: Option<Vec<usize>> =
        tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect();
    let count = shape.and_then(|shape| element_count(&shape));
    let Some(count) = count.filter(|count| (1..=MOST_VALUES).contains(count)) else { return false };
    if tensor.data_location == Some(DataLocation::EXTERNAL) {
        let size = match tensor.data_type {
            Some(DataType::FLOAT) => 4,
            Some(DataType::FLOAT16 | DataType::BFLOAT16) => 2,
            _ => return false,
        };
        let bytes = external::read(model, tensor, count * size, "an initial state");
        return bytes.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    }
    let raw = tensor.raw_data.as_ref().map(|bytes| bytes.borrow());
    let raw = raw.iter().flat_map(|bytes| bytes.iter()).any(|byte| *byte != 0);
    let typed = tensor.float_data.iter().any(|value| value.to_bits() != 0)
        || tensor.int32_data.iter().any(|value| *value != 0);
    !raw && !typed
}

/// A part of a value along its first axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The name of the whole value.
    pub of: String,
    pub start: i64,
    pub end: i64,
}

/// Returns the constant integers of an attribute, or of an input of later operator sets.
pub fn listed(
    model: &Path,
    graphs: &Graphs,
    place: Place,
    attribute: &str,
    input: usize,
) -> Option<Vec<i64>> {
    let node: &NodeProto = graphs.node(place);
    if let Some(found) = node.attribute.iter().find(|a| a.name.as_deref() == Some(attribute)) {
        return Some(found.ints.clone());
    }
    let name = node.input.get(input).filter(|name| !name.is_empty())?;
    let constant = tensor(graphs, place.graph, name).ok()?;
    // Lists of axes and sizes have one entry for each axis.
    (constant.shape.iter().product::<usize>() <= 8)
        .then(|| integers(model, graphs, &constant).ok())?
}

/// Returns the part that a value is, if a `Slice` of the first axis makes it.
pub fn slice(model: &Path, graphs: &Graphs, graph: usize, name: &str) -> Option<Slice> {
    let Some(Maker::Node { place, .. }) = graphs.maker(graph, name) else { return None };
    let node = graphs.node(place);
    if operator(node) != "Slice" || !is_standard(node) {
        return None;
    }
    let list = |attribute, input| listed(model, graphs, place, attribute, input);
    let (starts, ends) = (list("starts", 1)?, list("ends", 2)?);
    let axes = list("axes", 3).unwrap_or_else(|| vec![0]);
    let has_steps = node.input.get(4).is_some_and(|name| !name.is_empty());
    let steps = if has_steps { list("steps", 4)? } else { vec![1] };
    match (starts.as_slice(), ends.as_slice(), axes.as_slice(), steps.as_slice()) {
        (&[start], &[end], [0], [1]) => Some(Slice { of: node.input.first()?.clone(), start, end }),
        _ => None,
    }
}
