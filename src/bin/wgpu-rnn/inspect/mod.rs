//! `wgpu-rnn inspect`.

mod onnx;

use std::path::PathBuf;

use clap::Args;
use wgpu_rnn::Error;
use wgpu_rnn::internals::diagnostics::inspect::{CaseEntry, FileReport, ModuleEntry, TensorEntry};
use wgpu_rnn::internals::error::printable;

use crate::Outcome;
use crate::args::{KeyArgs, NamesArgs};
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

pub fn inspect(args: &InspectArgs) -> Result<Outcome, Error> {
    args.json.check(&[("FILE", &args.file)])?;
    let set = [&args.key.set()[..], &args.names.set()].concat();
    if let Some(model) = crate::onnx::open(std::slice::from_ref(&args.file), &set)? {
        onnx::inspect(&args.file, &model, &args.json)?;
        return Ok(Outcome::Agreed);
    }
    let file = args.names.apply(args.key.open(&[&args.file])?)?;
    let mut report =
        FileReport::of(&file, &args.file.display().to_string(), args.names.allow_unused);
    report.key = report.key.or(args.key.key.clone());
    if args.json.leaves_stdout() {
        print(&report);
    }
    args.json.write(&report)?;
    Ok(Outcome::Agreed)
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
