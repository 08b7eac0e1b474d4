//! The report of several cases on several devices.
//!
//! Scripts read its JSON: fields may be added, not renamed.

use serde::Serialize;

use super::{CaseReport, Status};

/// A case in the JSON report. Figures that are not finite are null, which JSON requires.
#[derive(Debug, Serialize)]
pub struct CaseEntry {
    /// The name of the case.
    pub id: String,
    /// The file.
    pub path: String,
    /// `pass`, `fail`, `unsupported` or `error`.
    pub status: &'static str,
    /// The reason, unless the case passed.
    pub reason: Option<String>,
    /// The largest difference.
    pub max_abs: Option<f64>,
    /// The largest relative difference.
    pub max_rel: Option<f64>,
    /// The worst element.
    pub worst: Option<WorstEntry>,
    /// The absolute part of the tolerance.
    pub atol: Option<f64>,
    /// The relative part of the tolerance.
    pub rtol: Option<f64>,
}

/// An element of a case.
#[derive(Debug, Serialize)]
pub struct WorstEntry {
    /// The tensor.
    pub tensor: String,
    /// The place in it.
    pub index: Vec<usize>,
}

/// The cases of one device.
#[derive(Debug, Default, Serialize)]
pub struct DeviceResult {
    /// The device, as it prints.
    pub device: String,
    /// Every case.
    pub cases: Vec<CaseEntry>,
    /// The number of cases that passed.
    pub passed: usize,
    /// The number of cases out of tolerance.
    pub failed: usize,
    /// The number of cases that need a feature that this version lacks.
    pub unsupported: usize,
    /// The number of cases that cannot be read or run.
    pub errors: usize,
    /// The largest error of a passed case, divided by its tolerance.
    pub worst_share: f64,
    /// The largest change of a result by the rounding of weights.
    pub rounding: f64,
}

impl DeviceResult {
    /// A result without cases of the device that prints as `device`.
    pub fn new(device: &str) -> Self {
        Self { device: device.to_owned(), ..Self::default() }
    }

    /// Adds a case.
    pub fn add(&mut self, report: CaseReport) {
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

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The results of each device.
    pub results: Vec<DeviceResult>,
}
