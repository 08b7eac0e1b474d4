//! Tensors in files beside a model.

use std::path::{Component, Path, PathBuf};

use rten_onnx::onnx::TensorProto;

use crate::error::{Error, Result};
use crate::fs;

/// The range of a file that holds a tensor.
struct Range<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

/// Reads the declaration. A checksum is not compared.
fn range(tensor: &TensorProto) -> Result<Range<'_>, String> {
    let mut range = Range { location: "", offset: 0, length: None };
    for entry in &tensor.external_data {
        let key = entry.key.as_deref().unwrap_or_default();
        let value = entry.value.as_deref().unwrap_or_default();
        let number = || {
            value.parse::<u64>().map_err(|_| {
                format!("'{key}' of its external data is '{value}', expected a number of bytes")
            })
        };
        match key {
            "location" => range.location = value,
            "offset" => range.offset = number()?,
            "length" => range.length = Some(number()?),
            "checksum" => {}
            other => return Err(format!("'{other}' of its external data is unknown")),
        }
    }
    Ok(range)
}

/// Returns the path of a file in the folder of a model.
///
/// # Errors
/// A message for a location outside of the folder, by its name or by a link.
fn inside(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let refuse = |why: &str| {
        Err(format!(
            "its external data is in '{location}', {why}; expected a file in the model's folder: \
             save the model again with the data beside it"
        ))
    };
    let relative = Path::new(location);
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    // A model may come from a system with another separator.
    if location.is_empty() || location.contains('\\') || !relative.components().all(is_plain) {
        return refuse("which is not below the folder of the model");
    }
    let path = folder.join(relative);
    let real = |path: &Path| path.canonicalize().ok();
    match (real(folder), real(&path)) {
        (Some(folder), Some(target)) if target.starts_with(&folder) => Ok(target),
        (_, None) => refuse("which does not exist"),
        _ => refuse("which is a link to outside of the folder of the model"),
    }
}

/// Returns the path of a file, if a tensor is in one below the folder of the model.
pub fn file(model: &Path, tensor: &TensorProto) -> Option<PathBuf> {
    let range = range(tensor).ok().filter(|range| !range.location.is_empty())?;
    inside(fs::folder(model), range.location).ok()
}

/// Reads the bytes of a tensor that is in another file: `count` of them.
///
/// # Errors
/// [`Error::File`] when the declaration is not valid, or the file is outside of `folder` or ends
/// too early; [`Error::Io`] when the file cannot be read.
pub fn read(model: &Path, tensor: &TensorProto, count: usize, name: &str) -> Result<Vec<u8>> {
    let refuse =
        |message| Error::File { path: model.to_owned(), message: format!("{name}: {message}") };
    let range = range(tensor).map_err(refuse)?;
    if let Some(length) = range.length.filter(|&length| length != count as u64) {
        return Err(refuse(format!(
            "its shape needs {count} bytes, but its external data has {length}"
        )));
    }
    let path = inside(fs::folder(model), range.location).map_err(refuse)?;
    fs::read_range(path, range.offset, count)
}
