//! State dicts, read from safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::fs;
use crate::tensor::Tensor;

/// One tensor of a file: shape, element type and bytes.
#[derive(Debug, Clone)]
pub struct Entry {
    shape: Vec<usize>,
    dtype: Dtype,
    /// The range of its bytes in the file.
    bytes: std::ops::Range<usize>,
}

impl Entry {
    /// Returns the size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the element type, as safetensors names it.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns whether the values can be widened to `f32` without loss.
    pub fn is_loadable(&self) -> bool {
        matches!(self.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
    }
}

/// The named tensors of a safetensors file, and its metadata.
#[derive(Debug, Clone)]
pub struct StateDict {
    path: PathBuf,
    data: Vec<u8>,
    entries: BTreeMap<String, Entry>,
    metadata: HashMap<String, String>,
}

impl StateDict {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read. [`Error::File`] when it is not a valid safetensors
    /// file, for example because a tensor name occurs twice.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let data =
            std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::parse(path, data)
    }

    /// Parses the bytes of a safetensors file. `path` serves only the error texts.
    ///
    /// # Errors
    /// [`Error::File`] when the bytes are not a valid safetensors file.
    pub fn parse(path: impl AsRef<Path>, data: Vec<u8>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let refuse = |message: String| Error::File { path: path.clone(), message };
        let not_valid = |error: &dyn std::fmt::Display| {
            refuse(format!("not a valid safetensors file: {error}"))
        };
        let (header_len, header) = SafeTensors::read_metadata(&data).map_err(|e| not_valid(&e))?;
        // The header follows 8 bytes of length. The crate keeps only the last of two equal names,
        // which loses data.
        refuse_duplicates(&data[8..8 + header_len]).map_err(|e| not_valid(&e))?;
        let start = 8 + header_len;
        let entries = header
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (begin, end) = info.data_offsets;
                let bytes = start + begin..start + end;
                (name, Entry { shape: info.shape.clone(), dtype: info.dtype, bytes })
            })
            .collect();
        let metadata = header
            .metadata()
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(Self { path, data, entries, metadata })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns the names that start with `prefix` and have no further dot, sorted: the parameters
    /// of one module.
    pub fn names_under(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.names()
            .filter(move |name| name.strip_prefix(prefix).is_some_and(|rest| !rest.contains('.')))
    }

    /// Returns the tensor of that name, or `None` without one.
    #[doc(hidden)]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Returns a value of the file's metadata, or `None` without the key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Returns all of the file's metadata, sorted by key.
    pub fn all_metadata(&self) -> BTreeMap<&str, &str> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// Returns the raw bytes of a tensor.
    fn bytes(&self, entry: &Entry) -> Result<&[u8]> {
        self.data.get(entry.bytes.clone()).ok_or_else(|| Error::File {
            path: self.path.clone(),
            message: "the file ends before its last tensor".to_owned(),
        })
    }

    fn require(&self, name: &str) -> Result<&Entry> {
        self.get(name).ok_or_else(|| Error::File {
            path: self.path.clone(),
            message: format!("there is no tensor '{name}'"),
        })
    }

    /// Returns the values of a tensor, widened from f16 or bf16 where necessary.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such tensor or its type is not F32, F16 or BF16.
    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        let entry = self.require(name)?;
        let bytes = self.bytes(entry)?;
        let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
        Ok(match entry.dtype {
            Dtype::F32 => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => halves().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => halves().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
            other => {
                return Err(Error::File {
                    path: self.path.clone(),
                    message: format!("'{name}' has dtype {other}, expected F32, F16 or BF16"),
                });
            }
        })
    }

    /// Returns the values of an I64 tensor.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such tensor or its type is not I64.
    pub fn i64(&self, name: &str) -> Result<Vec<i64>> {
        let entry = self.require(name)?;
        if entry.dtype != Dtype::I64 {
            return Err(Error::File {
                path: self.path.clone(),
                message: format!("'{name}' has dtype {}, expected I64", entry.dtype),
            });
        }
        let value = |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        Ok(self.bytes(entry)?.chunks_exact(8).map(value).collect())
    }

    /// Returns the tensor `lengths`: the valid steps of each row.
    ///
    /// # Errors
    /// [`Error::File`] when it is missing, is not a vector of I64, or holds a negative length.
    pub fn lengths(&self) -> Result<Vec<usize>> {
        let refuse = |message: String| Error::File { path: self.path.clone(), message };
        let shape = self.require("lengths")?.shape();
        if shape.len() != 1 {
            return Err(refuse(format!(
                "'lengths' should be a 1D tensor, but got {}D",
                shape.len()
            )));
        }
        let length = |value: i64| {
            usize::try_from(value).map_err(|_| {
                refuse(format!("'lengths' holds {value}; a length cannot be negative"))
            })
        };
        self.i64("lengths")?.into_iter().map(length).collect()
    }

    /// Returns the tensor of that name as `f32`.
    ///
    /// # Errors
    /// The errors of [`f32`](Self::f32).
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        Tensor::new(self.require(name)?.shape.clone(), self.f32(name)?)
    }

    /// Returns an input for a model with `f32` weights. No type is converted silently.
    ///
    /// # Errors
    /// [`Error::Option`] in PyTorch's words when the type is not F32, [`Error::File`] when the
    /// tensor is missing.
    pub fn input(&self, name: &str) -> Result<Tensor> {
        let torch = match self.require(name)?.dtype {
            Dtype::F32 => return self.tensor(name),
            Dtype::F64 => "torch.float64".to_owned(),
            Dtype::F16 => "torch.float16".to_owned(),
            Dtype::BF16 => "torch.bfloat16".to_owned(),
            Dtype::I64 => "torch.int64".to_owned(),
            Dtype::I32 => "torch.int32".to_owned(),
            Dtype::BOOL => "torch.bool".to_owned(),
            other => other.to_string(),
        };
        Err(Error::Option(format!(
            "RNN {name} dtype ({torch}) does not match weight dtype (torch.float32). Convert \
             input: input.to(torch.float32), or convert model: model.to({torch})"
        )))
    }
}

/// Writes tensors to a safetensors file, whole or not at all: a temporary file in the same folder
/// is renamed at the end.
///
/// A path that exists and is not a file, such as a pipe or `/dev/null`, is written to directly.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written; [`Error::File`] when a tensor cannot be stored.
pub fn save(path: impl AsRef<Path>, tensors: &[(&str, &Tensor)]) -> Result<()> {
    save_with_metadata(path, tensors, HashMap::new())
}

/// [`save`] with metadata.
///
/// # Errors
/// The errors of [`save`].
pub fn save_with_metadata(
    path: impl AsRef<Path>,
    tensors: &[(&str, &Tensor)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    // Converts to the map type of safetensors, which differs without its feature `std`.
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
    let bytes: Vec<(&str, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| (*name, tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let invalid = |e: safetensors::SafeTensorError| Error::File {
        path: path.to_owned(),
        message: e.to_string(),
    };
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, tensor), (_, data)) in tensors.iter().zip(&bytes) {
        let view = safetensors::tensor::TensorView::new(Dtype::F32, tensor.shape().to_vec(), data);
        views.push((*name, view.map_err(invalid)?));
    }
    let file = safetensors::serialize(views, metadata).map_err(invalid)?;
    fs::write(path, &file)
}

/// Iterates over the header's top-level names and fails on the first that occurs twice.
fn refuse_duplicates(header: &[u8]) -> Result<(), serde_json::Error> {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of tensors")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = std::collections::HashSet::new();
            while let Some(name) = map.next_key::<String>()? {
                if seen.contains(&name) {
                    return Err(serde::de::Error::custom(format!(
                        "the tensor name '{name}' occurs twice"
                    )));
                }
                map.next_value::<serde::de::IgnoredAny>()?;
                seen.insert(name);
            }
            Ok(())
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_slice(header), Names)
}
