//! The values of a pickle.
//!
//! They are in one list and refer to each other by index. A value that holds itself, or a deep nest
//! of values, is therefore no problem for the reader, and a value that occurs often is held once.

use safetensors::Dtype;

use super::globals::{Global, shown};
use crate::error::Error;
use crate::tensor::grow;

/// The index of a value.
pub type Id = usize;

/// A storage: the bytes of one or more tensors.
#[derive(Debug, Clone, Copy)]
pub struct Storage<'a> {
    /// Its name in the archive's folder `data`.
    pub name: &'a str,
    /// The type of its elements; `None` for bytes.
    pub dtype: Option<Dtype>,
    /// The number of elements.
    pub len: usize,
}

/// A tensor: a view of a storage. It refers to its sizes, since many tensors can share them.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    pub storage: Storage<'a>,
    /// The type of the elements, which the storage may not have.
    pub dtype: Dtype,
    /// The place of the first element in the storage, in elements.
    pub offset: Id,
    pub shape: Id,
    /// The distance between two neighbours on each axis, in elements.
    pub strides: Id,
}

/// A value.
#[derive(Debug)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// A value that has no use here, by its name.
    Other(&'static str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Pairs in the order of the file.
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

impl Value<'_> {
    /// Returns a name for error texts and for metadata.
    pub fn describe(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("'{}'", shown(text)),
            Self::Other(name) => (*name).to_owned(),
            Self::Tuple(items) => format!("a tuple of {}", items.len()),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Dict(pairs) => format!("a dict of {}", pairs.len()),
            Self::Global(_) => "a class or function".to_owned(),
            Self::Storage(_) => "a storage".to_owned(),
            Self::Tensor(_) => "a tensor".to_owned(),
        }
    }
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub struct Values<'a>(Vec<Value<'a>>);

impl<'a> Values<'a> {
    /// The most values of a pickle: a state dict has some twenty for each tensor.
    pub const MOST: usize = 1 << 20;

    /// The most axes of a tensor.
    const AXES: usize = 16;

    /// Makes room for one more value. `what` names the values.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the host's memory does not hold it.
    pub fn grow(&mut self, what: &str) -> Result<(), Error> {
        // After the last one, `add` refuses.
        if self.0.len() == Self::MOST { Ok(()) } else { grow(&mut self.0, 1, what) }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// A message when there are too many.
    pub fn add(&mut self, value: Value<'a>) -> Result<Id, String> {
        if self.0.len() >= Self::MOST {
            return Err(format!("the pickle holds more than {} values", Self::MOST));
        }
        self.0.push(value);
        Ok(self.0.len() - 1)
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a value.
    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.0[id]
    }

    /// Returns a value to change.
    pub fn get_mut(&mut self, id: Id) -> &mut Value<'a> {
        &mut self.0[id]
    }

    /// Returns the items of a tuple.
    ///
    /// # Errors
    /// A message when it is no tuple.
    pub fn tuple(&self, id: Id) -> Result<&[Id], String> {
        match self.get(id) {
            Value::Tuple(items) => Ok(items),
            other => Err(format!("the pickle has {}, expected a tuple", other.describe())),
        }
    }

    /// Returns a size.
    ///
    /// # Errors
    /// A message when it is no whole number, or is negative.
    pub fn size(&self, id: Id) -> Result<usize, String> {
        match self.get(id) {
            Value::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
        .ok_or_else(|| format!("the pickle has {}, expected a size", self.get(id).describe()))
    }

    /// Returns the sizes of a tuple.
    ///
    /// # Errors
    /// A message when it holds anything but sizes, or too many.
    pub fn sizes(&self, id: Id) -> Result<Vec<usize>, String> {
        let items = self.tuple(id)?;
        if items.len() > Self::AXES {
            return Err(format!(
                "a tensor has {} axes, at most {} are read",
                items.len(),
                Self::AXES
            ));
        }
        items.iter().map(|&item| self.size(item)).collect()
    }

    /// Returns a text, or `None` for another value.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a class or function, or `None` for another value.
    pub fn global(&self, id: Id) -> Option<Global> {
        match self.get(id) {
            Value::Global(global) => Some(*global),
            _ => None,
        }
    }
}
