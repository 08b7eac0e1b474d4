//! The class `StateDict`.

use js_sys::{Array, BigInt64Array};
use serde::Deserialize;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wgpu_rnn::StateDict as File;
use wgpu_rnn::internals::diagnostics::inspect::FileReport;

use crate::error::{Result, refuse};
use crate::options::{self, describe};
use crate::values::{bytes, from_report, from_tensor, numbers};

/// The named tensors of a file.
#[wasm_bindgen]
pub struct StateDict(pub(crate) File);

#[derive(Default, Deserialize)]
#[serde(default)]
struct ParseOptions {
    name: Option<String>,
    key: Option<String>,
}

/// Reads the name of a tensor, or a prefix.
fn text(value: &JsValue, what: &str) -> Result<String> {
    match value.as_string() {
        Some(text) => Ok(text),
        None => refuse(format!("{what} should be a string, got {}", describe(value))),
    }
}

/// Reads pairs of old and new names.
fn pairs(value: &JsValue) -> Result<Vec<[String; 2]>> {
    let Some(pairs) = value.dyn_ref::<Array>() else {
        let found = describe(value);
        return refuse(format!("pairs should be an array of pairs of names, got {found}"));
    };
    let pair = |(at, pair): (usize, JsValue)| match pair.dyn_ref::<Array>() {
        Some(pair) if pair.length() == 2 => Ok([
            text(&pair.get(0), &format!("pairs[{at}][0]"))?,
            text(&pair.get(1), &format!("pairs[{at}][1]"))?,
        ]),
        _ => refuse(format!("pairs[{at}] should be an old and a new name")),
    };
    pairs.iter().enumerate().map(pair).collect()
}

/// Reads the name of a tensor.
fn read_name(name: &JsValue) -> Result<String> {
    options::plain(name, "name")
}

#[wasm_bindgen]
impl StateDict {
    /// Reads a file of safetensors or of `torch.save`.
    pub fn parse(file: JsValue, options: JsValue) -> Result<Self> {
        let ParseOptions { name, key } = options::read(&options, "options")?;
        let name = name.as_deref().unwrap_or("a file in memory");
        Ok(Self(match key {
            None => File::parse(name, bytes(&file)?)?,
            Some(key) => File::parse_key(name, bytes(&file)?, &key)?,
        }))
    }

    /// The type of the file.
    #[wasm_bindgen(getter, js_name = fileType)]
    pub fn file_type(&self) -> String {
        self.0.file_type().to_owned()
    }

    /// The names of all tensors, sorted.
    #[wasm_bindgen(getter)]
    pub fn names(&self) -> Vec<String> {
        self.0.names().map(str::to_owned).collect()
    }

    /// The metadata of the file.
    #[wasm_bindgen(getter)]
    pub fn metadata(&self) -> Result<JsValue> {
        from_report(&self.0.all_metadata())
    }

    /// The shape of a tensor; `undefined` without one of that name.
    pub fn shape(&self, name: JsValue) -> Result<JsValue> {
        let shape = self.0.shape(&read_name(&name)?);
        let shape = shape.map(|shape| numbers(shape.iter().map(|&size| size as f64)));
        Ok(shape.unwrap_or_default())
    }

    /// The type of a tensor's elements; `undefined` without one of that name.
    pub fn dtype(&self, name: JsValue) -> Result<Option<String>> {
        Ok(self.0.dtype(&read_name(&name)?))
    }

    /// The values of a tensor.
    pub fn tensor(&self, name: JsValue) -> Result<JsValue> {
        Ok(from_tensor(&self.0.tensor(&read_name(&name)?)?))
    }

    /// The values of a tensor of integers, such as tokens.
    pub fn integers(&self, name: JsValue) -> Result<BigInt64Array> {
        Ok(BigInt64Array::from(self.0.i64(&read_name(&name)?)?.as_slice()))
    }

    /// The same tensors under other names.
    pub fn renamed(&self, names: JsValue) -> Result<Self> {
        let names = pairs(&names)?;
        let names: Vec<_> = names.iter().map(|[old, new]| (old.as_str(), new.as_str())).collect();
        Ok(Self(self.0.clone().renamed(&names)?))
    }

    /// The weights that `weight_norm` and WeightDrop store as other tensors.
    pub fn folded(&self) -> Result<Self> {
        Ok(Self(self.0.clone().folded()?))
    }

    /// The modules that the names imply.
    pub fn inspect(&self) -> Result<JsValue> {
        from_report(&FileReport::of(&self.0, &self.0.path().display().to_string(), false))
    }
}
