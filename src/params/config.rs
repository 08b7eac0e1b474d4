//! The constructor arguments of `nn.RNN`, `nn.LSTM` and `nn.GRU`.

use crate::error::{Error, Result};
use crate::params::variant::{self, Variant};

pub use crate::params::kind::{Kind, Nonlinearity};

/// Limits far above any network, and low enough that products of sizes do not overflow.
const MAX_FEATURES: usize = 1 << 22;
const MAX_LAYERS: usize = 1 << 10;

/// A recurrent module's constructor arguments, under PyTorch's names and with PyTorch's defaults.
///
/// ```
/// use wgpu_rnn::Config;
/// let config = Config::lstm(80, 256).num_layers(2).bidirectional(true);
/// assert_eq!(config.num_directions(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Config {
    /// Module and nonlinearity.
    pub kind: Kind,
    /// Features of `input`.
    pub input_size: usize,
    /// Features of the hidden state.
    pub hidden_size: usize,
    /// Stacked layers.
    pub num_layers: usize,
    /// Whether `bias_ih` and `bias_hh` exist.
    pub bias: bool,
    /// Whether `input` and `output` are `[B, T, ·]`, not `[T, B, ·]`. States are never batch first.
    pub batch_first: bool,
    /// Probability of dropping an element between layers in training mode, which a call selects
    /// with [`ForwardOptions::training`](crate::ForwardOptions::training).
    pub dropout: f64,
    /// Whether a second set of weights reads the sequence from its end.
    pub bidirectional: bool,
    /// Features of an LSTM's hidden state after its projection by `weight_hr`; 0 for no projection.
    pub proj_size: usize,
    /// Whether the only direction reads the sequence from its end; not in PyTorch.
    pub reverse: bool,
    /// The differences of the cell from PyTorch's.
    pub variant: Variant,
}

impl Config {
    /// Creates a module of `kind` with PyTorch's defaults: one layer, bias, time first, one
    /// direction.
    pub const fn new(kind: Kind, input_size: usize, hidden_size: usize) -> Self {
        Self {
            kind,
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            proj_size: 0,
            reverse: false,
            variant: Variant::PYTORCH,
        }
    }

    /// Creates `nn.RNN(input_size, hidden_size)` with tanh.
    pub const fn rnn(input_size: usize, hidden_size: usize) -> Self {
        Self::new(Kind::RnnTanh, input_size, hidden_size)
    }

    /// Creates `nn.LSTM(input_size, hidden_size)`.
    pub const fn lstm(input_size: usize, hidden_size: usize) -> Self {
        Self::new(Kind::Lstm, input_size, hidden_size)
    }

    /// Creates `nn.GRU(input_size, hidden_size)`.
    pub const fn gru(input_size: usize, hidden_size: usize) -> Self {
        Self::new(Kind::Gru, input_size, hidden_size)
    }

    /// Sets the number of stacked layers.
    #[must_use]
    pub const fn num_layers(mut self, num_layers: usize) -> Self {
        self.num_layers = num_layers;
        self
    }

    /// Sets whether the biases exist.
    #[must_use]
    pub const fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Sets whether `input` and `output` are `[B, T, ·]`, not `[T, B, ·]`.
    #[must_use]
    pub const fn batch_first(mut self, batch_first: bool) -> Self {
        self.batch_first = batch_first;
        self
    }

    /// Sets the dropout probability.
    #[must_use]
    pub const fn dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }

    /// Sets whether a second direction reads the sequence from its end.
    #[must_use]
    pub const fn bidirectional(mut self, bidirectional: bool) -> Self {
        self.bidirectional = bidirectional;
        self
    }

    /// Sets the size of the LSTM's projection.
    #[must_use]
    pub const fn proj_size(mut self, proj_size: usize) -> Self {
        self.proj_size = proj_size;
        self
    }

    /// Sets whether the only direction reads the sequence from its end.
    #[must_use]
    pub const fn reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }

    /// Sets the differences of the cell from PyTorch's.
    #[must_use]
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = variant.normalised(self.kind);
        self
    }

    /// Returns the number of directions D: 2 when bidirectional, 1 otherwise.
    pub const fn num_directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Returns the number of gates G of one unit: RNN 1, GRU 3, LSTM 4.
    pub const fn gate_count(&self) -> usize {
        self.kind.gate_count()
    }

    /// Returns the features of h in one direction: `proj_size`, or `hidden_size` without a
    /// projection.
    pub const fn state_size(&self) -> usize {
        if self.proj_size > 0 { self.proj_size } else { self.hidden_size }
    }

    /// Returns the features of `output`: D·[`state_size`](Self::state_size).
    pub const fn output_size(&self) -> usize {
        self.num_directions() * self.state_size()
    }

    /// Returns the input features of `layer`: `input_size` for layer 0 and
    /// [`output_size`](Self::output_size) for the others.
    pub const fn layer_input_size(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.output_size() }
    }

    /// Returns the word for a module that reads sequences from their end.
    pub(crate) const fn backwards(&self) -> Option<&'static str> {
        match (self.bidirectional, self.reverse) {
            (true, _) => Some("bidirectional"),
            (false, true) => Some("reverse"),
            (false, false) => None,
        }
    }

    /// Returns whether the cell differs from PyTorch's.
    pub(crate) fn is_variant(&self) -> bool {
        self.variant.normalised(self.kind) != Variant::PYTORCH
    }

    /// Returns whether training differs from inference: dropout is above 0 and a layer follows
    /// another.
    pub(crate) fn drops_between_layers(&self) -> bool {
        self.dropout > 0.0 && self.num_layers > 1
    }

    /// Checks every argument as PyTorch's constructors do.
    ///
    /// # Errors
    /// [`Error::Config`] in PyTorch's words.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::Config(message.to_owned()));
        // PyTorch's subclasses check this before their common base checks anything.
        if self.proj_size > 0 && self.kind != Kind::Lstm {
            return refuse("proj_size argument is only supported for LSTM, not RNN or GRU");
        }
        if !(0.0..=1.0).contains(&self.dropout) {
            return refuse(
                "dropout should be a number in range [0, 1] representing the probability of an \
                 element being zeroed",
            );
        }
        if self.input_size == 0 {
            return refuse("input_size must be greater than zero");
        }
        if self.hidden_size == 0 {
            return refuse("hidden_size must be greater than zero");
        }
        if self.num_layers == 0 {
            return refuse("num_layers must be greater than zero");
        }
        for (name, size, most) in [
            ("input_size", self.input_size, MAX_FEATURES),
            ("hidden_size", self.hidden_size, MAX_FEATURES),
            ("num_layers", self.num_layers, MAX_LAYERS),
        ] {
            if size > most {
                return refuse(&format!(
                    "{name} is {size}; the largest that can be computed is {most}"
                ));
            }
        }
        if self.proj_size > 0 && self.proj_size >= self.hidden_size {
            return refuse("proj_size has to be smaller than hidden_size");
        }
        if self.reverse && self.bidirectional {
            return refuse("reverse is for one direction; a bidirectional module has both");
        }
        self.variant.validate(self.kind, self.proj_size > 0)?;
        if self.dropout > 0.0 && self.num_layers == 1 {
            log::warn!(
                "dropout option adds dropout after all but last recurrent layer, so non-zero \
                 dropout expects num_layers greater than 1, but got dropout={} and num_layers=1",
                self.dropout
            );
        }
        Ok(())
    }
}

/// Prints the module as PyTorch does: the sizes, and each argument that is not the default. An RNN
/// also shows its nonlinearity.
impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let python = |value: bool| if value { "True" } else { "False" };
        write!(f, "{}({}, {}", self.kind.module(), self.input_size, self.hidden_size)?;
        if self.proj_size > 0 {
            write!(f, ", proj_size={}", self.proj_size)?;
        }
        if self.num_layers != 1 {
            write!(f, ", num_layers={}", self.num_layers)?;
        }
        if self.kind == Kind::RnnRelu {
            f.write_str(", nonlinearity='relu'")?;
        }
        for (name, value, default) in
            [("bias", self.bias, true), ("batch_first", self.batch_first, false)]
        {
            if value != default {
                write!(f, ", {name}={}", python(value))?;
            }
        }
        if self.dropout != 0.0 {
            write!(f, ", dropout={}", self.dropout)?;
        }
        if self.bidirectional {
            f.write_str(", bidirectional=True")?;
        }
        if self.reverse {
            f.write_str(", reverse=True")?;
        }
        variant::print(&self.variant, (self.kind, self.num_directions()), f)?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn printed_as_pytorch_prints_modules() {
        assert_eq!(Config::gru(3, 4).to_string(), "GRU(3, 4)");
        let config = Config::lstm(3, 8)
            .num_layers(2)
            .bias(false)
            .batch_first(true)
            .dropout(0.25)
            .bidirectional(true);
        assert_eq!(
            config.proj_size(5).to_string(),
            "LSTM(3, 8, proj_size=5, num_layers=2, bias=False, batch_first=True, dropout=0.25, \
             bidirectional=True)"
        );
    }
}
