//! State dicts in several files: an index, a folder, or a list of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bytes::Bytes;
use super::content::Content;
use super::{FileType, parse, recognise};
use crate::error::{Error, Result};
use crate::fs;
use crate::tensor::room_to_parse;

fn refuse(path: &Path, message: impl Into<String>) -> Error {
    Error::File { path: path.to_owned(), message: message.into() }
}

/// Reads one or more files as one state dict: an index, a folder that has one, or a list of files.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read. [`Error::File`] when a file is not valid, a tensor is
/// in two files, or a shard is missing. [`Error::OutOfMemory`] when the host's memory does not hold
/// the files and their names.
pub fn open(paths: &[impl AsRef<Path>], key: Option<&str>) -> Result<Content> {
    let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
    let Some((&first, others)) = paths.split_first() else {
        return Err(Error::Option("no file of weights was named".to_owned()));
    };
    if others.is_empty() {
        if first.is_dir() {
            return open_folder(first, key);
        }
        let data = Bytes::new(fs::read(first)?);
        if recognise::recognise(&data) == Ok(FileType::Json) {
            return open_index(first, &data, key);
        }
        refuse_missing_shards(&paths)?;
        return parse(first, data, key);
    }
    refuse_missing_shards(&paths)?;
    let mut content = one(first, key)?;
    for path in others {
        content.add(one(path, key)?).map_err(|message| refuse(path, message))?;
    }
    content.file_type = format!("{} in {} files", content.file_type, paths.len());
    Ok(content)
}

/// Reads one of several files.
fn one(path: &Path, key: Option<&str>) -> Result<Content> {
    parse(path, Bytes::new(fs::read(path)?), key)
}

/// The names of an index and of a whole file, as model hubs have them.
const INDICES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
const WHOLE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

fn open_folder(folder: &Path, key: Option<&str>) -> Result<Content> {
    let inside = INDICES.iter().chain(&WHOLE).map(|name| folder.join(name));
    let Some(path) = { inside }.find(|path| path.is_file()) else {
        return Err(refuse(
            folder,
            format!(
                "the folder has none of {}, {}; name the files of weights",
                INDICES.join(", "),
                WHOLE.join(", ")
            ),
        ));
    };
    open(&[path], key)
}

/// The part of an index that is read.
#[derive(serde::Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

fn open_index(path: &Path, data: &[u8], key: Option<&str>) -> Result<Content> {
    room_to_parse(data, format_args!("the names of {}", path.display()))?;
    let index: Index = serde_json::from_slice(data).map_err(|error| {
        refuse(path, format!("a JSON file, but not the index of a sharded checkpoint: {error}"))
    })?;
    let mut files: Vec<&str> = index.weight_map.values().map(String::as_str).collect();
    files.sort_unstable();
    files.dedup();
    if let Some(outside) =
        files.iter().find(|file| Path::new(file).file_name() != Some(file.as_ref()))
    {
        return Err(refuse(path, format!("'{outside}' is no file in the folder of the index")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut content: Option<Content> = None;
    for file in &files {
        let path = folder.join(file);
        let found = one(&path, key)?;
        for name in found.entries.keys() {
            if index.weight_map.get(name).map(String::as_str) != Some(file) {
                return Err(refuse(
                    &path,
                    format!("the index does not name '{name}' in this file"),
                ));
            }
        }
        match &mut content {
            None => content = Some(found),
            Some(content) => content.add(found).map_err(|message| refuse(&path, message))?,
        }
    }
    let mut content = content.ok_or_else(|| refuse(path, "the index names no file"))?;
    if let Some((name, file)) =
        index.weight_map.iter().find(|(name, _)| !content.entries.contains_key(*name))
    {
        return Err(refuse(
            &folder.join(file),
            format!("'{name}' is missing, which the index names"),
        ));
    }
    content.file_type = format!("{} in {} shards", content.file_type, files.len());
    Ok(content)
}

/// A name such as `model-00001-of-00002.safetensors`. Model hubs write five digits; a name such as
/// `epoch-3-of-10.pt` is of no shard.
struct Shard<'a> {
    number: usize,
    of: usize,
    /// The parts of the name around the numbers.
    around: (&'a str, &'a str),
}

impl<'a> Shard<'a> {
    fn of(path: &'a Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (before, rest) = name.rsplit_once("-of-")?;
        let (stem, number) = before.rsplit_once('-')?;
        let (of, ending) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let digits = |text: &str| (text.len() == 5).then(|| text.parse().ok())?;
        Some(Self { number: digits(number)?, of: digits(of)?, around: (stem, ending) })
    }
}

/// Refuses a shard of which other shards are not in the list.
fn refuse_missing_shards(paths: &[&Path]) -> Result<()> {
    for path in paths {
        let Some(Shard { number, of, around }) = Shard::of(path) else { continue };
        let folder = path.parent();
        let siblings = paths.iter().filter(|other| other.parent() == folder);
        let siblings = siblings.filter_map(|other| Shard::of(other));
        let mut numbers: Vec<usize> = siblings
            .filter(|other| other.of == of && other.around == around)
            .map(|other| other.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() < of {
            let (stem, ending) = around;
            let index: PathBuf = path.with_file_name(format!("{stem}{ending}.index.json"));
            let all = if index.is_file() {
                format!("open {}, or the folder", index.display())
            } else {
                "open all of them together".to_owned()
            };
            return Err(refuse(
                path,
                format!("this is shard {number} of {of}, which holds a part of the weights; {all}"),
            ));
        }
    }
    Ok(())
}
