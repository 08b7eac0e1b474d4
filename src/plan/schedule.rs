//! Which schedule runs the recurrence.

use super::sequence::SequenceShape;
use super::{Tuning, WeightLayout, step_tiled, wavefront};
use crate::error::{Error, Result};
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::perf::calibration::Calibration;
use crate::perf::cost::{self, Prediction, Walk};
use crate::plan::limits::Limits;

use crate::kernel::Schedule;

/// A schedule and why it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Never [`Schedule::Auto`].
    pub schedule: Schedule,
    /// In a sentence without a beginning.
    pub reason: String,
    /// What a step should take by each of the schedules that can run, the shortest first; of the one schedule that was
    /// asked for where its rate is known.
    pub predictions: Vec<Prediction>,
}

impl Choice {
    /// A schedule that was asked for by name.
    pub fn asked(schedule: Schedule) -> Self {
        Self { schedule, reason: "asked for".to_owned(), predictions: Vec::new() }
    }
}

/// The schedule that runs where `asked` was asked for: that one, or with [`Schedule::Auto`] the one whose step should be
/// the shortest. The number of steps is no part of it, so that pieces of a sequence run as the whole does.
///
/// # Errors
/// [`Error::Unsupported`] saying why the schedule that was asked for cannot run this module on this device.
pub fn choose(
    asked: Schedule,
    config: &Config,
    weights: &WeightLayout,
    batch: usize,
    limits: &Limits,
    tuning: Tuning,
    calibration: &Calibration,
) -> Result<Choice> {
    let predicted = |schedule| -> Result<Option<Prediction>> {
        let walk = walk(schedule, config, weights, batch, limits, tuning)?;
        let stored = weights.storage().read_as();
        Ok(cost::step(calibration, config, batch, stored, schedule, walk))
    };
    if asked != Schedule::Auto {
        return Ok(Choice {
            predictions: predicted(asked)?.into_iter().collect(),
            ..Choice::asked(asked)
        });
    }
    // The CPU engine's product has tiles of its own.
    let candidates: &[Schedule] = if tuning.host {
        &[Schedule::Step]
    } else {
        &[Schedule::Step, Schedule::Sequence, Schedule::StepTiled]
    };
    let mut predictions: Vec<Prediction> =
        candidates.iter().filter_map(|&schedule| predicted(schedule).ok().flatten()).collect();
    predictions.sort_by(|a, b| a.step_us().total_cmp(&b.step_us()));
    let Some(best) = predictions.first() else {
        return Ok(Choice {
            reason: "nothing is known of others".to_owned(),
            ..Choice::asked(Schedule::Step)
        });
    };
    let others: Vec<String> = predictions[1..]
        .iter()
        .map(|other| format!("{} {:.1}", other.schedule, other.step_us()))
        .collect();
    let others = if others.is_empty() { "no other".to_owned() } else { others.join(", ") };
    let reason = format!(
        "a step should take {:.1} µs, of which {:.1} are work, bound by {} ({others})",
        best.step_us(),
        best.work_us,
        best.bound.name()
    );
    Ok(Choice { schedule: best.schedule, reason, predictions })
}

/// What a dispatch of a schedule does of so many rows.
fn walk(
    schedule: Schedule,
    config: &Config,
    weights: &WeightLayout,
    batch: usize,
    limits: &Limits,
    tuning: Tuning,
) -> Result<Walk> {
    match schedule {
        Schedule::Auto | Schedule::Step => Ok(Walk::STEP),
        Schedule::StepTiled => step_tiled::kernel(config, limits).map(|_| Walk::STEP),
        Schedule::Wavefront => wavefront::check(config, weights).map(|()| Walk::STEP),
        Schedule::Sequence => {
            let shape =
                SequenceShape::of(config, weights, Sizes { seq_len: 1, batch }, limits, tuning)?;
            Ok(Walk { steps: shape.steps, holds_weights: shape.holds_weights() })
        }
    }
}

/// Whether a schedule can run a module on a device, whatever the sizes.
///
/// # Errors
/// [`Error::Unsupported`] saying why not.
pub fn check(
    schedule: Schedule,
    config: &Config,
    weights: &WeightLayout,
    limits: &Limits,
    tuning: Tuning,
) -> Result<()> {
    walk(schedule, config, weights, 1, limits, tuning).map(drop)
}

/// The refusal of a schedule.
pub(super) fn refuse(schedule: Schedule, why: &str) -> Error {
    Error::Unsupported(format!("the schedule '{schedule}' {why}; use 'step', or 'auto'"))
}

#[cfg(test)]
mod tests {
    use super::{Choice, choose};
    use crate::error::Error;
    use crate::kernel::Schedule;
    use crate::params::config::Config;
    use crate::perf::calibration::Calibration;
    use crate::plan::limits::Limits;
    use crate::plan::{Tuning, WeightLayout};
    use crate::wgpu::DeviceType;

    const GPU: Tuning = Tuning { row_per_invocation: false, subgroups: false, host: false };
    const SOFTWARE: Tuning = Tuning { row_per_invocation: true, subgroups: false, host: false };
    const HOST: Tuning = Tuning { row_per_invocation: true, subgroups: false, host: true };

    fn chosen(
        asked: Schedule,
        config: &Config,
        batch: usize,
        limits: &Limits,
        tuning: Tuning,
    ) -> Result<Choice, Error> {
        let weights = WeightLayout::new(config, limits)?;
        let device_type = match tuning {
            HOST => None,
            SOFTWARE => Some(DeviceType::Cpu),
            _ => Some(DeviceType::DiscreteGpu),
        };
        let calibration = Calibration::typical_of(device_type);
        choose(asked, config, &weights, batch, limits, tuning, &calibration)
    }

    fn webgpu() -> Limits {
        Limits::of(&wgpu::Limits::defaults(), false)
    }

    #[test]
    fn auto_chooses_by_sizes_and_adapter() {
        use Schedule::{Sequence, Step, StepTiled};
        for (hidden_size, bidirectional, batch, gpu, software) in [
            (20, false, 1, Sequence, Sequence),
            (20, false, 6, Sequence, Sequence),
            (128, true, 1, Sequence, Step),
            (256, false, 1, Step, Step),
            (256, true, 15, Step, Step),
            (256, true, 512, StepTiled, Step),
            (129, false, 1024, StepTiled, Step),
            (1024, false, 15, Step, Step),
        ] {
            let config = Config::gru(8, hidden_size).bidirectional(bidirectional);
            for (tuning, want) in [(GPU, gpu), (SOFTWARE, software), (HOST, Step)] {
                let choice = chosen(Schedule::Auto, &config, batch, &webgpu(), tuning)
                    .expect("auto always runs");
                assert_eq!(
                    choice.schedule, want,
                    "{config:?}, {batch} rows, {tuning:?}: {}",
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
        let by = |calibration: &Calibration| {
            let choice = choose(Schedule::Auto, &config, &weights, 1, &limits, GPU, calibration);
            choice.expect("auto always runs").schedule
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
            (Schedule::StepTiled, &projected, webgpu(), "has no projection"),
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
                lower("max_compute_workgroup_storage_size", 5119),
                "5120 bytes",
            ),
        ] {
            let message =
                chosen(schedule, config, 40, &limits, GPU).expect_err("it cannot run").to_string();
            let name = format!("unsupported: the schedule '{schedule}' ");
            assert!(
                message.starts_with(&name) && message.contains(why),
                "{message}: want {name}.. {why}"
            );
            let auto = chosen(Schedule::Auto, config, 40, &limits, GPU).expect("auto always runs");
            assert_ne!(auto.schedule, schedule, "{message}");
        }
        let asked = chosen(Schedule::Sequence, &small, 40, &webgpu(), HOST)
            .expect("what is asked for runs");
        assert_eq!((asked.schedule, asked.reason.as_str()), (Schedule::Sequence, "asked for"));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for schedule in Schedule::ALL {
            assert_eq!(schedule.to_string().parse::<Schedule>().ok(), Some(schedule), "{schedule}");
        }
        let message = "exchange".parse::<Schedule>().expect_err("no such schedule").to_string();
        assert_eq!(
            message,
            "unknown schedule 'exchange': expected one of auto, step, step_tiled, sequence, wavefront"
        );
    }
}
