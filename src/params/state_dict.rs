//! State dicts, read from files.

pub(crate) mod fold;
pub(crate) mod rename;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::files::{self, Bytes, Content};
use crate::error::{Error, Result, printable_path};
use crate::fs;
use crate::tensor::{Tensor, room};

pub use super::files::Entry;

/// The named tensors of one or more files, and their metadata.
#[derive(Debug, Clone)]
pub struct StateDict {
    path: PathBuf,
    content: Content,
}

impl StateDict {
    /// Reads a file of safetensors or of `torch.save`, or a sharded checkpoint: its index, or the
    /// folder of the index. The first bytes of a file give its type.
    ///
    /// A file of `torch.save` may hold tensors and plain values only; nothing in it is run. If it
    /// is a checkpoint with exactly one dict of tensors, that dict is used: see [`key`](Self::key).
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read. [`Error::File`] when it is of another type, which
    /// the text names, when it is not valid, for example because a tensor name occurs twice, or
    /// when it is one shard of several.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_files(&[path], None)
    }

    /// [`open`](Self::open) with the key of a dict in a checkpoint of `torch.save`, such as
    /// `state_dict`, or `model.encoder` for a dict in a dict. An empty key is the outermost dict.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open), and [`Error::File`] when there is no such dict. The text
    /// lists the keys of dicts of tensors.
    pub fn open_key(path: impl AsRef<Path>, key: &str) -> Result<Self> {
        Self::open_files(&[path], Some(key))
    }

    /// [`open`](Self::open) for several files that make one state dict, each with the same key.
    ///
    /// # Errors
    /// The errors of [`open_key`](Self::open_key), and [`Error::File`] when two files have a tensor
    /// of the same name, or when a shard is missing.
    pub fn open_files(paths: &[impl AsRef<Path>], key: Option<&str>) -> Result<Self> {
        let content = files::open(paths, key)?;
        let path = paths.first().map(|path| path.as_ref().to_owned());
        Ok(Self { path: path.unwrap_or_default(), content })
    }

    /// Reads the bytes of a file of safetensors or of `torch.save`, without a copy of them.
    ///
    /// A vector, `include_bytes!`, an `Arc<[u8]>` and a memory map such as `memmap2::Mmap` are
    /// bytes, so a map needs no `unsafe` code here. The bytes live as long as the state dict and
    /// its clones, which share them. Bytes that change meanwhile give other values, or errors.
    ///
    /// ```
    /// # fn main() -> wgpu_rnn::Result<()> {
    /// use wgpu_rnn::StateDict;
    /// let file = include_bytes!(concat!(
    ///     env!("CARGO_MANIFEST_DIR"),
    ///     "/models/shakespeare.safetensors"
    /// ));
    /// let weights = StateDict::from_bytes(file)?;
    /// assert_eq!(weights.shape("decoder.bias"), Some(&[65][..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] as from [`open`](Self::open).
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self> {
        Self::parse("a state dict in memory", bytes)
    }

    /// Creates a state dict of tensors in memory, by their names.
    ///
    /// ```
    /// # fn main() -> wgpu_rnn::Result<()> {
    /// use wgpu_rnn::{StateDict, Tensor};
    /// let weight = Tensor::zeros([2, 3])?;
    /// let weights = StateDict::from_tensors([("fc.weight", &weight)])?;
    /// assert_eq!(weights.shape("fc.weight"), Some(&[2, 3][..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] when two tensors have one name; [`Error::OutOfMemory`] when the host's
    /// memory does not hold a copy.
    pub fn from_tensors<'t>(
        tensors: impl IntoIterator<Item = (&'t str, &'t Tensor)>,
    ) -> Result<Self> {
        let tensors: Vec<_> = tensors.into_iter().collect();
        let mut names = HashSet::new();
        let twice = tensors.iter().find(|(name, _)| !names.insert(*name));
        let path = Path::new("tensors in memory");
        if let Some((name, _)) = twice {
            let message = format!("two tensors have the name '{name}'");
            return Err(Error::File { path: path.to_owned(), message });
        }
        Self::parse(path, to_bytes(path, &tensors, HashMap::new())?)
    }

    /// [`from_bytes`](Self::from_bytes) with a path for the error texts.
    ///
    /// # Errors
    /// The errors of [`from_bytes`](Self::from_bytes).
    pub fn parse(
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(Self { content: files::parse(&path, Bytes::new(bytes), None)?, path })
    }

    /// [`parse`](Self::parse) with the key of a dict in a checkpoint; see
    /// [`open_key`](Self::open_key).
    ///
    /// # Errors
    /// The errors of [`open_key`](Self::open_key), but for [`Error::Io`].
    pub fn parse_key(
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
        key: &str,
    ) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(Self { content: files::parse(&path, Bytes::new(bytes), Some(key))?, path })
    }

    /// Returns the key of the dict that [`open`](Self::open) found in a checkpoint; `None` when the
    /// caller gave the key, or the file holds nothing but the dict.
    pub fn key(&self) -> Option<&str> {
        self.content.key.as_deref()
    }

    /// Returns the type of the files, such as `safetensors` or `PyTorch (zip)`.
    pub fn file_type(&self) -> &str {
        &self.content.file_type
    }

    /// Returns the path of the file; of several, the first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.content.entries.keys().map(String::as_str)
    }

    /// Returns the names that start with `prefix` and have no further dot, sorted: the parameters
    /// of one module.
    pub fn names_under(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.names()
            .filter(move |name| name.strip_prefix(prefix).is_some_and(|rest| !rest.contains('.')))
    }

    /// Returns the size of each axis of a tensor, or `None` without one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.get(name).map(Entry::shape)
    }

    /// Returns the type of a tensor's elements as safetensors names it, such as `F32` or `I64`, or
    /// `None` without a tensor of that name.
    pub fn dtype(&self, name: &str) -> Option<String> {
        self.get(name).map(|entry| entry.dtype().to_string())
    }

    /// Returns the tensor of that name, or `None` without one.
    #[doc(hidden)]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.content.entries.get(name)
    }

    /// Returns a value of the file's metadata, or `None` without the key. In a file of `torch.save`
    /// the values that are no tensors are metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key).map(String::as_str)
    }

    /// Returns all of the file's metadata, sorted by key.
    pub fn all_metadata(&self) -> BTreeMap<&str, &str> {
        self.content.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// Returns the bytes of a tensor in row-major order, as the file has them.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such tensor, [`Error::OutOfMemory`] when the host's memory
    /// does not hold a copy of one with gaps.
    #[doc(hidden)]
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let entry = self.require(name)?;
        if !entry.is_dense() {
            room(entry.size() / 4, format_args!("'{name}'"))?;
        }
        entry.bytes(&self.content.data).ok_or_else(|| Error::File {
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
        let bytes = self.bytes(name)?;
        room(bytes.len() / 2, format_args!("'{name}'"))?;
        let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
        Ok(match self.require(name)?.dtype() {
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

    /// Returns the values of a tensor of integers, such as tokens, lengths, or the
    /// `num_batches_tracked` of `nn.BatchNorm1d`: every integer type, and BOOL as 0 and 1.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such tensor, its type is no integer, or a U64 is over I64.
    pub fn i64(&self, name: &str) -> Result<Vec<i64>> {
        let entry = self.require(name)?;
        let bytes = &*self.bytes(name)?;
        // Two vectors, of at most eight bytes for each one that is read.
        room(bytes.len().saturating_mul(4), format_args!("'{name}'"))?;
        let refuse = |message: String| Error::File { path: self.path.clone(), message };
        Ok(match entry.dtype() {
            Dtype::I64 => integers(bytes, i64::from_le_bytes),
            Dtype::I32 => integers(bytes, |b| i32::from_le_bytes(b).into()),
            Dtype::I16 => integers(bytes, |b| i16::from_le_bytes(b).into()),
            Dtype::I8 => integers(bytes, |b| i8::from_le_bytes(b).into()),
            Dtype::U32 => integers(bytes, |b| u32::from_le_bytes(b).into()),
            Dtype::U16 => integers(bytes, |b| u16::from_le_bytes(b).into()),
            Dtype::U8 => integers(bytes, |b| u8::from_le_bytes(b).into()),
            Dtype::BOOL => integers(bytes, |b| (b != [0]).into()),
            Dtype::U64 => {
                let values = integers(bytes, u64::from_le_bytes).into_iter().map(|value| {
                    let over = || refuse(format!("'{name}' holds {value}, which exceeds I64"));
                    i64::try_from(value).map_err(|_| over())
                });
                values.collect::<Result<_>>()?
            }
            other => {
                return Err(refuse(format!(
                    "'{name}' has dtype {other}, expected integers such as I64 or I32; convert it \
                     with tensor.to(torch.int64)"
                )));
            }
        })
    }

    /// Returns the tensor `lengths`: the valid steps of each row.
    ///
    /// # Errors
    /// [`Error::File`] when it is missing, is not a vector of integers, or holds a negative length.
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
        Tensor::new(self.require(name)?.shape(), self.f32(name)?)
    }

    /// Returns an input for a model with `f32` weights. No type is converted silently.
    ///
    /// # Errors
    /// [`Error::Option`] in PyTorch's words when the type is not F32, [`Error::File`] when the
    /// tensor is missing.
    pub fn input(&self, name: &str) -> Result<Tensor> {
        let torch = match self.require(name)?.dtype() {
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
             input: input.to(torch.float32), or convert model: model.to({torch}). \
             Here every model runs in float32: convert the input"
        )))
    }
}

/// Converts little-endian bytes to integers. A safetensors file has whole values only.
fn integers<const BYTES: usize, T>(bytes: &[u8], value: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|bytes| value(*bytes)).collect()
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
    fs::write(path.as_ref(), &to_bytes(path.as_ref(), tensors, metadata)?)
}

/// Returns the bytes of a safetensors file. `path` serves only the error texts.
///
/// # Errors
/// [`Error::File`] when a tensor cannot be stored, [`Error::OutOfMemory`] when the host's memory
/// does not hold the file.
pub fn to_bytes(
    path: &Path,
    tensors: &[(&str, &Tensor)],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    // The bytes of the tensors, and those of the file.
    let values = tensors.iter().map(|(_, tensor)| tensor.data().len()).sum::<usize>();
    room(values.saturating_mul(2), printable_path(path))?;
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
    safetensors::serialize(views, metadata).map_err(invalid)
}
