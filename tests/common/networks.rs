//! Fixtures of whole networks: PyTorch's results, and the definitions that give them.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wgpu_rnn::network::{Conv1d, PaddingMode, Sequential};
use wgpu_rnn::{Nonlinearity, StateDict, Tensor};

/// The prefix of all weights.
const PREFIX: &str = "model.";

/// One fixture.
pub struct Fixture {
    pub name: String,
    pub definition: Sequential,
    pub weights: StateDict,
    pub prefix: &'static str,
    pub input: Input,
    pub output: Tensor,
    pub atol: f64,
    pub rtol: f64,
    pub streamable: bool,
}

/// The input of a network.
pub enum Input {
    Values(Tensor),
    Tokens(Vec<i64>, Vec<usize>),
}

/// The files of a folder below `tests/fixtures`, sorted by name.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    files
}

/// All fixtures of networks.
pub fn fixtures() -> Vec<Fixture> {
    files("networks").iter().map(|path| Fixture::open(path)).collect()
}

impl Fixture {
    pub fn open(path: &Path) -> Self {
        let file = StateDict::open(path).unwrap_or_else(|error| panic!("{error}"));
        let text = |key: &str| {
            file.metadata(key).unwrap_or_else(|| panic!("{path:?} has no metadata '{key}'"))
        };
        let number = |key: &str| text(key).parse::<f64>().expect("a number");
        let input = match file.get("tokens") {
            Some(entry) => {
                Input::Tokens(file.i64("tokens").expect("tokens"), entry.shape().to_vec())
            }
            None => Input::Values(file.tensor("input").expect("an input")),
        };
        let output = file.tensor("output").expect("an output");
        let steps: Value = serde_json::from_str(text("definition")).expect("a definition");
        let definition = steps.as_array().expect("a list").iter();
        let definition = definition.fold(start(text("input")), operation);
        let (atol, rtol) = (number("atol"), number("rtol"));
        let streamable = text("streamable") == "true";
        let (weights, prefix) = match file.metadata("weights") {
            Some(list) => (drawn(list), ""),
            None => (file, PREFIX),
        };
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        Self { name, definition, weights, prefix, input, output, atol, rtol, streamable }
    }
}

fn start(input: &str) -> Sequential {
    if input == "tokens" {
        return Sequential::tokens();
    }
    match serde_json::from_str::<Vec<usize>>(input).expect("sizes")[..] {
        [features] => Sequential::new(features),
        [channels, length] => Sequential::new([channels, length]),
        ref other => panic!("a step of shape {other:?}"),
    }
}

/// Adds one operation of a definition.
pub fn operation(network: Sequential, step: &Value) -> Sequential {
    let text = |key: &str| step[key].as_str().unwrap_or_else(|| panic!("{step} has no {key}"));
    let number = |key: &str| step[key].as_f64().unwrap_or_else(|| panic!("{step} has no {key}"));
    let size = |key: &str| number(key) as usize;
    let sizes = |key: &str| {
        let list = step[key].as_array().unwrap_or_else(|| panic!("{step} has no {key}"));
        [0, 1].map(|at| list[at].as_u64().expect("a size") as usize)
    };
    let nonlinearity = || match step["nonlinearity"].as_str() {
        Some("relu") => Some(Nonlinearity::Relu),
        _ => None,
    };
    match text("op") {
        "linear" => network.linear(text("prefix")),
        "conv1d" => {
            let [before, after] = sizes("padding");
            let conv = Conv1d::new()
                .stride(size("stride"))
                .dilation(size("dilation"))
                .groups(size("groups"))
                .padding_mode(match text("padding_mode") {
                    "reflect" => PaddingMode::Reflect,
                    "replicate" => PaddingMode::Replicate,
                    "circular" => PaddingMode::Circular,
                    _ => PaddingMode::Zeros,
                });
            let causal = step["causal"] == Value::Bool(true);
            let conv = if causal { conv.causal() } else { conv.padding_sides(before, after) };
            network.conv1d(text("prefix"), conv)
        }
        "layer_norm" => network.layer_norm(step["prefix"].as_str(), number("eps") as f32),
        "batch_norm1d" => network.batch_norm1d(text("prefix"), number("eps") as f32),
        "relu" => network.relu(),
        "leaky_relu" => network.leaky_relu(number("negative_slope") as f32),
        "sigmoid" => network.sigmoid(),
        "tanh" => network.tanh(),
        "gelu" if text("approximate") == "tanh" => network.gelu_tanh(),
        "gelu" => network.gelu(),
        "silu" => network.silu(),
        "softmax" => network.softmax(),
        "log_softmax" => network.log_softmax(),
        "magnitude" => network.magnitude(),
        "flatten" => network.flatten(),
        "unflatten" => {
            let [channels, length] = sizes("sizes");
            network.unflatten(channels, length)
        }
        "dropout" => network.dropout(number("p")),
        "name" => network.name(text("name")),
        "from" => network.from(text("name")),
        "concat" => {
            let names = step["names"].as_array().expect("names").iter();
            network.concat(names.map(|name| name.as_str().expect("a name")))
        }
        "add" => network.add(text("name")),
        "mul" => network.mul(text("name")),
        "embedding" if step["max_norm"].is_null() => network.embedding(text("prefix")),
        "embedding" => {
            let norm_type = step["norm_type"].as_f64().unwrap_or(f64::INFINITY);
            network.embedding_with(text("prefix"), number("max_norm"), norm_type)
        }
        "rnn" => match nonlinearity() {
            Some(nonlinearity) => network.rnn_with(text("prefix"), nonlinearity),
            None => network.rnn(text("prefix")),
        },
        "cell" => match nonlinearity() {
            Some(nonlinearity) => network.cell_with(text("prefix"), nonlinearity),
            None => network.cell(text("prefix")),
        },
        other => panic!("the operation {other} has no method"),
    }
}

/// Weights that every language draws alike; `examples/networks/portable.py` has the rule.
pub fn drawn(list: &str) -> StateDict {
    let list: Vec<Value> = serde_json::from_str(list).expect("a list of weights");
    let tensors: Vec<(String, Tensor)> = list
        .iter()
        .map(|weight| {
            let name = weight["name"].as_str().expect("a name").to_owned();
            let shape = weight["shape"].as_array().expect("a shape").iter();
            let shape: Vec<usize> = shape.map(|s| s.as_u64().expect("a size") as usize).collect();
            let values = match weight["formula"].as_str() {
                Some(formula) => transform(formula, &shape),
                None => {
                    let of = |key: &str| weight[key].as_f64().expect("a number") as f32;
                    let (scale, base) = (of("scale"), of("base"));
                    let count = shape.iter().product::<usize>();
                    (0..count).map(|i| base + scale * uniform(&name, i)).collect()
                }
            };
            (name, Tensor::new(shape, values).expect("its values"))
        })
        .collect();
    let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    StateDict::from_tensors(tensors).expect("a state dict")
}

/// A value from -1 to 1 that depends on a name and an index alone.
fn uniform(name: &str, index: usize) -> f32 {
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut x = hash.wrapping_add((index as u32).wrapping_mul(0x9e37_79b9));
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    (f64::from(x >> 8) / 8_388_608.0 - 1.0) as f32
}

/// The matrix of a Fourier transform, or of its inverse.
fn transform(formula: &str, shape: &[usize]) -> Vec<f32> {
    let inverse = formula == "inverse_dft";
    let size = if inverse { shape[0] } else { shape[shape.len() - 1] };
    let bins = size / 2 + 1;
    let part = |row: usize, sample: usize| {
        let angle = TAU * (row % bins * sample % size) as f64 / size as f64;
        if row < bins { angle.cos() } else { -angle.sin() }
    };
    let rows = 0..2 * bins;
    match formula {
        "dft" => {
            rows.flat_map(|row| (0..size).map(move |sample| part(row, sample) as f32)).collect()
        }
        "hann_dft" => rows
            .flat_map(|row| {
                (0..size).map(move |sample| {
                    let window = 0.5 - 0.5 * (TAU * sample as f64 / size as f64).cos();
                    (part(row, sample) * window) as f32
                })
            })
            .collect(),
        "inverse_dft" => (0..size)
            .flat_map(|sample| {
                rows.clone().map(move |row| {
                    let bin = row % bins;
                    let share = if bin == 0 || bin == bins - 1 { 1.0 } else { 2.0 } / size as f64;
                    (part(row, sample) * share) as f32
                })
            })
            .collect(),
        other => panic!("the formula {other} is unknown"),
    }
}
