//! `wgpu-rnn generate`.

use std::time::{Duration, Instant};

use wgpu_rnn::Error;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, Vocabulary};

use crate::Outcome;
use crate::args::GenerateArgs;
use crate::terminal::{FAINT, duration, print_text};
use crate::text::TextModel;

pub fn generate(args: &GenerateArgs) -> Result<Outcome, Error> {
    let TextModel { params, vocabulary } = TextModel::load(&args.model)?;
    let prompt = vocabulary.encode(&args.prompt)?;
    if prompt.is_empty() {
        return Err(Error::Argument(
            "--prompt is empty: give at least one character or word".to_owned(),
        ));
    }
    let device = args.open.open_one(&args.device)?;
    let model = LanguageModel::stored_as(&device, &params, args.model.dtype)?;
    let options =
        GenerateOptions::default().temperature(args.temperature).top_k(args.top_k).seed(args.seed);
    let made = make(&model, Sink::Reader(&vocabulary), &prompt, &options, args.length)?;
    print_text("\n");
    anstream::eprintln!("{FAINT}{} on {device}{FAINT:#}", made.describe());
    Ok(Outcome::Agreed)
}

/// What was generated, and how fast.
pub struct Made {
    pub tokens: Vec<u32>,
    /// Tokens per second that the device made after the first chunk, in which drivers still compile.
    pub per_second: Option<f64>,
    /// From the prompt to the first chunk, if there was one.
    pub first: Option<Duration>,
}

impl Made {
    pub fn describe(&self) -> String {
        let rate = self
            .per_second
            .map(|rate| format!(", {rate:.0} tokens per second"))
            .unwrap_or_default();
        let first = self
            .first
            .map(|first| format!("; the first after {}", duration(first)))
            .unwrap_or_default();
        format!("{} tokens{rate}{first}", self.tokens.len())
    }
}

/// Where tokens go as they come.
#[derive(Clone, Copy)]
pub enum Sink<'a> {
    /// To stdout, as text.
    Stdout(&'a Vocabulary),
    /// To stdout, as text, and no longer than somebody reads it.
    Reader(&'a Vocabulary),
    /// Nowhere.
    None,
}

/// Generates `length` tokens behind a prompt, which goes to the sink too.
pub fn make(
    model: &LanguageModel,
    sink: Sink<'_>,
    prompt: &[u32],
    options: &GenerateOptions,
    length: usize,
) -> Result<Made, Error> {
    let started = Instant::now();
    let chunk = options.chunk.next_multiple_of(2);
    let decode = |tokens: &[u32]| match sink {
        Sink::Stdout(vocabulary) | Sink::Reader(vocabulary) => vocabulary.decode(tokens),
        Sink::None => Ok(String::new()),
    };
    let generator = model.generate(&[prompt], options)?;
    print_text(&decode(prompt)?);
    let (mut tokens, mut text, mut first) = (Vec::new(), String::new(), None);
    for step in generator.take(length) {
        // All tokens of a chunk arrive with its first one: the second chunk begins to run when the first one is there.
        first.get_or_insert_with(|| started.elapsed());
        // What came before an error is shown before it is told.
        let step = step.inspect_err(|_| _ = print_text(&text))?;
        text.push_str(&decode(&step)?);
        tokens.extend(step);
        let arrived = tokens.len() % chunk != 0 || print_text(&std::mem::take(&mut text));
        if !arrived && matches!(sink, Sink::Reader(_)) {
            break;
        }
    }
    print_text(&text);
    let time = started.elapsed().saturating_sub(first.unwrap_or_default()).as_secs_f64();
    let later = tokens.len().saturating_sub(chunk).next_multiple_of(chunk);
    let per_second = (later > 0).then(|| later as f64 / time);
    Ok(Made { tokens, per_second, first })
}
