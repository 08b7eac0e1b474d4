//! The schedule that runs where another one was chosen and gives the same bits.
//!
//! `step`, `persistent` and the wavefront of `step` add in the same order. So do `step_tiled` and
//! its wavefront. Among them the number of steps may decide, and so may the limits and the caller.

use super::decision::Decision;
use super::schedule::{Resolved, resolve};
use super::segments::{self, Added};
use super::shape::Shape;
use super::{Profile, Request, step, wavefront};
use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::perf::cost;
use crate::perf::dispatch::PerDispatch;

/// Returns the most steps of a segment by the schedule. `auto` runs by `step` where the limits have
/// no room for the exchange of `persistent`.
///
/// # Errors
/// [`Error::Limit`] if one step by the schedule exceeds the limits.
pub(super) fn with_room(
    asked: Schedule,
    resolved: Resolved,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Result<(Resolved, usize)> {
    let longest = |added| segments::max_steps(request, profile.limits, added);
    if !resolved.shape.exchanges() {
        return Ok((resolved, longest(Added::Nothing)?));
    }
    match longest(Added::Exchange) {
        Ok(steps) => Ok((resolved, steps)),
        Err(_) if asked == Schedule::Auto => {
            let why = "the limits have no room for it".to_owned();
            let resolved = without_exchange(resolved, why, request, profile);
            Ok((resolved, longest(Added::Nothing)?))
        }
        Err(error) => Err(error),
    }
}

/// Adapts the choice of `auto` to the number of steps, among schedules that give the same bits. The
/// layers of a stack run side by side if that saves time, and few steps run without an exchange.
pub(super) fn for_length(
    resolved: Resolved,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Resolved {
    if let Shape::Persistent(shape) = &resolved.shape {
        let steps = request.sizes.seq_len;
        let step_us = |schedule, one| {
            let (config, stored) = (request.config, request.weights.storage().read_as());
            let batch = request.sizes.batch;
            let step = cost::step(profile.calibration, config, batch, stored, schedule, one)?;
            Some(step.step_us())
        };
        let exchanged = PerDispatch::held(shape.steps.min(steps), shape.work);
        let exchanged = step_us(Schedule::Persistent, exchanged);
        return match (step_us(Schedule::Step, PerDispatch::ONE_STEP), exchanged) {
            (Some(step), Some(exchanged)) if step < exchanged => without_exchange(
                resolved,
                format!("{step:.1} µs a step against {exchanged:.1} for {steps} steps"),
                request,
                profile,
            ),
            _ => resolved,
        };
    }
    match wavefront::saves(&resolved.decision, request, profile) {
        None => resolved,
        // If the limits have no room for all layers at once, the layers run one after another.
        Some(decision) => match wavefront::shape(request, profile) {
            Ok(shape) => Resolved { decision, shape: Shape::Wavefront(shape) },
            Err(_) => resolved,
        },
    }
}

/// Replaces `persistent` with `step`, which gives the same bits.
fn without_exchange(
    resolved: Resolved,
    why: String,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Resolved {
    let predictions = resolved.decision.predictions;
    let reason = format!("the bits of 'persistent' without its exchange: {why}");
    Resolved {
        decision: Decision { schedule: Schedule::Step, reason, predictions },
        shape: Shape::Step(step::shape(request, profile)),
    }
}

/// Resolves as [`resolve`] does, for callers whose kernels read the states of single layers, and
/// who cannot run again what was abandoned.
///
/// # Errors
/// The errors of [`resolve`], and [`Error::Unsupported`] for `wavefront`, whose layers share
/// buffers, and for `persistent`, which may abandon a run.
pub(super) fn resolve_layered(
    asked: Schedule,
    request: &Request<'_>,
    profile: &Profile<'_>,
    what: &str,
) -> Result<Resolved> {
    if matches!(asked, Schedule::Wavefront | Schedule::Persistent) {
        return Err(Error::Unsupported(format!(
            "the schedule '{asked}' in {what}; use 'step', which gives the same bits, or 'auto'"
        )));
    }
    let resolved = resolve(asked, request, profile)?;
    if resolved.decision.schedule != Schedule::Persistent {
        return Ok(resolved);
    }
    let why = format!("{what} cannot run again what was abandoned");
    Ok(without_exchange(resolved, why, request, profile))
}
