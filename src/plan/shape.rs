//! The shape of a schedule: its kernels, override values and tiles.

use super::persistent::{self, PersistentShape};
use super::sequence::{self, SequenceShape};
use super::step::{self, StepShape};
use super::wavefront::{self, WavefrontShape};
use super::{Profile, Request, WeightLayout, step_tiled};
use crate::error::Result;
use crate::kernel::Schedule;
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::perf::dispatch::PerDispatch;

/// The kernels, override values and tiles of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// `step` and `step_tiled`.
    Step(StepShape),
    /// `sequence`.
    Sequence(SequenceShape),
    /// `persistent`.
    Persistent(PersistentShape),
    /// `wavefront`.
    Wavefront(WavefrontShape),
}

impl Shape {
    /// Returns the steps of a dispatch, and whether it keeps weights in registers.
    pub(super) fn per_dispatch(&self) -> PerDispatch {
        match self {
            Self::Step(_) | Self::Wavefront(_) => PerDispatch::ONE_STEP,
            Self::Sequence(shape) => PerDispatch::several(shape.steps, shape.in_registers()),
            Self::Persistent(shape) => PerDispatch::held(shape.steps, shape.work),
        }
    }

    /// Returns whether workgroups exchange the state.
    pub(super) fn exchanges(&self) -> bool {
        matches!(self, Self::Persistent(_))
    }
}

/// Returns the shape of a schedule for a request.
pub(super) fn shape(
    schedule: Schedule,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Result<Shape> {
    match schedule {
        Schedule::Auto | Schedule::Step => Ok(Shape::Step(step::shape(request, profile))),
        Schedule::StepTiled => step_tiled::shape(request, profile).map(Shape::Step),
        Schedule::Sequence => sequence::shape(request, profile).map(Shape::Sequence),
        Schedule::Persistent => persistent::shape(request, profile).map(Shape::Persistent),
        Schedule::Wavefront => wavefront::shape(request, profile).map(Shape::Wavefront),
    }
}

/// Checks that a schedule can run a module on a device, for any sizes.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the reason.
pub fn check(
    schedule: Schedule,
    config: &Config,
    weights: &WeightLayout,
    profile: &Profile<'_>,
) -> Result<()> {
    let sizes = Sizes { seq_len: 1, batch: 1 };
    let request = Request { config, weights, sizes, training: false };
    match schedule {
        Schedule::Auto | Schedule::Step => Ok(()),
        Schedule::StepTiled => step_tiled::check(&request, profile),
        Schedule::Sequence => sequence::check(&request, profile),
        Schedule::Persistent => persistent::check(&request, profile),
        Schedule::Wavefront => wavefront::check(&request),
    }
}
