//! Case files: a network, its input and the outputs that it must have.
//!
//! The format `rnncase/1` is one safetensors file for each case. `input`, `h0` and `c0` (optional), the weights under
//! PyTorch's names, and the expected `output`, `hn`, `cn` and `head_output` are tensors; kind, sizes, tolerance and the
//! features that the case needs are metadata. A missing bias counts as zero. A *recipe* (`rnncase-recipe/1`) holds
//! expected values only; its weights and input are generated, which makes very large cases small files.

use std::path::{Path, PathBuf};

use crate::compare::Tolerance;
use crate::config::{Config, Kind};
use crate::error::{Error, Result};
use crate::linear::Activation;
use crate::params::Params;
use crate::rnn::State;
use crate::state_dict::StateDict;
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
        text.parse().map_err(|_| self.refuse(format!("the metadata has {key} = '{text}', which is no such value")))
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
    /// [`Error::Io`] and [`Error::File`] when the file is not a valid case.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&StateDict::open(path)?)
    }

    /// The case or recipe in a file that was read.
    ///
    /// # Errors
    /// [`Error::File`] when it is not a valid case.
    pub fn read(file: &StateDict) -> Result<Self> {
        let metadata = Metadata { file };
        match file.metadata("format") {
            Some("rnncase/1") => read_case(&metadata),
            Some("rnncase-recipe/1") => recipe::read(&metadata),
            Some(other) => Err(metadata.refuse(format!("unknown case format '{other}', expected rnncase/1"))),
            None => Err(metadata.refuse("not a case file: the metadata lacks 'format' (rnncase/1)")),
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
    Ok(CaseFile { id: metadata.get("id")?.to_owned(), path: file.path().to_owned(), tolerance, content })
}

/// Everything in the file that this version does not do, whether its list of features says so or not.
fn unsupported_features(metadata: &Metadata<'_>) -> Result<Vec<String>> {
    let mut found: Vec<String> = metadata
        .get("features")?
        .split(',')
        // Sources differ on the state that a row of length 0 has in the end; ours is the initial one.
        .filter(|feature| *feature != "zero_len" || metadata.file.metadata("zero_len_state") != Some("h0"))
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
    let params = Params::from_fn(&config, |name, shape| match file.get(name) {
        None if name.starts_with("bias_") => Ok(vec![0.0; shape.iter().product()]),
        Some(entry) if entry.shape() != shape => {
            Err(metadata.refuse(format!("{name} has shape {:?}, expected {shape:?}", entry.shape())))
        }
        _ => file.f32(name),
    })?;
    let optional = |name: &str| file.get(name).is_some().then(|| file.input(name)).transpose();
    let state = match (optional("h0")?, optional("c0")?) {
        (None, None) => None,
        (None, Some(_)) => return Err(metadata.refuse("there is c0, but no h0")),
        (Some(h), c) => Some(State { h, c }),
    };
    let lengths = file.get("lengths").is_some().then(|| file.lengths()).transpose()?;
    let cell = metadata.flag("cell")? || metadata.get("features")?.split(',').any(|feature| feature == "cell");
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
                Some(other) => return Err(metadata.refuse(format!("unknown head_activation '{other}'"))),
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

mod recipe {
    //! Weights and input of a recipe come from SplitMix64 (Steele, Lea and Flood, 2014), one value for each index.

    use super::{Case, CaseFile, Content, Expected, Metadata, Quantity};
    use crate::compare::Tolerance;
    use crate::config::{Config, Kind};
    use crate::error::Result;
    use crate::params::Params;
    use crate::tensor::Tensor;

    /// Value `index` of the sequence of `seed`, uniform in ±`bound` from 24 bits.
    pub(super) fn value(seed: u64, index: u64, bound: f32) -> f32 {
        let mut z = index.wrapping_add(seed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 40) as f32 * (1.0 / 8_388_608.0) - 1.0) * bound
    }

    fn values(seed: u64, count: usize, bound: f32) -> Vec<f32> {
        (0..count as u64).map(|index| value(seed, index, bound)).collect()
    }

    /// The seed of the j-th parameter.
    pub(super) fn parameter_seed(base_seed: u64, j: u64) -> u64 {
        base_seed.wrapping_add(j).wrapping_mul(0x0100_0003) & 0xffff_ffff_ffff
    }

    pub(super) fn read(metadata: &Metadata<'_>) -> Result<CaseFile> {
        let kind: Kind = metadata.parse("kind")?;
        let config = Config::new(kind, metadata.parse("input_size")?, metadata.parse("hidden_size")?)
            .num_layers(metadata.parse("num_layers")?)
            .bidirectional(metadata.flag("bidirectional")?);
        let (seq_len, batch): (usize, usize) = (metadata.parse("seq_len")?, metadata.parse("batch")?);
        let base_seed: u64 = metadata.parse("base_seed")?;
        let bound: f32 = metadata.parse("weight_bound_f32")?;
        // A recipe asks for memory that its file does not take: bound it before anything is made.
        let most = 1_usize << 31;
        let parameters = crate::params::expected_parameters(&config);
        let sizes = parameters.iter().map(|(_, shape)| shape.as_slice());
        let input_shape = [seq_len, batch, config.input_size];
        for shape in sizes.chain([input_shape.as_slice(), &[seq_len, batch, config.output_size()]]) {
            if crate::tensor::element_count(shape).is_none_or(|count| count > most) {
                return Err(
                    metadata.refuse(format!("the recipe asks for a tensor of shape {shape:?}, over {most} values"))
                );
            }
        }
        let mut j = 0;
        let params = Params::from_fn(&config, |_, shape| {
            let seed = parameter_seed(base_seed, j);
            j += 1;
            Ok(values(seed, shape.iter().product(), bound))
        })?;
        let count = input_shape.iter().product();
        let input = Tensor::new(input_shape, values(base_seed.wrapping_mul(7919), count, 1.0))?;
        let allow = |error: f64| Tolerance { atol: (64.0 * error).max(2e-6), rtol: 0.0 };
        let tolerance = allow(metadata.parse("torch_f32_max_err")?);
        let mut expected = Vec::new();
        for of in [Quantity::OutputFirst, Quantity::OutputLast, Quantity::Hn, Quantity::Cn] {
            if of == Quantity::Cn && kind != Kind::Lstm {
                continue;
            }
            let own = of == Quantity::Cn && metadata.file.metadata("torch_f32_cn_err").is_some();
            let own = own.then(|| metadata.parse("torch_f32_cn_err").map(allow)).transpose()?;
            let own = own.filter(|own: &Tolerance| own.atol > tolerance.atol);
            expected.push(Expected { of, tensor: metadata.file.tensor(of.name())?, tolerance: own });
        }
        Ok(CaseFile {
            id: metadata.get("id")?.to_owned(),
            path: metadata.file.path().to_owned(),
            tolerance,
            content: Content::Case(Box::new(Case {
                params,
                cell: false,
                input,
                lengths: None,
                state: None,
                heads: Vec::new(),
                expected,
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::recipe::{parameter_seed, value};

    #[test]
    fn generated_values_are_those_of_the_format() {
        // The check values of the format's description, for base_seed 1000.
        let bound = 0.088_388_346_f32;
        let weight: Vec<f32> = (0..4).map(|i| value(parameter_seed(1000, 0), i, bound)).collect();
        assert_eq!(weight, [0.051_248_66, 0.054_031_9, -0.073_226_07, -0.044_824_08], "weight_ih_l0");
        let input: Vec<f32> = (0..4).map(|i| value(1000 * 7919, i, 1.0)).collect();
        assert_eq!(input, [-0.948_265_7, -0.377_445_46, 0.313_004_6, -0.949_188_6], "input");
    }
}
