//! The decision for a schedule, and the error for a schedule that cannot run.

use crate::error::Error;
use crate::kernel::Schedule;
use crate::perf::cost::Prediction;

/// A schedule and the reason for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The schedule that runs; never [`Schedule::Auto`].
    pub schedule: Schedule,
    /// A phrase for reports, such as `asked for`.
    pub reason: String,
    /// The predicted time of a step, fastest first, for every schedule that runs and has a known
    /// speed. A schedule that the caller asked for has only its own prediction, or none.
    pub predictions: Vec<Prediction>,
}

impl Decision {
    /// Returns the decision for a schedule that the caller asked for.
    pub fn asked(schedule: Schedule) -> Self {
        Self { schedule, reason: "asked for".to_owned(), predictions: Vec::new() }
    }
}

/// Returns the error for a schedule that cannot run.
pub(super) fn refuse(schedule: Schedule, why: &str) -> Error {
    Error::Unsupported(format!("the schedule '{schedule}' {why}; use 'step', or 'auto'"))
}
