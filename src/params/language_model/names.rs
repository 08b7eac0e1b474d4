//! Other names of a language model's tensors, and the renaming that fits.

use super::weights::{DECODER, ENCODER, RNN};
use crate::params::state_dict::StateDict;

/// Parts of names that are common for an embedding, and for the layer that makes logits.
const EMBEDDINGS: [&str; 4] = ["emb", "enc", "wte", "lookup"];
const DECODERS: [&str; 7] = ["dec", "fc", "lin", "out", "head", "proj", "dense"];

/// A matrix `weight`: the prefix of its module, and its shape.
type Matrix<'a> = (&'a str, [usize; 2]);

/// Returns a line that names the renaming by which the file holds a language model under `prefix`.
/// `None` where names and shapes leave a choice, or nothing has to be renamed.
///
/// The file must have one recurrent module, one matrix with a column for each of its inputs, and
/// one matrix with a column for each of its units and a row for each row of the other.
pub(super) fn fitting(state_dict: &StateDict, prefix: &str) -> Option<String> {
    let shape = |name: &str| <[usize; 2]>::try_from(state_dict.get(name)?.shape()).ok();
    let rnn = only(state_dict.names().filter_map(|name| name.strip_suffix("weight_ih_l0")))?;
    let [_, ninp] = shape(&format!("{rnn}weight_ih_l0"))?;
    let [_, nhid] = shape(&format!("{rnn}weight_hh_l0"))?;
    let matrices = || {
        let modules =
            state_dict.names().filter_map(|name| Some((name, name.strip_suffix("weight")?)));
        modules
            .filter(|(_, module)| module.is_empty() || module.ends_with('.'))
            .filter_map(|(name, module)| Some((module, shape(name)?)))
    };
    let encoder = choose(matrices().filter(|(_, shape)| shape[1] == ninp), &EMBEDDINGS)?;
    let fits = |&(module, [rows, columns]): &Matrix<'_>| {
        let tokens = encoder.1[0];
        module != encoder.0
            && columns == nhid
            && (rows == tokens || rows.checked_add(1) == Some(tokens))
    };
    let decoder = choose(matrices().filter(fits), &DECODERS)?;
    let pairs: Vec<String> = [
        (encoder.0, format!("{prefix}{}", ENCODER.trim_end_matches("weight"))),
        (rnn, format!("{prefix}{RNN}")),
        (decoder.0, format!("{prefix}{}", DECODER.trim_end_matches("weight"))),
    ]
    .into_iter()
    .filter(|(old, new)| old != new)
    .map(|(old, new)| format!("--map {old}={new}"))
    .collect();
    (!pairs.is_empty()).then(|| format!("names that fit: {} (StateDict::renamed)", pairs.join(" ")))
}

/// Returns the only item.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// Returns the only matrix, or the only one with a common name.
fn choose<'a>(matrices: impl Iterator<Item = Matrix<'a>>, common: &[&str]) -> Option<Matrix<'a>> {
    let all: Vec<Matrix<'a>> = matrices.collect();
    let named = |(module, _): &&Matrix<'a>| {
        let module = module.to_lowercase();
        common.iter().any(|part| module.contains(part))
    };
    only(all.iter()).or_else(|| only(all.iter().filter(named))).copied()
}
