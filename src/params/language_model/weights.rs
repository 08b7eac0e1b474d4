//! The parameters of a language model: their names, their shapes, and their sources.

use std::collections::HashMap;
use std::path::Path;

use super::config::{LanguageModelConfig, rnn_type_name};
use crate::error::Result;
use crate::params::random::Mt19937;
use crate::params::state_dict;
use crate::params::{self, Params};
use crate::tensor::Tensor;

pub(super) const ENCODER: &str = "encoder.weight";
pub(super) const RNN: &str = "rnn.";
pub(super) const DECODER: &str = "decoder.weight";
pub(super) const DECODER_BIAS: &str = "decoder.bias";

/// All parameters of a language model, with the configuration that they imply.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::Kind;
/// use wgpu_rnn::language_model::{LanguageModelConfig, LanguageModelParams};
/// let params = LanguageModelParams::init(&LanguageModelConfig::new(Kind::Gru, 65, 8, 16, 1), 0)?;
/// assert_eq!(params.encoder_weight().shape(), [65, 8]);
/// assert_eq!(params.decoder_weight().shape(), [65, 16]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageModelParams {
    config: LanguageModelConfig,
    encoder_weight: Tensor,
    rnn: Params,
    /// The decoder's weight; `None` when it is tied to the encoder's.
    decoder_weight: Option<Tensor>,
    decoder_bias: Vec<f32>,
}

/// Returns the name and shape of every tensor in the state dict of `config`, in its order. Tied
/// weights have both names.
pub fn expected_tensors(config: &LanguageModelConfig) -> Vec<(String, Vec<usize>)> {
    let rnn = params::expected_parameters(&config.rnn());
    [(ENCODER.to_owned(), vec![config.ntoken, config.ninp])]
        .into_iter()
        .chain(rnn.into_iter().map(|(name, shape)| (format!("{RNN}{name}"), shape)))
        .chain([
            (DECODER.to_owned(), vec![config.ntoken, config.nhid]),
            (DECODER_BIAS.to_owned(), vec![config.ntoken]),
        ])
        .collect()
}

impl LanguageModelParams {
    /// Returns fresh parameters: those of `torch.manual_seed(seed)` followed by `RNNModel(..)`.
    ///
    /// They are equal bit for bit where PyTorch rounds as on Linux; see [`Mt19937::uniform`].
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when the configuration is out of range.
    pub fn init(config: &LanguageModelConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let LanguageModelConfig { ntoken, ninp, nhid, .. } = *config;
        let mut generator = Mt19937::new(seed);
        // The constructors of the embedding and the linear layer draw values that `init_weights`
        // replaces.
        generator.skip_normal(ntoken * ninp);
        let rnn = Params::draw(&config.rnn(), &mut generator)?;
        generator.skip(ntoken * nhid + ntoken);
        let mut uniform = |columns: usize| {
            Tensor::trusted([ntoken, columns], generator.uniform_vec(ntoken * columns, -0.1, 0.1))
        };
        let (encoder, decoder) = (uniform(ninp), uniform(nhid));
        // Tied weights are drawn twice, since they have two names.
        let (encoder_weight, decoder_weight) =
            if config.tie_weights { (decoder, None) } else { (encoder, Some(decoder)) };
        Ok(Self {
            config: config.clone(),
            encoder_weight,
            rnn,
            decoder_weight,
            decoder_bias: vec![0.0; ntoken],
        })
    }

    /// Returns parameters from a function of name and shape, called in the order of
    /// `named_parameters()`. With tied weights there is no `decoder.weight`.
    ///
    /// # Errors
    /// The errors of `tensor`; [`Error::Config`](crate::Error::Config) when the configuration is
    /// out of range; [`Error::TensorSize`](crate::Error::TensorSize) when a tensor has the wrong
    /// number of elements.
    pub fn from_fn(
        config: &LanguageModelConfig,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        config.validate()?;
        let LanguageModelConfig { ntoken, ninp, nhid, .. } = *config;
        let mut get = |name: &str, shape: &[usize]| Tensor::new(shape, tensor(name, shape)?);
        Ok(Self {
            config: config.clone(),
            encoder_weight: get(ENCODER, &[ntoken, ninp])?,
            rnn: Params::from_fn(&config.rnn(), |name, shape| {
                Ok(get(&format!("{RNN}{name}"), shape)?.into_data())
            })?,
            decoder_weight: if config.tie_weights {
                None
            } else {
                Some(get(DECODER, &[ntoken, nhid])?)
            },
            decoder_bias: get(DECODER_BIAS, &[ntoken])?.into_data(),
        })
    }

    /// Returns the parameters with one weight for encoder and decoder if both are equal to the last
    /// bit.
    pub(super) fn tied_if_equal(mut self) -> Self {
        let bits =
            |tensor: &Tensor| tensor.data().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let equal = |decoder: &Tensor| {
            decoder.shape() == self.encoder_weight.shape()
                && bits(decoder) == bits(&self.encoder_weight)
        };
        if self.decoder_weight.as_ref().is_some_and(equal) {
            self.decoder_weight = None;
            self.config.tie_weights = true;
        }
        self
    }

    /// Sets the dropout probability, which no state dict holds.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when it is out of range.
    pub fn with_dropout(mut self, dropout: f64) -> Result<Self> {
        let config = self.config.dropout(dropout);
        config.validate()?;
        self.rnn = self.rnn.with(|rnn| rnn.dropout(dropout))?;
        self.config = config;
        Ok(self)
    }

    /// Returns every tensor of the state dict, in its order. As in PyTorch, tied weights have both
    /// names.
    pub fn to_tensors(&self) -> Vec<(String, Tensor)> {
        let rnn = params::expected_parameters(self.rnn.config());
        let values = self.rnn.values();
        let rnn = rnn.into_iter().zip(values).map(|((name, shape), values)| {
            (format!("{RNN}{name}"), Tensor::trusted(shape, values.to_vec()))
        });
        let bias = Tensor::trusted([self.config.ntoken], self.decoder_bias.clone());
        [(ENCODER.to_owned(), self.encoder_weight.clone())]
            .into_iter()
            .chain(rnn)
            .chain([
                (DECODER.to_owned(), self.decoder_weight().clone()),
                (DECODER_BIAS.to_owned(), bias),
            ])
            .collect()
    }

    /// Writes the state dict, with `rnn_type` in the metadata, to a safetensors file that
    /// [`from_state_dict`](Self::from_state_dict) and PyTorch's `load_state_dict` read.
    ///
    /// # Errors
    /// The errors of [`state_dict::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let tensors = self.to_tensors();
        let tensors: Vec<_> =
            tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let rnn_type = rnn_type_name(self.config.rnn_type).to_owned();
        state_dict::save_with_metadata(
            path,
            &tensors,
            HashMap::from([("rnn_type".to_owned(), rnn_type)]),
        )
    }

    /// Returns the configuration of these parameters.
    pub fn config(&self) -> &LanguageModelConfig {
        &self.config
    }

    /// Returns the encoder's weight, `[ntoken, ninp]`.
    pub fn encoder_weight(&self) -> &Tensor {
        &self.encoder_weight
    }

    /// Returns the recurrent module's parameters.
    pub fn rnn(&self) -> &Params {
        &self.rnn
    }

    /// Returns the decoder's weight, `[ntoken, nhid]`; the encoder's when tied.
    pub fn decoder_weight(&self) -> &Tensor {
        self.decoder_weight.as_ref().unwrap_or(&self.encoder_weight)
    }

    /// Returns the decoder's bias, `[ntoken]`.
    pub fn decoder_bias(&self) -> &[f32] {
        &self.decoder_bias
    }
}
