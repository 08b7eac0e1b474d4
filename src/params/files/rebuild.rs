//! The results of the calls in a pickle of `torch.save`: tensors and plain containers.
//!
//! The arguments are those of the functions of the same names in `torch/_utils.py` and
//! `torch/_tensor.py`. No call copies a value, so that many calls need little memory.

use super::globals::Global;
use super::value::{Id, Storage, Tensor, Value, Values};

/// Returns the result of `function` with the arguments in the tuple `arguments`.
///
/// # Errors
/// A message when the arguments are not those that `torch.save` writes.
pub fn call(values: &mut Values<'_>, function: Global, arguments: Id) -> Result<Id, String> {
    let given = values.tuple(arguments)?;
    match (function, given) {
        (Global::OrderedDict, []) => values.add(Value::Dict(Vec::new())),
        (Global::Size, &[sizes]) => Ok(sizes),
        (Global::Device, _) => values.add(Value::Other("a device")),
        (Global::RebuildTensor, &[storage, offset, shape, strides]) => {
            tensor(values, storage, [offset, shape, strides], None)
        }
        // The arguments that follow are `requires_grad`, hooks and metadata.
        (Global::RebuildTensorV2, &[storage, offset, shape, strides, _, _, ref metadata @ ..]) => {
            refuse_metadata(values, metadata)?;
            tensor(values, storage, [offset, shape, strides], None)
        }
        (
            Global::RebuildTensorV3,
            &[storage, offset, shape, strides, _, _, dtype, ref metadata @ ..],
        ) => {
            refuse_metadata(values, metadata)?;
            tensor(values, storage, [offset, shape, strides], Some(dtype))
        }
        (Global::RebuildParameter, &[data, _, _, ..]) => match values.get(data) {
            Value::Tensor(_) => Ok(data),
            other => Err(format!("the pickle makes a parameter of {}", other.describe())),
        },
        // The last argument holds attributes that a program gave the tensor.
        (Global::RebuildFromType, &[function, class, arguments, _]) => {
            match (values.global(function), values.global(class)) {
                (Some(Global::RebuildFromType), _) => {
                    Err("the pickle makes a tensor of itself".to_owned())
                }
                (Some(function), Some(Global::TensorType)) => call(values, function, arguments),
                _ => Err("the pickle makes a tensor of an unknown class".to_owned()),
            }
        }
        _ => Err(format!(
            "the pickle calls a function with {} arguments, which torch.save never does",
            given.len()
        )),
    }
}

/// Refuses metadata of a tensor, such as its lazy negation: it changes the values.
fn refuse_metadata(values: &Values<'_>, metadata: &[Id]) -> Result<(), String> {
    let empty = |id: &Id| match values.get(*id) {
        Value::None => true,
        Value::Dict(pairs) => pairs.is_empty(),
        _ => false,
    };
    if metadata.len() <= 1 && metadata.iter().all(empty) {
        return Ok(());
    }
    Err("the pickle holds a tensor with metadata, such as a lazy negation; save tensor.clone()"
        .to_owned())
}

/// Adds a tensor of a storage, its place `[offset, shape, strides]` and its type.
fn tensor(
    values: &mut Values<'_>,
    storage: Id,
    [offset, shape, strides]: [Id; 3],
    dtype: Option<Id>,
) -> Result<Id, String> {
    let Value::Storage(storage) = *values.get(storage) else {
        return Err(format!(
            "the pickle makes a tensor of {}, expected a storage",
            values.get(storage).describe()
        ));
    };
    let dtype = match dtype.map(|dtype| values.global(dtype)) {
        None => storage.dtype,
        Some(Some(Global::Dtype(dtype))) => Some(dtype),
        Some(_) => None,
    };
    let dtype = dtype.ok_or("the pickle holds a tensor of an unknown type of elements")?;
    values.add(Value::Tensor(Tensor { storage, dtype, offset, shape, strides }))
}

/// Adds the storage of a persistent id: `("storage", type, name, device, number of elements)`.
///
/// # Errors
/// A message when the id is no such tuple.
pub fn storage(values: &mut Values<'_>, id: Id) -> Result<Id, String> {
    let refuse = || Err("the pickle refers to an object that is no storage".to_owned());
    let &[kind, class, name, _, len] = values.tuple(id)? else { return refuse() };
    match (values.text(kind), values.global(class), values.text(name)) {
        (Some("storage"), Some(Global::Storage(dtype)), Some(name)) => {
            let len = values.size(len)?;
            values.add(Value::Storage(Storage { name, dtype, len }))
        }
        _ => refuse(),
    }
}
