//! Running cases on a device and judging the results.

mod rounding;

use std::path::{Path, PathBuf};

use crate::diagnostics::case::{Case, CaseFile, Content, Quantity};
use crate::diagnostics::compare::{Comparison, Tolerance};
use crate::engine::device::Device;
use crate::error::{Error, Result};
use crate::nn::cell::Cell;
use crate::nn::linear::Linear;
use crate::nn::rnn::{Rnn, RnnOptions};
use crate::tensor::State;
use crate::tensor::Tensor;
use rounding::Rounding;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Every expected tensor is within the case's tolerance.
    Pass,
    /// Some are not.
    Fail,
    /// The case needs what this version lacks.
    Unsupported,
    /// The case could not be read or run.
    Error,
}

impl Status {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
        }
    }
}

/// The result of one case on one device.
#[derive(Debug, Clone)]
pub struct Report {
    /// The case's name; the path where the file could not be read.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// How it ended.
    pub status: Status,
    /// Why, unless it passed.
    pub reason: Option<String>,
    /// The figures, if anything was compared.
    pub comparison: Option<Comparison>,
    /// What was allowed.
    pub tolerance: Option<Tolerance>,
    /// How much what was expected had to be moved, because the device stores rounded weights, as a share of a tensor's
    /// largest value if that is above 1; 0 where it does not.
    pub rounding: f64,
}

impl Report {
    /// The report of a file whose case could not be read or run.
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
}

/// The case files among `paths`, folders being searched for `*.safetensors` to any depth; sorted within a folder.
///
/// # Errors
/// [`Error::Io`] when a path does not exist or a folder cannot be read; [`Error::File`] when a folder holds none.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let before = found.len();
        walk(path, &mut found)?;
        if found.len() == before {
            return Err(Error::File {
                path: path.clone(),
                message: "there are no case files (*.safetensors) in this folder".to_owned(),
            });
        }
    }
    Ok(found)
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
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
        // A link is not followed: a cycle would never end.
        let is_dir = std::fs::symlink_metadata(&entry).is_ok_and(|m| m.is_dir());
        if is_dir || entry.extension().is_some_and(|extension| extension == "safetensors") {
            walk(&entry, found)?;
        }
    }
    Ok(())
}

/// Runs the case in `path` on `device`. Whatever happens becomes a report.
pub fn run(device: &Device, path: &Path) -> Report {
    run_with(device, path, &RnnOptions::default())
}

/// Runs the case in `path` on `device`, with options. What these do not allow is reported as unsupported. Where weights
/// are stored in a type that rounds them, the case's values are moved by what rounding changes by definition.
pub fn run_with(device: &Device, path: &Path, options: &RnnOptions) -> Report {
    match CaseFile::open(path) {
        Err(error) => Report::error(path, &error),
        Ok(file) => run_file(device, &file, options),
    }
}

/// Runs a case that has been read.
pub fn run_file(device: &Device, file: &CaseFile, options: &RnnOptions) -> Report {
    let mut report = Report {
        id: file.id.clone(),
        path: file.path.clone(),
        status: Status::Pass,
        reason: None,
        comparison: None,
        tolerance: Some(file.tolerance),
        rounding: 0.0,
    };
    let case = match &file.content {
        Content::Case(case) => case,
        Content::Unsupported(features) => {
            report.status = Status::Unsupported;
            report.reason = Some(features.join(", "));
            return report;
        }
    };
    match compare(device, case, file.tolerance, options) {
        Ok((comparison, rounding)) => {
            report.rounding = rounding;
            if !comparison.agrees() {
                report.status = Status::Fail;
                report.reason = Some(comparison.describe());
            }
            report.comparison = Some(comparison);
        }
        Err(error) => {
            report.status = if matches!(error, Error::Unsupported(_)) {
                Status::Unsupported
            } else {
                Status::Error
            };
            report.reason = Some(error.to_string());
        }
    }
    report
}

/// The figures, and how far rounding moved what was expected.
fn compare(
    device: &Device,
    case: &Case,
    tolerance: Tolerance,
    options: &RnnOptions,
) -> Result<(Comparison, f64)> {
    let rounding = Rounding::of(case, options.weights)?;
    let mut moved = 0.0_f64;
    let (output, state) = forward(device, case, options)?;
    let mut comparison = Comparison::default();
    for expected in &case.expected {
        let got = match expected.of {
            Quantity::Output => output.clone(),
            Quantity::OutputFirst => step(&output, 0)?,
            Quantity::OutputLast => step(&output, output.shape()[0] - 1)?,
            Quantity::Hn => state.h.clone(),
            Quantity::Cn => state.c.clone().ok_or_else(|| {
                Error::Argument(format!(
                    "the case expects cn, which {} does not have",
                    case.params.config().kind
                ))
            })?,
            Quantity::HeadOutput => {
                let mut x = output.clone();
                for head in &case.heads {
                    x = Linear::new(device, &head.weight, head.bias.as_deref(), head.activation)?
                        .forward(&x)?;
                }
                x
            }
        };
        let mut want: Vec<f64> = expected.tensor.data().iter().map(|&v| f64::from(v)).collect();
        if let Some(rounding) = &rounding {
            let scale = want.iter().fold(1.0_f64, |most, want| most.max(want.abs()));
            for (want, change) in want.iter_mut().zip(rounding.change(case, expected.of)) {
                *want += change;
                moved = moved.max(change.abs() / scale);
            }
        }
        let tolerance = expected.tolerance.unwrap_or(tolerance);
        comparison.add_tensor(
            expected.of.name(),
            &got,
            (expected.tensor.shape(), &want),
            tolerance,
        );
    }
    if comparison.count == 0 && comparison.structural.is_none() && case.expected.is_empty() {
        return Err(Error::Argument("the case expects nothing, so that it cannot fail".to_owned()));
    }
    Ok((comparison, moved))
}

/// Runs the network; the output of a cell is its h.
fn forward(device: &Device, case: &Case, options: &RnnOptions) -> Result<(Tensor, State)> {
    let state = case.state.as_ref();
    if case.cell {
        let next =
            Cell::with_options(device, &case.params, options)?.forward(&case.input, state)?;
        return Ok((next.h.clone(), next));
    }
    let rnn = Rnn::with_options(device, &case.params, options)?;
    match &case.lengths {
        Some(lengths) => rnn.forward_lengths(&case.input, lengths, state),
        None => rnn.forward(&case.input, state),
    }
}

/// One time step of a time-first output.
fn step(output: &Tensor, t: usize) -> Result<Tensor> {
    let shape = output.shape()[1..].to_vec();
    let size: usize = shape.iter().product();
    Tensor::new(shape, output.data()[t * size..(t + 1) * size].to_vec())
}
