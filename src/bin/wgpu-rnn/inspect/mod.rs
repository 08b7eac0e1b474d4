//! `wgpu-rnn inspect`.

mod onnx;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wgpu_rnn::internals::diagnostics::case::{CaseFile, Content};
use wgpu_rnn::internals::error::printable;
use wgpu_rnn::language_model::LanguageModelParams;
use wgpu_rnn::{Error, Kind, Params, StateDict};

use crate::Outcome;
use crate::args::{KeyArgs, NamesArgs, TANH, TIME_FIRST};
use crate::output::JsonArgs;
use crate::terminal::{BAD, FAINT, STRONG, line};

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Inspect a file of weights, an ONNX model, a language model or a case; or the index or the
    /// folder of a sharded checkpoint.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub json: JsonArgs,
    #[command(flatten)]
    pub names: NamesArgs,
}

/// The number of printed characters of a metadata value. JSON has all characters.
const SHOWN: usize = 60;

#[derive(Serialize)]
struct FileReport {
    path: String,
    /// The type of the file, such as `safetensors` or `PyTorch (zip)`.
    #[serde(rename = "type")]
    file_type: String,
    /// The key of the dict in a checkpoint.
    key: Option<String>,
    /// The case, if the file is a case file.
    case: Option<CaseEntry>,
    modules: Vec<ModuleEntry>,
    tensors: Vec<TensorEntry>,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct CaseEntry {
    id: Option<String>,
    /// The module, as PyTorch prints it.
    module: Option<String>,
    /// The features that this version lacks.
    unsupported: Vec<String>,
    /// The reason why the case cannot be read.
    error: Option<String>,
}

/// A module that the names of tensors imply.
#[derive(Serialize)]
struct ModuleEntry {
    prefix: String,
    /// The module, as PyTorch prints it.
    module: Option<String>,
    /// The properties that no state dict holds, as the other commands assume them.
    assumed: Vec<&'static str>,
    /// The tensors below the prefix that are not used, with `--allow-unused`.
    unused: Option<String>,
    /// The reason why the module cannot be loaded.
    error: Option<String>,
}

#[derive(Serialize)]
struct TensorEntry {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

pub fn inspect(args: &InspectArgs) -> Result<Outcome, Error> {
    args.json.check(&[("FILE", &args.file)])?;
    let set = [&args.key.set()[..], &args.names.set()].concat();
    if let Some(model) = crate::onnx::open(std::slice::from_ref(&args.file), &set)? {
        onnx::inspect(&args.file, &model, &args.json)?;
        return Ok(Outcome::Agreed);
    }
    let file = args.names.apply(args.key.open(&[&args.file])?)?;
    let tensor = |name: &str| {
        file.get(name).map(|entry| TensorEntry {
            name: name.to_owned(),
            dtype: format!("{:?}", entry.dtype()),
            shape: entry.shape().to_vec(),
        })
    };
    let is_case = file.metadata("format").is_some_and(|format| format.starts_with("rnncase"));
    let report = FileReport {
        path: args.file.display().to_string(),
        file_type: file.file_type().to_owned(),
        key: file.key().or(args.key.key.as_deref()).map(str::to_owned),
        case: is_case.then(|| case(args)),
        // The input and the results of a case would be unexpected keys of a state dict.
        modules: if is_case { Vec::new() } else { modules(&file, args.names.allow_unused) },
        tensors: file.names().filter_map(tensor).collect(),
        metadata: file
            .all_metadata()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    };
    if args.json.leaves_stdout() {
        print(&report);
    }
    args.json.write(&report)?;
    Ok(Outcome::Agreed)
}

fn case(args: &InspectArgs) -> CaseEntry {
    let entry = |id, module, unsupported, error| CaseEntry { id, module, unsupported, error };
    let open = || {
        let file = StateDict::open(&args.file)?;
        // A small recipe may describe more values than memory holds.
        if let Some((id, config)) = CaseFile::recipe(&file)? {
            return Ok((id, Ok(config.to_string())));
        }
        CaseFile::read(&file).map(|CaseFile { id, content, .. }| match content {
            Content::Case(case) => (id, Ok(case.params.config().to_string())),
            Content::Unsupported(features) => (id, Err(features)),
        })
    };
    match open() {
        Err(error) => entry(None, None, Vec::new(), Some(error.to_string())),
        Ok((id, Ok(module))) => entry(Some(id), Some(module), Vec::new(), None),
        Ok((id, Err(features))) => entry(Some(id), None, features, None),
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

fn print(report: &FileReport) {
    line!("{STRONG}{}{STRONG:#}", printable(&report.path));
    let key = report.key.as_ref().map(|key| format!(", the dict '{}'", printable(key)));
    line!("  {FAINT}{}{}{FAINT:#}", report.file_type, key.unwrap_or_default());
    if let Some(CaseEntry { id, module, unsupported, error }) = &report.case {
        let id = printable(id.as_deref().unwrap_or_default());
        match (error, module) {
            (Some(error), _) => line!("  {BAD}{error}{BAD:#}"),
            (None, Some(module)) => line!("  case {id}: {STRONG}{module}{STRONG:#}"),
            (None, None) => {
                line!("  case {id}, which needs {}", printable(&unsupported.join(", ")))
            }
        }
    }
    for ModuleEntry { prefix, module, assumed, unused, error } in &report.modules {
        let prefix = if prefix.is_empty() { "without a prefix".into() } else { printable(prefix) };
        match (module, error) {
            (Some(module), _) => {
                line!("  {prefix}: {STRONG}{module}{STRONG:#}");
                for note in assumed.iter().copied().chain(unused.as_deref()) {
                    line!("    {FAINT}{}{FAINT:#}", printable(note));
                }
            }
            (None, error) => {
                line!("  {prefix}: {BAD}{}{BAD:#}", error.as_deref().unwrap_or_default())
            }
        }
    }
    line!("\n{FAINT}tensors{FAINT:#}");
    let names = report.tensors.iter().map(|tensor| printable(&tensor.name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for TensorEntry { name, dtype, shape } in &report.tensors {
        line!("  {:width$}  {dtype:4}  {shape:?}", printable(name));
    }
    if !report.metadata.is_empty() {
        line!("\n{FAINT}metadata{FAINT:#}");
    }
    for (key, value) in &report.metadata {
        let shown: String = value.chars().take(SHOWN).collect();
        let more = if value.chars().nth(SHOWN).is_some() { " .." } else { "" };
        line!("  {}: {}{more}", printable(key), printable(&shown));
    }
}
