//! Tensors, states and lists of numbers, from JavaScript and back.

use js_sys::{Array, ArrayBuffer, Float32Array, JSON, Object, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wgpu_rnn::{Error, State, Tensor};

use crate::error::{Result, refuse};
use crate::options::{self, describe};

/// A tensor: `{ data, shape }`.
#[derive(Deserialize)]
struct TensorObject {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    data: JsValue,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    shape: JsValue,
}

/// A state: `{ h, c }`.
#[derive(Deserialize)]
struct StateObject {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    h: JsValue,
    #[serde(default, with = "serde_wasm_bindgen::preserve")]
    c: JsValue,
}

/// Returns zeros that a copy of `what` then replaces.
fn room<T: Clone + Default>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    if values.try_reserve_exact(count).is_err() {
        let doing = format!("copying {what}, {count} values");
        return Err(Error::OutOfMemory { adapter: "host".to_owned(), doing }.into());
    }
    values.resize(count, T::default());
    Ok(values)
}

/// Copies the values of a `Float32Array`, which is the argument `what`, into a tensor.
pub fn tensor(data: &JsValue, shape: &JsValue, what: &str) -> Result<Tensor> {
    let Some(array) = data.dyn_ref::<Float32Array>() else {
        return refuse(format!("{what} should be a Float32Array, got {}", describe(data)));
    };
    let shape = counts(shape, "shape")?;
    let mut values = room(array.length() as usize, what)?;
    array.copy_to(&mut values);
    Ok(Tensor::new(shape, values)?)
}

/// Copies a tensor, `{ data, shape }`.
pub fn tensor_object(value: &JsValue, what: &str) -> Result<Tensor> {
    let TensorObject { data, shape } = options::required(value, what)?;
    tensor(&data, &shape, &format!("{what}.data"))
}

/// Copies a state, `{ h, c }`.
pub fn state(value: &JsValue, what: &str) -> Result<State> {
    let StateObject { h, c } = options::required(value, what)?;
    let h = tensor_object(&h, &format!("{what}.h"))?;
    let c = given(&c).map(|c| tensor_object(c, &format!("{what}.c"))).transpose()?;
    Ok(State { h, c })
}

/// Returns a value unless it is `undefined` or `null`.
pub fn given(value: &JsValue) -> Option<&JsValue> {
    (!value.is_undefined() && !value.is_null()).then_some(value)
}

/// Copies the bytes of a file.
pub fn bytes(value: &JsValue) -> Result<Vec<u8>> {
    let array = match (value.dyn_ref::<Uint8Array>(), value.dyn_ref::<ArrayBuffer>()) {
        (Some(array), _) => array.clone(),
        (None, Some(buffer)) => Uint8Array::new(buffer),
        (None, None) => {
            let found = describe(value);
            return refuse(format!("bytes should be an ArrayBuffer or a Uint8Array, got {found}"));
        }
    };
    let mut bytes = room(array.length() as usize, "a file")?;
    array.copy_to(&mut bytes);
    Ok(bytes)
}

/// Reads a list of whole numbers, which is the argument `what`: sizes, lengths or tokens.
pub fn counts(value: &JsValue, what: &str) -> Result<Vec<usize>> {
    let is_typed =
        || ArrayBuffer::is_view(value) && Reflect::has(value, &"length".into()) == Ok(true);
    if !Array::is_array(value) && !is_typed() {
        return refuse(format!("{what} should be an array of numbers, got {}", describe(value)));
    }
    let count = |(at, value): (usize, JsValue)| match value.as_f64() {
        Some(count) if count.fract() == 0.0 && (0.0..=4_294_967_295.0).contains(&count) => {
            Ok(count as usize)
        }
        _ => refuse(format!(
            "{what}[{at}] should be a whole number from 0 to 4294967295, got {}",
            describe(&value)
        )),
    };
    Array::from(value).iter().enumerate().map(count).collect()
}

/// Returns an object of these fields.
pub fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Fails only for objects that refuse new fields.
        _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

/// Returns a list of numbers.
pub fn numbers(values: impl IntoIterator<Item = f64>) -> JsValue {
    values.into_iter().map(JsValue::from).collect::<Array>().into()
}

/// Returns a tensor as `{ data, shape }`, with one copy of its values.
pub fn from_tensor(tensor: &Tensor) -> JsValue {
    let shape = numbers(tensor.shape().iter().map(|&size| size as f64));
    object([("data", Float32Array::from(tensor.data()).into()), ("shape", shape)])
}

/// Returns a state as `{ h, c }`.
pub fn from_state(state: &State) -> JsValue {
    let h = from_tensor(&state.h);
    match &state.c {
        Some(c) => object([("h", h), ("c", from_tensor(c))]),
        None => object([("h", h)]),
    }
}

/// Returns a report as the object that its JSON describes.
pub fn from_report(report: &impl Serialize) -> Result<JsValue> {
    let json = serde_json::to_string(report).or_else(|error| refuse(error.to_string()))?;
    JSON::parse(&json).map_err(crate::error::Failure)
}
