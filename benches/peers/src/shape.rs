//! The shape of a row: a network and the sizes of its input.

use std::fmt;

use serde_json::Value;

/// PyTorch's recurrent modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RnnTanh,
    RnnRelu,
    Lstm,
    Gru,
}

impl Kind {
    /// The name in rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::RnnTanh => "rnn_tanh",
            Self::RnnRelu => "rnn_relu",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }
}

/// A network and the sizes of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub kind: Kind,
    pub seq_len: usize,
    pub batch: usize,
    pub input_size: usize,
    pub hidden_size: usize,
    pub num_layers: usize,
    pub bidirectional: bool,
}

impl Shape {
    /// Reads the shape of a row; `None` if a size is missing.
    pub fn from_row(row: &Value) -> Option<Self> {
        let size = |key: &str| row[key].as_u64().map(|size| size as usize);
        let kinds = [Kind::RnnTanh, Kind::RnnRelu, Kind::Lstm, Kind::Gru];
        Some(Self {
            kind: kinds.into_iter().find(|kind| row["kind"] == kind.name())?,
            seq_len: size("seq_len")?,
            batch: size("batch")?,
            input_size: size("input_size")?,
            hidden_size: size("hidden_size")?,
            num_layers: size("num_layers")?,
            bidirectional: row["bidirectional"].as_bool()?,
        })
    }

    /// D.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Features of the output, D·H.
    pub fn output_size(&self) -> usize {
        self.directions() * self.hidden_size
    }

    /// Input features of a layer.
    pub fn layer_input_size(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.output_size() }
    }

    /// Returns `[T, B, features]`, or `[B, T, features]`.
    pub fn dims(&self, batch_first: bool, features: usize) -> [usize; 3] {
        if batch_first {
            [self.batch, self.seq_len, features]
        } else {
            [self.seq_len, self.batch, features]
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq_len, batch, input_size, hidden_size, num_layers, .. } = self;
        let (kind, directions) = (self.kind.name(), self.directions());
        write!(
            f,
            "{kind} T={seq_len} B={batch} I={input_size} H={hidden_size} L={num_layers} D={directions}"
        )
    }
}
