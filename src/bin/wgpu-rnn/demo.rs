//! `wgpu-rnn` without a command: the built-in model writes a text on the best device and on the
//! CPU, and both agree with the f64 reference.

use wgpu_rnn::device::{OpenOptions, Selection, adapters};
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::reference;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel};
use wgpu_rnn::{Device, Error};

use crate::Outcome;
use crate::devices::explain_mesa;
use crate::generate::{Generated, Sink, stream};
use crate::terminal::{BAD, GOOD, STRONG, line};
use crate::text::TextModel;

const PROMPT: &str = "ROMEO:";
const LENGTH: usize = 400;
const TEMPERATURE: f32 = 0.7;

/// The number of tokens whose logits are compared. The reference is slow.
const COMPARED: usize = 100;

pub fn demo() -> Result<Outcome, Error> {
    let text = TextModel::built_in()?;
    let config = text.params.config();
    line!(
        "{STRONG}Embedding({1}, {0}), LSTM({0}, {2}, num_layers={3}), Linear({2}, {1}){STRONG:#}: \
         Shakespeare by the character",
        config.ninp,
        config.ntoken,
        config.nhid,
        config.nlayers
    );
    let adapters = adapters();
    explain_mesa(&adapters);
    let best = Selection::auto(&adapters)?;
    let found_gpu = matches!(best, Selection::Adapter(_));
    let selections = if found_gpu { vec![best, Selection::Cpu] } else { vec![Selection::Cpu] };
    if !found_gpu {
        line!("This machine has no GPU: the CPU runs. Software adapters run only by name.");
    }
    let mut agreed = true;
    let mut first: Option<Generated> = None;
    for selection in selections {
        line!("\n{STRONG}{}{STRONG:#}", selection.title());
        let device = match selection.open(&OpenOptions::default()) {
            Ok(device) => device,
            // The CPU still runs if the GPU cannot.
            Err(error) if matches!(selection, Selection::Adapter(_)) => {
                line!("  {BAD}{error}{BAD:#}");
                agreed = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        agreed &= show(&device, &text, &mut first)?;
    }
    // Commands that the user can copy: with the path that started the program.
    let program = std::env::args().next().unwrap_or_else(|| "wgpu-rnn".to_owned());
    line!("\nnext:");
    line!("  {program} devices");
    line!("  {program} verify --device all tests/fixtures/pytorch");
    line!("  {program} generate --prompt JULIET: --temperature 0.8 --seed 1");
    line!(
        "  {program} run --weights model.safetensors --input input.safetensors \
         --output output.safetensors"
    );
    Ok(if agreed { Outcome::Agreed } else { Outcome::Disagreed })
}

/// Generates on one device. Shows the text of the first device; compares the second text with it.
fn show(device: &Device, text: &TextModel, first: &mut Option<Generated>) -> Result<bool, Error> {
    let model = LanguageModel::new(device, &text.params)?;
    let prompt = text.vocabulary.encode(PROMPT)?;
    let options = GenerateOptions::default().temperature(TEMPERATURE);
    let sink = if first.is_none() { Sink::Stdout(&text.vocabulary) } else { Sink::None };
    let generated = stream(&model, sink, &prompt, &options, LENGTH)?;
    if first.is_none() {
        line!("\n");
    }
    line!("  {}", generated.describe());
    if let Some(other) = first {
        let same = generated.tokens.iter().zip(&other.tokens).take_while(|(a, b)| a == b).count();
        if same == LENGTH {
            line!("  {GOOD}the same{GOOD:#} {LENGTH} tokens");
        } else {
            line!("  the same {same} tokens, then rounding decides between two tokens");
        }
    }
    let tokens = [&prompt, &generated.tokens[..]].concat();
    let tokens = &tokens[..COMPARED];
    let (want, _) = reference::language_model(&text.params, tokens, COMPARED, 1, None, None);
    let (logits, _) = model.forward(tokens, 1, None)?;
    let mut comparison = Comparison::default();
    comparison.add("logits", logits.shape(), logits.data(), &want, Tolerance::F32);
    let (colour, word) = if comparison.agrees() { (GOOD, "agree") } else { (BAD, "disagree") };
    line!(
        "  logits {colour}{word}{colour:#} with the reference in f64: largest difference {:.1e} of \
         {} values",
        comparison.max_abs,
        comparison.count
    );
    first.get_or_insert(generated);
    Ok(comparison.agrees())
}
