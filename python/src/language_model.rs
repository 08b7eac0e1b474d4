//! The class `LanguageModel`.

use std::path::PathBuf;

use pyo3::prelude::*;
use wgpu_rnn::Error;
use wgpu_rnn::language_model::{LanguageModel as Model, Vocabulary};

use crate::arrays::{Input, Results, from_state, from_tensor, state};
use crate::calls::{Length, at_once, run};
use crate::device::Device;
use crate::errors::exception;
use crate::forks::Kept;
use crate::generation::{Choice, Generation};
use crate::options::Loading;
use crate::state_dict::StateDict;

/// A language model with its weights on a device, and its vocabulary.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct LanguageModel {
    model: Kept<Model>,
    vocabulary: Option<Vocabulary>,
}

impl LanguageModel {
    fn vocabulary(&self, py: Python<'_>) -> PyResult<&Vocabulary> {
        let text = "the file of this model has no vocabulary: give and read tokens, or load it \
                    with vocabulary=PATH";
        self.vocabulary.as_ref().ok_or_else(|| exception(py, Error::Option(text.to_owned())))
    }
}

#[pymethods]
impl LanguageModel {
    /// Loads the model under a prefix.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        device: &Device,
        weights: &StateDict,
        prefix: String,
        vocabulary: Option<PathBuf>,
        options: Loading,
    ) -> PyResult<Self> {
        let options = options.options().map_err(|error| exception(py, error))?;
        let (device, weights) = (device.0.clone(), weights.0.clone());
        let (model, vocabulary) = run(py, Length::Long, move || {
            let vocabulary = match vocabulary {
                Some(path) => Some(Vocabulary::from_file(path)?),
                None => Vocabulary::from_state_dict_metadata(&weights)?,
            };
            Ok((Model::load_with(&device, &weights, &prefix, &options)?, vocabulary))
        })?;
        Ok(Self { model: Kept::new(model), vocabulary })
    }

    /// The number of tokens that the model knows.
    #[getter]
    fn ntoken(&self) -> usize {
        self.model.config().ntoken
    }

    /// The recurrent module in words.
    #[getter]
    fn rnn(&self) -> String {
        self.model.rnn_config().to_string()
    }

    #[getter]
    fn has_vocabulary(&self) -> bool {
        self.vocabulary.is_some()
    }

    fn encode(&self, py: Python<'_>, text: &str) -> PyResult<Vec<u32>> {
        let vocabulary = self.vocabulary(py)?;
        at_once(py, || vocabulary.encode(text))
    }

    fn decode(&self, py: Python<'_>, tokens: Vec<u32>) -> PyResult<String> {
        let vocabulary = self.vocabulary(py)?;
        at_once(py, || vocabulary.decode(&tokens))
    }

    /// Returns the logits of each token, and the last state.
    fn forward<'py>(
        &self,
        py: Python<'py>,
        tokens: Vec<u32>,
        batch: usize,
        h: Option<Input<'py>>,
        c: Option<Input<'py>>,
    ) -> PyResult<Results<'py>> {
        let (model, state) = (self.model.clone(), state(h.as_ref(), c.as_ref())?);
        let (logits, state) =
            run(py, Length::Long, move || model.forward(&tokens, batch, state.as_ref()))?;
        let (h, c) = from_state(py, state)?;
        Ok((from_tensor(py, logits)?, h, c))
    }

    /// Returns the number of predicted tokens, and their mean loss in nats.
    fn score(&self, py: Python<'_>, tokens: Vec<u32>, streams: usize) -> PyResult<(usize, f64)> {
        let model = self.model.clone();
        let score = run(py, Length::Long, move || model.score(&tokens, streams))?;
        Ok((score.tokens, score.loss))
    }

    /// Starts texts after prompts.
    fn generate(
        &self,
        py: Python<'_>,
        prompts: Vec<Vec<u32>>,
        choice: Choice,
    ) -> PyResult<Generation> {
        let (model, options) = (self.model.clone(), choice.options());
        run(py, Length::Long, move || {
            let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            model.generate(&prompts, &options)
        })
        .map(Generation::new)
    }
}
