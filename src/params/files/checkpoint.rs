//! Files of `torch.save`: state dicts, and checkpoints that hold state dicts.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use super::Refusal;
use super::archive::Archive;
use super::bytes::Bytes;
use super::content::Content;
use super::entry::Entry;
use super::globals::shown;
use super::pickle;
use super::value::{Id, Tensor, Value, Values};
use crate::tensor::Growth;

/// Reads a file of `torch.save`. `key` names the dict to use: `model`, or `model.encoder` for one
/// in another dict; `Some("")` names the outermost one.
///
/// # Errors
/// A message when the file is damaged, holds more than tensors and plain values, has no such dict,
/// or, without a key, does not hold exactly one dict of tensors. [`Refusal::Memory`] when the
/// host's memory does not hold what the file lists.
pub fn read(file: Bytes, key: Option<&str>) -> Result<Content, Refusal> {
    let data: &[u8] = &file;
    let archive = Archive::open(data)?;
    if let Some(order) = archive.find("byteorder")?
        && data[order.clone()] != *b"little"
    {
        let order = data[order].escape_ascii().take(20).collect::<Vec<u8>>();
        let order = String::from_utf8_lossy(&order);
        return Err(format!("the file has the byte order '{order}', expected 'little'").into());
    }
    let pickle = archive.find("data.pkl")?;
    let pickle = pickle.ok_or_else(|| "the archive has no data.pkl".to_owned())?;
    let (values, whole) = pickle::read(&data[pickle])?;
    let (dict, found) = select(&values, whole, key)?;
    let entries = entries(&values, dict, |name| archive.find(&format!("data/{name}")))?;
    // Views may share a storage, but not without bound: every tensor may be widened.
    let total = entries.values().map(Entry::size).fold(0, usize::saturating_add);
    if total / 64 > data.len() {
        return Err(format!(
            "the tensors have {total} bytes in a file of {}: too many share a storage",
            data.len()
        )
        .into());
    }
    let metadata = plain_values(&values, [whole, dict], data.len())?;
    Ok(Content {
        data: vec![file],
        entries,
        metadata,
        file_type: "PyTorch (zip)".to_owned(),
        key: found,
    })
}

/// The pairs of a dict; none of another value.
fn all_pairs<'a>(values: &'a Values<'_>, dict: Id) -> &'a [(Id, Id)] {
    match values.get(dict) {
        Value::Dict(pairs) => pairs,
        _ => &[],
    }
}

/// The pairs of a dict whose keys are texts.
fn pairs<'a>(values: &'a Values<'_>, dict: Id) -> impl Iterator<Item = (&'a str, Id)> {
    let pairs = all_pairs(values, dict).iter();
    pairs.filter_map(|&(key, value)| Some((values.text(key)?, value)))
}

/// Whether a value is a dict that holds a tensor under a text.
fn has_tensors(values: &Values<'_>, id: Id) -> bool {
    pairs(values, id).any(|(_, value)| matches!(values.get(value), Value::Tensor(_)))
}

/// Returns the dict to use, and its key where that was found and is not the file's only dict.
fn select(
    values: &Values<'_>,
    whole: Id,
    key: Option<&str>,
) -> Result<(Id, Option<String>), String> {
    if !matches!(values.get(whole), Value::Dict(_)) {
        return Err(format!(
            "the file holds {}, expected a state dict",
            values.get(whole).describe()
        ));
    }
    let found = dicts_of_tensors(values, whole);
    if found.is_empty() {
        let keys = pairs(values, whole).map(|(key, _)| shown(key));
        let keys: Vec<String> = keys.take(MOST).collect();
        return Err(format!(
            "the file holds no dict of tensors; its keys are: {}",
            keys.join(", ")
        ));
    }
    let keys = || {
        let keys: Vec<String> = found.iter().map(|(key, _)| shown(key)).collect();
        keys.join(", ")
    };
    match (key, found.as_slice()) {
        (Some(key), _) => {
            let dict = resolve(values, whole, key).filter(|&id| has_tensors(values, id));
            dict.map(|dict| (dict, None)).ok_or_else(|| {
                format!(
                    "no dict of tensors has the key '{key}'; there are dicts of tensors under: {}",
                    keys()
                )
            })
        }
        (None, [(key, dict)]) => Ok((*dict, (*dict != whole).then(|| key.clone()))),
        (None, _) => Err(format!(
            "the file holds several dicts of tensors: name one by its key (--key, or \
             StateDict::open_key): {}",
            keys()
        )),
    }
}

/// Returns the dict under a path of keys, joined by dots. A key may contain dots, too.
fn resolve(values: &Values<'_>, dict: Id, path: &str) -> Option<Id> {
    if path.is_empty() {
        return Some(dict);
    }
    // The last of two equal keys counts, as in Python.
    let get = |name: &str| {
        let found = pairs(values, dict).filter(|(key, _)| *key == name).last();
        found.map(|(_, id)| id)
    };
    get(path).or_else(|| {
        path.match_indices('.')
            .find_map(|(dot, _)| resolve(values, get(&path[..dot])?, &path[dot + 1..]))
    })
}

/// No more keys than these are listed.
const MOST: usize = 20;

/// Returns the dicts that hold tensors and that a path of texts reaches, with their paths.
fn dicts_of_tensors(values: &Values<'_>, whole: Id) -> Vec<(String, Id)> {
    /// Longer paths are not searched: a pickle could make them as long as it likes.
    const LONGEST: usize = 200;
    let mut found = Vec::new();
    // A dict may hold itself.
    let mut seen = BTreeSet::from([whole]);
    let mut waiting = VecDeque::from([(String::new(), whole)]);
    while let Some((path, dict)) = waiting.pop_front()
        && found.len() < MOST
    {
        if has_tensors(values, dict) {
            let shown = if dict == whole { "'' (the outermost)".to_owned() } else { path.clone() };
            found.push((shown, dict));
        }
        for (key, id) in pairs(values, dict) {
            let short = path.len() + key.len() < LONGEST;
            if short && matches!(values.get(id), Value::Dict(_)) && seen.insert(id) {
                let dot = if path.is_empty() { "" } else { "." };
                waiting.push_back((format!("{path}{dot}{key}"), id));
            }
        }
    }
    found
}

/// Returns the tensors of a dict.
fn entries(
    values: &Values<'_>,
    dict: Id,
    storage: impl Fn(&str) -> Result<Option<Range<usize>>, String>,
) -> Result<BTreeMap<String, Entry>, Refusal> {
    let mut entries = BTreeMap::new();
    let (mut names, mut growth) = (0, Growth::default());
    for &(key, id) in all_pairs(values, dict) {
        let Value::Tensor(tensor) = values.get(id) else { continue };
        let name = values.text(key).ok_or_else(|| {
            format!("a tensor has the key {}, expected a name", values.get(key).describe())
        })?;
        names += name.len();
        growth.reaches(names + 512 * (entries.len() + 1), "the tensors of a file")?;
        let entry =
            entry(values, tensor, &storage).map_err(|message| format!("'{name}': {message}"))?;
        if entries.insert(name.to_owned(), entry).is_some() {
            return Err(format!("the tensor name '{name}' occurs twice").into());
        }
    }
    Ok(entries)
}

fn entry(
    values: &Values<'_>,
    tensor: &Tensor<'_>,
    storage: impl Fn(&str) -> Result<Option<Range<usize>>, String>,
) -> Result<Entry, String> {
    let Tensor { storage: held, dtype, .. } = tensor;
    let bytes = storage(held.name)?;
    let bytes = bytes.ok_or_else(|| format!("the archive has no storage data/{}", held.name))?;
    let size = held.dtype.map_or(1, |dtype| dtype.bitsize() / 8);
    if held.len.checked_mul(size) != Some(bytes.len()) {
        return Err(format!(
            "its storage has {} bytes in the archive, but the pickle says {} elements of {size} \
             bytes",
            bytes.len(),
            held.len
        ));
    }
    let (shape, strides) = (values.sizes(tensor.shape)?, values.sizes(tensor.strides)?);
    Entry::view(shape, strides, values.size(tensor.offset)?, *dtype, &bytes)
}

/// Returns the values of dicts that are no tensors, as text. The last dict that has a key counts.
///
/// # Errors
/// A message when the texts have more bytes than the file, which only a hostile pickle has;
/// [`Refusal::Memory`] when the host's memory does not hold them.
fn plain_values(
    values: &Values<'_>,
    dicts: [Id; 2],
    most: usize,
) -> Result<HashMap<String, String>, Refusal> {
    let mut plain = HashMap::new();
    let (mut bytes, mut growth) = (0, Growth::default());
    for (key, id) in dicts.into_iter().flat_map(|dict| pairs(values, dict)) {
        let text = match values.get(id) {
            Value::Tensor(_) => continue,
            Value::Dict(_) if dicts.contains(&id) => continue,
            Value::Text(text) => (*text).to_owned(),
            other => other.describe(),
        };
        // The values of one dict are in this twice where it is the whole.
        bytes += key.len() + text.len();
        if bytes / 2 > most {
            return Err("the pickle repeats a long text".to_owned().into());
        }
        growth.reaches(bytes + 256 * (plain.len() + 1), "the values of a file")?;
        plain.insert(key.to_owned(), text);
    }
    Ok(plain)
}
