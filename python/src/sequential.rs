//! The definition of a network, as the class `Sequential` of `_sequential.py` collects it.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use wgpu_rnn::network::{Conv1d, PaddingMode, Sequential};
use wgpu_rnn::{Nonlinearity, Result as Outcome};

use crate::errors::{error, exception};

/// The shape of a step of the input: nothing for a token, features, or channels and positions.
type Input = Option<Vec<usize>>;

/// Returns the network of modules, each a name and its arguments.
///
/// # Errors
/// `ConfigError` for a nonlinearity that does not exist; `TypeError` for other arguments.
pub fn sequential(
    py: Python<'_>,
    input: &Input,
    modules: &[(String, Bound<'_, PyTuple>)],
) -> PyResult<Sequential> {
    let start = match input.as_deref() {
        None => Sequential::tokens(),
        Some(&[channels, length]) => Sequential::new([channels, length]),
        Some(sizes) => Sequential::new(sizes.iter().product::<usize>()),
    };
    modules.iter().try_fold(start, |network, (name, all)| Arguments { py, name, all }.add(network))
}

/// The arguments of a module.
struct Arguments<'a, 'py> {
    py: Python<'py>,
    name: &'a str,
    all: &'a Bound<'py, PyTuple>,
}

impl Arguments<'_, '_> {
    fn text(&self, at: usize) -> PyResult<String> {
        self.all.get_item(at)?.extract()
    }

    fn number(&self, at: usize) -> PyResult<f64> {
        self.all.get_item(at)?.extract()
    }

    fn nonlinearity(&self) -> PyResult<Option<Nonlinearity>> {
        let name: Option<String> = self.all.get_item(1)?.extract()?;
        let parsed: Outcome<_> = name.map(|name| name.parse()).transpose();
        parsed.map_err(|error| exception(self.py, error))
    }

    /// Adds the module to a network.
    fn add(&self, network: Sequential) -> PyResult<Sequential> {
        Ok(match self.name {
            "linear" => network.linear(&self.text(0)?),
            "embedding" => {
                let norm: Option<f64> = self.all.get_item(1)?.extract()?;
                match norm {
                    None => network.embedding(&self.text(0)?),
                    Some(norm) => network.embedding_with(&self.text(0)?, norm, self.number(2)?),
                }
            }
            "rnn" | "cell" => {
                let prefix = &self.text(0)?;
                match (self.name, self.nonlinearity()?) {
                    ("rnn", None) => network.rnn(prefix),
                    ("rnn", Some(of)) => network.rnn_with(prefix, of),
                    (_, None) => network.cell(prefix),
                    (_, Some(of)) => network.cell_with(prefix, of),
                }
            }
            "conv1d" => network.conv1d(&self.text(0)?, self.conv()?),
            "layer_norm" => {
                let prefix: Option<String> = self.all.get_item(0)?.extract()?;
                network.layer_norm(prefix.as_deref(), self.number(1)? as f32)
            }
            "batch_norm1d" => network.batch_norm1d(&self.text(0)?, self.number(1)? as f32),
            "relu" => network.relu(),
            "leaky_relu" => network.leaky_relu(self.number(0)? as f32),
            "sigmoid" => network.sigmoid(),
            "tanh" => network.tanh(),
            "gelu" => network.gelu(),
            "gelu_tanh" => network.gelu_tanh(),
            "silu" => network.silu(),
            "softmax" => network.softmax(),
            "log_softmax" => network.log_softmax(),
            "magnitude" => network.magnitude(),
            "flatten" => network.flatten(),
            "unflatten" => {
                let (channels, length) = self.all.extract()?;
                network.unflatten(channels, length)
            }
            "dropout" => network.dropout(self.number(0)?),
            "name" => network.name(&self.text(0)?),
            "from" => network.from(&self.text(0)?),
            "concat" => {
                let names: Vec<String> = self.all.extract::<Bound<'_, PyAny>>()?.extract()?;
                network.concat(names.iter().map(String::as_str))
            }
            "add" => network.add(&self.text(0)?),
            "mul" => network.mul(&self.text(0)?),
            "hidden" => network.hidden(&self.text(0)?),
            other => {
                let text = format!("a network has no module '{other}'");
                return Err(error(self.py, "OptionError", text));
            }
        })
    }

    /// Reads stride, padding before and after or its name, its mode, dilation and groups.
    fn conv(&self) -> PyResult<Conv1d> {
        let conv = Conv1d::new()
            .stride(self.all.get_item(1)?.extract()?)
            .dilation(self.all.get_item(4)?.extract()?)
            .groups(self.all.get_item(5)?.extract()?);
        let mode = match self.text(3)?.as_str() {
            "reflect" => PaddingMode::Reflect,
            "replicate" => PaddingMode::Replicate,
            "circular" => PaddingMode::Circular,
            _ => PaddingMode::Zeros,
        };
        let conv = conv.padding_mode(mode);
        let padding = self.all.get_item(2)?;
        if let Ok((before, after)) = padding.extract() {
            return Ok(conv.padding_sides(before, after));
        }
        Ok(if padding.extract::<String>()? == "causal" { conv.causal() } else { conv.same() })
    }
}
