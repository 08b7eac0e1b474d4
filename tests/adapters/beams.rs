//! Beam search against its definition over forward passes.

use libtest_mimic::Failed;
use wgpu_rnn::language_model::{Beam, LanguageModel, LanguageModelConfig};
use wgpu_rnn::{Error, Kind};

use crate::language_model::params;
use crate::{Target, ensure};

const NTOKEN: usize = 7;

/// A text, its log-probability, and whether it has ended.
type Text = (Vec<u32>, f64, bool);

/// Returns log_softmax of the logits after `text`.
fn next(model: &LanguageModel, text: &[u32]) -> Result<Vec<f64>, Error> {
    let (logits, _) = model.forward(text, 1, None)?;
    let row: Vec<f64> = logits.row(text.len() - 1).iter().map(|&x| f64::from(x)).collect();
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = row.iter().map(|x| (x - largest).exp()).sum();
    Ok(row.iter().map(|x| x - largest - total.ln()).collect())
}

/// The definition: each step keeps the likeliest of all texts with one more token.
fn defined(
    model: &LanguageModel,
    prompt: &[u32],
    (beams, length, stop): (usize, usize, Option<u32>),
) -> Result<Vec<Text>, Error> {
    let mut kept: Vec<Text> = vec![(Vec::new(), 0.0, false)];
    for _ in 0..length {
        let mut all = Vec::new();
        for (text, before, ended) in kept {
            if ended {
                all.push((text, before, true));
                continue;
            }
            let whole = [prompt, &text].concat();
            for (token, probability) in (0..).zip(next(model, &whole)?) {
                let longer = [text.as_slice(), &[token]].concat();
                all.push((longer, before + probability, Some(token) == stop));
            }
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(beams);
        kept = all;
    }
    Ok(kept)
}

fn ensure_equal(what: &str, got: &[Beam], want: &[Text]) -> Result<(), Failed> {
    ensure(got.len() == want.len(), format!("{what}: {} texts of {}", got.len(), want.len()))?;
    for (got, (text, probability, _)) in got.iter().zip(want) {
        ensure(got.tokens == *text, format!("{what}: got {:?}, want {text:?}", got.tokens))?;
        let difference = (got.log_probability - probability).abs();
        ensure(difference < 1e-9, format!("{what}: {difference:e} from the definition"))?;
    }
    Ok(())
}

/// Each search finds the texts of the definition, in its order.
pub fn searches(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        let config = LanguageModelConfig::new(kind, NTOKEN, 5, 6, 2);
        let model = LanguageModel::new(&device, &params(&config)?)?;
        for (prompt, beams, length) in
            [(&[3, 1, 4][..], 3, 5), (&[2], 4, 4), (&[1, 2], 1, 4), (&[0, 6], 60, 2)]
        {
            let what = format!("{kind}, {beams} beams after {prompt:?}");
            let whole = defined(&model, prompt, (beams, length, None))?;
            ensure_equal(&what, &model.beam_search(prompt, beams, length, None)?, &whole)?;
            // A token inside of a text ends some texts early.
            let stop = whole[0].0.get(1).copied();
            let want = defined(&model, prompt, (beams, length, stop))?;
            let what = format!("{what}, until {stop:?}");
            ensure_equal(&what, &model.beam_search(prompt, beams, length, stop)?, &want)?;
            // The comparison detects another order.
            let mut swapped = want.clone();
            swapped.rotate_left(1);
            let got = model.beam_search(prompt, beams, length, stop)?;
            let accepted = ensure_equal(&what, &got, &swapped).is_ok();
            ensure(!accepted || beams == 1, format!("{what}: another order would do"))?;
        }
        ensure(
            model.beam_search(&[1], 2, 0, None)?.iter().all(|beam| beam.tokens.is_empty()),
            "no tokens were asked for",
        )?;
    }
    Ok(())
}

/// Prompts, beams and tokens out of range are refused.
pub fn refusals(target: &Target) -> Result<(), Failed> {
    let config = LanguageModelConfig::new(Kind::Gru, NTOKEN, 5, 6, 1);
    let model = LanguageModel::new(&target.device()?, &params(&config)?)?;
    let refused = |prompt: &[u32], beams, stop, want: &str| {
        let message = model.beam_search(prompt, beams, 3, stop).map(drop);
        let message = message.map_err(|error| error.to_string());
        ensure(message == Err(want.to_owned()), format!("{message:?}, want {want}"))
    };
    refused(&[], 2, None, "the prompt is empty: give at least one token")?;
    refused(&[1], 0, None, "a search needs at least one beam, but got 0")?;
    refused(&[7], 2, None, "index out of range in self: prompt[0] is 7, expected 0 to 6")?;
    refused(&[1], 2, Some(9), "index out of range in self: stop is 9, expected 0 to 6")?;
    let many = model.beam_search(&[1], usize::MAX, 3, None);
    ensure(matches!(many, Err(Error::Limit { .. })), "more beams than memory")
}
