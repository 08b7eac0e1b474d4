//! `wgpu-rnn verify`.

use std::path::PathBuf;

use clap::Args;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::compare::Tolerance;
use wgpu_rnn::internals::diagnostics::verify::report::{DeviceResult, Report};
use wgpu_rnn::internals::diagnostics::verify::{CaseReport, find, run_with};
use wgpu_rnn::internals::diagnostics::{Loaded, SIZES, Subject, Trials};
use wgpu_rnn::internals::error::printable;
use wgpu_rnn::{Device, Error, LoadOptions, Params, State, Tensor};

use crate::Outcome;
use crate::args::{KeyArgs, ModuleArgs, OpenArgs, WeightsArgs, selectors};
use crate::output::{JsonArgs, Named};
use crate::run::load;
use crate::terminal::{BAD, FAINT, GOOD, STRONG, line, message, progress};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Verify case files (rnncase/1), or all case files in folders.
    #[arg(required_unless_present = "weights", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Verify the network of a file instead, with drawn inputs, against the definition in f64: a
    /// state dict or an ONNX model; may be repeated for several files of one state dict.
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    pub weights: Vec<PathBuf>,
    /// Use the dict under a key of a checkpoint of --weights.
    #[arg(long, value_name = "KEY", conflicts_with = "paths")]
    pub key: Option<String>,
    /// Verify the tensors of --weights whose names start with a prefix.
    #[arg(long, default_value = "", conflicts_with = "paths")]
    pub prefix: String,
    /// Set the nonlinearity of an RNN in --weights: tanh or relu.
    #[arg(long, conflicts_with = "paths")]
    pub nonlinearity: Option<String>,
    /// Verify the network of an ONNX model that has the node of this name.
    #[arg(long, value_name = "NAME", conflicts_with = "paths")]
    pub node: Option<String>,
    /// Set the time steps of a drawn input [default: several sizes]
    #[arg(long, value_name = "T", requires = "batch", conflicts_with = "paths")]
    pub seq_len: Option<usize>,
    /// Set the rows of a drawn input.
    #[arg(long, value_name = "B", requires = "seq_len", conflicts_with = "paths")]
    pub batch: Option<usize>,
    /// Use auto, cpu, all, an index from `devices`, or part of an adapter's name; may be repeated
    /// [default: auto]
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    #[command(flatten)]
    pub module: ModuleArgs,
    #[command(flatten)]
    pub json: JsonArgs,
    #[command(flatten)]
    pub open: OpenArgs,
}

pub fn verify(args: &VerifyArgs) -> Result<Outcome, Error> {
    let options = args.module.options();
    let work = Work::new(args, &options)?;
    let mut results = Vec::new();
    for selection in Selection::of_all(&selectors(&args.devices))? {
        let title = selection.title();
        let mut result = DeviceResult::new(&title);
        match args.open.open(&selection) {
            // The cases of this device are errors; other devices still run.
            Err(error) => {
                let files = work.files().iter();
                files.for_each(|path| result.add(CaseReport::error(path, &error)));
            }
            Ok(device) => work.run(&device, &options, |report| result.add(report)),
        }
        if args.json.leaves_stdout() {
            print(&result);
        }
        results.push(result);
    }
    let sum = |count: fn(&DeviceResult) -> usize| results.iter().map(count).sum::<usize>();
    let outcome = if sum(|row| row.failed) > 0 {
        Outcome::Disagreed
    } else if sum(|row| row.errors) > 0 || sum(|row| row.passed) == 0 {
        Outcome::Incomplete
    } else {
        Outcome::Agreed
    };
    args.json.write(&Report { results })?;
    Ok(outcome)
}

/// The cases to verify.
enum Work {
    Files(Vec<PathBuf>),
    /// A network with its drawn inputs; the definition is slow, and the same for every device.
    Network {
        files: Vec<PathBuf>,
        params: Params,
        cases: Vec<DrawnCase>,
    },
}

/// An input of these sizes, with the results of the definition.
struct DrawnCase {
    id: String,
    trials: Trials<(Tensor, Option<State>)>,
}

impl Work {
    fn new(args: &VerifyArgs, options: &LoadOptions) -> Result<Self, Error> {
        let check = |role: &'static str, files: &[PathBuf]| {
            let read: Vec<Named<'_>> = files.iter().map(|path| (role, path.as_path())).collect();
            args.json.check(&read)
        };
        if args.weights.is_empty() {
            let files = find(&args.paths)?;
            check("a case", &files)?;
            return Ok(Self::Files(files));
        }
        check("--weights", &args.weights)?;
        let network = load(&WeightsArgs {
            weights: args.weights.clone(),
            key: KeyArgs { key: args.key.clone() },
            prefix: args.prefix.clone(),
            nonlinearity: args.nonlinearity.clone(),
            node: args.node.clone(),
            ..WeightsArgs::default()
        })?;
        check("--weights", &network.files)?;
        if network.state.is_some() || network.lengths.is_some() {
            message!("note: the state and the lengths of the model are drawn, and not read");
        }
        let given = args.seq_len.zip(args.batch).map(|sizes| vec![sizes]);
        let loaded = Loaded { params: &network.params, options };
        let case = |sizes: (usize, usize)| {
            let id = format!("{} T={} B={}", loaded.title(), sizes.0, sizes.1);
            Ok(DrawnCase { id, trials: Trials::draw(&loaded, &[sizes])? })
        };
        let sizes = given.unwrap_or_else(|| SIZES.to_vec());
        let cases = sizes.into_iter().map(case).collect::<Result<_, Error>>()?;
        Ok(Self::Network { files: args.weights.clone(), params: network.params, cases })
    }

    /// The files of the cases.
    fn files(&self) -> &[PathBuf] {
        match self {
            Self::Files(files) | Self::Network { files, .. } => files,
        }
    }

    /// Runs every case on a device.
    fn run(&self, device: &Device, options: &LoadOptions, mut add: impl FnMut(CaseReport)) {
        let title = device.to_string();
        match self {
            Self::Files(files) => {
                let bar = progress(files.len(), &title);
                for path in files {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    bar.set_message(printable(&name).into_owned());
                    add(run_with(device, path, options));
                    bar.inc(1);
                }
                bar.finish_and_clear();
            }
            Self::Network { files, params, cases } => {
                let loaded = Loaded { params, options };
                for DrawnCase { id, trials } in cases {
                    let compared = trials.compare(&loaded, device, Tolerance::F32);
                    // There is one input, and so one comparison.
                    let compared = compared.map(|mut all| all.pop().unwrap_or_default());
                    add(CaseReport::of((id, &files[0]), Tolerance::F32, compared));
                }
            }
        }
    }
}

/// Prints a line for each case that did not pass, then the totals.
fn print(result: &DeviceResult) {
    line!("{STRONG}{}{STRONG:#}", result.device);
    for case in &result.cases {
        let reason = printable(case.reason.as_deref().unwrap_or_default());
        let id = printable(&case.id);
        match case.status {
            "pass" => {}
            "unsupported" => line!("  {FAINT}unsupported  {id}: {reason}{FAINT:#}"),
            // The reason already names a file that cannot be read.
            status if reason.starts_with(&*id) => line!("  {BAD}{status}{BAD:#}  {reason}"),
            status => line!("  {BAD}{status}{BAD:#}  {id}: {reason}"),
        }
    }
    let colour = if result.failed + result.errors == 0 { GOOD } else { BAD };
    line!(
        "  {colour}{} passed, {} failed{colour:#}, {} unsupported, {} errors; \
         largest error {:.2} of its tolerance",
        result.passed,
        result.failed,
        result.unsupported,
        result.errors,
        result.worst_share
    );
    if result.rounding > 0.0 {
        line!(
            "  rounding the weights changes results by up to {:.1e} (absolute, or relative to a \
             largest value above 1); the expected values include this change",
            result.rounding
        );
    }
}
