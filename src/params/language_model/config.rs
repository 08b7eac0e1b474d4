//! The constructor arguments of `RNNModel` in PyTorch's word-language-model example.

use crate::error::{Error, Result};
use crate::params::config::{Config, Kind};

/// A limit far above any vocabulary: ids are 32-bit, and products of sizes must not overflow.
const MAX_TOKENS: usize = 1 << 24;

/// The constructor arguments of `RNNModel`, under the example's names.
///
/// ```
/// use wgpu_rnn::Kind;
/// use wgpu_rnn::language_model::LanguageModelConfig;
/// let config = LanguageModelConfig::new(Kind::Lstm, 10_000, 200, 200, 2).tie_weights(true);
/// assert_eq!(config.rnn().num_layers, 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LanguageModelConfig {
    /// The recurrent module, and the nonlinearity of a plain RNN.
    pub rnn_type: Kind,
    /// Tokens in the vocabulary.
    pub ntoken: usize,
    /// Features of a token's embedding.
    pub ninp: usize,
    /// Features of the hidden state.
    pub nhid: usize,
    /// Stacked recurrent layers.
    pub nlayers: usize,
    /// Probability of dropping an element in training: of the embedding, between layers and of the
    /// output.
    ///
    /// The default is 0, not the example's 0.5, because inference drops nothing and no state dict
    /// holds the value.
    pub dropout: f64,
    /// Whether the decoder shares the encoder's weight.
    pub tie_weights: bool,
}

impl LanguageModelConfig {
    /// Creates `RNNModel(rnn_type, ntoken, ninp, nhid, nlayers, dropout=0)`, untied.
    pub const fn new(
        rnn_type: Kind,
        ntoken: usize,
        ninp: usize,
        nhid: usize,
        nlayers: usize,
    ) -> Self {
        Self { rnn_type, ntoken, ninp, nhid, nlayers, dropout: 0.0, tie_weights: false }
    }

    /// Sets the dropout probability.
    #[must_use]
    pub const fn dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }

    /// Sets whether the decoder shares the encoder's weight.
    #[must_use]
    pub const fn tie_weights(mut self, tie_weights: bool) -> Self {
        self.tie_weights = tie_weights;
        self
    }

    /// Returns the arguments of the recurrent module: time first, one direction, with biases.
    pub const fn rnn(&self) -> Config {
        Config::new(self.rnn_type, self.ninp, self.nhid)
            .num_layers(self.nlayers)
            .dropout(self.dropout)
    }

    /// Checks every argument, as the example's constructor and its modules do.
    ///
    /// # Errors
    /// [`Error::Config`] in their words.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::Config(message));
        if !(0.0..=1.0).contains(&self.dropout) {
            return refuse(format!(
                "dropout probability has to be between 0 and 1, but got {}",
                self.dropout
            ));
        }
        if self.ntoken == 0 {
            return refuse("ntoken must be greater than zero".to_owned());
        }
        if self.ntoken > MAX_TOKENS {
            return refuse(format!(
                "ntoken is {}; the largest that can be computed is {MAX_TOKENS}",
                self.ntoken
            ));
        }
        self.rnn().validate()?;
        if self.tie_weights && self.nhid != self.ninp {
            return refuse("When using the tied flag, nhid must be equal to emsize".to_owned());
        }
        Ok(())
    }
}

/// Returns the example's name of a recurrent module: `RNN_TANH`, `RNN_RELU`, `LSTM` or `GRU`.
pub const fn rnn_type_name(rnn_type: Kind) -> &'static str {
    match rnn_type {
        Kind::RnnTanh => "RNN_TANH",
        Kind::RnnRelu => "RNN_RELU",
        Kind::Lstm => "LSTM",
        Kind::Gru => "GRU",
    }
}

/// Returns the recurrent module with the example's name `name`.
///
/// # Errors
/// [`Error::Config`] in the example's words for any other name.
pub fn parse_rnn_type(name: &str) -> Result<Kind> {
    Kind::ALL.iter().copied().find(|kind| rnn_type_name(*kind) == name).ok_or_else(|| {
        Error::Config(
            "An invalid option for `--model` was supplied, options are ['LSTM', 'GRU', 'RNN_TANH' \
             or 'RNN_RELU']"
                .to_owned(),
        )
    })
}

/// Prints the model as the constructor call in the example.
impl std::fmt::Display for LanguageModelConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ntoken, ninp, nhid, nlayers, dropout, tie_weights, .. } = self;
        write!(
            f,
            "RNNModel('{}', {ntoken}, {ninp}, {nhid}, {nlayers}, ",
            rnn_type_name(self.rnn_type)
        )?;
        write!(f, "dropout={dropout}, tie_weights={})", if *tie_weights { "True" } else { "False" })
    }
}

#[cfg(test)]
mod tests {
    use super::{LanguageModelConfig, parse_rnn_type, rnn_type_name};
    use crate::params::config::Kind;

    #[test]
    fn every_rnn_type_is_read_by_the_name_it_is_given() {
        for &kind in Kind::ALL {
            assert_eq!(parse_rnn_type(rnn_type_name(kind)).ok(), Some(kind), "{kind}");
        }
        let error = parse_rnn_type("Transformer").expect_err("not a recurrent module").to_string();
        assert_eq!(
            error,
            "An invalid option for `--model` was supplied, options are ['LSTM', 'GRU', 'RNN_TANH' \
             or 'RNN_RELU']"
        );
    }

    #[test]
    fn arguments_out_of_range_are_refused_in_their_modules_words() {
        let config = || LanguageModelConfig::new(Kind::Gru, 7, 3, 3, 2);
        let sized = |ntoken, ninp, nhid, nlayers| {
            LanguageModelConfig::new(Kind::Gru, ntoken, ninp, nhid, nlayers)
        };
        assert!(config().tie_weights(true).dropout(1.0).validate().is_ok(), "legal at the limits");
        for (config, want) in [
            (config().dropout(1.5), "dropout probability has to be between 0 and 1, but got 1.5"),
            (
                config().dropout(f64::NAN),
                "dropout probability has to be between 0 and 1, but got NaN",
            ),
            (sized(0, 3, 3, 1), "ntoken must be greater than zero"),
            (
                sized((1 << 24) + 1, 3, 3, 1),
                "ntoken is 16777217; the largest that can be computed is 16777216",
            ),
            (sized(7, 0, 3, 1), "input_size must be greater than zero"),
            (sized(7, 3, 0, 1), "hidden_size must be greater than zero"),
            (sized(7, 3, 3, 0), "num_layers must be greater than zero"),
            (
                sized(7, 3, 4, 1).tie_weights(true),
                "When using the tied flag, nhid must be equal to emsize",
            ),
        ] {
            let error = config.validate().expect_err(want).to_string();
            assert_eq!(error, want, "{config:?}");
        }
    }
}
