//! The resolution of a schedule: its choice, its shape and its reason.

use super::decision::Decision;
use super::layers::{Layers, Segment};
use super::shape::{Shape, shape};
use super::{Exchange, Profile, Request, Target, persistent, sequence, step, wavefront};
use crate::error::Result;
use crate::kernel::Schedule;
use crate::perf::cost::{self, Prediction};
use crate::plan::recording::{Command, Place};

/// A decision and its shape.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) decision: Decision,
    pub(super) shape: Shape,
}

/// Decides which schedule runs a request, apart from `wavefront`. The decision ignores the number
/// of steps, so the pieces of a sequence give the bits of the whole.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the reason, if a schedule that the caller
/// asked for cannot run.
pub fn decide(asked: Schedule, request: &Request<'_>, profile: &Profile<'_>) -> Result<Decision> {
    resolve(asked, request, profile).map(|resolved| resolved.decision)
}

/// Decides as [`decide`] does, and returns the shape of the schedule too.
pub(super) fn resolve(
    asked: Schedule,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Result<Resolved> {
    // The planner rejects an empty batch; decide as if it had one row.
    let request = &request.with_batch(request.sizes.batch.max(1));
    let (config, batch) = (request.config, request.sizes.batch);
    let stored = request.weights.storage().read_as();
    let predict = |schedule, shape: &Shape| {
        let per_dispatch = shape.per_dispatch();
        cost::step(profile.calibration, config, batch, stored, schedule, per_dispatch)
    };
    if asked != Schedule::Auto {
        let shape = shape(asked, request, profile)?;
        let predictions = predict(asked, &shape).into_iter().collect();
        return Ok(Resolved {
            decision: Decision { predictions, ..Decision::asked(asked) },
            shape,
        });
    }
    let candidates: &[Schedule] = match (profile.target, profile.exchange) {
        // The twins of the other schedules do the same work in the same order.
        (Target::Host, _) => &[Schedule::Step],
        (Target::Gpu, Exchange::Resident(_)) => {
            &[Schedule::Step, Schedule::Sequence, Schedule::StepTiled, Schedule::Persistent]
        }
        (Target::Gpu, _) => &[Schedule::Step, Schedule::Sequence, Schedule::StepTiled],
    };
    let runs = |&schedule: &Schedule| {
        let shape = shape(schedule, request, profile).ok()?;
        Some((predict(schedule, &shape)?, shape))
    };
    let mut candidates: Vec<_> = candidates.iter().filter_map(runs).collect();
    let least_us = |step: &Prediction| wavefront::least_us(step, request, profile);
    candidates.sort_by(|(a, _), (b, _)| least_us(a).total_cmp(&least_us(b)));
    let predictions: Vec<Prediction> =
        candidates.iter().map(|(prediction, _)| *prediction).collect();
    let Some((best, shape)) = candidates.into_iter().next() else {
        let reason = "no schedule has a known speed".to_owned();
        let decision = Decision { reason, ..Decision::asked(Schedule::Step) };
        return Ok(Resolved { decision, shape: shape(Schedule::Step, request, profile)? });
    };
    let others: Vec<String> = predictions[1..]
        .iter()
        .map(|other| format!("{} {:.1}", other.schedule, other.step_us()))
        .collect();
    let others = if others.is_empty() { "no other".to_owned() } else { others.join(", ") };
    let least_us = least_us(&best);
    let side_by_side = if least_us < best.step_us() {
        format!(", or {least_us:.1} where the layers of a long sequence run side by side")
    } else {
        String::new()
    };
    let reason = format!(
        "a step should take {:.1} µs, of which {:.1} are work, bound by {}{side_by_side} \
         ({others})",
        best.step_us(),
        best.work_us,
        best.bound.name()
    );
    Ok(Resolved { decision: Decision { schedule: best.schedule, reason, predictions }, shape })
}

/// Records one layer for one segment: the projection, the steps, and dropout between layers.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) if a dispatch exceeds the limits.
pub(super) fn record_layer(
    layers: &mut Layers<'_>,
    shape: &Shape,
    place: Place,
    steps: usize,
    segment: Segment,
) -> Result<()> {
    let Segment { x, y, state, scratch } = segment;
    for projection in layers.input_projection(place, steps, x, scratch.gates_x)? {
        layers.push(Command::Dispatch(projection))?;
    }
    if place.first_step == 0 {
        layers.turns = 0;
    }
    match shape {
        Shape::Step(shape) => step::record(layers, shape, place, steps, state, y, scratch)?,
        Shape::Sequence(shape) => sequence::record(layers, shape, place, steps, state, y, scratch)?,
        Shape::Persistent(shape) => {
            persistent::record(layers, shape, place, steps, state, y, scratch)?
        }
        Shape::Wavefront(_) => unreachable!("a wavefront records all layers at once"),
    }
    let between = place.layer + 1 < layers.request.config.num_layers;
    if let Some(settings) = scratch.dropout.filter(|_| between) {
        let site = 2 * place.layer as u32;
        let dropout = layers.dropout(place, steps, site, settings, y)?;
        layers.push(Command::Dispatch(dropout))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decide;
    use crate::error::Error;
    use crate::kernel::Schedule;
    use crate::params::config::Config;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::Calibration;
    use crate::plan::Decision;
    use crate::plan::limits::Limits;
    use crate::plan::{Exchange, Profile, Request, Target, WeightLayout};
    use crate::wgpu::DeviceType;

    /// The device types of the tested profiles: a GPU, a software adapter, the host.
    const PROFILES: [Option<DeviceType>; 3] =
        [Some(DeviceType::DiscreteGpu), Some(DeviceType::Cpu), None];
    const GPU: Option<DeviceType> = PROFILES[0];
    const HOST: Option<DeviceType> = None;

    fn decided(
        asked: Schedule,
        config: &Config,
        batch: usize,
        limits: &Limits,
        device_type: Option<DeviceType>,
    ) -> Result<Decision, Error> {
        let calibration = &Calibration::typical_of(device_type);
        let target = if device_type.is_some() { Target::Gpu } else { Target::Host };
        let weights = &WeightLayout::new(config, limits)?;
        let sizes = Sizes { seq_len: 1, batch };
        let request = Request { config, weights, sizes, training: false };
        decide(
            asked,
            &request,
            &Profile { limits, calibration, target, exchange: Exchange::OneStep },
        )
    }

    fn webgpu() -> Limits {
        Limits::of(&wgpu::Limits::defaults(), false)
    }

    #[test]
    fn auto_chooses_by_sizes_and_adapter() {
        use Schedule::{Sequence, Step, StepTiled};
        for (hidden_size, bidirectional, batch, gpu, software) in [
            (20, false, 1, Sequence, Step),
            (20, false, 6, Sequence, Step),
            (64, false, 1, Sequence, Step),
            (128, true, 1, Step, Step),
            (256, false, 1, Step, Step),
            (256, true, 15, Step, Step),
            (256, true, 512, StepTiled, Step),
            (129, false, 1024, StepTiled, Step),
            (1024, false, 15, StepTiled, Step),
        ] {
            let config = Config::gru(8, hidden_size).bidirectional(bidirectional);
            for (device_type, want) in PROFILES.into_iter().zip([gpu, software, Step]) {
                let choice = decided(Schedule::Auto, &config, batch, &webgpu(), device_type)
                    .expect("auto always runs");
                assert_eq!(
                    choice.schedule, want,
                    "{config:?}, {batch} rows, {device_type:?}: {}",
                    choice.reason
                );
                let (best, others) = choice.predictions.split_first().expect("a prediction");
                assert_eq!(best.schedule, choice.schedule, "{:?}", choice.predictions);
                assert!(
                    others.iter().all(|other| other.step_us() >= best.step_us()),
                    "{:?}",
                    choice.predictions
                );
                assert!(!choice.reason.is_empty(), "{config:?}: a reason");
            }
        }
    }

    #[test]
    fn what_is_measured_decides() {
        let (config, limits) = (Config::lstm(8, 128), webgpu());
        let weights = WeightLayout::new(&config, &limits).expect("a small network");
        let typical = Calibration::typical_of(Some(DeviceType::DiscreteGpu));
        let sizes = Sizes { seq_len: 1, batch: 1 };
        let request = Request { config: &config, weights: &weights, sizes, training: false };
        let by = |calibration: &Calibration| {
            let profile = Profile {
                limits: &limits,
                calibration,
                target: Target::Gpu,
                exchange: Exchange::OneStep,
            };
            decide(Schedule::Auto, &request, &profile).expect("auto always runs").schedule
        };
        assert_eq!(
            by(&Calibration { dispatch_us: 0.5, ..typical.clone() }),
            Schedule::Step,
            "dispatches cost little"
        );
        assert_eq!(
            by(&Calibration { dispatch_us: 20.0, ..typical.clone() }),
            Schedule::Sequence,
            "and here much"
        );
        assert_eq!(
            by(&Calibration { rates: Vec::new(), ..typical }),
            Schedule::Step,
            "nothing is known"
        );
    }

    #[test]
    fn what_cannot_run_is_refused_by_name_and_never_chosen() {
        let lower = |name: &str, value| {
            let mut limits = webgpu();
            limits.set(name, value).expect("a limit is lowered");
            limits
        };
        let (small, projected) = (Config::lstm(4, 64), Config::lstm(4, 64).proj_size(8));
        for (schedule, config, limits, why) in [
            (Schedule::Sequence, &projected, webgpu(), "has no projection"),
            (
                Schedule::Sequence,
                &small,
                lower("max_storage_buffer_binding_size", 8192),
                "in one binding",
            ),
            (
                Schedule::Sequence,
                &small,
                lower("max_compute_workgroup_storage_size", 5000),
                "hidden_size 64",
            ),
            (
                Schedule::Sequence,
                &small,
                lower("max_compute_invocations_per_workgroup", 7),
                "of 8 invocations",
            ),
            (
                Schedule::Sequence,
                &small,
                lower("max_loop_iterations", 20),
                "max_loop_iterations is 20",
            ),
            (
                Schedule::Sequence,
                &Config::lstm(4, 2048),
                webgpu(),
                "hidden_size 2048 does not fit the 16384 bytes",
            ),
            (
                Schedule::StepTiled,
                &small,
                lower("max_compute_invocations_per_workgroup", 63),
                "of 64 invocations",
            ),
            (
                Schedule::StepTiled,
                &small,
                lower("max_compute_workgroup_storage_size", 4607),
                "4608 bytes",
            ),
        ] {
            let message =
                decided(schedule, config, 40, &limits, GPU).expect_err("it cannot run").to_string();
            let name = format!("unsupported: the schedule '{schedule}' ");
            assert!(
                message.starts_with(&name) && message.contains(why),
                "{message}: want {name}.. {why}"
            );
            let auto = decided(Schedule::Auto, config, 40, &limits, GPU).expect("auto always runs");
            assert_ne!(auto.schedule, schedule, "{message}");
        }
        let asked = decided(Schedule::Sequence, &small, 40, &webgpu(), HOST)
            .expect("what is asked for runs");
        assert_eq!((asked.schedule, asked.reason.as_str()), (Schedule::Sequence, "asked for"));
    }
}
