//! The schedule `wavefront`: the layers of a stack run side by side, each a chunk of steps later
//! than the layer below it.
//!
//! Time is cut into chunks of K steps. In wave w, layer l computes chunk w − l. A wave is one
//! projection for the layers above the first, and then K dispatches. Each of these computes a step
//! of every layer. Layer 0's projections run for the whole segment at once.
//!
//! One layer after another needs T·L dispatches that wait for each other. A wavefront needs (T/K +
//! L − 1)(K + 1), fewest at K ≈ √(T/(L − 1)). Every sum is that of `step` or of `step_tiled`, in
//! its order, so the bits are the same.

mod waves;

use super::decision::{Decision, refuse};
use super::second::check_one_product;
use super::segments::Added;
use super::step::{self, Specialised};
use super::{Plan, Profile, Request, Target, halvings, largest, segments, step_tiled};
use crate::error::Result;
use crate::kernel::tiles::TILE_ROWS;
use crate::kernel::{Family, Schedule};
use crate::perf::cost::{self, Prediction};
use crate::perf::dispatch::PerDispatch;
use crate::tensor::padded;
use waves::Wavefront;

/// The kernel of a step of all layers, and the cut of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct WavefrontShape {
    step: Specialised,
    /// The most steps of a segment.
    steps: usize,
}

/// Checks that the schedule can run a module, for any sizes.
///
/// # Errors
/// [`Error::Unsupported`](crate::error::Error::Unsupported) with the reason.
pub(super) fn check(request: &Request<'_>) -> Result<()> {
    let config = request.config;
    check_one_product(config, Schedule::Wavefront)?;
    let why = if config.bidirectional {
        "runs one direction: a layer's reverse direction begins with the last step of the one \
         below it"
    } else if config.num_layers < 2 {
        "needs at least two layers"
    } else if !request.weights.is_stack() {
        "needs the weights of all layers in one binding, which this device or its limits cut into \
         several"
    } else {
        return Ok(());
    };
    Err(refuse(Schedule::Wavefront, why))
}

/// Returns the kernel and the segments for a request.
///
/// # Errors
/// The errors of [`check`]. [`Error::Unsupported`](crate::Error::Unsupported) also for dropout, and
/// if the limits have no room for one step of all layers. [`Error::Limit`](crate::Error::Limit) as
/// [`plan`](super::plan()) returns it.
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<WavefrontShape> {
    check(request)?;
    if request.has_dropout() {
        let why = "has no dropout between layers, which training asks for";
        return Err(refuse(Schedule::Wavefront, why));
    }
    let config = request.config;
    let quads = padded(config.hidden_size) / 4;
    let step = match faster_step(request, profile) {
        Schedule::StepTiled => {
            let (units, layers) = (config.hidden_size, config.num_layers);
            step_tiled::specialise(Family::StepTiledWave, request, profile, units, layers)
        }
        _ => step::specialise(Family::StepWave, request, profile, quads),
    };
    let longest = segments::max_steps(request, profile.limits, Added::Nothing)?;
    let fits =
        |&steps: &usize| Wavefront::new(request, profile, WavefrontShape { step, steps }).fits();
    match largest(halvings(longest), fits) {
        Some(steps) => Ok(WavefrontShape { step, steps }),
        None => {
            let why = "needs room for a step of all layers at once, which this device or its \
                       limits do not have";
            Err(refuse(Schedule::Wavefront, why))
        }
    }
}

/// Returns the schedule of one layer whose kernel computes a step of all layers, and whose bits the
/// wavefront gives: `step`, or `step_tiled` if `auto` prefers it. The number of steps plays no
/// part.
fn faster_step(request: &Request<'_>, profile: &Profile<'_>) -> Schedule {
    let (config, batch) = (request.config, request.sizes.batch);
    let stored = request.weights.storage().read_as();
    let predict = |schedule| {
        let one = PerDispatch::ONE_STEP;
        let step = cost::step(profile.calibration, config, batch, stored, schedule, one)?;
        Some(least_us(&step, request, profile))
    };
    match (predict(Schedule::Step), predict(Schedule::StepTiled)) {
        (Some(step), Some(tiled))
            if tiled < step && step_tiled::check(request, profile).is_ok() =>
        {
            Schedule::StepTiled
        }
        _ => Schedule::Step,
    }
}

/// Returns the predicted time of a step by its schedule, in microseconds, by which `auto` compares.
/// The number of steps plays no part, so the layers of a stack count as those of a long sequence,
/// where they run side by side.
pub(super) fn least_us(step: &Prediction, request: &Request<'_>, profile: &Profile<'_>) -> f64 {
    let waves_us = layer_us(step, request, profile);
    waves_us.map_or(step.step_us(), |waves_us| waves_us.min(step.step_us()))
}

/// Returns the predicted time of a step of one layer of a stack in a long sequence, whose layers
/// run side by side by the schedule of `step`, in microseconds. Returns `None` where they cannot.
///
/// The layers share the wait, and together they occupy more of a GPU than one does.
fn layer_us(step: &Prediction, request: &Request<'_>, profile: &Profile<'_>) -> Option<f64> {
    if check(request).is_err() || request.has_dropout() {
        return None;
    }
    let work_us = match step.schedule {
        schedule @ (Schedule::Step | Schedule::StepTiled) => of_all(schedule, request, profile)?,
        _ => return None,
    };
    Some((step.wait_us + work_us) / request.config.num_layers as f64)
}

/// Returns the predicted work of a step of all layers, in microseconds.
fn of_all(schedule: Schedule, request: &Request<'_>, profile: &Profile<'_>) -> Option<f64> {
    let (config, batch) = (request.config, request.sizes.batch);
    // Two layers never share a tile.
    let rows = match schedule {
        Schedule::StepTiled => batch.next_multiple_of(TILE_ROWS[0] as usize),
        _ => batch,
    };
    let (rows, stored) = (rows * config.num_layers, request.weights.storage().read_as());
    let one = PerDispatch::ONE_STEP;
    cost::step(profile.calibration, config, rows, stored, schedule, one).map(|step| step.work_us)
}

/// Returns the decision for a wavefront if a stack would run by `step` or `step_tiled` and the cost
/// model predicts a shorter time. Both give the same bits, so the number of steps may decide.
pub(super) fn saves(
    decision: &Decision,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Option<Decision> {
    let (config, sizes) = (request.config, request.sizes);
    let by_step = matches!(decision.schedule, Schedule::Step | Schedule::StepTiled)
        && decision.schedule == faster_step(request, profile);
    let on_gpu = profile.target == Target::Gpu;
    if !by_step || !on_gpu || decision.predictions.is_empty() || check(request).is_err() {
        return None;
    }
    let (layers, steps) = (config.num_layers, sizes.seq_len);
    let chunk = chunk(layers, steps)?;
    let stored = request.weights.storage().read_as();
    let calibration = profile.calibration;
    let projected = |rows| cost::projection(calibration, config, 1, rows, stored);
    // The schedules differ in waiting, in the projections of the layers above the first, which run
    // in one piece or a chunk at a time, and in the work of a step.
    let of_one = decision.predictions.first()?.work_us;
    let of_all = of_all(decision.schedule, request, profile)?;
    let (above, waves) = ((layers - 1) as f64, (steps.div_ceil(chunk) + layers - 1) as f64);
    let wait_us = calibration.dispatch_us;
    let one_by_one = (layers * (steps + 1)) as f64 * wait_us
        + above * projected(steps * sizes.batch)?
        + (layers * steps) as f64 * of_one;
    let side_by_side = dispatches(layers, steps, chunk) as f64 * wait_us
        + waves * above * projected(chunk * sizes.batch)?
        + (steps + (layers - 1) * chunk) as f64 * of_all;
    if side_by_side >= one_by_one {
        return None;
    }
    let reason = format!(
        "{}; layers side by side save {:.0} of {:.0} µs that differ",
        decision.reason,
        one_by_one - side_by_side,
        one_by_one
    );
    let predictions = decision.predictions.clone();
    Some(Decision { schedule: Schedule::Wavefront, reason, predictions })
}

/// Records all layers.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) if a dispatch exceeds the limits.
pub(super) fn record(
    request: &Request<'_>,
    profile: &Profile<'_>,
    shape: WavefrontShape,
    decision: Decision,
) -> Result<Plan> {
    let mut wavefront = Wavefront::new(request, profile, shape);
    wavefront.record(&shape.step)?;
    Ok(wavefront.into_plan(decision))
}

/// Returns the chunk for which a wavefront over `layers` and `steps` makes the fewest dispatches.
/// Returns `None` if it makes no fewer than one layer after another.
pub(super) fn chunk(layers: usize, steps: usize) -> Option<usize> {
    // Among equal chunks, take the longest: its projections read the weights less often.
    let best = (1..=steps).rev().min_by_key(|&chunk| dispatches(layers, steps, chunk))?;
    (dispatches(layers, steps, best) < layers * (steps + 1)).then_some(best)
}

/// Returns the dispatches of a wavefront. They are the steps of the first layer, the delay of the
/// last layer, the waves' projections and layer 0's projection.
fn dispatches(layers: usize, steps: usize, chunk: usize) -> usize {
    steps + (layers - 1) * chunk + steps.div_ceil(chunk) + layers - 1
}

#[cfg(test)]
mod tests {
    use super::{chunk, dispatches};
    use crate::Config;
    use crate::kernel::Schedule;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::Calibration;
    use crate::perf::rates::{KernelClass, Rate};
    use crate::plan::limits::Limits;
    use crate::plan::{Decision, Exchange, Profile, Request, Target, WeightLayout, plan};
    use crate::wgpu::DeviceType;

    /// Returns the decision for a stack of LSTMs of 256 units on a discrete GPU, if it is a
    /// wavefront.
    fn taken(num_layers: usize, seq_len: usize, dispatch_us: f64) -> Option<Decision> {
        let typical = Calibration::typical_of(Some(DeviceType::DiscreteGpu));
        taken_by(num_layers, seq_len, &Calibration { dispatch_us, ..typical })
    }

    /// Returns the same for a device of these figures.
    fn taken_by(num_layers: usize, seq_len: usize, calibration: &Calibration) -> Option<Decision> {
        let config = Config::lstm(256, 256).num_layers(num_layers);
        let limits = Limits::of(&wgpu::Limits::defaults(), false);
        let weights = WeightLayout::new(&config, &limits).expect("it fits");
        let profile = Profile {
            limits: &limits,
            calibration,
            target: Target::Gpu,
            exchange: Exchange::OneStep,
        };
        let sizes = Sizes { seq_len, batch: 1 };
        let request = Request { config: &config, weights: &weights, sizes, training: false };
        let plan = plan(&request, &profile, Schedule::Auto).expect("auto always runs");
        Some(plan.schedule).filter(|decision| decision.schedule == Schedule::Wavefront)
    }

    #[test]
    fn layers_run_side_by_side_where_waiting_is_what_takes_the_time() {
        let waves = taken(3, 100, 2.0).expect("300 steps wait for each other");
        assert_eq!(waves.schedule, Schedule::Wavefront);
        assert!(waves.reason.contains("side by side save"), "{}", waves.reason);
        assert_eq!(
            waves.predictions.first().map(|step| step.schedule),
            Some(Schedule::Step),
            "its steps"
        );
        let mut filled = Calibration::typical_of(Some(DeviceType::DiscreteGpu));
        filled.dispatch_us = 0.01;
        filled.rates = [KernelClass::Linear, KernelClass::Step, KernelClass::StepTiled]
            .map(|part| Rate { part, rows: 1, sums: Some(1), multiply_adds_per_us: 1e5 })
            .to_vec();
        assert_eq!(
            taken_by(3, 100, &filled),
            None,
            "one layer fills the device, and dispatches cost next to nothing"
        );
        assert_eq!(taken(1, 100, 2.0), None, "one layer");
        assert_eq!(taken(3, 1, 2.0), None, "one step");
    }

    #[test]
    fn chunks_make_the_fewest_dispatches_or_there_is_none() {
        for (layers, steps, want) in [
            (2, 1, None),
            (9, 1, None),
            (2, 3, None),
            (2, 4, Some(2)),
            (2, 100, Some(10)),
            (3, 100, Some(8)),
        ] {
            assert_eq!(chunk(layers, steps), want, "{layers} layers, {steps} steps");
        }
        for (layers, steps) in [(2, 57), (3, 100), (5, 1000), (40, 9)] {
            let best = chunk(layers, steps).map(|chunk| dispatches(layers, steps, chunk));
            let least = (1..=steps).map(|chunk| dispatches(layers, steps, chunk)).min();
            assert_eq!(best, least, "{layers} layers, {steps} steps");
        }
        // One layer after another takes 3 · 101.
        assert_eq!(dispatches(3, 100, 8), 100 + 16 + 13 + 2);
    }
}
