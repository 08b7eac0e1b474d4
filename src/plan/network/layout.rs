//! The layout of a network's weights in buffers.

use std::ops::Range;

use crate::error::Result;
use crate::params::network::{Graph, NetworkParams, Node, Op, StepShape, Weights};
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Role};
use crate::plan::{Storage, WeightLayout, check_binding, cut_shards};
use crate::tensor::{Tensor, padded};

/// The weight buffers of a network, without their values.
#[derive(Debug, Clone)]
pub struct NetworkLayout {
    storage: Storage,
    buffers: Vec<BufferSpec>,
    contents: Vec<Content>,
    nodes: Vec<NodeWeights>,
}

/// The weight buffers of a node.
#[derive(Debug, Clone)]
pub(super) enum NodeWeights {
    /// None.
    None,
    /// The buffers of a recurrent module, from `first` on.
    Rnn { first: usize, weights: WeightLayout },
    /// The columns, the weight and the bias of each dispatch of a product.
    Product(Vec<(Range<usize>, [BufferId; 2])>),
    /// The rows and the weight of each dispatch of an embedding.
    Table(Vec<(Range<usize>, BufferId)>),
    /// The scale and the shift.
    Vectors([BufferId; 2]),
    /// The weights of the scores' sums.
    Scores(BufferId),
}

/// The values of a buffer: a part of a node's parameters.
#[derive(Debug, Clone)]
struct Content {
    node: usize,
    part: Part,
}

#[derive(Debug, Clone)]
enum Part {
    /// A buffer of a recurrent module.
    Rnn(usize),
    /// Rows of a weight.
    Rows(Range<usize>),
    /// Values of a bias.
    Bias(Range<usize>),
    Scale,
    Shift,
}

impl NetworkLayout {
    /// Lays out the weights of a network with this storage, in buffers that `limits` allow.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) if one row of a weight exceeds one binding, or all
    /// weights of a convolution in groups.
    pub fn new(graph: &Graph, storage: Storage, limits: &Limits) -> Result<Self> {
        let (buffers, contents, nodes) = (Vec::new(), Vec::new(), Vec::new());
        let mut layout = Self { storage, buffers, contents, nodes };
        for (index, node) in graph.nodes.iter().enumerate() {
            let scores = node.inputs.first().map_or(1, |&query| graph.shape(query).count());
            let weights = layout.node(index, node, scores, limits)?;
            layout.nodes.push(weights);
        }
        Ok(layout)
    }

    /// Adds the buffers of a node. The scores of attention have `scores` weights.
    fn node(
        &mut self,
        index: usize,
        node: &Node,
        scores: usize,
        limits: &Limits,
    ) -> Result<NodeWeights> {
        let what = format!("one row of the weight of {}", node.label);
        Ok(match &node.op {
            Op::Rnn(config) => {
                let weights = WeightLayout::stored(config, self.storage, limits)?;
                let first = self.buffers.len();
                for (at, spec) in weights.buffers().iter().enumerate() {
                    let label = format!("{}{}", node.label, spec.label);
                    self.buffers.push(BufferSpec { label, ..spec.clone() });
                    self.contents.push(Content { node: index, part: Part::Rnn(at) });
                }
                NodeWeights::Rnn { first, weights }
            }
            &Op::Linear { features, out } => {
                let words = self.storage.words(padded(features));
                let columns = cut_shards(out, words, &what, limits)?;
                let shard = |columns: Range<usize>| {
                    let axes = vec![(Axis::Column, columns.len()), (Axis::Feature, words)];
                    let weight = self.add(index, node, "weight", axes, Part::Rows(columns.clone()));
                    (columns.clone(), [weight, self.bias(index, node, columns)])
                };
                NodeWeights::Product(columns.into_iter().map(shard).collect())
            }
            &Op::Conv1d { channels, out, kernel, conv, .. } => {
                let words = self.storage.words(padded(channels * kernel));
                let groups = conv.groups;
                let columns = if groups == 1 {
                    cut_shards(out, words, &what, limits)?
                } else {
                    let bytes = (out as u64).saturating_mul(words as u64 * 4);
                    check_binding(bytes, &format!("the weight of {}", node.label), limits)?;
                    std::iter::once(0..out).collect()
                };
                let shard = |rows: Range<usize>| {
                    let columns = 0..rows.len() / groups;
                    let axes = vec![
                        (Axis::Direction, groups),
                        (Axis::Column, columns.len()),
                        (Axis::Feature, words),
                    ];
                    let weight = self.add(index, node, "weight", axes, Part::Rows(rows.clone()));
                    let columns = columns.start + rows.start..columns.end + rows.start;
                    (columns, [weight, self.bias(index, node, rows)])
                };
                NodeWeights::Product(columns.into_iter().map(shard).collect())
            }
            &Op::Embedding { tokens, features } => {
                let words = self.storage.words(padded(features));
                let shard = |rows: Range<usize>| {
                    let axes = vec![(Axis::Row, rows.len()), (Axis::Feature, words)];
                    (rows.clone(), self.add(index, node, "weight", axes, Part::Rows(rows)))
                };
                let tokens = cut_shards(tokens, words, &what, limits)?;
                NodeWeights::Table(tokens.into_iter().map(shard).collect())
            }
            Op::LayerNorm(_) | Op::Scale => {
                let channels = match (node.shape, &node.op) {
                    (StepShape::Channels([_, length]), Op::LayerNorm(_)) => length,
                    (StepShape::Features(channels) | StepShape::Channels([channels, _]), _) => {
                        channels
                    }
                    (StepShape::Token, _) => unreachable!("tokens are not normalised"),
                };
                let axes = || vec![(Axis::Column, channels)];
                check_binding(channels as u64 * 4, &what, limits)?;
                NodeWeights::Vectors([
                    self.add(index, node, "scale", axes(), Part::Scale),
                    self.add(index, node, "shift", axes(), Part::Shift),
                ])
            }
            Op::Attend { .. } => {
                let axes = vec![(Axis::Column, scores)];
                NodeWeights::Scores(self.add(index, node, "scale", axes, Part::Scale))
            }
            _ => NodeWeights::None,
        })
    }

    fn add(
        &mut self,
        index: usize,
        node: &Node,
        label: &str,
        axes: Vec<(Axis, usize)>,
        part: Part,
    ) -> BufferId {
        let label = format!("{}{label}", node.label);
        self.buffers.push(BufferSpec { label, axes, role: Role::Weight });
        self.contents.push(Content { node: index, part });
        BufferId(self.buffers.len() - 1)
    }

    fn bias(&mut self, index: usize, node: &Node, columns: Range<usize>) -> BufferId {
        let axes = vec![(Axis::Column, columns.len())];
        self.add(index, node, "bias", axes, Part::Bias(columns))
    }

    /// Returns the weight buffers. Every recording starts with them.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Returns the storage of the weights. Biases, scales and shifts are always f32.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Returns the bytes of all weight buffers.
    pub fn size(&self) -> u64 {
        self.buffers.iter().map(BufferSpec::size).fold(0, u64::saturating_add)
    }

    pub(super) fn of_node(&self, node: usize) -> &NodeWeights {
        &self.nodes[node]
    }

    /// Returns the values of weight buffer `index`.
    pub fn pack(&self, index: usize, params: &NetworkParams) -> Vec<f32> {
        let Content { node, part } = &self.contents[index];
        match (part, &params.weights()[*node]) {
            (Part::Rnn(at), Weights::Rnn(params)) => match &self.nodes[*node] {
                NodeWeights::Rnn { weights, .. } => weights.pack(*at, params),
                _ => unreachable!("a recurrent module has its own layout"),
            },
            (Part::Rows(rows), Weights::Product { weight, .. } | Weights::Table(weight)) => {
                self.storage.store(match weight.shape() {
                    [_, _] => weight.padded_rows(rows.clone()),
                    _ => taps_first(weight, rows.clone()),
                })
            }
            (Part::Bias(columns), Weights::Product { bias, .. }) => bias[columns.clone()].to_vec(),
            (Part::Scale, Weights::Vectors { scale, .. }) => scale.clone(),
            (Part::Shift, Weights::Vectors { shift, .. }) => shift.clone(),
            _ => unreachable!("a part comes from the parameters of its node"),
        }
    }
}

/// Returns rows of a convolution's weight, tap by tap as `unfold` has the windows.
fn taps_first(weight: &Tensor, rows: Range<usize>) -> Vec<f32> {
    let &[_, channels, taps] = weight.shape() else { unreachable!("three axes") };
    let width = padded(channels * taps);
    let mut packed = vec![0.0; rows.len() * width];
    let window = channels * taps;
    for (packed, row) in packed.chunks_exact_mut(width).zip(rows) {
        let values = &weight.data()[row * window..][..window];
        for (channel, of_channel) in values.chunks_exact(taps).enumerate() {
            for (tap, &value) in of_channel.iter().enumerate() {
                packed[tap * channels + channel] = value;
            }
        }
    }
    packed
}
