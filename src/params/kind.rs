//! The kinds of recurrent modules.

use crate::error::{Error, Result};

/// The module, and the nonlinearity of a plain RNN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Kind {
    /// `nn.RNN(nonlinearity='tanh')`: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).
    RnnTanh,
    /// `nn.RNN(nonlinearity='relu')`: the same with relu.
    RnnRelu,
    /// `nn.LSTM`, gates in the order i, f, g, o.
    Lstm,
    /// `nn.GRU`, gates in the order r, z, n.
    Gru,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &'static [Self] = &[Self::RnnTanh, Self::RnnRelu, Self::Lstm, Self::Gru];

    /// Returns the blocks of `hidden_size` rows in `weight_ih`: RNN 1, GRU 3, LSTM 4.
    pub const fn gate_count(self) -> usize {
        match self {
            Self::RnnTanh | Self::RnnRelu => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// Returns the letters of the gates in PyTorch's order.
    pub const fn gate_names(self) -> &'static [&'static str] {
        match self {
            Self::RnnTanh | Self::RnnRelu => &["h"],
            Self::Gru => &["r", "z", "n"],
            Self::Lstm => &["i", "f", "g", "o"],
        }
    }

    /// Returns the class in `torch.nn`: `RNN`, `LSTM` or `GRU`.
    pub const fn module(self) -> &'static str {
        match self {
            Self::RnnTanh | Self::RnnRelu => "RNN",
            Self::Lstm => "LSTM",
            Self::Gru => "GRU",
        }
    }

    /// Returns the class of one step in `torch.nn`: `RNNCell`, `LSTMCell` or `GRUCell`.
    pub const fn cell(self) -> &'static str {
        match self {
            Self::RnnTanh | Self::RnnRelu => "RNNCell",
            Self::Lstm => "LSTMCell",
            Self::Gru => "GRUCell",
        }
    }

    /// Returns the name in case files and on the command line: `rnn_tanh`, `rnn_relu`, `lstm`,
    /// `gru`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RnnTanh => "rnn_tanh",
            Self::RnnRelu => "rnn_relu",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    /// Returns the kind of a plain RNN with PyTorch's `nonlinearity`.
    ///
    /// # Errors
    /// [`Error::Config`] in PyTorch's words for any text but `tanh` and `relu`.
    pub fn rnn_with(nonlinearity: &str) -> Result<Self> {
        nonlinearity.parse::<Nonlinearity>().map(Self::from)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
            Error::UnknownName(format!(
                "unknown kind '{text}': expected rnn_tanh, rnn_relu, lstm or gru"
            ))
        })
    }
}

/// The nonlinearity of a plain RNN, which no state dict names.
///
/// ```
/// use wgpu_rnn::{Kind, Nonlinearity};
/// assert_eq!("relu".parse().ok(), Some(Nonlinearity::Relu));
/// assert_eq!(Kind::from(Nonlinearity::Relu), Kind::RnnRelu);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Nonlinearity {
    /// `nonlinearity='tanh'`, PyTorch's default.
    #[default]
    Tanh,
    /// `nonlinearity='relu'`.
    Relu,
}

impl From<Nonlinearity> for Kind {
    fn from(nonlinearity: Nonlinearity) -> Self {
        match nonlinearity {
            Nonlinearity::Tanh => Self::RnnTanh,
            Nonlinearity::Relu => Self::RnnRelu,
        }
    }
}

impl std::str::FromStr for Nonlinearity {
    type Err = Error;

    /// Reads `tanh` or `relu`; any other text is [`Error::Config`] in PyTorch's words.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tanh" => Ok(Self::Tanh),
            "relu" => Ok(Self::Relu),
            other => Err(Error::Config(format!(
                "Unknown nonlinearity '{other}'. Select from 'tanh' or 'relu'."
            ))),
        }
    }
}
