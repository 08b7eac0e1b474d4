//! `wgpu-rnn verify`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wgpu_rnn::Error;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::verify::{CaseReport, Status, find, run_with};
use wgpu_rnn::internals::error::printable;

use crate::Outcome;
use crate::args::{ModuleArgs, OpenArgs, selectors};
use crate::output::{JsonArgs, Named};
use crate::terminal::{BAD, FAINT, GOOD, STRONG, line, progress};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Verify case files (rnncase/1), or all case files in folders.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
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

/// A case in the JSON report. Figures that are not finite are null, which JSON requires.
#[derive(Serialize)]
struct CaseEntry {
    id: String,
    path: String,
    status: &'static str,
    reason: Option<String>,
    max_abs: Option<f64>,
    max_rel: Option<f64>,
    worst: Option<WorstEntry>,
    atol: Option<f64>,
    rtol: Option<f64>,
}

#[derive(Serialize)]
struct WorstEntry {
    tensor: String,
    index: Vec<usize>,
}

#[derive(Serialize, Default)]
struct DeviceResult {
    device: String,
    cases: Vec<CaseEntry>,
    passed: usize,
    failed: usize,
    unsupported: usize,
    errors: usize,
    /// The largest error of a passed case, divided by its tolerance.
    worst_share: f64,
    /// The largest change of a result by the rounding of weights.
    rounding: f64,
}

impl DeviceResult {
    fn add(&mut self, report: CaseReport) {
        match report.status {
            Status::Pass => self.passed += 1,
            Status::Fail => self.failed += 1,
            Status::Unsupported => self.unsupported += 1,
            _ => self.errors += 1,
        }
        let comparison = report.comparison.as_ref();
        if let Some(comparison) = comparison.filter(|_| report.status == Status::Pass) {
            self.worst_share = self.worst_share.max(comparison.worst_ratio);
        }
        self.rounding = self.rounding.max(report.rounding);
        self.cases.push(CaseEntry {
            id: report.id,
            path: report.path.display().to_string(),
            status: report.status.name(),
            reason: report.reason,
            max_abs: comparison.map(|c| c.max_abs),
            max_rel: comparison.map(|c| c.max_rel),
            worst: comparison
                .and_then(|c| c.worst.clone())
                .map(|worst| WorstEntry { tensor: worst.tensor, index: worst.index }),
            atol: report.tolerance.map(|t| t.atol),
            rtol: report.tolerance.map(|t| t.rtol),
        });
    }
}

#[derive(Serialize)]
struct Results {
    results: Vec<DeviceResult>,
}

pub fn verify(args: &VerifyArgs) -> Result<Outcome, Error> {
    let files = find(&args.paths)?;
    let read: Vec<Named<'_>> = files.iter().map(|path| ("a case", path.as_path())).collect();
    args.json.check(&read)?;
    let options = args.module.options();
    let mut results = Vec::new();
    for selection in Selection::of_all(&selectors(&args.devices))? {
        let title = selection.title();
        let mut result = DeviceResult { device: title.clone(), ..DeviceResult::default() };
        match args.open.open(&selection) {
            // The cases of this device are errors; other devices still run.
            Err(error) => files.iter().for_each(|path| result.add(CaseReport::error(path, &error))),
            Ok(device) => {
                let bar = progress(files.len(), &title);
                for path in &files {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    bar.set_message(printable(&name).into_owned());
                    result.add(run_with(&device, path, &options));
                    bar.inc(1);
                }
                bar.finish_and_clear();
            }
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
    args.json.write(&Results { results })?;
    Ok(outcome)
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
