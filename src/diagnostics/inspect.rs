//! The content of a file of weights: its modules, tensors and metadata.

use std::collections::BTreeMap;

use serde::Serialize;

use super::case::{CaseFile, Content};
use crate::error::{Error, Result};
use crate::params::language_model::LanguageModelParams;
use crate::params::state_dict::StateDict;
use crate::params::{Kind, Params};

/// The order of a batched input without `batch_first`.
const TIME_FIRST: &str = "[T, B, I] (assumed; batch_first reads [B, T, I])";
/// An RNN whose file does not name the nonlinearity.
pub const TANH: &str = "RNN(tanh, assumed)";

/// The content of a file of weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileReport {
    /// The file.
    pub path: String,
    /// The type of the file, such as `safetensors` or `PyTorch (zip)`.
    #[serde(rename = "type")]
    pub file_type: String,
    /// The key of the dict in a checkpoint.
    pub key: Option<String>,
    /// The case, if the file is a case file.
    pub case: Option<CaseEntry>,
    /// The modules that the names imply; none for a case.
    pub modules: Vec<ModuleEntry>,
    /// The tensors by name.
    pub tensors: Vec<TensorEntry>,
    /// The metadata by key.
    pub metadata: BTreeMap<String, String>,
}

/// A case file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseEntry {
    /// The name of the case.
    pub id: Option<String>,
    /// The module, as PyTorch prints it.
    pub module: Option<String>,
    /// The features that this version lacks.
    pub unsupported: Vec<String>,
    /// The reason why the case cannot be read.
    pub error: Option<String>,
}

/// A module that the names of tensors imply.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModuleEntry {
    /// The prefix of its tensors.
    pub prefix: String,
    /// The module, as PyTorch prints it.
    pub module: Option<String>,
    /// The properties that no state dict holds, as loading assumes them.
    pub assumed: Vec<&'static str>,
    /// The tensors below the prefix that are not used, where that is allowed.
    pub unused: Option<String>,
    /// The reason why the module cannot be loaded.
    pub error: Option<String>,
}

/// A tensor without its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorEntry {
    /// The name.
    pub name: String,
    /// The type of the elements, as safetensors names it.
    pub dtype: String,
    /// The size of each axis.
    pub shape: Vec<usize>,
}

impl FileReport {
    /// Reports on a file. `path` names it in the report. With `allow_unused`, a module may leave
    /// tensors below its prefix unused.
    pub fn of(file: &StateDict, path: &str, allow_unused: bool) -> Self {
        let tensor = |name: &str| {
            file.get(name).map(|entry| TensorEntry {
                name: name.to_owned(),
                dtype: format!("{:?}", entry.dtype()),
                shape: entry.shape().to_vec(),
            })
        };
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let is_case = file.metadata("format").is_some_and(|format| format.starts_with("rnncase"));
        Self {
            path: path.to_owned(),
            file_type: file.file_type().to_owned(),
            key: file.key().map(str::to_owned),
            case: is_case.then(|| CaseEntry::of(file)),
            // The input and the results of a case would be unexpected keys of a state dict.
            modules: if is_case { Vec::new() } else { modules(file, allow_unused) },
            tensors: file.names().filter_map(tensor).collect(),
            metadata: file.all_metadata().into_iter().map(owned).collect(),
        }
    }
}

impl CaseEntry {
    fn of(file: &StateDict) -> Self {
        let entry = |id, module, unsupported, error| Self { id, module, unsupported, error };
        let read = || {
            // A small recipe may describe more values than memory holds.
            if let Some((id, config)) = CaseFile::recipe(file)? {
                return Ok((id, Ok(config.to_string())));
            }
            CaseFile::read(file).map(|CaseFile { id, content, .. }| match content {
                Content::Case(case) => (id, Ok(case.params.config().to_string())),
                Content::Unsupported(features) => (id, Err(features)),
            })
        };
        match read() {
            Err(error) => entry(None, None, Vec::new(), Some(error.to_string())),
            Ok((id, Ok(module))) => entry(Some(id), Some(module), Vec::new(), None),
            Ok((id, Err(features))) => entry(Some(id), None, features, None),
        }
    }
}

/// The endings of names that show a recurrent module: its weight, or the parts that a
/// reparametrisation stores.
const MODULES: [&str; 4] = [
    "weight_ih_l0",
    "weight_ih_l0_v",
    "weight_ih_l0_raw",
    "parametrizations.weight_ih_l0.original1",
];

/// Returns the language models and the recurrent modules of a file, by prefix.
fn modules(file: &StateDict, allow_unused: bool) -> Vec<ModuleEntry> {
    type Loaded = Result<(String, Kind, Option<String>), Error>;
    let entry = |prefix: &str, layout: bool, loaded: Loaded| {
        let prefix = prefix.to_owned();
        let (module, kind, unused) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                let (assumed, error) = (Vec::new(), Some(error.to_string()));
                return ModuleEntry { prefix, module: None, assumed, unused: None, error };
            }
        };
        let nonlinearity = kind == Kind::RnnTanh && file.metadata("rnn_type").is_none();
        let assumed = [(nonlinearity, TANH), (layout, TIME_FIRST)];
        let assumed = assumed.into_iter().filter_map(|(is, what)| is.then_some(what)).collect();
        ModuleEntry { prefix, module: Some(module), assumed, unused, error: None }
    };
    let ending = |ending: &'static str| {
        let names = file.names().filter_map(move |name| name.strip_suffix(ending));
        names.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
    };
    let mut modules = Vec::new();
    // Tied weights may be stored once, under either name.
    let mut models: Vec<&str> = ending("encoder.weight").chain(ending("decoder.weight")).collect();
    models.sort_unstable();
    models.dedup();
    for prefix in models {
        if file.get(&format!("{prefix}rnn.weight_ih_l0")).is_some() {
            let loaded = LanguageModelParams::read(file, prefix, None, allow_unused);
            let described = loaded.map(|(params, unused)| {
                (params.config().to_string(), params.config().rnn_type, unused)
            });
            modules.push(entry(prefix, false, described));
        }
    }
    for prefix in MODULES.into_iter().flat_map(ending) {
        let loaded = Params::read(file, prefix, allow_unused);
        let described = loaded
            .map(|(params, unused)| (params.config().to_string(), params.config().kind, unused));
        modules.push(entry(prefix, true, described));
    }
    for prefix in ending("weight_ih") {
        let described = Params::read_cell(file, prefix, allow_unused).map(|(params, unused)| {
            let cell = params.config().to_string().replacen('(', "Cell(", 1);
            (cell, params.config().kind, unused)
        });
        modules.push(entry(prefix, false, described));
    }
    modules
}
