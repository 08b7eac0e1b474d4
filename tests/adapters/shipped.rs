//! The model that the crate includes.

use std::path::Path;

use libtest_mimic::Failed;
use wgpu_rnn::internals::reference;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, LanguageModelParams, Vocabulary};
use wgpu_rnn::{Device, LoadOptions, Schedule, StateDict};

use crate::{Target, ensure};

const TEXT: &str = "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, \
                    and Juliet is the sun.\n";

fn shipped() -> Result<(LanguageModelParams, Vocabulary), Failed> {
    let file = StateDict::open(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models/shakespeare.safetensors"),
    )?;
    let vocabulary =
        Vocabulary::from_state_dict_metadata(&file)?.ok_or("the model has a vocabulary")?;
    Ok((LanguageModelParams::from_state_dict(&file, "", None)?, vocabulary))
}

/// The model knows 65 characters and predicts Shakespeare as the definition in f64 does.
pub fn predicts(target: &Target) -> Result<(), Failed> {
    let (params, vocabulary) = shipped()?;
    ensure(
        vocabulary.len() == 65 && vocabulary.is_by_character(),
        format!("{} characters", vocabulary.len()),
    )?;
    ensure(params.config().ntoken == 65, format!("{:?}", params.config()))?;
    let text = vocabulary.encode(TEXT)?;
    let model = LanguageModel::new(&target.device()?, &params)?;
    for streams in [1, 3] {
        let (got, want) =
            (model.score(&text, streams)?.loss, reference::text_loss(&params, &text, streams));
        let near = (got - want).abs() < 1e-6 * want;
        ensure(
            near,
            format!("{streams} streams: {got} nats per character, the definition gives {want}"),
        )?;
        // The model's validation loss is 1.48. The loss of guessing is ln 65, or 4.17.
        ensure((0.5..2.5).contains(&got), format!("{streams} streams: {got} nats per character"))?;
    }
    let reversed: Vec<u32> = text.iter().rev().copied().collect();
    let backwards = model.score(&reversed, 1)?.loss;
    ensure(backwards > 3.0, format!("{backwards} nats per character of the text backwards"))
}

/// The same seed writes the same 200 characters as on the CPU.
pub fn writes_what_the_cpu_writes(target: &Target) -> Result<(), Failed> {
    let (params, vocabulary) = shipped()?;
    let prompt = vocabulary.encode("ROMEO:\n")?;
    let write = |device: &Device, seed| -> Result<String, Failed> {
        let model = LanguageModel::new(device, &params)?;
        let text =
            model.generate(&[&prompt], &GenerateOptions::default().temperature(0.8).seed(seed))?;
        let tokens = text.take(200).collect::<Result<Vec<_>, _>>()?.concat();
        Ok(vocabulary.decode(&tokens)?)
    };
    let device = target.device()?;
    let (got, want) = (write(&device, 1)?, write(&Device::cpu(), 1)?);
    let once = LoadOptions::new().schedule(Schedule::Persistent);
    let once = LanguageModel::with_options(&device, &params, &once)?;
    let options = GenerateOptions::default().temperature(0.8).seed(1).chunk(20);
    let tokens = once.generate(&[&prompt], &options)?.take(40).collect::<Result<Vec<_>, _>>()?;
    let text = vocabulary.decode(&tokens.concat())?;
    ensure(want.starts_with(&text), format!("in one dispatch {text:?}, want {want:?}"))?;
    ensure(got == want, format!("got {got:?}, want {want:?}"))?;
    ensure(got.chars().count() == 200, format!("{} characters", got.chars().count()))?;
    let words: Vec<&str> = got.split_whitespace().collect();
    let common = words.iter().filter(|word| {
        ["the", "and", "to", "of", "I", "you", "my", "in", "is", "a"].contains(word)
    });
    ensure(common.count() >= 2, format!("no English: {got:?}"))?;
    ensure(write(&device, 2)? != got, "another seed writes another text")
}
