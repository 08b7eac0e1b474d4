//! The code of `LanguageModel` and `Generation`.

use js_sys::{Array, Promise};
use serde::Deserialize;
use wasm_bindgen::JsValue;
use wgpu_rnn::language_model::{GenerateOptions, Generator, LanguageModel as Module, Vocabulary};
use wgpu_rnn::{Device, Error, LoadOptions, StateDict};

use super::LanguageModels;
use crate::calls::{InOrder, promise};
use crate::error::Result;
use crate::generation::{Generation, GenerationCode};
use crate::language_model::{LanguageModel, LanguageModelCode};
use crate::options;
use crate::values::{counts, from_tensor, object};

/// The interface of this side module.
pub struct Side;

impl LanguageModels for Side {
    fn load(
        &self,
        device: &Device,
        weights: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<LanguageModel> {
        let module = Module::load_with(device, weights, prefix, options)?;
        let vocabulary = Vocabulary::from_state_dict_metadata(weights)?;
        Ok(LanguageModel::new(Model { module, vocabulary }))
    }
}

/// A model with the vocabulary of its file.
struct Model {
    module: Module,
    vocabulary: Option<Vocabulary>,
}

/// Reads tokens. On a 32-bit host, and in every model, a token has 32 bits.
fn tokens(value: &JsValue) -> Result<Vec<u32>> {
    Ok(counts(value, "tokens")?.into_iter().map(|token| token as u32).collect())
}

impl Model {
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

impl LanguageModelCode for Model {
    fn vocabulary_size(&self) -> usize {
        self.module.config().ntoken
    }

    fn has_vocabulary(&self) -> bool {
        self.vocabulary.is_some()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.vocabulary()?.encode(text)?)
    }

    fn decode(&self, tokens: &JsValue) -> Result<String> {
        Ok(self.vocabulary()?.decode(&self::tokens(tokens)?)?)
    }

    fn forward(&self, tokens: &JsValue) -> Promise {
        let (tokens, module) = (self::tokens(tokens), self.module.clone());
        promise(async move {
            let (logits, _) = module.forward_async(&tokens?, 1, None).await?;
            let shape = [logits.shape()[0], logits.shape()[2]];
            Ok(from_tensor(&logits.reshaped(shape)?))
        })
    }

    fn start(&self, prompt: &JsValue, options: &JsValue) -> Result<Generation> {
        let prompt = self.prompt(prompt)?;
        let text = Text::new(self.module.clone(), self.vocabulary.clone(), prompt, options)?;
        Ok(Generation::new(InOrder::new(text)))
    }
}

/// The fields of `GenerateOptions`, and the length of the text.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    seed: u64,
    chunk: Option<usize>,
    tokens: Option<usize>,
    stop: Option<u32>,
}

/// The state of a text.
struct Text {
    vocabulary: Option<Vocabulary>,
    chunk: usize,
    /// The number of tokens until the end; `None` without end.
    left: Option<usize>,
    progress: Progress,
}

enum Progress {
    Prompt(Module, Vec<u32>, GenerateOptions),
    Running(Box<Generator>),
}

impl Text {
    fn new(
        module: Module,
        vocabulary: Option<Vocabulary>,
        prompt: Vec<u32>,
        options: &JsValue,
    ) -> Result<Self> {
        let fields: Fields = options::read(options, "options")?;
        let mut options = GenerateOptions::default().seed(fields.seed);
        options.temperature = fields.temperature.unwrap_or(options.temperature);
        options.top_k = fields.top_k.unwrap_or(options.top_k);
        options.top_p = fields.top_p.unwrap_or(options.top_p);
        options.chunk = fields.chunk.unwrap_or(options.chunk);
        options.stop = fields.stop;
        let (chunk, left) = (options.chunk, fields.tokens);
        let progress = Progress::Prompt(module, prompt, options);
        Ok(Self { vocabulary, chunk, left, progress })
    }

    /// Returns the generator. The first call runs the prompt.
    async fn generator(&mut self) -> Result<&mut Generator> {
        if let Progress::Prompt(module, prompt, options) = &self.progress {
            let generator = module.generate_async(&[prompt], options).await?;
            self.progress = Progress::Running(Box::new(generator));
        }
        match &mut self.progress {
            Progress::Running(generator) => Ok(generator),
            Progress::Prompt(..) => unreachable!("the prompt has run"),
        }
    }

    /// Returns the tokens that arrive together; none after the end.
    async fn chunk(&mut self) -> Result<Array> {
        let items = Array::new();
        if self.left == Some(0) {
            return Ok(items);
        }
        self.generator().await?;
        let count = self.left.map_or(self.chunk, |left| left.min(self.chunk));
        for _ in 0..count {
            // The first token runs the chunk. The others are there.
            let Some(step) = self.generator().await?.next_async().await else { break };
            for token in step? {
                let text = self.vocabulary.as_ref().map(|words| words.decode(&[token]));
                let text = text.transpose()?.unwrap_or_default();
                items.push(&object([("token", token.into()), ("text", text.into())]));
            }
        }
        self.left = self.left.map(|left| left - count);
        Ok(items)
    }
}

impl GenerationCode for InOrder<Text> {
    fn chunk(&self) -> Promise {
        self.promise(Text::chunk)
    }
}
