//! The values of tensors in a model.

use std::borrow::Cow;
use std::cell::{Ref, RefCell};
use std::ops::Deref;
use std::path::Path;

use half::{bf16, f16};
use rten_onnx::onnx::{DataLocation, DataType, TensorProto};

use super::external;
use super::graphs::{Graphs, Maker, is_standard, operator};
use crate::error::{Error, Result};
use crate::tensor::{element_count, room};

/// The most nodes between a tensor and its reader.
pub const MOST_STEPS: usize = 16;

/// A tensor that the file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// The name of the value that the node reads.
    pub name: String,
    /// The size of each axis.
    pub shape: Vec<usize>,
    /// The type that the node reads. A tensor behind a `Cast` may be narrower.
    pub dtype: DataType,
    /// The index in [`Graphs::tensors`].
    pub(super) tensor: usize,
}

/// Returns the tensor that a value is, through `Identity` and through `Cast` to f32.
///
/// # Errors
/// A message that names the node that computes the value when the model runs.
pub fn constant(graphs: &Graphs, graph: usize, name: &str) -> Result<Constant, String> {
    let (mut at, mut value, mut widened) = (graph, name, false);
    for _ in 0..MOST_STEPS {
        match graphs.maker(at, value) {
            None => return Err(format!("'{name}' is made nowhere in the model")),
            Some(Maker::Input) => {
                return Err(format!(
                    "'{name}' is an input of the model; expected a tensor that the file holds: \
                     export the model with its weights"
                ));
            }
            Some(Maker::Tensor(tensor)) => {
                let found = &graphs.tensors[tensor];
                let stored = found.data_type.unwrap_or(DataType(0));
                let shape = shape(found).map_err(|error| format!("'{name}': {error}"))?;
                let dtype = if widened { widen(stored, name)? } else { stored };
                return Ok(Constant { name: name.to_owned(), shape, dtype, tensor });
            }
            Some(Maker::Node { place, .. }) => {
                let node = graphs.node(place);
                match (is_standard(node), operator(node)) {
                    (true, "Identity") => {}
                    (true, "Cast") if is_to_f32(node) => widened = true,
                    _ => {
                        return Err(format!(
                            "'{name}' is computed when the model runs, by {} '{}'; expected a \
                             tensor that the file holds: export the model with constants folded",
                            operator(node),
                            graphs.path(place)
                        ));
                    }
                }
                (at, value) = (place.graph, node.input.first().map_or("", String::as_str));
            }
        }
    }
    Err(format!("'{name}' is behind more than {MOST_STEPS} nodes, or behind a cycle"))
}

fn is_to_f32(node: &rten_onnx::onnx::NodeProto) -> bool {
    let to = |a: &rten_onnx::onnx::AttributeProto| {
        a.name.as_deref() == Some("to") && a.i == Some(DataType::FLOAT.0.into())
    };
    node.attribute.iter().any(to)
}

fn widen(stored: DataType, name: &str) -> Result<DataType, String> {
    match stored {
        DataType::FLOAT | DataType::FLOAT16 | DataType::BFLOAT16 => Ok(DataType::FLOAT),
        other => {
            Err(format!("'{name}' is cast from {other} to FLOAT; expected FLOAT16 or BFLOAT16"))
        }
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
    fn new(model: &'a Path, graphs: &'a Graphs, constant: &'a Constant) -> Result<Self> {
        let tensor = &graphs.tensors[constant.tensor];
        let count = constant.shape.iter().product();
        let values = Self { model, tensor, name: &constant.name, count };
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
            let (halves, _) = bytes.as_chunks();
            return Ok(halves.iter().map(|half| u16::from_le_bytes(*half)).collect());
        }
        let half = |&bits: &i32| {
            u16::try_from(bits)
                .map_err(|_| self.refuse(format_args!("{bits} is no value of 16 bits")))
        };
        self.typed(&self.tensor.int32_data)?.iter().map(half).collect()
    }
}

/// Returns the values of a tensor of f32, f16 or bf16.
///
/// # Errors
/// [`Error::File`] when the type is another one, or the values do not fill the shape;
/// [`Error::Io`] when a file of external data cannot be read; [`Error::OutOfMemory`] when the
/// host's memory does not hold them.
pub fn floats(model: &Path, graphs: &Graphs, constant: &Constant) -> Result<Vec<f32>> {
    let values = Values::new(model, graphs, constant)?;
    let stored = values.tensor.data_type.unwrap_or(DataType(0));
    // Nothing is reserved for a shape that the file does not fill.
    match stored {
        DataType::FLOAT => Ok(match values.bytes(4)? {
            Some(bytes) => {
                room(values.count, &constant.name)?;
                bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
            }
            None => values.typed(&values.tensor.float_data)?.to_vec(),
        }),
        DataType::FLOAT16 => {
            Ok(values.halves()?.iter().map(|bits| f16::from_bits(*bits).to_f32()).collect())
        }
        DataType::BFLOAT16 => {
            Ok(values.halves()?.iter().map(|bits| bf16::from_bits(*bits).to_f32()).collect())
        }
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
    let values = Values::new(model, graphs, constant)?;
    match values.tensor.data_type {
        Some(DataType::INT64) => Ok(match values.bytes(8)? {
            Some(bytes) => {
                bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value)).collect()
            }
            None => values.typed(&values.tensor.int64_data)?.to_vec(),
        }),
        Some(DataType::INT32) => Ok(match values.bytes(4)? {
            Some(bytes) => {
                let (values, _) = bytes.as_chunks();
                values.iter().map(|value| i32::from_le_bytes(*value).into()).collect()
            }
            None => values
                .typed(&values.tensor.int32_data)?
                .iter()
                .map(|value| (*value).into())
                .collect(),
        }),
        other => Err(values.refuse(format_args!(
            "its type is {}; expected INT64 or INT32",
            other.unwrap_or(DataType(0))
        ))),
    }
}
