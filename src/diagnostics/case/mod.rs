//! Case files: a network, its input and the outputs that it must have.
//!
//! The format `rnncase/1` is one safetensors file for each case. `input`, `h0` and `c0` (optional), the weights under
//! PyTorch's names, and the expected `output`, `hn`, `cn` and `head_output` are tensors; kind, sizes, tolerance and the
//! features that the case needs are metadata. A missing bias counts as zero. A *recipe* (`rnncase-recipe/1`) holds
//! expected values only; its weights and input are generated, which makes very large cases small files.

mod recipe;

use std::path::{Path, PathBuf};

use crate::diagnostics::compare::Tolerance;
use crate::error::{Error, Result};
use crate::nn::linear::Activation;
use crate::params::Params;
use crate::params::config::{Config, Kind};
use crate::params::state_dict::StateDict;
use crate::tensor::State;
use crate::tensor::Tensor;

/// Features that this version runs. `layout1` only says that the source was batch first.
const SUPPORTED: [&str; 17] = [
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
];

/// A file's identity and content.
#[derive(Debug)]
pub struct CaseFile {
    /// The case's name.
    pub id: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// What results may differ by.
    pub tolerance: Tolerance,
    /// What to run, or why not.
    pub content: Content,
}

/// What a case asks for.
#[derive(Debug)]
pub enum Content {
    /// A case that can be run.
    Case(Box<Case>),
    /// A case that needs what this version lacks: the features' names.
    Unsupported(Vec<String>),
}

/// A network, its input and what it must give.
#[derive(Debug)]
pub struct Case {
    /// Configuration and weights.
    pub params: Params,
    /// Whether it is one call of a [`Cell`](crate::Cell): `input` is `[B, I]` or `[I]`, states are `[B, H]` or `[H]`.
    pub cell: bool,
    /// `[T, B, I]`, `[B, T, I]` or `[T, I]`.
    pub input: Tensor,
    /// Valid steps of each row, if they are not all T.
    pub lengths: Option<Vec<usize>>,
    /// The initial state, if it is not zero.
    pub state: Option<State>,
    /// Linear layers on the output, in order.
    pub heads: Vec<Head>,
    /// Tensors to compare.
    pub expected: Vec<Expected>,
}

/// A linear layer on the output.
#[derive(Debug)]
pub struct Head {
    /// `[out_features, in_features]`.
    pub weight: Tensor,
    /// `[out_features]`.
    pub bias: Option<Vec<f32>>,
    /// What follows.
    pub activation: Activation,
}

/// Which result a tensor is expected of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// All steps.
    Output,
    /// The first step of a time-first output: `[B, D·H]`.
    OutputFirst,
    /// The last step of a time-first output: `[B, D·H]`.
    OutputLast,
    /// The final hidden state.
    Hn,
    /// The final cell state.
    Cn,
    /// The last head's output.
    HeadOutput,
}

/// An expected tensor.
#[derive(Debug)]
pub struct Expected {
    /// Which one.
    pub of: Quantity,
    /// Its values.
    pub tensor: Tensor,
    /// Its own tolerance, where it differs from the file's.
    pub tolerance: Option<Tolerance>,
}

impl Quantity {
    /// The tensor's name in the file.
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

/// The metadata of a file, with errors that name file and key.
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
            self.refuse(format!("the metadata has {key} = '{text}', which is no such value"))
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
    /// [`Error::Io`] and [`Error::File`] when the file is not a valid case; [`Error::Config`] when its sizes are no module's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&StateDict::open(path)?)
    }

    /// The case or recipe in a file that was read.
    ///
    /// # Errors
    /// [`Error::File`] when it is not a valid case; [`Error::Config`] when its sizes are no module's.
    pub fn read(file: &StateDict) -> Result<Self> {
        let metadata = Metadata { file };
        match file.metadata("format") {
            Some("rnncase/1") => read_case(&metadata),
            Some("rnncase-recipe/1") => recipe::read(&metadata),
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

/// Everything in the file that this version does not do, whether its list of features says so or not.
fn unsupported_features(metadata: &Metadata<'_>) -> Result<Vec<String>> {
    let mut found: Vec<String> = metadata
        .get("features")?
        .split(',')
        // Sources differ on the state that a row of length 0 has in the end; ours is the initial one.
        .filter(|feature| {
            *feature != "zero_len" || metadata.file.metadata("zero_len_state") != Some("h0")
        })
        .filter(|feature| !feature.is_empty() && !SUPPORTED.contains(feature))
        .map(str::to_owned)
        .collect();
    let file = metadata.file;
    let claims = [
        ("reverse_only", metadata.flag("reverse")?),
        ("reset_before", file.metadata("gru_reset") == Some("before")),
        ("custom_act", file.metadata("activations").is_some()),
        ("clip", file.metadata("clip").is_some()),
        ("input_forget", file.metadata("coupled").is_some()),
        ("peephole", file.names().any(|name| name.starts_with("weight_p_"))),
    ];
    for (feature, claimed) in claims {
        if claimed && !found.iter().any(|known| known == feature) {
            found.push(feature.to_owned());
        }
    }
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
        .bias(bias);
    let params =
        Params::from_fn(&config, |name, shape| match file.get(name) {
            None if name.starts_with("bias_") => Ok(vec![0.0; shape.iter().product()]),
            Some(entry) if entry.shape() != shape => Err(metadata
                .refuse(format!("{name} has shape {:?}, expected {shape:?}", entry.shape()))),
            _ => file.f32(name),
        })?;
    let optional = |name: &str| file.get(name).is_some().then(|| file.input(name)).transpose();
    let state = match (optional("h0")?, optional("c0")?) {
        (None, None) => None,
        (None, Some(_)) => return Err(metadata.refuse("there is c0, but no h0")),
        (Some(h), c) => Some(State { h, c }),
    };
    let lengths = file.get("lengths").is_some().then(|| file.lengths()).transpose()?;
    let cell = metadata.flag("cell")?
        || metadata.get("features")?.split(',').any(|feature| feature == "cell");
    if cell && lengths.is_some() {
        return Err(metadata.refuse("there are lengths, but a cell does one step"));
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
            // The activation stands after the first head.
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
        let of = [Quantity::Output, Quantity::Hn, Quantity::Cn, Quantity::HeadOutput]
            .into_iter()
            .find(|of| of.name() == name)
            .ok_or_else(|| metadata.refuse(format!("unknown expected tensor '{name}'")))?;
        expected.push(Expected { of, tensor: file.tensor(name)?, tolerance: None });
    }
    Ok(Case { params, cell, input: file.input("input")?, lengths, state, heads, expected })
}
