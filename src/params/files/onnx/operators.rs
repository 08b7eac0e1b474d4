//! The recurrent operators of ONNX, and their directions.

use crate::params::config::Kind;
use crate::params::variant::{ActivationFunction, default_functions, function_count};

/// A recurrent operator of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operator {
    /// One gate.
    Rnn,
    /// Gates in the order z, r, h.
    Gru,
    /// Gates in the order i, o, f, c.
    Lstm,
}

impl Operator {
    /// Returns the operator of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Rnn, Self::Gru, Self::Lstm].into_iter().find(|operator| operator.name() == name)
    }

    /// Returns ONNX's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rnn => "RNN",
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }

    /// Returns the kind of module whose functions are the operator's defaults.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Rnn => Kind::RnnTanh,
            Self::Gru => Kind::Gru,
            Self::Lstm => Kind::Lstm,
        }
    }

    /// Returns the functions of one direction, in ONNX's order f, g, h.
    pub fn default_functions(self) -> Vec<ActivationFunction> {
        default_functions(self.kind())[..function_count(self.kind())].to_vec()
    }

    /// Returns the number of inputs.
    pub const fn inputs(self) -> usize {
        match self {
            Self::Rnn | Self::Gru => 6,
            Self::Lstm => 8,
        }
    }
}

/// The direction of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// From the first step to the last.
    Forward,
    /// From the last step to the first.
    Reverse,
    /// Both, with weights for each.
    Bidirectional,
}

impl Direction {
    /// Returns the direction of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Forward, Self::Reverse, Self::Bidirectional].into_iter().find(|d| d.name() == name)
    }

    /// Returns ONNX's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
            Self::Bidirectional => "bidirectional",
        }
    }

    /// Returns the number of sets of weights.
    pub const fn count(self) -> usize {
        match self {
            Self::Forward | Self::Reverse => 1,
            Self::Bidirectional => 2,
        }
    }
}
