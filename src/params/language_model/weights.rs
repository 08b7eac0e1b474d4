//! The parameters of a language model: their names, their shapes, and their sources.

use std::collections::HashMap;
use std::path::Path;

use super::config::{LanguageModelConfig, parse_rnn_type, rnn_type_name};
use crate::error::{Error, Result, StateDictProblem};
use crate::params::config::Kind;
use crate::params::random::Mt19937;
use crate::params::state_dict::{self, StateDict};
use crate::params::{self, Params};
use crate::tensor::Tensor;

const ENCODER: &str = "encoder.weight";
const RNN: &str = "rnn.";
const DECODER: &str = "decoder.weight";
const DECODER_BIAS: &str = "decoder.bias";

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
    /// [`Error::Config`] when the configuration is out of range.
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
    /// The errors of `tensor`; [`Error::Config`] when the configuration is out of range;
    /// [`Error::TensorSize`] when a tensor has the wrong number of elements.
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

    /// Loads the model under `prefix` of a state dict (`model.`, or empty): `encoder.weight`,
    /// `rnn.*`, `decoder.weight` and `decoder.bias`.
    ///
    /// Names and shapes give the sizes and layers. The recurrent module is `rnn_type`. Without it,
    /// the metadata's `rnn_type`, in the example's spelling, gives the module. Without both, the
    /// shapes give it, and an RNN has tanh.
    ///
    /// The weights are tied when both exist and are equal to the last bit. They are also tied when
    /// one is missing and the metadata names the other for it, as safetensors' `save_model` writes
    /// it.
    ///
    /// # Errors
    /// [`Error::StateDict`] with every missing, unexpected, wrongly shaped or wrongly typed tensor;
    /// [`Error::NoRecurrentWeights`] when there is no such model under the prefix;
    /// [`Error::Config`] when the metadata names no recurrent module or the sizes are out of range.
    pub fn from_state_dict(
        state_dict: &StateDict,
        prefix: &str,
        rnn_type: Option<Kind>,
    ) -> Result<Self> {
        let file = File { state_dict, prefix };
        file.refuse_other_content()?;
        let rnn_type = match (rnn_type, state_dict.metadata("rnn_type")) {
            (None, Some(name)) => Some(parse_rnn_type(name)?),
            (told, _) => told,
        };
        let (config, sized) = file.infer(rnn_type)?;
        if sized {
            // Sizes out of range are refused before any allocation of that size.
            config.clone().tie_weights(false).validate()?;
        }
        let problems = file.problems(&config, sized);
        if !problems.is_empty() {
            return Err(Error::StateDict { module: "RNNModel", problems });
        }
        if !sized {
            return Err(Error::NoRecurrentWeights(format!(
                "{prefix}{ENCODER}, {prefix}{RNN}weight_ih_l0, {prefix}{RNN}weight_hh_l0 and \
                 {prefix}{DECODER} must be matrices"
            )));
        }
        let mut params = Self::from_fn(&config, |name, _| {
            state_dict.f32(&format!("{prefix}{}", file.stored_as(name)))
        })?;
        let bits =
            |tensor: &Tensor| tensor.data().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let equal = |decoder: &Tensor| {
            decoder.shape() == params.encoder_weight.shape()
                && bits(decoder) == bits(&params.encoder_weight)
        };
        if params.decoder_weight.as_ref().is_some_and(equal) {
            params.decoder_weight = None;
            params.config.tie_weights = true;
        }
        Ok(params)
    }

    /// Sets the dropout probability, which no state dict holds.
    ///
    /// # Errors
    /// [`Error::Config`] when it is out of range.
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

/// A state dict and the prefix of the model in it.
#[derive(Clone, Copy)]
struct File<'a> {
    state_dict: &'a StateDict,
    prefix: &'a str,
}

impl<'a> File<'a> {
    fn full(self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn shape(self, name: &str) -> Option<&'a [usize]> {
        self.state_dict.get(&self.full(name)).map(state_dict::Entry::shape)
    }

    fn matrix(self, name: &str) -> Option<(usize, usize)> {
        match self.shape(name)? {
            &[rows, columns] => Some((rows, columns)),
            _ => None,
        }
    }

    /// Returns all names under the prefix, without the prefix.
    fn names(self) -> impl Iterator<Item = &'a str> {
        self.state_dict.names().filter_map(move |name| name.strip_prefix(self.prefix))
    }

    /// Returns the name under which a tensor is stored. It differs where tied weights are stored
    /// once.
    fn stored_as(self, name: &'a str) -> &'a str {
        let other = match name {
            ENCODER => DECODER,
            DECODER => ENCODER,
            other => return other,
        };
        let alone = self.shape(name).is_none() && self.shape(other).is_some();
        let said = || self.state_dict.metadata(&self.full(name)) == Some(self.full(other).as_str());
        if alone && said() { other } else { name }
    }

    /// Refuses a prefix without any tensor of such a model. The error names prefixes that have
    /// some.
    fn refuse_other_content(self) -> Result<()> {
        let ours =
            |name: &str| [ENCODER, DECODER, DECODER_BIAS].contains(&name) || name.starts_with(RNN);
        if self.names().any(ours) {
            return Ok(());
        }
        let prefixes: Vec<_> =
            self.state_dict.names().filter_map(|name| name.strip_suffix(ENCODER)).collect();
        let advice = match prefixes.as_slice() {
            [] => "the file holds no language model at all".to_owned(),
            [""] => "the file's language model has no prefix".to_owned(),
            some => format!("language models are under: {}", some.join(", ")),
        };
        Err(Error::NoRecurrentWeights(format!(
            "no language model ({ENCODER}, {RNN}*, {DECODER}, {DECODER_BIAS}) under the prefix \
             '{}'; {advice}",
            self.prefix
        )))
    }

    /// Reads the configuration from names and shapes. The second value is whether all sizes are
    /// known.
    fn infer(self, rnn_type: Option<Kind>) -> Result<(LanguageModelConfig, bool)> {
        let stored = |name| self.matrix(self.stored_as(name));
        let (encoder, decoder) = (stored(ENCODER), stored(DECODER));
        let (ih, hh) = (self.matrix("rnn.weight_ih_l0"), self.matrix("rnn.weight_hh_l0"));
        let length = |name| self.shape(name).and_then(|shape| shape.first().copied());
        // Several tensors show each size. The first that exists decides; the others are checked
        // against it.
        let ntoken = encoder.or(decoder).map(|(rows, _)| rows).or(length(DECODER_BIAS));
        let ninp = encoder.or(ih).map(|(_, columns)| columns);
        let nhid = hh.or(decoder).map(|(_, columns)| columns);

        let gates = |rows: usize| {
            [Kind::RnnTanh, Kind::Gru, Kind::Lstm].into_iter().find(|kind| {
                nhid.and_then(|nhid| nhid.checked_mul(kind.gate_count())) == Some(rows)
            })
        };
        let rows = ["rnn.weight_hh_l0", "rnn.weight_ih_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"];
        let by_shape = || rows.iter().filter_map(|name| length(name)).find_map(gates);
        // If no module fits, the shapes are listed as wrong for the example's default.
        let rnn_type = rnn_type.or_else(by_shape).unwrap_or(Kind::Lstm);

        let last = self.names().filter_map(|name| params::layer_of(name.strip_prefix(RNN)?)).max();
        let nlayers = last.unwrap_or(0).saturating_add(1);
        // A stray name like rnn.weight_ih_l4000000000 must not make a list of that length.
        let names = self.names().count();
        if nlayers > names {
            return Err(Error::NoRecurrentWeights(format!(
                "{nlayers} layers are named under the prefix '{}', which has only {names} tensors",
                self.full(RNN)
            )));
        }
        let sizes = ntoken.zip(ninp).zip(nhid);
        let ((ntoken, ninp), nhid) = sizes.unwrap_or_default();
        let shared = self.stored_as(ENCODER) != ENCODER || self.stored_as(DECODER) != DECODER;
        Ok((
            LanguageModelConfig::new(rnn_type, ntoken, ninp, nhid, nlayers).tie_weights(shared),
            sizes.is_some(),
        ))
    }

    /// Returns every problem of the tensors as those of `config`; `sized` is whether its sizes are
    /// known.
    fn problems(self, config: &LanguageModelConfig, sized: bool) -> Vec<StateDictProblem> {
        let mut problems = Vec::new();
        let expected = expected_tensors(config);
        for (name, expected) in &expected {
            if self.stored_as(name) != name {
                continue;
            }
            let name = self.full(name);
            let Some(entry) = self.state_dict.get(&name) else {
                problems.push(StateDictProblem::Missing { name });
                continue;
            };
            if sized && entry.shape() != expected {
                let (expected, found) = (expected.clone(), entry.shape().to_vec());
                problems.push(StateDictProblem::WrongShape { name: name.clone(), expected, found });
            }
            if !entry.is_loadable() {
                problems.push(StateDictProblem::Dtype { name, found: entry.dtype().to_string() });
            }
        }
        let unexpected =
            self.names().filter(|name| !expected.iter().any(|(known, _)| known == name));
        problems
            .extend(unexpected.map(|name| StateDictProblem::Unexpected { name: self.full(name) }));
        problems
    }
}
