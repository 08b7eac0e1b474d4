//! The class `Generation`: a text that is being generated, chunk by chunk.

use js_sys::{Array, Promise};
use serde::Deserialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::language_model::{GenerateOptions, Generator, LanguageModel, Vocabulary};

use crate::calls::InOrder;
use crate::error::Result;
use crate::options;
use crate::values::object;

/// A text that is being generated.
#[wasm_bindgen]
pub struct Generation(InOrder<Text>);

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
    Prompt(LanguageModel, Vec<u32>, GenerateOptions),
    Running(Box<Generator>),
}

impl Text {
    /// Returns the generator. The first call runs the prompt.
    async fn generator(&mut self) -> Result<&mut Generator> {
        if let Progress::Prompt(model, prompt, options) = &self.progress {
            let generator = model.generate_async(&[prompt], options).await?;
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

impl Generation {
    pub(crate) fn new(
        model: LanguageModel,
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
        let progress = Progress::Prompt(model, prompt, options);
        Ok(Self(InOrder::new(Text { vocabulary, chunk, left, progress })))
    }
}

#[wasm_bindgen]
impl Generation {
    /// Returns the next tokens, `{ token, text }[]`, which arrive together; none after the end.
    pub fn chunk(&self) -> Promise {
        self.0.promise(Text::chunk)
    }
}
