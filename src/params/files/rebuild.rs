//! The results of the calls in a pickle of `torch.save`: tensors and plain containers.
//!
//! The arguments are those of the functions of the same names in `torch/_utils.py` and
//! `torch/_tensor.py`.

use super::globals::Global;
use super::value::{Id, Storage, Tensor, Value, Values};

/// Returns the result of `function` with the arguments in the tuple `arguments`.
///
/// # Errors
/// A message when the arguments are not those that `torch.save` writes.
pub fn call<'a>(values: &Values<'a>, function: Global, arguments: Id) -> Result<Value<'a>, String> {
    let given = values.tuple(arguments)?;
    match (function, given) {
        (Global::OrderedDict, []) => Ok(Value::Dict(Vec::new())),
        (Global::Size, &[sizes]) => Ok(Value::Tuple(values.tuple(sizes)?.to_vec())),
        (Global::Device, _) => Ok(Value::Other("a device")),
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
        (Global::RebuildParameter, &[data, _, _]) => match values.get(data) {
            tensor @ Value::Tensor(_) => Ok(tensor.clone()),
            other => Err(format!("the pickle makes a parameter of {}", other.describe())),
        },
        // The last argument holds attributes that a program gave the tensor.
        (Global::RebuildFromType, &[function, class, arguments, _]) => {
            match (values.global(function), values.global(class)) {
                (Some(function), Some(Global::TensorType))
                    if function != Global::RebuildFromType =>
                {
                    call(values, function, arguments)
                }
                _ => Err("the pickle makes a tensor of an unknown class".to_owned()),
            }
        }
        _ => Err(format!("the pickle calls {function:?} with {} arguments", given.len())),
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

/// Returns a tensor from its storage, its place `[offset, shape, strides]` and its type.
fn tensor<'a>(
    values: &Values<'a>,
    storage: Id,
    [offset, shape, strides]: [Id; 3],
    dtype: Option<Id>,
) -> Result<Value<'a>, String> {
    let Value::Storage(storage) = *values.get(storage) else {
        return Err(format!(
            "the pickle makes a tensor of {}, expected a storage",
            values.get(storage).describe()
        ));
    };
    let dtype = match dtype {
        None => storage.dtype,
        Some(dtype) => match values.global(dtype) {
            Some(Global::Dtype(dtype)) => Some(dtype),
            _ => None,
        },
    };
    let dtype = dtype.ok_or("the pickle holds a tensor of an unknown type of elements")?;
    let (shape, strides) = (values.sizes(shape)?, values.sizes(strides)?);
    let offset = values.size(offset)?;
    Ok(Value::Tensor(Box::new(Tensor { storage, dtype, offset, shape, strides })))
}

/// Returns the storage of a persistent id: `("storage", type, name, device, number of elements)`.
///
/// # Errors
/// A message when it is no such tuple.
pub fn storage<'a>(values: &Values<'a>, id: Id) -> Result<Value<'a>, String> {
    let refuse = || Err("the pickle refers to an object that is no storage".to_owned());
    let &[kind, class, name, _, len] = values.tuple(id)? else { return refuse() };
    match (values.text(kind), values.global(class), values.text(name)) {
        (Some("storage"), Some(Global::Storage(dtype)), Some(name)) => {
            Ok(Value::Storage(Storage { name, dtype, len: values.size(len)? }))
        }
        _ => refuse(),
    }
}
