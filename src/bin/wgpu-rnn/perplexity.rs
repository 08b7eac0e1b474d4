//! `wgpu-rnn perplexity`.

use std::time::Instant;

use serde::Serialize;
use wgpu_rnn::Error;
use wgpu_rnn::device::Selection;
use wgpu_rnn::language_model::LanguageModel;

use crate::Outcome;
use crate::args::{PerplexityArgs, selectors};
use crate::terminal::{STRONG, line, print_json};
use crate::text::TextModel;

/// The figures of one device.
#[derive(Serialize)]
struct Row {
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
    results: Vec<Row>,
}

pub fn perplexity(args: &PerplexityArgs) -> Result<Outcome, Error> {
    let TextModel { params, vocabulary } = TextModel::load(&args.model)?;
    let text = std::fs::read_to_string(&args.text)
        .map_err(|source| Error::Io { path: args.text.clone(), source })?;
    let tokens = vocabulary.encode(&text)?;
    let mut results = Vec::new();
    for choice in Selection::of_all(&selectors(&args.devices))? {
        let device = args.open.open(&choice)?;
        let model = LanguageModel::stored_as(&device, &params, args.model.dtype)?;
        let started = Instant::now();
        let score = model.score(&tokens, args.streams)?;
        let row = Row {
            device: choice.title(),
            tokens: score.tokens,
            streams: args.streams.min(score.tokens),
            loss: score.loss,
            perplexity: score.perplexity(),
            tokens_per_second: score.tokens as f64 / started.elapsed().as_secs_f64(),
        };
        if !args.json {
            line!("{STRONG}{}{STRONG:#}", row.device);
            line!(
                "  perplexity {:.6}, {:.6} nats per token over {} tokens in {} streams; {:.0} tokens per second",
                row.perplexity,
                row.loss,
                row.tokens,
                row.streams,
                row.tokens_per_second
            );
        }
        results.push(row);
    }
    if args.json {
        print_json(&Report { results })?;
    }
    Ok(Outcome::Agreed)
}
