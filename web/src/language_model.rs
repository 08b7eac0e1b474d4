//! The class `LanguageModel`.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::Error;
use wgpu_rnn::language_model::{LanguageModel as Model, Vocabulary};

use crate::calls::promise;
use crate::device::Device;
use crate::error::Result;
use crate::generation::Generation;
use crate::load_options::load_options;
use crate::state_dict::StateDict;
use crate::values::{counts, from_tensor};

/// A language model with its weights on a device, and the vocabulary of its file.
#[wasm_bindgen]
pub struct LanguageModel {
    model: Model,
    vocabulary: Option<Vocabulary>,
}

/// Reads tokens. On a 32-bit host, and in every model, a token has 32 bits.
fn tokens(value: &JsValue) -> Result<Vec<u32>> {
    Ok(counts(value, "tokens")?.into_iter().map(|token| token as u32).collect())
}

impl LanguageModel {
    fn vocabulary(&self) -> Result<&Vocabulary> {
        let text = "the file of this model has no vocabulary: give and read tokens";
        Ok(self.vocabulary.as_ref().ok_or_else(|| Error::Option(text.to_owned()))?)
    }

    /// Reads a prompt: a text, or tokens.
    fn prompt(&self, prompt: &JsValue) -> Result<Vec<u32>> {
        match prompt.as_string() {
            Some(text) => self.encode(&text),
            None => tokens(prompt),
        }
    }
}

#[wasm_bindgen]
impl LanguageModel {
    /// Loads the model under a prefix.
    pub fn load(
        device: &Device,
        weights: &StateDict,
        prefix: Option<String>,
        options: JsValue,
    ) -> Result<Self> {
        let (prefix, options) = (prefix.unwrap_or_default(), load_options(&options)?);
        let model = Model::load_with(&device.0, &weights.0, &prefix, &options)?;
        let vocabulary = Vocabulary::from_state_dict_metadata(&weights.0)?;
        Ok(Self { model, vocabulary })
    }

    /// The number of tokens that the model knows.
    #[wasm_bindgen(getter, js_name = vocabularySize)]
    pub fn vocabulary_size(&self) -> usize {
        self.model.config().ntoken
    }

    /// Whether the file has a vocabulary.
    #[wasm_bindgen(getter, js_name = hasVocabulary)]
    pub fn has_vocabulary(&self) -> bool {
        self.vocabulary.is_some()
    }

    /// Returns the tokens of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.vocabulary()?.encode(text)?)
    }

    /// Returns the text of tokens.
    pub fn decode(&self, tokens: JsValue) -> Result<String> {
        Ok(self.vocabulary()?.decode(&self::tokens(&tokens)?)?)
    }

    /// Returns the logits of each token of a text.
    pub fn forward(&self, tokens: JsValue) -> Promise {
        let (tokens, model) = (self::tokens(&tokens), self.model.clone());
        promise(async move {
            let (logits, _) = model.forward_async(&tokens?, 1, None).await?;
            let shape = [logits.shape()[0], logits.shape()[2]];
            Ok(from_tensor(&logits.reshaped(shape)?))
        })
    }

    /// Starts a text. `generate` in `../js/generate.js` iterates over it.
    pub fn start(&self, prompt: JsValue, options: JsValue) -> Result<Generation> {
        let prompt = self.prompt(&prompt)?;
        Generation::new(self.model.clone(), self.vocabulary.clone(), prompt, &options)
    }
}
