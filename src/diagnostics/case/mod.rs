//! Case files: a network, its input and its expected outputs.
//!
//! The format `rnncase/1` stores each case in one safetensors file. The tensors are `input`,
//! optional `h0` and `c0`, the weights under PyTorch's names, and the expected `output`, `hn`,
//! `cn` and `head_output`. The metadata has the kind, the sizes, the tolerance and the features
//! that the case needs. A missing bias is zero.
//!
//! A *recipe* (`rnncase-recipe/1`) stores expected values only. The reader generates weights and
//! input, so that a small file describes a very large case.

mod recipe;
mod source;
pub(crate) mod writer;

use std::path::{Path, PathBuf};

use crate::diagnostics::compare::Tolerance;
use crate::error::{Error, Result};
use crate::nn::options::Activation;
use crate::params::Params;
use crate::params::config::{Config, Kind};
use crate::params::state_dict::StateDict;
use crate::params::validate::Sizes;
use crate::reference::{self, Outputs};
use crate::tensor::{State, Tensor, zeroed};

/// The format of recipes.
const RECIPE: &str = "rnncase-recipe/1";

/// The supported features. `layout1` marks a batch-first source and needs nothing.
const SUPPORTED: [&str; 25] = [
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "bias",
    "nobias",
    "h0",
    "c0",
    "bidir",
    "multilayer",
    "unbatched",
    "batch_first",
    "head",
    "layout1",
    "lengths",
    "proj",
    "cell",
    "reverse_only",
    "reset_before",
    "custom_act",
    "clip",
    "input_forget",
    "peephole",
    "empty",
    "zero_len",
];

/// A case file: its identity and its content.
#[derive(Debug)]
pub struct CaseFile {
    /// The name of the case.
    pub id: String,
    /// The path of the file.
    pub path: PathBuf,
    /// The tolerance for all expected tensors.
    pub tolerance: Tolerance,
    /// The case, or the names of its unsupported features.
    pub content: Content,
}

/// The content of a case file.
#[derive(Debug)]
pub enum Content {
    /// A case that this version can run.
    Case(Box<Case>),
    /// The names of the features that this version lacks.
    Unsupported(Vec<String>),
}

/// A network, its input and its expected outputs.
#[derive(Debug)]
pub struct Case {
    /// Configuration and weights.
    pub params: Params,
    /// Whether the case is one call of a [`Cell`](crate::Cell).
    ///
    /// The input of a cell is `[B, I]` or `[I]`, its states are `[B, H]` or `[H]`.
    pub cell: bool,
    /// `[T, B, I]`, `[B, T, I]` or `[T, I]`.
    pub input: Tensor,
    /// The number of valid steps of each row; `None` stands for T.
    pub lengths: Option<Vec<usize>>,
    /// The initial state; `None` stands for zeros.
    pub state: Option<State>,
    /// Linear layers that follow the output, in order.
    pub heads: Vec<Head>,
    /// The expected tensors.
    pub expected: Vec<Expected>,
}

impl Case {
    /// Returns whether the input has rows, but no time step. PyTorch refuses it. By ONNX's
    /// definition its output is empty and the state stays.
    pub fn has_no_step(&self) -> bool {
        let &[a, b, _] = self.input.shape() else { return false };
        let (steps, rows) = if self.params.config().batch_first { (b, a) } else { (a, b) };
        !self.cell && steps == 0 && rows > 0
    }

    /// Runs the reference with these parameters. A cell is one step of a layer.
    ///
    /// # Errors
    /// The errors of [`reference::module`].
    pub fn reference(&self, params: &Params) -> Result<Outputs> {
        let h_0 = self.state.as_ref().map(|state| state.h.data());
        let c_0 = self.state.as_ref().and_then(|state| state.c.as_ref()).map(Tensor::data);
        let (seq_len, batch) = match self.input.shape() {
            _ if self.cell => (1, self.input.data().len() / params.config().input_size.max(1)),
            &[a, b, _] if self.has_no_step() => (0, a.max(b)),
            _ => {
                let lengths = self.lengths.as_deref();
                return reference::module(params, &self.input, lengths, self.state.as_ref());
            }
        };
        reference::room(params, Sizes { seq_len, batch })?;
        Ok(reference::forward(params, seq_len, batch, self.input.data(), h_0, c_0, None))
    }
}

/// A linear layer that follows the output.
#[derive(Debug)]
pub struct Head {
    /// `[out_features, in_features]`.
    pub weight: Tensor,
    /// `[out_features]`.
    pub bias: Option<Vec<f32>>,
    /// The activation after the layer.
    pub activation: Activation,
}

/// A result of a case that a tensor can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// The output of all steps.
    Output,
    /// The first step of a time-first output: `[B, D·H]`.
    OutputFirst,
    /// The last step of a time-first output: `[B, D·H]`.
    OutputLast,
    /// The final hidden state.
    Hn,
    /// The final cell state.
    Cn,
    /// The output of the last head.
    HeadOutput,
}

/// An expected tensor.
#[derive(Debug)]
pub struct Expected {
    /// The result to compare with.
    pub quantity: Quantity,
    /// The expected values.
    pub tensor: Tensor,
    /// The tolerance, if it differs from the tolerance of the file.
    pub tolerance: Option<Tolerance>,
}

impl Quantity {
    /// The name of the tensor in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::OutputFirst => "output_first",
            Self::OutputLast => "output_last",
            Self::Hn => "hn",
            Self::Cn => "cn",
            Self::HeadOutput => "head_output",
        }
    }
}

/// The metadata of a file. Errors name the file and the key.
struct Metadata<'a> {
    file: &'a StateDict,
}

impl Metadata<'_> {
    fn refuse(&self, message: impl Into<String>) -> Error {
        Error::File { path: self.file.path().to_owned(), message: message.into() }
    }

    fn get(&self, key: &str) -> Result<&str> {
        self.file.metadata(key).ok_or_else(|| self.refuse(format!("the metadata lacks '{key}'")))
    }

    fn parse<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let text = self.get(key)?;
        text.parse().map_err(|_| {
            self.refuse(format!("the metadata has {key} = '{text}', which is not valid"))
        })
    }

    fn flag(&self, key: &str) -> Result<bool> {
        if self.file.metadata(key).is_some() { self.parse(key) } else { Ok(false) }
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.file.metadata(key).is_some() { self.parse(key) } else { Ok(default) }
    }
}

impl CaseFile {
    /// Reads a case or a recipe.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is not a valid case;
    /// [`Error::Config`] if no module has its sizes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&StateDict::open(path)?)
    }

    /// Returns the name and the module of a recipe, whose values are not generated; `None` for
    /// another file.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub fn recipe(file: &StateDict) -> Result<Option<(String, Config)>> {
        let metadata = Metadata { file };
        if file.metadata("format") != Some(RECIPE) {
            return Ok(None);
        }
        Ok(Some((metadata.get("id")?.to_owned(), recipe::config(&metadata)?)))
    }

    /// Parses a case or a recipe from a file in memory.
    ///
    /// # Errors
    /// [`Error::File`] if the file is not a valid case; [`Error::Config`] if no module has its
    /// sizes; [`Error::OutOfMemory`] when the host's memory does not hold the values.
    pub fn read(file: &StateDict) -> Result<Self> {
        let metadata = Metadata { file };
        match file.metadata("format") {
            Some("rnncase/1") => read_case(&metadata),
            Some(RECIPE) => recipe::read(&metadata),
            Some(other) => {
                Err(metadata.refuse(format!("unknown case format '{other}', expected rnncase/1")))
            }
            None => {
                Err(metadata.refuse("not a case file: the metadata lacks 'format' (rnncase/1)"))
            }
        }
    }
}

fn read_case(metadata: &Metadata<'_>) -> Result<CaseFile> {
    let file = metadata.file;
    let tolerance = Tolerance { atol: metadata.parse("atol")?, rtol: metadata.parse("rtol")? };
    if ![tolerance.atol, tolerance.rtol].iter().all(|part| part.is_finite() && *part >= 0.0) {
        return Err(metadata.refuse("atol and rtol must be finite, and 0 or more"));
    }
    let unsupported = unsupported_features(metadata)?;
    let content = if unsupported.is_empty() {
        Content::Case(Box::new(read_supported(metadata)?))
    } else {
        Content::Unsupported(unsupported)
    };
    Ok(CaseFile {
        id: metadata.get("id")?.to_owned(),
        path: file.path().to_owned(),
        tolerance,
        content,
    })
}

/// Returns the unsupported features of a file: from its list, and from its other metadata.
fn unsupported_features(metadata: &Metadata<'_>) -> Result<Vec<String>> {
    let mut found: Vec<String> = metadata
        .get("features")?
        .split(',')
        .filter(|feature| !feature.is_empty() && !SUPPORTED.contains(feature))
        .map(str::to_owned)
        .collect();
    found.dedup();
    Ok(found)
}

fn read_supported(metadata: &Metadata<'_>) -> Result<Case> {
    let file = metadata.file;
    let kind: Kind = metadata.parse("kind")?;
    let bias = file.names().any(|name| name.starts_with("bias_"));
    let config = Config::new(kind, metadata.parse("input_size")?, metadata.parse("hidden_size")?)
        .num_layers(metadata.parse("num_layers")?)
        .bidirectional(metadata.flag("bidirectional")?)
        .batch_first(metadata.flag("batch_first")?)
        .proj_size(metadata.size_or("proj_size", 0)?)
        .bias(bias)
        .reverse(metadata.flag("reverse")?)
        .variant(source::variant(metadata, kind)?);
    let params =
        Params::from_fn(&config, |name, shape| match file.get(name) {
            None if name.starts_with("bias_") => zeroed(shape.iter().product(), name),
            Some(entry) if entry.shape() != shape => Err(metadata
                .refuse(format!("{name} has shape {:?}, expected {shape:?}", entry.shape()))),
            _ => file.f32(name),
        })?;
    let lengths = file.get("lengths").is_some().then(|| file.lengths()).transpose()?;
    let state = source::state(metadata, &config, lengths.as_deref())?;
    let cell = metadata.flag("cell")?
        || metadata.get("features")?.split(',').any(|feature| feature == "cell");
    if cell && lengths.is_some() {
        return Err(metadata.refuse("there are lengths, but a cell runs one step"));
    }
    let mut heads = Vec::new();
    for name in ["head", "head2"] {
        if file.get(&format!("{name}_weight")).is_none() {
            continue;
        }
        let bias = format!("{name}_bias");
        heads.push(Head {
            weight: file.tensor(&format!("{name}_weight"))?,
            bias: file.get(&bias).is_some().then(|| file.f32(&bias)).transpose()?,
            // The activation follows the first head only.
            activation: match file.metadata("head_activation") {
                Some("sigmoid") if name == "head" => Activation::Sigmoid,
                None | Some("none" | "sigmoid") => Activation::None,
                Some(other) => {
                    return Err(metadata.refuse(format!("unknown head_activation '{other}'")));
                }
            },
        });
    }
    let mut expected = Vec::new();
    for name in metadata.get("expected")?.split(',') {
        let quantity = [Quantity::Output, Quantity::Hn, Quantity::Cn, Quantity::HeadOutput]
            .into_iter()
            .find(|quantity| quantity.name() == name)
            .ok_or_else(|| metadata.refuse(format!("unknown expected tensor '{name}'")))?;
        expected.push(Expected { quantity, tensor: file.tensor(name)?, tolerance: None });
    }
    Ok(Case { params, cell, input: file.input("input")?, lengths, state, heads, expected })
}
