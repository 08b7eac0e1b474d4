//! The names that a pickle of `torch.save` may refer to.
//!
//! A pickle names classes and functions, and Python runs them. This reader runs none: it knows the
//! few names below and refuses all others.

use safetensors::Dtype;

use super::recognise::SAVE;

/// A class or a function that a pickle may name.
#[derive(Debug, Clone, Copy)]
pub enum Global {
    OrderedDict,
    Size,
    Device,
    /// `torch.Tensor` or `torch.nn.Parameter`, as the type of a tensor with attributes.
    TensorType,
    /// A type of elements, such as `torch.uint16`.
    Dtype(Dtype),
    /// A storage of one type, such as `torch.FloatStorage`; `None` for bytes without a type.
    Storage(Option<Dtype>),
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    RebuildParameter,
    RebuildFromType,
}

/// Returns the class or function of this name.
///
/// # Errors
/// A message that names one which is not known.
pub fn find(module: &str, name: &str) -> Result<Global, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Device,
        ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Global::TensorType,
        ("torch" | "torch.storage", "UntypedStorage") => Global::Storage(None),
        ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Global::RebuildParameter
        }
        ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
        ("torch", name) => torch(name).ok_or_else(|| refusal(module, name))?,
        _ => return Err(refusal(module, name)),
    })
}

/// Returns a type of storage or of elements.
fn torch(name: &str) -> Option<Global> {
    Some(match name {
        "FloatStorage" => Global::Storage(Some(Dtype::F32)),
        "HalfStorage" => Global::Storage(Some(Dtype::F16)),
        "BFloat16Storage" => Global::Storage(Some(Dtype::BF16)),
        "DoubleStorage" => Global::Storage(Some(Dtype::F64)),
        "LongStorage" => Global::Storage(Some(Dtype::I64)),
        "IntStorage" => Global::Storage(Some(Dtype::I32)),
        "ShortStorage" => Global::Storage(Some(Dtype::I16)),
        "CharStorage" => Global::Storage(Some(Dtype::I8)),
        "ByteStorage" => Global::Storage(Some(Dtype::U8)),
        "BoolStorage" => Global::Storage(Some(Dtype::BOOL)),
        "float32" => Global::Dtype(Dtype::F32),
        "float16" => Global::Dtype(Dtype::F16),
        "bfloat16" => Global::Dtype(Dtype::BF16),
        "float64" => Global::Dtype(Dtype::F64),
        "int64" => Global::Dtype(Dtype::I64),
        "int32" => Global::Dtype(Dtype::I32),
        "int16" => Global::Dtype(Dtype::I16),
        "int8" => Global::Dtype(Dtype::I8),
        "uint8" => Global::Dtype(Dtype::U8),
        "uint16" => Global::Dtype(Dtype::U16),
        "uint32" => Global::Dtype(Dtype::U32),
        "uint64" => Global::Dtype(Dtype::U64),
        "bool" => Global::Dtype(Dtype::BOOL),
        _ => return None,
    })
}

/// The error text for a name that is not known.
fn refusal(module: &str, name: &str) -> String {
    let full = format!("{}.{}", shown(module), shown(name));
    if name.starts_with("_rebuild_q") || name.starts_with('Q') && name.ends_with("Storage") {
        return format!(
            "the pickle holds quantized tensors ({full}); save tensor.dequantize() of each"
        );
    }
    if module.starts_with("torch.nn.") || module == "__main__" {
        return format!("the pickle holds a whole module and needs its class {full}; {SAVE}");
    }
    format!(
        "the pickle needs {full}, which is neither a tensor nor a plain value; no code of a file \
         is ever run; {SAVE}"
    )
}

/// Returns a text of a file for an error: on one line, and no longer than a line.
pub fn shown(text: &str) -> String {
    text.escape_debug().take(80).collect()
}
