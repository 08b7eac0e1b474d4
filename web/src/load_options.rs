//! Options of loading a module.

use serde::Deserialize;
use wasm_bindgen::JsValue;
use wgpu_rnn::LoadOptions;

use crate::error::Result;
use crate::options;

/// The fields of `LoadOptions`, with PyTorch's words in camelCase.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    batch_first: Option<bool>,
    nonlinearity: Option<String>,
    weights: Option<String>,
    schedule: Option<String>,
    allow_unused: bool,
}

/// Reads the options of loading a module.
pub fn load_options(value: &JsValue) -> Result<LoadOptions> {
    let fields: Fields = options::read(value, "options")?;
    let mut options = LoadOptions::new().allow_unused(fields.allow_unused);
    options.batch_first = fields.batch_first;
    options.nonlinearity = fields.nonlinearity.map(|name| name.parse()).transpose()?;
    options.weights = fields.weights.map(|name| name.parse()).transpose()?.unwrap_or_default();
    options.schedule = fields.schedule.map(|name| name.parse()).transpose()?.unwrap_or_default();
    Ok(options)
}

/// Reads the prefix and the options of a `load`.
pub fn load_arguments(prefix: &JsValue, options: &JsValue) -> Result<(String, LoadOptions)> {
    Ok((options::plain(prefix, "prefix")?, load_options(options)?))
}
