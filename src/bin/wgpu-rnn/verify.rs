//! `wgpu-rnn verify`.

use serde::Serialize;
use wgpu_rnn::Error;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::verify::{Report, Status, find, run_with};

use crate::Outcome;
use crate::args::{VerifyArgs, selectors};
use crate::terminal::{BAD, FAINT, GOOD, STRONG, line, print_json, progress};

/// One case in the JSON report. Figures that are not finite are null, as JSON has no word for them.
#[derive(Serialize)]
struct CaseRow {
    id: String,
    path: String,
    status: &'static str,
    reason: Option<String>,
    max_abs: Option<f64>,
    max_rel: Option<f64>,
    worst: Option<WorstRow>,
    atol: Option<f64>,
    rtol: Option<f64>,
}

#[derive(Serialize)]
struct WorstRow {
    tensor: String,
    index: Vec<usize>,
}

#[derive(Serialize, Default)]
struct DeviceRow {
    device: String,
    cases: Vec<CaseRow>,
    passed: usize,
    failed: usize,
    unsupported: usize,
    errors: usize,
    /// The largest error of a case that passed, as a share of what the case allows.
    worst_share: f64,
    /// How far rounding the weights moves results at most.
    rounding: f64,
}

impl DeviceRow {
    fn add(&mut self, report: Report) {
        match report.status {
            Status::Pass => self.passed += 1,
            Status::Fail => self.failed += 1,
            Status::Unsupported => self.unsupported += 1,
            Status::Error => self.errors += 1,
        }
        let comparison = report.comparison.as_ref();
        if let Some(comparison) = comparison.filter(|_| report.status == Status::Pass) {
            self.worst_share = self.worst_share.max(comparison.worst_ratio);
        }
        self.rounding = self.rounding.max(report.rounding);
        self.cases.push(CaseRow {
            id: report.id,
            path: report.path.display().to_string(),
            status: report.status.name(),
            reason: report.reason,
            max_abs: comparison.map(|c| c.max_abs),
            max_rel: comparison.map(|c| c.max_rel),
            worst: comparison
                .and_then(|c| c.worst.clone())
                .map(|worst| WorstRow { tensor: worst.tensor, index: worst.index }),
            atol: report.tolerance.map(|t| t.atol),
            rtol: report.tolerance.map(|t| t.rtol),
        });
    }
}

#[derive(Serialize)]
struct Results {
    results: Vec<DeviceRow>,
}

pub fn verify(args: &VerifyArgs) -> Result<Outcome, Error> {
    let files = find(&args.paths)?;
    let options = args.module.options();
    let mut results = Vec::new();
    for choice in Selection::of_all(&selectors(&args.devices))? {
        let title = choice.title();
        let mut row = DeviceRow { device: title.clone(), ..DeviceRow::default() };
        match args.open.open(&choice) {
            // With several devices the others still have their say; this one's cases count as errors.
            Err(error) => files.iter().for_each(|path| row.add(Report::error(path, &error))),
            Ok(device) => {
                let bar = progress(files.len(), &title);
                for path in &files {
                    bar.set_message(
                        path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                    );
                    row.add(run_with(&device, path, &options));
                    bar.inc(1);
                }
                bar.finish_and_clear();
            }
        }
        if !args.json {
            print(&row);
        }
        results.push(row);
    }
    let sum = |count: fn(&DeviceRow) -> usize| results.iter().map(count).sum::<usize>();
    let outcome = if sum(|row| row.failed) > 0 {
        Outcome::Disagreed
    } else if sum(|row| row.errors) > 0 || sum(|row| row.passed) == 0 {
        Outcome::Incomplete
    } else {
        Outcome::Agreed
    };
    if args.json {
        print_json(&Results { results })?;
    }
    Ok(outcome)
}

/// What did not pass, one line each, then the totals.
fn print(row: &DeviceRow) {
    line!("{STRONG}{}{STRONG:#}", row.device);
    for case in &row.cases {
        let reason = case.reason.as_deref().unwrap_or_default();
        match case.status {
            "pass" => {}
            "unsupported" => line!("  {FAINT}unsupported  {}: {reason}{FAINT:#}", case.id),
            // The reason of a file that could not be read names the file itself.
            status if reason.starts_with(&case.id) => line!("  {BAD}{status}{BAD:#}  {reason}"),
            status => line!("  {BAD}{status}{BAD:#}  {}: {reason}", case.id),
        }
    }
    let colour = if row.failed + row.errors == 0 { GOOD } else { BAD };
    line!(
        "  {colour}{} passed, {} failed{colour:#}, {} unsupported, {} errors; largest error {:.2} of what its case allows",
        row.passed,
        row.failed,
        row.unsupported,
        row.errors,
        row.worst_share
    );
    if row.rounding > 0.0 {
        line!(
            "  rounding the weights moves results by up to {:.1e} (of a tensor's largest value, if above 1), which is allowed for",
            row.rounding
        );
    }
}
