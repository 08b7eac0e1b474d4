//! `wgpu-rnn` without a command: the model that ships writes a text on the best device and on the CPU, and both are
//! compared with the definition.

use wgpu_rnn::device::{OpenOptions, Selection};
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::reference;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel};
use wgpu_rnn::{Device, Error};

use crate::Outcome;
use crate::generate::{Made, Sink, make};
use crate::terminal::{BAD, GOOD, STRONG, line};
use crate::text::TextModel;

const PROMPT: &str = "ROMEO:";
const LENGTH: usize = 400;
const TEMPERATURE: f32 = 0.7;

/// Tokens whose logits are compared: the definition takes its time.
const COMPARED: usize = 100;

pub fn demo() -> Result<Outcome, Error> {
    let text = TextModel::shipped()?;
    let config = text.params.config();
    line!(
        "{STRONG}Embedding({}, {}), LSTM({0}, {2}, num_layers={3}), Linear({2}, {1}){STRONG:#}: \
         Shakespeare by the character",
        config.ninp,
        config.ntoken,
        config.nhid,
        config.nlayers
    );
    let best = Selection::of("auto")?;
    let found_gpu = matches!(best, Selection::Adapter(_));
    let choices = if found_gpu { vec![best, Selection::Cpu] } else { vec![Selection::Cpu] };
    if !found_gpu {
        line!("no GPU here, so the CPU does the work (software adapters run only when named)");
    }
    let mut agreed = true;
    let mut first: Option<Made> = None;
    for choice in choices {
        line!("\n{STRONG}{}{STRONG:#}", choice.title());
        let device = match choice.open(&OpenOptions::default()) {
            Ok(device) => device,
            // A GPU that cannot be used must not hide that the CPU can.
            Err(error) if matches!(choice, Selection::Adapter(_)) => {
                line!("  {BAD}{error}{BAD:#}");
                agreed = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        agreed &= show(&device, &text, &mut first)?;
    }
    // The commands as they can be typed here, wherever the program was started from.
    let program = std::env::args().next().unwrap_or_else(|| "wgpu-rnn".to_owned());
    line!("\nnext:");
    line!("  {program} devices");
    line!("  {program} verify --device all tests/fixtures/pytorch");
    line!("  {program} generate --prompt JULIET: --temperature 0.8 --seed 1");
    line!(
        "  {program} run --weights model.safetensors --input input.safetensors --output output.safetensors"
    );
    Ok(if agreed { Outcome::Agreed } else { Outcome::Disagreed })
}

/// Writes on one device: the first one's text is shown, the second one's compared with it.
fn show(device: &Device, text: &TextModel, first: &mut Option<Made>) -> Result<bool, Error> {
    let model = LanguageModel::new(device, &text.params)?;
    let prompt = text.vocabulary.encode(PROMPT)?;
    let options = GenerateOptions::default().temperature(TEMPERATURE);
    let sink = if first.is_none() { Sink::Stdout(&text.vocabulary) } else { Sink::None };
    let made = make(&model, sink, &prompt, &options, LENGTH)?;
    if first.is_none() {
        line!("\n");
    }
    line!("  {}", made.describe());
    if let Some(other) = first {
        let same = made.tokens.iter().zip(&other.tokens).take_while(|(a, b)| a == b).count();
        if same == LENGTH {
            line!("  {GOOD}the same{GOOD:#} {LENGTH} tokens");
        } else {
            line!("  the same {same} tokens, up to where two are as likely within rounding");
        }
    }
    let tokens = [&prompt, &made.tokens[..]].concat();
    let tokens = &tokens[..COMPARED];
    let (want, _) = reference::language_model(&text.params, tokens, COMPARED, 1, None, None);
    let (logits, _) = model.forward(tokens, 1, None)?;
    let mut comparison = Comparison::default();
    comparison.add("logits", logits.shape(), logits.data(), &want, Tolerance::F32);
    let (colour, word) = if comparison.agrees() { (GOOD, "agree") } else { (BAD, "disagree") };
    line!(
        "  logits {colour}{word}{colour:#} with the definition in f64: largest difference {:.1e} over {} values",
        comparison.max_abs,
        comparison.count
    );
    first.get_or_insert(made);
    Ok(comparison.agrees())
}
