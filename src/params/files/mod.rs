//! Files of weights, recognised by their first bytes.
//!
//! | file | its part |
//! |---|---|
//! | `recognise` | names the type of a file, and the line that helps where it is not read |
//! | `safetensors` | reads a header of safetensors |
//! | `archive` | lists the members of a zip archive |
//! | `bytes` | holds the bytes of a file, or those of a caller |
//! | `pickle`, `globals`, `value`, `rebuild` | read the pickle in it, and run nothing |
//! | `checkpoint` | selects a dict of tensors, and finds the bytes of each |
//! | `onnx` | reads the recurrent nodes of ONNX models |
//! | `sharded` | opens indices, folders and lists of files |
//!
//! Every reader keeps the bytes of a file as they are. Tensors refer to them by range and strides,
//! so that no size in a file leads to an allocation before it is checked against the file.

mod archive;
mod bytes;
mod checkpoint;
mod content;
mod entry;
mod globals;
pub mod onnx;
mod pickle;
mod rebuild;
mod recognise;
mod safetensors;
mod sharded;
mod value;

use std::path::Path;

use crate::error::{Error, Result};
use crate::tensor::room_to_parse;

pub use bytes::Bytes;
pub use content::Content;
pub use entry::Entry;
use recognise::FileType;
pub use sharded::open;

/// Reads the bytes of one file. `key` names a dict in a file of `torch.save`.
///
/// # Errors
/// [`Error::File`] with the type of a file that is not read, or the damage. [`Error::OutOfMemory`]
/// when the host's memory does not hold the names of the tensors and the metadata.
pub fn parse(path: &Path, data: Bytes, key: Option<&str>) -> Result<Content> {
    let what = format_args!("the header of {}", path.display());
    room_to_parse(safetensors::header(&data), what)?;
    read(data, key).map_err(|refusal| match refusal {
        Refusal::Message(message) => Error::File { path: path.to_owned(), message },
        Refusal::Memory(error) => error,
    })
}

/// The reason why a file is not read.
enum Refusal {
    /// Its type, or its damage.
    Message(String),
    /// The host's memory does not hold what the file lists.
    Memory(Error),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Memory(error)
    }
}

fn read(data: Bytes, key: Option<&str>) -> Result<Content, Refusal> {
    match (recognise::recognise(&data)?, key) {
        (FileType::Zip, key) => checkpoint::read(data, key),
        (FileType::Json, _) => Err("a JSON file, expected weights: open an index by its path, \
                                    and in the folder of its files"
            .to_owned()
            .into()),
        (FileType::Safetensors, None) => Ok(safetensors::read(data)?),
        (FileType::Safetensors, Some(key)) => Err(format!(
            "a safetensors file has no keys such as '{key}'; a prefix selects a module"
        )
        .into()),
    }
}
