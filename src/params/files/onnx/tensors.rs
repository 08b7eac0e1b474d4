//! The values of tensors in a model.

use std::borrow::Cow;
use std::cell::{Ref, RefCell};
use std::ops::{Deref, Range};
use std::path::Path;

use half::{bf16, f16};
use rten_onnx::onnx::{DataLocation, DataType, TensorProto};

use super::external;
use super::graphs::{Graphs, Maker, operator};
use crate::error::{Error, Result};
use crate::tensor::{copied, element_count, grow, room};

/// The most nodes between a tensor and its reader.
pub const MOST_STEPS: usize = 16;

/// A tensor that the file holds, whole or as parts of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// The name of the value that the node reads.
    pub name: String,
    /// The size of each axis.
    pub shape: Vec<usize>,
    /// The type that the node reads. A tensor behind a `Cast` may be narrower.
    pub dtype: DataType,
    /// The values, one part after the other.
    pub(super) parts: Vec<Part>,
}

/// A range of the values of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// The index in [`Graphs::tensors`].
    pub tensor: usize,
    pub values: Range<usize>,
}

/// Returns a tensor of the file by its name.
///
/// # Errors
/// A message that names the node that computes the value when the model runs.
pub fn tensor(graphs: &Graphs, graph: usize, name: &str) -> Result<Constant, String> {
    match graphs.maker(graph, name) {
        None => Err(format!("'{name}' is made nowhere in the model")),
        Some(Maker::Input) => Err(format!(
            "'{name}' is an input of the model; expected a tensor that the file holds: export the \
             model with its weights"
        )),
        Some(Maker::Tensor(tensor)) => {
            let found = &graphs.tensors[tensor];
            let shape = shape(found).map_err(|error| format!("'{name}': {error}"))?;
            let values = 0..shape.iter().product();
            Ok(Constant {
                name: name.to_owned(),
                shape,
                dtype: found.data_type.unwrap_or(DataType(0)),
                parts: vec![Part { tensor, values }],
            })
        }
        Some(Maker::Node { place, .. }) => Err(format!(
            "'{name}' is computed when the model runs, by {} '{}'; expected a tensor that the file \
             holds: export the model with constants folded",
            operator(graphs.node(place)),
            graphs.path(place)
        )),
    }
}

fn shape(tensor: &TensorProto) -> Result<Vec<usize>, String> {
    let size = |&size: &i64| usize::try_from(size).map_err(|_| format!("an axis of size {size}"));
    let shape = tensor.dims.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    match element_count(&shape) {
        Some(_) => Ok(shape),
        None => Err(format!("a shape of {shape:?}, which no memory holds")),
    }
}

/// Bytes of a model, or of a file beside it.
enum Stored<'a> {
    Inside(Ref<'a, Vec<u8>>),
    Outside(Vec<u8>),
}

impl Deref for Stored<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inside(bytes) => bytes,
            Self::Outside(bytes) => bytes,
        }
    }
}

/// The values of one tensor, which are in exactly one of several places.
struct Values<'a> {
    model: &'a Path,
    tensor: &'a TensorProto,
    name: &'a str,
    count: usize,
}

impl<'a> Values<'a> {
    fn new(model: &'a Path, tensor: &'a TensorProto, name: &'a str) -> Result<Self> {
        let refuse = |message| Error::File { path: model.to_owned(), message };
        let count = shape(tensor).map_err(refuse)?.iter().product();
        let values = Self { model, tensor, name, count };
        let places = [
            tensor.raw_data.is_some(),
            !tensor.float_data.is_empty(),
            !tensor.int32_data.is_empty(),
            !tensor.int64_data.is_empty(),
            !tensor.double_data.is_empty(),
            tensor.data_location == Some(DataLocation::EXTERNAL),
        ];
        if places.iter().filter(|place| **place).count() > 1 {
            return Err(values.refuse("its values are in two places; save the model again"));
        }
        Ok(values)
    }

    fn refuse(&self, message: impl std::fmt::Display) -> Error {
        Error::File { path: self.model.to_owned(), message: format!("'{}': {message}", self.name) }
    }

    /// The bytes of values of `size` bytes; `None` when the values are in a typed field.
    fn bytes(&self, size: usize) -> Result<Option<Stored<'a>>> {
        let Some(needed) = self.count.checked_mul(size) else {
            return Err(self.refuse("no memory holds its shape"));
        };
        let stored = if self.tensor.data_location == Some(DataLocation::EXTERNAL) {
            let name = format!("'{}'", self.name);
            Stored::Outside(external::read(self.model, self.tensor, needed, &name)?)
        } else {
            let Some(bytes) = &self.tensor.raw_data else { return Ok(None) };
            Stored::Inside(RefCell::borrow(bytes))
        };
        if stored.len() != needed {
            return Err(self.refuse(format_args!(
                "its shape needs {needed} bytes, but the file has {}",
                stored.len()
            )));
        }
        Ok(Some(stored))
    }

    /// Checks the number of values in a typed field.
    fn typed<T>(&self, values: &'a [T]) -> Result<&'a [T]> {
        if values.len() == self.count {
            return Ok(values);
        }
        Err(self.refuse(format_args!(
            "its shape needs {} values, but the file has {}",
            self.count,
            values.len()
        )))
    }

    /// The bits of 16-bit values.
    fn halves(&self) -> Result<Cow<'a, [u16]>> {
        if let Some(bytes) = self.bytes(2)? {
            room(self.count, "values of 16 bits")?;
            let (halves, _) = bytes.as_chunks();
            return Ok(halves.iter().map(|half| u16::from_le_bytes(*half)).collect());
        }
        let half = |&bits: &i32| {
            u16::try_from(bits)
                .map_err(|_| self.refuse(format_args!("{bits} is no value of 16 bits")))
        };
        let values = self.typed(&self.tensor.int32_data)?;
        room(self.count, "values of 16 bits")?;
        values.iter().map(half).collect()
    }
}

/// Returns the values of parts that `read` takes from whole tensors.
fn joined<T: Copy>(
    graphs: &Graphs,
    constant: &Constant,
    read: impl Fn(&TensorProto) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let mut whole = (usize::MAX, Vec::new());
    let mut joined = Vec::new();
    for Part { tensor, values } in &constant.parts {
        // Most parts of one tensor follow each other.
        if whole.0 != *tensor {
            whole = (*tensor, read(&graphs.tensors[*tensor])?);
        }
        if constant.parts.len() == 1 && *values == (0..whole.1.len()) {
            return Ok(whole.1);
        }
        grow(&mut joined, values.len(), &constant.name)?;
        joined.extend_from_slice(&whole.1[values.clone()]);
    }
    Ok(joined)
}

/// Returns the values of a tensor of f32, f16 or bf16.
///
/// # Errors
/// [`Error::File`] when the type is another one, or the values do not fill the shape;
/// [`Error::Io`] when a file of external data cannot be read; [`Error::OutOfMemory`] when the
/// host's memory does not hold them.
pub fn floats(model: &Path, graphs: &Graphs, constant: &Constant) -> Result<Vec<f32>> {
    joined(graphs, constant, |tensor| whole_floats(model, tensor, &constant.name))
}

fn whole_floats(model: &Path, tensor: &TensorProto, name: &str) -> Result<Vec<f32>> {
    let values = Values::new(model, tensor, name)?;
    let stored = values.tensor.data_type.unwrap_or(DataType(0));
    // Nothing is reserved for a shape that the file does not fill.
    let wide = |of: fn(u16) -> f32| {
        let halves = values.halves()?;
        room(halves.len(), name)?;
        Ok(halves.iter().map(|bits| of(*bits)).collect())
    };
    match stored {
        DataType::FLOAT => match values.bytes(4)? {
            Some(bytes) => {
                room(values.count, name)?;
                Ok(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
            }
            None => copied(values.typed(&values.tensor.float_data)?, name),
        },
        DataType::FLOAT16 => wide(|bits| f16::from_bits(bits).to_f32()),
        DataType::BFLOAT16 => wide(|bits| bf16::from_bits(bits).to_f32()),
        other => {
            Err(values
                .refuse(format_args!("its type is {other}; expected FLOAT, FLOAT16 or BFLOAT16")))
        }
    }
}

/// Returns the values of a tensor of INT64 or INT32, such as axes.
///
/// # Errors
/// The errors of [`floats`].
pub fn integers(model: &Path, graphs: &Graphs, constant: &Constant) -> Result<Vec<i64>> {
    joined(graphs, constant, |tensor| whole_integers(model, tensor, &constant.name))
}

fn whole_integers(model: &Path, tensor: &TensorProto, name: &str) -> Result<Vec<i64>> {
    let values = Values::new(model, tensor, name)?;
    // A value takes the memory of two floats.
    let room = || room(values.count.saturating_mul(2), name);
    match values.tensor.data_type {
        Some(DataType::INT64) => Ok(match values.bytes(8)? {
            Some(bytes) => {
                room()?;
                bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value)).collect()
            }
            None => copied(values.typed(&values.tensor.int64_data)?, name)?,
        }),
        Some(DataType::INT32) => Ok(match values.bytes(4)? {
            Some(bytes) => {
                room()?;
                let (values, _) = bytes.as_chunks();
                values.iter().map(|value| i32::from_le_bytes(*value).into()).collect()
            }
            None => {
                let values = values.typed(&values.tensor.int32_data)?;
                room()?;
                values.iter().map(|value| (*value).into()).collect()
            }
        }),
        other => Err(values.refuse(format_args!(
            "its type is {}; expected INT64 or INT32",
            other.unwrap_or(DataType(0))
        ))),
    }
}
