//! The schedule `step_tiled`.

use super::schedule::{Schedule, refuse};
use crate::config::Config;
use crate::error::Result;

/// Whether the schedule can run this module.
///
/// # Errors
/// [`Error::Unsupported`](crate::error::Error::Unsupported) saying why not.
pub(super) fn check(_: &Config) -> Result<()> {
    Err(refuse(Schedule::StepTiled, "is not there yet"))
}
