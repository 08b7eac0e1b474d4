//! The definition of a network, as the class `Sequential` in `../js/sequential.js` collects it.

use js_sys::Array;
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use wgpu_rnn::network::{Attention, Conv1d, PaddingMode, Sequential};

use crate::error::{Result, refuse};
use crate::options::{self, describe};
use crate::values::{counts, given};

/// PyTorch's default of `eps` in both norms.
const EPS: f32 = 1e-5;

/// The constructor arguments of a convolution.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConvOptions {
    stride: Option<usize>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    padding: JsValue,
    padding_mode: Option<String>,
    dilation: Option<usize>,
    groups: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RecurrentOptions {
    nonlinearity: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EmbeddingOptions {
    max_norm: Option<f64>,
    norm_type: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NormOptions {
    eps: Option<f32>,
}

/// The score of attention, and the names of its layers.
#[derive(Deserialize)]
struct AttentionOptions {
    score: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    keys: String,
    #[serde(default)]
    both: String,
    #[serde(default)]
    v: String,
}

/// Reads a definition: the shape of a step of the input, and `[method, ..arguments]` of each
/// module.
pub fn sequential(input: &JsValue, modules: &JsValue) -> Result<Sequential> {
    let start = match (input.as_string().as_deref(), input.as_f64()) {
        (Some("tokens"), _) => Sequential::tokens(),
        (_, Some(_)) => Sequential::new(counts(&Array::of1(input).into(), "features")?[0]),
        _ => match counts(input, "features")?.as_slice() {
            &[channels, length] => Sequential::new([channels, length]),
            other => {
                return refuse(format!(
                    "a step has features, [channels, length] or \"tokens\", got {other:?}"
                ));
            }
        },
    };
    Array::from(modules).iter().try_fold(start, |network, module| {
        let module: Array = module.unchecked_into();
        let name = module.get(0).as_string().unwrap_or_default();
        Arguments { name: &name, all: &module }.add(network)
    })
}

/// The arguments of a method of the builder.
struct Arguments<'a> {
    name: &'a str,
    all: &'a Array,
}

impl Arguments<'_> {
    /// Adds the module to a network.
    fn add(&self, network: Sequential) -> Result<Sequential> {
        Ok(match self.name {
            "linear" => network.linear(&self.text(1)?),
            "embedding" => {
                let EmbeddingOptions { max_norm, norm_type } = self.options(2)?;
                match max_norm {
                    None => network.embedding(&self.text(1)?),
                    Some(norm) => {
                        network.embedding_with(&self.text(1)?, norm, norm_type.unwrap_or(2.0))
                    }
                }
            }
            "rnn" | "cell" => {
                let RecurrentOptions { nonlinearity } = self.options(2)?;
                let nonlinearity = nonlinearity.map(|name| name.parse()).transpose()?;
                let prefix = &self.text(1)?;
                match (self.name, nonlinearity) {
                    ("rnn", None) => network.rnn(prefix),
                    ("rnn", Some(of)) => network.rnn_with(prefix, of),
                    (_, None) => network.cell(prefix),
                    (_, Some(of)) => network.cell_with(prefix, of),
                }
            }
            "conv1d" => network.conv1d(&self.text(1)?, self.conv()?),
            "layerNorm" => {
                let prefix = given(&self.all.get(1)).map(|_| self.text(1)).transpose()?;
                network.layer_norm(prefix.as_deref(), self.eps()?)
            }
            "batchNorm1d" => network.batch_norm1d(&self.text(1)?, self.eps()?),
            "relu" => network.relu(),
            "leakyRelu" => network.leaky_relu(self.number(1, Some(0.01))? as f32),
            "sigmoid" => network.sigmoid(),
            "tanh" => network.tanh(),
            "gelu" => network.gelu(),
            "geluTanh" => network.gelu_tanh(),
            "silu" => network.silu(),
            "softmax" => network.softmax(),
            "logSoftmax" => network.log_softmax(),
            "magnitude" => network.magnitude(),
            "flatten" => network.flatten(),
            "unflatten" => {
                let sizes = counts(&self.all.slice(1, 3).into(), "unflatten")?;
                let &[channels, length] = sizes.as_slice() else {
                    return refuse("unflatten expects channels and a length".to_owned());
                };
                network.unflatten(channels, length)
            }
            "dropout" => network.dropout(self.number(1, Some(0.5))?),
            "name" => network.name(&self.text(1)?),
            "from" => network.from(&self.text(1)?),
            "concat" => {
                let names = (1..self.all.length()).map(|at| self.text(at));
                let names = names.collect::<Result<Vec<_>>>()?;
                network.concat(names.iter().map(String::as_str))
            }
            "add" => network.add(&self.text(1)?),
            "mul" => network.mul(&self.text(1)?),
            "attention" => network.attention(self.attention()?),
            "hidden" => network.hidden(&self.text(1)?),
            other => return refuse(format!("a network has no module '{other}'")),
        })
    }

    /// Returns the argument at a place, counted from 1.
    fn text(&self, at: u32) -> Result<String> {
        let value = self.all.get(at);
        value.as_string().map_or_else(
            || {
                let name = self.name;
                refuse(format!("{name}: argument {at} is a string, got {}", describe(&value)))
            },
            Ok,
        )
    }

    fn number(&self, at: u32, default: Option<f64>) -> Result<f64> {
        let value = self.all.get(at);
        match (value.as_f64(), default) {
            (Some(number), _) => Ok(number),
            (None, Some(default)) if value.is_undefined() => Ok(default),
            _ => {
                let name = self.name;
                refuse(format!("{name}: argument {at} is a number, got {}", describe(&value)))
            }
        }
    }

    fn options<T: serde::de::DeserializeOwned + Default>(&self, at: u32) -> Result<T> {
        options::read(&self.all.get(at), &format!("{}'s options", self.name))
    }

    fn eps(&self) -> Result<f32> {
        let NormOptions { eps } = self.options(2)?;
        Ok(eps.unwrap_or(EPS))
    }

    fn conv(&self) -> Result<Conv1d> {
        let options: ConvOptions = self.options(2)?;
        let mut conv = Conv1d::new();
        conv = options.stride.map_or(conv, |stride| conv.stride(stride));
        conv = options.dilation.map_or(conv, |dilation| conv.dilation(dilation));
        conv = options.groups.map_or(conv, |groups| conv.groups(groups));
        let mode = match options.padding_mode.as_deref() {
            None | Some("zeros") => PaddingMode::Zeros,
            Some("reflect") => PaddingMode::Reflect,
            Some("replicate") => PaddingMode::Replicate,
            Some("circular") => PaddingMode::Circular,
            Some(other) => {
                return refuse(format!(
                    "conv1d's options.paddingMode is '{other}'; expected zeros, reflect, \
                     replicate or circular"
                ));
            }
        };
        conv = conv.padding_mode(mode);
        let padding = &options.padding;
        Ok(match (padding.as_string().as_deref(), padding.as_f64()) {
            (Some("same"), _) => conv.same(),
            (Some("causal"), _) => conv.causal(),
            (None, None) if padding.is_undefined() => conv,
            (None, Some(_)) => conv.padding(counts(&Array::of1(padding).into(), "padding")?[0]),
            (None, None) => match counts(padding, "padding")?.as_slice() {
                &[before, after] => conv.padding_sides(before, after),
                other => {
                    return refuse(format!(
                        "padding has two sides, before and after, got {other:?}"
                    ));
                }
            },
            (Some(other), _) => {
                return refuse(format!(
                    "conv1d's options.padding is '{other}'; expected same, causal, a number or two"
                ));
            }
        })
    }

    fn attention(&self) -> Result<Attention> {
        let options: AttentionOptions = options::required(&self.all.get(1), "attention's options")?;
        let AttentionOptions { score, query, keys, both, v } = options;
        Ok(match score.as_str() {
            "dot" => Attention::dot(),
            "general" => Attention::general(&keys),
            "concat" => Attention::concat(&both, &v),
            "additive" => Attention::additive(&query, &keys, &v),
            other => {
                return refuse(format!(
                    "attention has no score '{other}'; expected dot, general, concat or additive"
                ));
            }
        })
    }
}
