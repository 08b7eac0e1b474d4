//! Loading: the configuration of a language model from the names and shapes in a state dict.

use super::config::{LanguageModelConfig, parse_rnn_type};
use super::names::fitting;
use super::weights::{DECODER, DECODER_BIAS, ENCODER, LanguageModelParams, RNN, expected_tensors};
use crate::error::{Error, Result, StateDictProblem};
use crate::params;
use crate::params::config::Kind;
use crate::params::state_dict::rename::listed;
use crate::params::state_dict::{Entry, StateDict};
use crate::params::strict::{Rest, dtype_problem};

impl LanguageModelParams {
    /// Loads the model under `prefix` of a state dict (`model.`, or empty): `encoder.weight`,
    /// `rnn.*`, `decoder.weight` and, unless the decoder has no bias, `decoder.bias`.
    /// [`StateDict::renamed`] gives other models these names.
    ///
    /// Names and shapes give the sizes and layers. The recurrent module is `rnn_type`. Without it,
    /// the metadata's `rnn_type`, in the example's spelling, gives the module. Without both, the
    /// shapes give it, and an RNN has tanh.
    ///
    /// The weights are tied when both exist and are equal to the last bit. They are also tied when
    /// one is missing and the metadata names the other for it, as safetensors' `save_model` writes
    /// it. The encoder may have one more row than the decoder if its last row is zero: the row of
    /// `padding_idx`, which is never drawn and belongs to no token here.
    ///
    /// The prefix owns every tensor below it; see [`Params::from_state_dict`].
    ///
    /// # Errors
    /// [`Error::StateDict`] with every missing, unexpected, wrongly shaped or wrongly typed tensor;
    /// [`Error::NoRecurrentWeights`] when there is no such model under the prefix;
    /// [`Error::Config`] when the metadata names no recurrent module or the sizes are out of range.
    ///
    /// [`Params::from_state_dict`]: crate::Params::from_state_dict
    pub fn from_state_dict(
        state_dict: &StateDict,
        prefix: &str,
        rnn_type: Option<Kind>,
    ) -> Result<Self> {
        Self::read(state_dict, prefix, rnn_type, false).map(|(params, _)| params)
    }

    /// Loads the model as [`from_state_dict`](Self::from_state_dict) does, and a note of the
    /// tensors below the prefix that it does not use. They are an error unless `allow_unused`.
    ///
    /// # Errors
    /// The errors of [`from_state_dict`](Self::from_state_dict).
    #[doc(hidden)]
    pub fn read(
        state_dict: &StateDict,
        prefix: &str,
        rnn_type: Option<Kind>,
        allow_unused: bool,
    ) -> Result<(Self, Option<String>)> {
        let file = File { state_dict, prefix };
        file.refuse_other_content()?;
        let rnn_type = match (rnn_type, state_dict.metadata("rnn_type")) {
            (None, Some(name)) => Some(parse_rnn_type(name)?),
            (told, _) => told,
        };
        let padded = file.is_padded()?;
        let (config, sized) = file.infer(rnn_type, padded)?;
        if sized {
            // Sizes out of range are refused before any allocation of that size.
            config.clone().tie_weights(false).validate()?;
        }
        let note = file.check(&config, sized, padded, allow_unused)?;
        if !sized {
            return Err(Error::NoRecurrentWeights(format!(
                "{prefix}{ENCODER}, {prefix}{RNN}weight_ih_l0, {prefix}{RNN}weight_hh_l0 and \
                 {prefix}{DECODER} must be matrices"
            )));
        }
        let params = Self::from_fn(&config, |name, shape| {
            let stored = file.full(file.stored_as(name));
            if state_dict.get(&stored).is_none() && name == DECODER_BIAS {
                return Ok(vec![0.0; config.ntoken]);
            }
            let mut values = state_dict.f32(&stored)?;
            // Drops the row of the padding.
            values.truncate(shape.iter().product());
            Ok(values)
        })?;
        Ok((params.tied_if_equal(), note))
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
        self.state_dict.get(&self.full(name)).map(Entry::shape)
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
            [] => format!("the file holds no language model of these names, but {}", self.found()),
            [""] => "the file's language model has no prefix".to_owned(),
            some => format!("language models are under: {}", some.join(", ")),
        };
        Err(Error::NoRecurrentWeights(format!(
            "no language model ({ENCODER}, {RNN}*, {DECODER}, {DECODER_BIAS}) under the prefix \
             '{}'; {advice}",
            self.prefix
        )))
    }

    /// Returns the names of the file, and the renaming that makes a language model of them.
    fn found(self) -> String {
        let names = listed(self.state_dict.names());
        match fitting(self.state_dict, self.prefix) {
            Some(renaming) => format!("{names}; {renaming}"),
            None => names,
        }
    }

    /// Returns whether the encoder has a row more than the decoder, and its last row is zero.
    ///
    /// # Errors
    /// [`Error::Shape`] when the first row is zero, and not the last: the numbers of the tokens
    /// would be one more in the encoder than in the decoder.
    fn is_padded(self) -> Result<bool> {
        let (Some((rows, columns)), Some((ntoken, _))) =
            (self.matrix(ENCODER), self.matrix(DECODER))
        else {
            return Ok(false);
        };
        if columns == 0 || ntoken.checked_add(1) != Some(rows) {
            return Ok(false);
        }
        let Ok(values) = self.state_dict.f32(&self.full(ENCODER)) else { return Ok(false) };
        let is_zero = |row: &[f32]| row.iter().all(|&value| value == 0.0);
        let (first, last) = (&values[..columns], &values[values.len() - columns..]);
        match (is_zero(first), is_zero(last)) {
            (true, false) => Err(Error::Shape(format!(
                "{} has a row more than {}, and its padding is row 0: a token would have another \
                 number in the encoder than in the decoder. The padding can only be the last row",
                self.full(ENCODER),
                self.full(DECODER)
            ))),
            (_, last) => Ok(last),
        }
    }

    /// Reads the configuration from names and shapes. The second value is whether all sizes are
    /// known. `padded` is the result of [`is_padded`](Self::is_padded).
    fn infer(self, rnn_type: Option<Kind>, padded: bool) -> Result<(LanguageModelConfig, bool)> {
        let stored = |name| self.matrix(self.stored_as(name));
        let (encoder, decoder) = (stored(ENCODER), stored(DECODER));
        let (ih, hh) = (self.matrix("rnn.weight_ih_l0"), self.matrix("rnn.weight_hh_l0"));
        let first = if padded { decoder } else { encoder };
        let length = |name| self.shape(name).and_then(|shape| shape.first().copied());
        // Several tensors show each size. The first that exists decides; the others are checked
        // against it.
        let ntoken = first.or(decoder).map(|(rows, _)| rows).or(length(DECODER_BIAS));
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

    /// Checks that the tensors below the prefix are those of `config`, and returns a note of the
    /// others. `sized` is whether the sizes are known.
    fn check(
        self,
        config: &LanguageModelConfig,
        sized: bool,
        padded: bool,
        allow_unused: bool,
    ) -> Result<Option<String>> {
        let mut problems = Vec::new();
        let expected = expected_tensors(config);
        for (name, expected) in &expected {
            if self.stored_as(name) != name {
                continue;
            }
            let full = self.full(name);
            let Some(entry) = self.state_dict.get(&full) else {
                if name != DECODER_BIAS {
                    problems.push(StateDictProblem::Missing { name: full });
                }
                continue;
            };
            if sized && entry.shape() != expected && !(padded && name == ENCODER) {
                let (expected, found) = (expected.clone(), entry.shape().to_vec());
                problems.push(StateDictProblem::WrongShape { name: full.clone(), expected, found });
            }
            problems.extend(dtype_problem(&full, entry));
        }
        let known: Vec<String> = expected.iter().map(|(name, _)| self.full(name)).collect();
        let mut rest = Rest::new(self.state_dict, self.prefix, &known, allow_unused);
        if problems.iter().any(|problem| matches!(problem, StateDictProblem::Missing { .. })) {
            rest.advice.extend(fitting(self.state_dict, self.prefix));
        }
        rest.accept("RNNModel", problems)
    }
}
