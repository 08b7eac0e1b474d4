//! Layers of one network, as the exporters of PyTorch and Keras write them.
//!
//! `Transpose` to `[0, 2, 1, 3]` and `Reshape` to three axes join two nodes. With one direction,
//! `Squeeze` of axis 1 does the same; Keras has two `Transpose` to `[1, 0, 2]` behind it. The batch
//! comes first when such a `Transpose` is before the first node and after the last. The states of a
//! layer are zeros, tensors of the file, or a `Slice` of a value with the states of all layers.

use std::collections::HashMap;
use std::path::Path;

use super::graphs::{Graphs, Maker, Place, is_standard, operator};
use super::module;
use super::node::{Operand, RecurrentNode};
use super::states::{Slice, listed, slice};
use super::tensors::Constant;

/// The origin of an initial state or of the lengths.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// There is none: the state is zeros, and every row has T steps.
    Absent,
    /// Tensors of the file, one for each layer.
    Stored(Vec<Constant>),
    /// A value of this name, which the caller gives.
    Given(String),
}

/// A recurrent node and its place.
pub struct Found<'a> {
    pub place: Place,
    pub node: &'a RecurrentNode,
}

/// The graphs of a model, and the path that finds its external data.
#[derive(Clone, Copy)]
pub struct Glue<'a> {
    pub model: &'a Path,
    pub graphs: &'a Graphs,
}

impl<'a> Glue<'a> {
    /// Returns the node that makes an input of another, behind nodes that change nothing, if it has
    /// the operator.
    fn maker(self, place: Place, input: usize, expected: &str) -> Option<Place> {
        let mut at = place;
        let mut name = self.graphs.node(place).input.get(input)?;
        for _ in 0..super::tensors::MOST_STEPS {
            let maker = self.graphs.maker(at.graph, name)?;
            let Maker::Node { place, output: 0 } = maker else { return None };
            let node = self.graphs.node(place);
            match operator(node) {
                _ if !is_standard(node) => return None,
                found if found == expected => return Some(place),
                "Identity" => (at, name) = (place, node.input.first()?),
                _ => return None,
            }
        }
        None
    }

    fn is_transpose(self, place: Place, order: &[i64]) -> bool {
        let node = self.graphs.node(place);
        operator(node) == "Transpose"
            && is_standard(node)
            && node.attribute.iter().any(|a| a.name.as_deref() == Some("perm") && a.ints == order)
    }

    /// Returns the node before two that exchange steps and batch and back; otherwise the same one.
    fn unturned(self, place: Place) -> Place {
        let turn = |place| {
            let found = self.maker(place, 0, "Transpose")?;
            self.is_transpose(found, &[1, 0, 2]).then_some(found)
        };
        turn(place).and_then(turn).unwrap_or(place)
    }

    /// Returns the place of the layer below a node, if their glue is an exporter's.
    fn below(self, found: &Found<'_>) -> Option<Place> {
        let operator = found.node.operator.name();
        if let Some(squeeze) = self.maker(self.unturned(found.place), 0, "Squeeze") {
            let axes = listed(self.model, self.graphs, squeeze, "axes", 1)?;
            let is_pytorch = axes == [1] && found.node.direction.count() == 1;
            return is_pytorch.then(|| self.maker(squeeze, 0, operator))?;
        }
        let reshape = self.maker(found.place, 0, "Reshape")?;
        let transpose = self.maker(reshape, 0, "Transpose")?;
        let below = self.maker(transpose, 0, operator)?;
        let joins = self.keeps_steps_and_batch(reshape, transpose, below, found.node);
        (joins && self.is_transpose(transpose, &[0, 2, 1, 3])).then_some(below)
    }

    /// Returns whether a `Reshape` to three axes keeps the first two, and so joins the others.
    fn keeps_steps_and_batch(
        self,
        reshape: Place,
        transpose: Place,
        below: Place,
        above: &RecurrentNode,
    ) -> bool {
        let Some(sizes) = listed(self.model, self.graphs, reshape, "shape", 1) else {
            return self.copies_sizes(reshape, transpose);
        };
        let &[steps, batch, features] = sizes.as_slice() else { return false };
        let attributes = &self.graphs.node(reshape).attribute;
        let literal =
            attributes.iter().any(|a| a.name.as_deref() == Some("allowzero") && a.i == Some(1));
        let copies = [steps, batch] == [0, 0] && !literal;
        // Numbers may as well exchange the first two axes: the batch must be known.
        let y = self.graphs.node(below).output.first().map_or("", String::as_str);
        let known = known_batch(above).or_else(|| self.graphs.declared(below.graph, y, 2));
        let fixed = batch > 0 && known == Some(batch) && (steps > 0 || steps == -1);
        copies && features == -1
            || (copies || fixed) && i64::try_from(above.input_size) == Ok(features)
    }

    /// Returns whether a shape of three sizes begins with the first two of the transposed value.
    fn copies_sizes(self, reshape: Place, transpose: Place) -> bool {
        let Some(sizes) = self.maker(reshape, 1, "Concat") else { return false };
        let [steps, batch, _] = self.graphs.node(sizes).input.as_slice() else { return false };
        let size = |name: &str| slice(self.model, self.graphs, sizes.graph, name);
        let is_copy = |name: &str, axis: i64| {
            let Some(found) = size(name).filter(|found| found.start == axis) else { return false };
            let Some(Maker::Node { place, .. }) = self.graphs.maker(sizes.graph, &found.of) else {
                return false;
            };
            let node = self.graphs.node(place);
            let is_shape = operator(node) == "Shape"
                && node
                    .attribute
                    .iter()
                    .all(|a| a.name.as_deref() == Some("start") && a.i == Some(0));
            let from = node.input.first().and_then(|name| self.graphs.maker(place.graph, name));
            found.end == axis + 1
                && is_shape
                && from == Some(Maker::Node { place: transpose, output: 0 })
        };
        is_copy(steps, 0) && is_copy(batch, 1)
    }

    /// Returns whether the batch comes first in the input of the first node and the output of the
    /// last.
    fn is_batch_first(self, first: &Found<'_>, last: &Found<'_>) -> bool {
        let readers = |place| self.graphs.readers(place, 0).iter().copied();
        let joints = readers(last.place).flat_map(|place| {
            let turned = self.is_transpose(place, &[0, 2, 1, 3]);
            std::iter::once(place).chain(readers(place).filter(move |_| turned))
        });
        let is_joint = |place| matches!(operator(self.graphs.node(place)), "Squeeze" | "Reshape");
        let mut leaves = joints.filter(|&place| is_joint(place)).flat_map(readers);
        let is_turn = |place| self.is_transpose(place, &[1, 0, 2]);
        self.maker(first.place, 0, "Transpose").is_some_and(is_turn) && leaves.any(is_turn)
    }

    /// Returns the origin of the initial state of all layers; `None` when they have no common one.
    fn initial(
        self,
        layers: &[&Found<'a>],
        state: fn(&RecurrentNode) -> &Operand,
    ) -> Option<Origin> {
        let operands = || layers.iter().map(|found| state(found.node));
        if operands().all(|state| matches!(state, Operand::Absent | Operand::Zeros(_))) {
            return Some(Origin::Absent);
        }
        let stored = operands().map(|state| match state {
            Operand::Constant(constant) => Some(constant.clone()),
            _ => None,
        });
        if let Some(stored) = stored.collect() {
            return Some(Origin::Stored(stored));
        }
        let mut common = None;
        for (layer, found) in layers.iter().enumerate() {
            let Operand::Given(name) = state(found.node) else { return None };
            if layers.len() == 1 {
                return Some(Origin::Given(name.clone()));
            }
            let directions = found.node.direction.count();
            let bound = |layer: usize| i64::try_from(layer * directions).ok();
            let Slice { of, start, end } = slice(self.model, self.graphs, found.place.graph, name)?;
            let expected = (bound(layer)?, bound(layer + 1)?);
            let last = layer + 1 == layers.len() && end == i64::MAX;
            if start != expected.0 || !(end == expected.1 || last) {
                return None;
            }
            if common.get_or_insert_with(|| of.clone()) != &of {
                return None;
            }
        }
        common.map(Origin::Given)
    }
}

/// The batch size, where a constant state has it.
fn known_batch(node: &RecurrentNode) -> Option<i64> {
    match &node.initial_h {
        Operand::Constant(state) | Operand::Zeros(Some(state)) => {
            i64::try_from(*state.shape.get(1)?).ok()
        }
        _ => None,
    }
}

/// Whether two nodes can be layers of one module.
fn are_layers(below: &RecurrentNode, above: &RecurrentNode) -> bool {
    module::above(below) == module::layer(above)
        && !above.batch_first
        && below.w.dtype == above.w.dtype
        && below.sequence_lens == above.sequence_lens
}

impl Origin {
    /// Returns the name of a value that the caller gives.
    pub fn given(&self) -> Option<&str> {
        match self {
            Self::Given(name) => Some(name),
            Self::Absent | Self::Stored(_) => None,
        }
    }
}

/// The layers of one network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Chain {
    /// The indices of the nodes, the first layer first.
    pub nodes: Vec<usize>,
    /// Whether the network's input and output have the batch first.
    pub batch_first: bool,
    /// The origin of h, of shape `[layers·D, B, H]`.
    pub initial_h: Origin,
    /// The origin of c, of the same shape.
    pub initial_c: Origin,
    /// The origin of the valid steps of each row, of shape `[B]`.
    pub lengths: Origin,
}

impl Chain {
    /// Returns the origins of `h_0`, `c_0` and `lengths`.
    pub fn origins(&self) -> [(&'static str, &Origin); 3] {
        [("h_0", &self.initial_h), ("c_0", &self.initial_c), ("lengths", &self.lengths)]
    }
}

/// Returns the chains that nodes make. Each node is in exactly one; `found` has the readable nodes
/// with their indices.
pub fn chains(glue: Glue<'_>, found: &[(usize, Found<'_>)]) -> Vec<Chain> {
    let positions: HashMap<Place, usize> =
        found.iter().enumerate().map(|(position, (_, found))| (found.place, position)).collect();
    let below = |above: &Found<'_>| {
        let below = *positions.get(&glue.below(above)?)?;
        are_layers(found[below].1.node, above.node).then_some(below)
    };
    let below: Vec<Option<usize>> = found.iter().map(|(_, above)| below(above)).collect();
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); found.len()];
    for (layer, below) in below.iter().enumerate() {
        if let Some(below) = below {
            above[*below].push(layer);
        }
    }
    // Two nodes that read one layer are no network.
    let above = |layer: usize| match above[layer].as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    let mut taken = vec![false; found.len()];
    let mut chains = Vec::new();
    let starts = (0..found.len()).filter(|&node| below[node].is_none_or(|b| above(b).is_none()));
    for start in starts.chain(0..found.len()) {
        let mut layers = Vec::new();
        let mut next = Some(start);
        while let Some(layer) = next.filter(|&layer| !taken[layer]) {
            taken[layer] = true;
            layers.push(layer);
            next = above(layer);
        }
        match glue_layers(glue, found, &layers) {
            Some(chain) => chains.push(chain),
            None => {
                chains.extend(layers.iter().filter_map(|&layer| glue_layers(glue, found, &[layer])))
            }
        }
    }
    chains.sort_by(|a, b| a.nodes.cmp(&b.nodes));
    chains
}

fn glue_layers(glue: Glue<'_>, found: &[(usize, Found<'_>)], layers: &[usize]) -> Option<Chain> {
    let nodes: Vec<&Found<'_>> = layers.iter().map(|&layer| &found[layer].1).collect();
    let (first, last) = (nodes.first()?, nodes.last()?);
    Some(Chain {
        nodes: layers.iter().map(|&layer| found[layer].0).collect(),
        batch_first: first.node.batch_first != glue.is_batch_first(first, last),
        initial_h: glue.initial(&nodes, |node| &node.initial_h)?,
        initial_c: glue.initial(&nodes, |node| &node.initial_c)?,
        lengths: match &first.node.sequence_lens {
            Operand::Constant(constant) => Origin::Stored(vec![constant.clone()]),
            Operand::Given(name) => Origin::Given(name.clone()),
            Operand::Absent | Operand::Zeros(_) => Origin::Absent,
        },
    })
}
