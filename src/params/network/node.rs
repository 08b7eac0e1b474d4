//! The nodes of a network: operations, their parameters, and the shapes of their values.

use super::conv::Conv1d;
use crate::params::{Config, Params};
use crate::tensor::Tensor;

/// The shape of the value of one time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepShape {
    /// `[F]`.
    Features(usize),
    /// `[C, L]`: the channels and positions of a convolution inside the step.
    Channels([usize; 2]),
    /// An index into an embedding.
    Token,
}

impl From<usize> for StepShape {
    fn from(features: usize) -> Self {
        Self::Features(features)
    }
}

impl From<[usize; 2]> for StepShape {
    fn from(sizes: [usize; 2]) -> Self {
        Self::Channels(sizes)
    }
}

impl StepShape {
    /// Returns the sizes of the axes of a step.
    pub fn sizes(&self) -> Vec<usize> {
        match self {
            Self::Features(features) => vec![*features],
            Self::Channels(sizes) => sizes.to_vec(),
            Self::Token => Vec::new(),
        }
    }

    /// Returns the values of a step; `usize::MAX` where the product overflows.
    pub fn count(&self) -> usize {
        self.sizes().iter().fold(1, |product, &size| product.saturating_mul(size))
    }
}

/// An elementwise function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// 0 below 0.
    Relu,
    /// x, times this slope below 0.
    LeakyRelu(f32),
    /// 1 / (1 + exp(−x)).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// x · Φ(x).
    Gelu,
    /// GELU with an approximation by tanh.
    GeluTanh,
    /// x · σ(x).
    Silu,
}

/// An operation with its sizes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `nn.Linear`.
    Linear {
        /// Features of x.
        features: usize,
        /// Features of y.
        out: usize,
    },
    /// A convolution over time, or inside the step.
    Conv1d {
        /// Channels of a group.
        channels: usize,
        /// Channels of y.
        out: usize,
        /// Taps.
        kernel: usize,
        /// The constructor arguments.
        conv: Conv1d,
        /// Whether it runs over time.
        over_time: bool,
    },
    /// Rows of a table.
    Embedding {
        /// Rows of the table.
        tokens: usize,
        /// Features of a row.
        features: usize,
    },
    /// A recurrent module, or a cell as a module of one layer.
    Rnn(Config),
    /// Normalisation over the last axis, with the term that keeps the variance from 0.
    LayerNorm(f32),
    /// x · scale + shift, by feature or channel.
    Scale,
    /// An elementwise function.
    Function(Function),
    /// The softmax over the last axis, or its logarithm.
    Softmax {
        /// Whether it is the logarithm.
        is_log: bool,
    },
    /// The magnitude of two halves.
    Magnitude,
    /// `[C, L]` as `[C·L]`.
    Flatten,
    /// `[C·L]` as `[C, L]`.
    Unflatten,
    /// The features or channels of all inputs.
    Concat,
    /// The sum of two inputs.
    Add,
    /// The product of two inputs.
    Mul,
    /// The memory that a decoder attends.
    Memory,
    /// The context of a query, keys and a memory.
    Attend {
        /// Whether the scores are weighted sums of tanh(query + key).
        additive: bool,
    },
    /// The last layer's h before the step, of a recurrent node.
    Hidden(usize),
}

/// The parameters of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// No parameters.
    None,
    /// A linear layer or a convolution.
    Product {
        /// `[out, in]`, or `[out, channels, kernel]`.
        weight: Tensor,
        /// `[out]`.
        bias: Vec<f32>,
    },
    /// An embedding: `[tokens, features]`.
    Table(Tensor),
    /// A recurrent module.
    Rnn(Box<Params>),
    /// A normalisation, or the scores of attention.
    Vectors {
        /// A value for each feature, position or channel: `[F]`, `[L]` or `[C]`. Attention has the
        /// weights of the sums here.
        scale: Vec<f32>,
        /// The same shape; attention has none.
        shift: Vec<f32>,
    },
}

/// An operation, the values that it reads, and the shape of the value that it makes.
///
/// Value 0 is the network's input. Value n + 1 is that of node n.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The prefix of the module, or the method that added it.
    pub label: String,
    /// The operation.
    pub op: Op,
    /// The values that it reads; all come from earlier nodes.
    pub inputs: Vec<usize>,
    /// The shape of a step of its value.
    pub shape: StepShape,
}
