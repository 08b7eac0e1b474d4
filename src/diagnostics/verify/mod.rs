//! Runs case files on a device and reports the result of each.

#[doc(hidden)]
pub mod report;
mod rounding;

use std::path::{Path, PathBuf};

use crate::diagnostics::case::{Case, CaseFile, Content, Quantity};
use crate::diagnostics::compare::{Comparison, Tolerance};
use crate::engine::device::Device;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::cell::Cell;
use crate::nn::linear::Linear;
use crate::nn::options::{ForwardOptions, LoadOptions};
use crate::nn::rnn::Rnn;
use crate::tensor::{State, Tensor, room};
use rounding::Rounding;

/// The result of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Every expected tensor is within tolerance.
    Pass,
    /// An expected tensor is out of tolerance.
    Fail,
    /// The case needs a feature that this version lacks.
    Unsupported,
    /// Reading or running the case failed.
    Error,
}

impl Status {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
        }
    }
}

/// The result of one case on one device, with its figures.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CaseReport {
    /// The name of the case; the path of a file that cannot be read.
    pub id: String,
    /// The path of the file.
    pub path: PathBuf,
    /// The result.
    pub status: Status,
    /// The reason, unless the case passed.
    pub reason: Option<String>,
    /// The comparison, if the case ran.
    pub comparison: Option<Comparison>,
    /// The tolerance of the file.
    pub tolerance: Option<Tolerance>,
    /// The largest change of an expected value by the rounding of stored weights.
    ///
    /// The change is absolute, or relative to the largest value of the tensor if that exceeds 1.
    /// It is 0 if the stored weights are not rounded.
    pub rounding: f64,
}

impl CaseReport {
    /// The report of a case that cannot be read or run.
    pub fn error(path: &Path, reason: &Error) -> Self {
        Self {
            id: path.display().to_string(),
            path: path.to_owned(),
            status: Status::Error,
            reason: Some(reason.to_string()),
            comparison: None,
            tolerance: None,
            rounding: 0.0,
        }
    }

    /// The report of a case that ran, or that could not.
    #[doc(hidden)]
    pub fn of(
        (id, path): (&str, &Path),
        tolerance: Tolerance,
        compared: Result<Comparison>,
    ) -> Self {
        let (comparison, error) = match compared {
            Ok(comparison) => (Some(comparison), None),
            Err(error) => (None, Some(error)),
        };
        let wrong = comparison.as_ref().filter(|comparison| !comparison.agrees());
        Self {
            id: id.to_owned(),
            path: path.to_owned(),
            status: match &error {
                None if wrong.is_none() => Status::Pass,
                None => Status::Fail,
                Some(Error::Unsupported(_)) => Status::Unsupported,
                Some(_) => Status::Error,
            },
            reason: wrong.map(Comparison::describe).or(error.map(|error| error.to_string())),
            tolerance: Some(tolerance),
            comparison,
            rounding: 0.0,
        }
    }
}

/// Returns the case files in `paths`. A folder stands for its `*.safetensors` at any depth, sorted.
///
/// # Errors
/// [`Error::Io`] if a path does not exist or a folder cannot be read; [`Error::File`] if a folder
/// has no case file.
#[doc(hidden)]
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let before = found.len();
        collect(path, &mut found)?;
        if found.len() == before {
            return Err(Error::File {
                path: path.clone(),
                message: "there are no case files (*.safetensors) in this folder".to_owned(),
            });
        }
    }
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(io)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<Vec<_>>>()
        })
        .map_err(io)?;
    entries.sort();
    for entry in entries {
        // Links to folders are not followed: they can form cycles.
        let is_dir = std::fs::symlink_metadata(&entry).is_ok_and(|m| m.is_dir());
        if is_dir || entry.extension().is_some_and(|extension| extension == "safetensors") {
            collect(&entry, found)?;
        }
    }
    Ok(())
}

/// Runs the case file `path` on `device`. An error becomes a report.
pub fn run(device: &Device, path: &Path) -> CaseReport {
    run_with(device, path, &LoadOptions::new())
}

/// Runs the case file `path` on `device` with options.
///
/// A case that the options exclude is unsupported. If the stored weights are rounded, the expected
/// values change by the effect of rounding in the f64 reference.
pub fn run_with(device: &Device, path: &Path, options: &LoadOptions) -> CaseReport {
    match CaseFile::open(path) {
        Err(error) => CaseReport::error(path, &error),
        Ok(file) => run_file(device, &file, options),
    }
}

/// The asynchronous form of [`run_with`].
pub async fn run_with_async(device: &Device, path: &Path, options: &LoadOptions) -> CaseReport {
    match CaseFile::open(path) {
        Err(error) => CaseReport::error(path, &error),
        Ok(file) => run_file_async(device, &file, options).await,
    }
}

/// Runs a case file that has been read. An error becomes a report.
#[doc(hidden)]
pub fn run_file(device: &Device, file: &CaseFile, options: &LoadOptions) -> CaseReport {
    match device.blocking() {
        Err(error) => CaseReport::error(&file.path, &error),
        Ok(waiting) => pollster::block_on(report(device, file, options, waiting)),
    }
}

/// The asynchronous form of [`run_file`].
#[doc(hidden)]
pub async fn run_file_async(device: &Device, file: &CaseFile, options: &LoadOptions) -> CaseReport {
    report(device, file, options, Waiting::Await).await
}

async fn report(
    device: &Device,
    file: &CaseFile,
    options: &LoadOptions,
    waiting: Waiting,
) -> CaseReport {
    let named = (file.id.as_str(), file.path.as_path());
    let case = match &file.content {
        Content::Case(case) => case,
        Content::Unsupported(features) => {
            let reason = Some(features.join(", "));
            let nothing = CaseReport::of(named, file.tolerance, Ok(Comparison::default()));
            return CaseReport { status: Status::Unsupported, comparison: None, reason, ..nothing };
        }
    };
    match compare(device, case, file.tolerance, options, waiting).await {
        Ok((comparison, rounding)) => {
            let report = CaseReport::of(named, file.tolerance, Ok(comparison));
            CaseReport { rounding, ..report }
        }
        Err(error) => CaseReport::of(named, file.tolerance, Err(error)),
    }
}

/// Returns the comparison, and the largest change of an expected value by rounding.
async fn compare(
    device: &Device,
    case: &Case,
    tolerance: Tolerance,
    options: &LoadOptions,
    waiting: Waiting,
) -> Result<(Comparison, f64)> {
    options.check("a case, whose file has them", &["schedule"])?;
    let rounding = Rounding::from_case(case, options.weights)?;
    let mut moved = 0.0_f64;
    let (output, state) = forward(device, case, options, waiting).await?;
    let mut comparison = Comparison::default();
    // The results of two references in f64, their difference and its parts.
    let copies = if rounding.is_some() { 8 } else { 1 };
    for expected in &case.expected {
        let copies = output.data().len().saturating_mul(copies);
        let wanted = expected.tensor.data().len().saturating_mul(4);
        room(copies.saturating_add(wanted), "a comparison")?;
        let got = match expected.quantity {
            Quantity::Output => output.clone(),
            Quantity::OutputFirst => step(&output, 0)?,
            Quantity::OutputLast => step(&output, output.shape()[0] - 1)?,
            Quantity::Hn => state.h.clone(),
            Quantity::Cn => state.c.clone().ok_or_else(|| {
                Error::Option(format!(
                    "the case expects cn, which {} does not have",
                    case.params.config().kind
                ))
            })?,
            Quantity::HeadOutput => {
                let mut x = output.clone();
                for head in &case.heads {
                    let (bias, activation) = (head.bias.as_deref(), head.activation);
                    let head = Linear::new(device, &head.weight, bias, activation)?;
                    x = head.apply(x.view(), waiting).await?;
                }
                x
            }
        };
        let mut want: Vec<f64> = expected.tensor.data().iter().map(|&v| f64::from(v)).collect();
        if let Some(rounding) = &rounding {
            let scale = want.iter().fold(1.0_f64, |most, want| most.max(want.abs()));
            for (want, change) in want.iter_mut().zip(rounding.change(case, expected.quantity)) {
                *want += change;
                moved = moved.max(change.abs() / scale);
            }
        }
        let tolerance = expected.tolerance.unwrap_or(tolerance);
        comparison.add_tensor(
            expected.quantity.name(),
            &got,
            (expected.tensor.shape(), &want),
            tolerance,
        );
    }
    if comparison.count == 0 && comparison.structural.is_none() && case.expected.is_empty() {
        return Err(Error::Option("the case expects nothing, so that it cannot fail".to_owned()));
    }
    Ok((comparison, moved))
}

/// Runs the network. The output of a cell is its h.
async fn forward(
    device: &Device,
    case: &Case,
    options: &LoadOptions,
    waiting: Waiting,
) -> Result<(Tensor, State)> {
    let state = case.state.as_ref();
    if case.cell {
        let cell = Cell::with_options(device, &case.params, options)?;
        let next = cell.compute(case.input.view(), state, waiting).await?;
        return Ok((next.h.clone(), next));
    }
    let rnn = Rnn::with_options(device, &case.params, options)?;
    if case.has_no_step() {
        let (config, shape) = (rnn.config(), case.input.shape());
        let batch = shape.iter().take(2).copied().max().unwrap_or(0);
        let state = state.cloned().map_or_else(|| State::zeros(config, batch), Ok)?;
        let output = Tensor::zeros([shape[0], shape[1], config.output_size()])?;
        return Ok((output, state));
    }
    let options = ForwardOptions { state, lengths: case.lengths.as_deref(), ..<_>::default() };
    rnn.compute(case.input.view(), &options, waiting).await
}

/// Returns time step `t` of a time-first output.
fn step(output: &Tensor, t: usize) -> Result<Tensor> {
    let shape = output.shape()[1..].to_vec();
    let size: usize = shape.iter().product();
    Tensor::new(shape, output.data()[t * size..(t + 1) * size].to_vec())
}
