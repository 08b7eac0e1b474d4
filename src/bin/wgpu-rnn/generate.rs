//! `wgpu-rnn generate`.

use std::time::{Duration, Instant};

use clap::Args;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, Vocabulary};
use wgpu_rnn::{Error, Schedule};

use crate::Outcome;
use crate::args::{OpenArgs, schedules};
use crate::terminal::{FAINT, duration, print_text};
use crate::text::{TextModel, TextModelArgs};

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: TextModelArgs,
    /// Continue this text.
    #[arg(long, allow_hyphen_values = true)]
    pub prompt: String,
    /// Set the number of generated tokens.
    #[arg(long, default_value_t = 400)]
    pub length: usize,
    /// Divide logits by this number before a token is drawn; 0 takes the most likely token.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Draw from this number of most likely tokens; 0 draws from all.
    #[arg(long, default_value_t = 0)]
    pub top_k: usize,
    /// Draw from the fewest likeliest tokens whose probabilities, after --top-k, sum to this share.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub top_p: f32,
    /// Stop after this token. Otherwise the text has --length tokens.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub stop: Option<String>,
    /// Draw nothing: print the likeliest text of a search that keeps this number of texts.
    #[arg(long, value_name = "N", conflicts_with_all = ["temperature", "top_k", "top_p", "seed"])]
    pub beams: Option<usize>,
    /// Set the seed. A seed gives the same text on every device, unless rounding decides between
    /// two tokens.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Select how tokens map to dispatches: step, persistent (many tokens in one), or auto.
    #[arg(long, default_value_t, value_name = "SCHEDULE", value_parser = schedules())]
    pub schedule: Schedule,
    /// Use auto, cpu, an index from `devices`, or part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    #[command(flatten)]
    pub open: OpenArgs,
}

pub fn generate(args: &GenerateArgs) -> Result<Outcome, Error> {
    let TextModel { params, vocabulary } = TextModel::load(&args.model)?;
    let prompt = vocabulary.encode(&args.prompt)?;
    if prompt.is_empty() {
        return Err(Error::Option(
            "--prompt is empty: give at least one character or word".to_owned(),
        ));
    }
    let mut options = GenerateOptions::default()
        .temperature(args.temperature)
        .top_k(args.top_k)
        .top_p(args.top_p)
        .seed(args.seed);
    let stop = args.stop.as_ref().map(|token| {
        vocabulary.id(token).ok_or_else(|| {
            Error::UnknownName(format!("--stop: the vocabulary has no token {token:?}"))
        })
    });
    options.stop = stop.transpose()?;
    let device = args.open.open_one(&args.device)?;
    let load = args.model.options().schedule(args.schedule);
    let model = LanguageModel::with_options(&device, &params, &load)?;
    if let Some(beams) = args.beams {
        let found = model.beam_search(&prompt, beams, args.length, options.stop)?;
        let best = found.first().map(|beam| (beam.tokens.as_slice(), beam.log_probability));
        let (tokens, log_probability) = best.unwrap_or_default();
        print_text(&format!("{}{}\n", vocabulary.decode(&prompt)?, vocabulary.decode(tokens)?));
        anstream::eprintln!(
            "{FAINT}{} tokens, log-probability {log_probability:.6}, of {} texts on {device}\
             {FAINT:#}",
            tokens.len(),
            found.len()
        );
        return Ok(Outcome::Agreed);
    }
    let generated = stream(&model, Sink::Reader(&vocabulary), &prompt, &options, args.length)?;
    print_text("\n");
    let schedule = model.plan_generation(1, options.chunk)?.layers.schedule.schedule;
    let generated = generated.describe();
    anstream::eprintln!("{FAINT}{generated} on {device}, schedule {schedule}{FAINT:#}");
    Ok(Outcome::Agreed)
}

/// Generated tokens and their speed.
pub struct Generated {
    pub tokens: Vec<u32>,
    /// Tokens per second after the first chunk, during which drivers still compile.
    pub per_second: Option<f64>,
    /// The time from the prompt to the first chunk; `None` without a chunk.
    pub first: Option<Duration>,
}

impl Generated {
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

/// The destination of tokens as they arrive.
#[derive(Clone, Copy)]
pub enum Sink<'a> {
    /// Text on stdout.
    Stdout(&'a Vocabulary),
    /// Text on stdout until its reader closes it.
    Reader(&'a Vocabulary),
    /// No output.
    None,
}

/// Generates `length` tokens after a prompt. The prompt and the tokens go to `sink`.
pub fn stream(
    model: &LanguageModel,
    sink: Sink<'_>,
    prompt: &[u32],
    options: &GenerateOptions,
    length: usize,
) -> Result<Generated, Error> {
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
        // The tokens of a chunk arrive together. The second chunk starts when the first arrives.
        first.get_or_insert_with(|| started.elapsed());
        // Show the text before an error first.
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
    Ok(Generated { tokens, per_second, first })
}
