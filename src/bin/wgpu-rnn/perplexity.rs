//! `wgpu-rnn perplexity`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wgpu_rnn::Error;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::fs;
use wgpu_rnn::language_model::LanguageModel;

use crate::Outcome;
use crate::args::{OpenArgs, selectors};
use crate::output::JsonArgs;
use crate::terminal::{STRONG, line};
use crate::text::{TextModel, TextModelArgs};

#[derive(Debug, Args)]
pub struct PerplexityArgs {
    #[command(flatten)]
    pub model: TextModelArgs,
    /// Read the text from a UTF-8 file.
    #[arg(value_name = "TEXT")]
    pub text: PathBuf,
    /// Split the text into this number of parts, which run in parallel, each from a zero state.
    #[arg(long, default_value_t = 64)]
    pub streams: usize,
    /// Use auto, cpu, all, an index from `devices`, or part of an adapter's name; may be repeated
    /// [default: auto]
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    #[command(flatten)]
    pub json: JsonArgs,
    #[command(flatten)]
    pub open: OpenArgs,
}

/// The result of one device.
#[derive(Serialize)]
struct DeviceResult {
    device: String,
    tokens: usize,
    streams: usize,
    /// Nats per token.
    loss: f64,
    perplexity: f64,
    tokens_per_second: f64,
}

#[derive(Serialize)]
struct Report {
    results: Vec<DeviceResult>,
}

pub fn perplexity(args: &PerplexityArgs) -> Result<Outcome, Error> {
    args.json.check(&[&args.model.files()[..], &[("TEXT", &args.text)]].concat())?;
    let TextModel { params, vocabulary } = TextModel::load(&args.model)?;
    let text = fs::read_text(&args.text)?;
    let tokens = vocabulary.encode(&text)?;
    let mut results = Vec::new();
    for selection in Selection::of_all(&selectors(&args.devices))? {
        let device = args.open.open(&selection)?;
        let model = LanguageModel::with_options(&device, &params, &args.model.options())?;
        let started = Instant::now();
        let score = model.score(&tokens, args.streams)?;
        let result = DeviceResult {
            device: selection.title(),
            tokens: score.tokens,
            streams: args.streams.min(score.tokens),
            loss: score.loss,
            perplexity: score.perplexity(),
            tokens_per_second: score.tokens as f64 / started.elapsed().as_secs_f64(),
        };
        if args.json.leaves_stdout() {
            line!("{STRONG}{}{STRONG:#}", result.device);
            line!(
                "  perplexity {:.6}, {:.6} nats per token over {} tokens in {} streams; \
                 {:.0} tokens per second",
                result.perplexity,
                result.loss,
                result.tokens,
                result.streams,
                result.tokens_per_second
            );
        }
        results.push(result);
    }
    args.json.write(&Report { results })?;
    Ok(Outcome::Agreed)
}
