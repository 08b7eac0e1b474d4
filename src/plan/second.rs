//! The second product of a time step, which needs all values of the first one.

use super::decision::refuse;
use crate::error::Result;
use crate::kernel::Schedule;
use crate::params::config::Config;
use crate::params::variant::Reset;

/// The second product of a time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecondProduct {
    /// The projection of an LSTM's state (`proj_size`).
    Projection,
    /// The candidate of a GRU whose reset gate comes before the product.
    Candidate,
}

/// Returns the second product of a module's time step, if it has one.
pub(super) fn second_product(config: &Config) -> Option<SecondProduct> {
    match config.variant.reset {
        Reset::BeforeProduct => Some(SecondProduct::Candidate),
        Reset::AfterProduct => (config.proj_size > 0).then_some(SecondProduct::Projection),
    }
}

/// Checks that a time step has one product, since a schedule computes no more.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the second product.
pub(super) fn check_one_product(config: &Config, schedule: Schedule) -> Result<()> {
    let why = match second_product(config) {
        None => return Ok(()),
        Some(SecondProduct::Projection) => "has no projection (proj_size)",
        Some(SecondProduct::Candidate) => {
            "has no reset gate before the product (Reset::BeforeProduct)"
        }
    };
    Err(refuse(schedule, why))
}
