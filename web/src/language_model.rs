//! The class `LanguageModel`.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::calls::promise;
use crate::device::Device;
use crate::error::Result;
use crate::generation::Generation;
use crate::load_options::load_arguments;
use crate::options;
use crate::side;
use crate::state_dict::StateDict;

/// A language model and the vocabulary of its file, whose code is in a side module.
pub trait LanguageModelCode {
    /// The number of tokens that the model knows.
    fn vocabulary_size(&self) -> usize;
    /// Whether the file has a vocabulary.
    fn has_vocabulary(&self) -> bool;
    /// Returns the tokens of a text.
    fn encode(&self, text: &str) -> Result<Vec<u32>>;
    /// Returns the text of tokens.
    fn decode(&self, tokens: &JsValue) -> Result<String>;
    /// Returns the logits of each token of a text.
    fn forward(&self, tokens: &JsValue) -> Promise;
    /// Starts a text.
    fn start(&self, prompt: &JsValue, options: &JsValue) -> Result<Generation>;
}

/// A language model with its weights on a device, and the vocabulary of its file.
#[wasm_bindgen]
pub struct LanguageModel(Box<dyn LanguageModelCode>);

impl LanguageModel {
    pub(crate) fn new(code: impl LanguageModelCode + 'static) -> Self {
        Self(Box::new(code))
    }
}

#[wasm_bindgen]
impl LanguageModel {
    /// Loads the model under a prefix.
    pub fn load(
        device: &Device,
        weights: &StateDict,
        prefix: JsValue,
        options: JsValue,
    ) -> Promise {
        let (device, weights) = (device.0.clone(), weights.0.clone());
        let arguments = load_arguments(&prefix, &options);
        promise(async move {
            let (prefix, options) = arguments?;
            side::language_models().await?.load(&device, &weights, &prefix, &options)
        })
    }

    /// The number of tokens that the model knows.
    #[wasm_bindgen(getter, js_name = vocabularySize)]
    pub fn vocabulary_size(&self) -> usize {
        self.0.vocabulary_size()
    }

    /// Whether the file has a vocabulary.
    #[wasm_bindgen(getter, js_name = hasVocabulary)]
    pub fn has_vocabulary(&self) -> bool {
        self.0.has_vocabulary()
    }

    /// Returns the tokens of a text.
    pub fn encode(&self, text: JsValue) -> Result<Vec<u32>> {
        self.0.encode(&options::plain::<String>(&text, "text")?)
    }

    /// Returns the text of tokens.
    pub fn decode(&self, tokens: JsValue) -> Result<String> {
        self.0.decode(&tokens)
    }

    /// Returns the logits of each token of a text.
    pub fn forward(&self, tokens: JsValue) -> Promise {
        self.0.forward(&tokens)
    }

    /// Starts a text. `generate` in `../js/generate.js` iterates over it.
    pub fn start(&self, prompt: JsValue, options: JsValue) -> Result<Generation> {
        self.0.start(&prompt, &options)
    }
}
