//! Decisions about schedules, and refusals.

use crate::error::Error;
use crate::kernel::Schedule;
use crate::perf::cost::Prediction;

/// A schedule and why it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Never [`Schedule::Auto`].
    pub schedule: Schedule,
    /// A phrase for reports, such as `asked for`.
    pub reason: String,
    /// The predicted time of a step by every schedule that runs and whose speed is known, fastest
    /// first. Of a schedule that was asked for only its own, if that.
    pub predictions: Vec<Prediction>,
}

impl Decision {
    /// A schedule that was asked for.
    pub fn asked(schedule: Schedule) -> Self {
        Self { schedule, reason: "asked for".to_owned(), predictions: Vec::new() }
    }
}

/// The refusal of a schedule.
pub(super) fn refuse(schedule: Schedule, why: &str) -> Error {
    Error::Unsupported(format!("the schedule '{schedule}' {why}; use 'step', or 'auto'"))
}
