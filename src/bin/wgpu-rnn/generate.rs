//! `wgpu-rnn generate`.

use std::time::{Duration, Instant};

use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, Vocabulary};
use wgpu_rnn::{Device, Error};

use crate::Outcome;
use crate::args::GenerateArgs;
use crate::terminal::{FAINT, duration, print_text};
use crate::text::TextModel;

pub fn generate(args: &GenerateArgs) -> Result<Outcome, Error> {
    let TextModel { params, vocabulary } = TextModel::load(&args.model)?;
    let prompt = vocabulary.encode(&args.prompt)?;
    if prompt.is_empty() {
        return Err(Error::Argument("--prompt is empty: give at least one character or word".to_owned()));
    }
    let device = Device::open_with(&args.device, &args.open.options())?;
    let model = LanguageModel::stored_as(&device, &params, args.model.dtype)?;
    let options = GenerateOptions::default().temperature(args.temperature).top_k(args.top_k).seed(args.seed);
    print_text(&vocabulary.decode(&prompt)?);
    let made = make(&model, Sink::Stdout(&vocabulary), &prompt, &options, args.length)?;
    print_text("\n");
    anstream::eprintln!("{FAINT}{} on {device}{FAINT:#}", made.describe());
    Ok(Outcome::Agreed)
}

/// What was generated, and how fast.
pub struct Made {
    pub tokens: Vec<u32>,
    /// Tokens per second that the device made after the first chunk, in which drivers still compile.
    pub per_second: Option<f64>,
    /// From the prompt to the first chunk.
    pub first: Duration,
}

impl Made {
    pub fn describe(&self) -> String {
        let rate = self.per_second.map(|rate| format!(", {rate:.0} tokens per second")).unwrap_or_default();
        format!("{} tokens{rate}; the first after {}", self.tokens.len(), duration(self.first))
    }
}

/// Where tokens go as they come.
#[derive(Clone, Copy)]
pub enum Sink<'a> {
    /// To stdout, as text.
    Stdout(&'a Vocabulary),
    /// Nowhere.
    None,
}

/// Generates `length` tokens.
pub fn make(
    model: &LanguageModel,
    sink: Sink<'_>,
    prompt: &[u32],
    options: &GenerateOptions,
    length: usize,
) -> Result<Made, Error> {
    let started = Instant::now();
    let chunk = options.chunk.next_multiple_of(2);
    let (mut tokens, mut text) = (Vec::with_capacity(length), String::new());
    // All tokens of a chunk arrive with its first one: the second chunk begins to run when the first one is there.
    let mut first = Duration::ZERO;
    for step in model.generate(&[prompt], options)?.take(length) {
        if tokens.is_empty() {
            first = started.elapsed();
        }
        let step = step?;
        if let Sink::Stdout(vocabulary) = sink {
            text.push_str(&vocabulary.decode(&step)?);
        }
        tokens.extend(step);
        if tokens.len() % chunk == 0 {
            print_text(&std::mem::take(&mut text));
        }
    }
    print_text(&text);
    let later = length.saturating_sub(chunk).next_multiple_of(chunk);
    let time = started.elapsed().saturating_sub(first).as_secs_f64();
    let per_second = (later > 0).then(|| later as f64 / time);
    Ok(Made { tokens, per_second, first })
}
