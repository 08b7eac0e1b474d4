//! Which schedule runs the recurrence.

use super::sequence::SequenceShape;
use super::{Tuning, WeightLayout, tiled, wavefront};
use crate::check::Sizes;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// How the recurrence is laid on the machine.
///
/// Schedules compute the same equations. They differ in speed and, on a GPU, in the order of their sums, so in the last
/// bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schedule {
    /// The one that is likely the fastest; [`Plan::schedule`](super::Plan::schedule) says which and why.
    #[default]
    Auto,
    /// One dispatch per time step; a workgroup owns some hidden units, and several invocations split each sum.
    Step,
    /// One dispatch per time step; each invocation owns several rows and units, for large batches.
    StepTiled,
    /// Workgroups that own batch rows walk time by themselves, many steps to a dispatch, for small hidden sizes.
    Sequence,
    /// The layers of a stack side by side, each some steps behind the one below it: fewer dispatches, the same bits as `step`.
    Wavefront,
}

impl Schedule {
    /// All, `auto` first.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Step, Self::StepTiled, Self::Sequence, Self::Wavefront];

    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Step => "step",
            Self::StepTiled => "step_tiled",
            Self::Sequence => "sequence",
            Self::Wavefront => "wavefront",
        }
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|schedule| schedule.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Argument(format!("unknown schedule '{name}': expected one of {names}"))
        })
    }
}

/// A schedule and why it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Never [`Schedule::Auto`].
    pub schedule: Schedule,
    /// In a few words.
    pub reason: &'static str,
}

/// H up to which one GPU core streams the weights of a step faster than a dispatch and its barrier pass.
const SEQUENCE_HIDDEN_SIZE: usize = 128;

/// Rows of all directions that keep every core of a GPU busy, eight to a workgroup; and H up to which the weights of a
/// step stay in the caches near them.
const SEQUENCE_ROWS: usize = 1024;
const SEQUENCE_ROWS_HIDDEN_SIZE: usize = 256;

/// Rows and H from which a tile of rows × units reads so much less than a sum at a time that it wins.
const TILED_ROWS: usize = 16;
const TILED_HIDDEN_SIZE: usize = 256;

/// Products B·D·H·H of one gate's step up to which `sequence` is the fastest on Mesa's and Google's software adapters.
const SOFTWARE_SEQUENCE_PRODUCTS: usize = 2048;

/// The schedule that runs where `asked` was asked for: that one, or with [`Schedule::Auto`] the likely fastest.
///
/// # Errors
/// [`Error::Unsupported`] saying why the schedule that was asked for cannot run this module on this device.
pub fn choose(
    asked: Schedule,
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
    tuning: Tuning,
) -> Result<Choice> {
    let runs = |schedule| check(schedule, config, weights, limits, tuning).is_ok();
    let taken = |schedule, reason| Ok(Choice { schedule, reason });
    if asked != Schedule::Auto {
        check(asked, config, weights, limits, tuning)?;
        return taken(asked, "asked for");
    }
    if tuning.host {
        return taken(Schedule::Step, "the CPU engine's product has tiles of its own");
    }
    let (hidden_size, rows) = (config.hidden_size, sizes.batch.saturating_mul(config.num_directions()));
    if tuning.row_per_invocation {
        // A dispatch costs as much as a few thousand products; with more to do, every core is wanted for each step.
        // Tiles in workgroup memory bring nothing where that is the same memory.
        let products = rows.saturating_mul(hidden_size).saturating_mul(hidden_size);
        if products <= SOFTWARE_SEQUENCE_PRODUCTS && runs(Schedule::Sequence) {
            return taken(Schedule::Sequence, "a software adapter: a step so small takes less time than a dispatch");
        }
        return taken(Schedule::Step, "a software adapter: every core works on each step");
    }
    if hidden_size <= SEQUENCE_HIDDEN_SIZE && runs(Schedule::Sequence) {
        return taken(Schedule::Sequence, "a step of so few units takes less time than a dispatch");
    }
    if rows >= SEQUENCE_ROWS && hidden_size <= SEQUENCE_ROWS_HIDDEN_SIZE && runs(Schedule::Sequence) {
        return taken(Schedule::Sequence, "so many rows keep every core busy without a dispatch per step");
    }
    if sizes.batch >= TILED_ROWS && hidden_size >= TILED_HIDDEN_SIZE && runs(Schedule::StepTiled) {
        return taken(Schedule::StepTiled, "so many rows and units are a matrix product");
    }
    taken(Schedule::Step, "few rows of many units: the whole device works on each step")
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
    match schedule {
        Schedule::Auto | Schedule::Step => Ok(()),
        Schedule::StepTiled => tiled::kernel(config, limits).map(drop),
        Schedule::Sequence => {
            SequenceShape::of(config, weights, Sizes { seq_len: 1, batch: 1 }, limits, tuning).map(drop)
        }
        Schedule::Wavefront => wavefront::check(config, weights),
    }
}

/// The refusal of a schedule.
pub(super) fn refuse(schedule: Schedule, why: &str) -> Error {
    Error::Unsupported(format!("the schedule '{schedule}' {why}; use 'step', or 'auto'"))
}

#[cfg(test)]
mod tests {
    use super::{Choice, Schedule, choose};
    use crate::check::Sizes;
    use crate::config::Config;
    use crate::error::Error;
    use crate::limits::Limits;
    use crate::plan::{Tuning, WeightLayout};

    const GPU: Tuning = Tuning { row_per_invocation: false, host: false };
    const SOFTWARE: Tuning = Tuning { row_per_invocation: true, host: false };
    const HOST: Tuning = Tuning { row_per_invocation: true, host: true };

    fn chosen(
        asked: Schedule,
        config: &Config,
        batch: usize,
        limits: &Limits,
        tuning: Tuning,
    ) -> Result<Choice, Error> {
        let weights = WeightLayout::new(config, limits)?;
        choose(asked, config, &weights, Sizes { seq_len: 10, batch }, limits, tuning)
    }

    fn webgpu() -> Limits {
        Limits::of(&wgpu::Limits::defaults(), false)
    }

    #[test]
    fn auto_chooses_by_sizes_and_adapter() {
        use Schedule::{Sequence, Step, StepTiled};
        for (hidden_size, bidirectional, batch, gpu, software) in [
            (20, false, 1, Sequence, Sequence),
            (20, false, 5, Sequence, Sequence),
            (20, false, 6, Sequence, Step),
            (128, true, 1, Sequence, Step),
            (129, false, 1, Step, Step),
            (129, false, 1023, Step, Step),
            (129, false, 1024, Sequence, Step),
            (256, true, 15, Step, Step),
            (256, true, 16, StepTiled, Step),
            (256, true, 512, Sequence, Step),
            (255, false, 16, Step, Step),
            (257, false, 4096, StepTiled, Step),
            (1024, false, 15, Step, Step),
        ] {
            let config = Config::gru(8, hidden_size).bidirectional(bidirectional);
            for (tuning, want) in [(GPU, gpu), (SOFTWARE, software), (HOST, Step)] {
                let choice = chosen(Schedule::Auto, &config, batch, &webgpu(), tuning).expect("auto always runs");
                assert_eq!(choice.schedule, want, "{config:?}, {batch} rows, {tuning:?}: {}", choice.reason);
                assert!(!choice.reason.is_empty(), "{config:?}: a reason");
            }
        }
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
            (Schedule::Sequence, &small, lower("max_storage_buffer_binding_size", 8192), "in one binding"),
            (Schedule::Sequence, &small, lower("max_compute_workgroup_storage_size", 5000), "hidden_size 64"),
            (Schedule::Sequence, &small, lower("max_compute_invocations_per_workgroup", 7), "of 8 invocations"),
            (Schedule::Sequence, &small, lower("max_loop_iterations", 20), "max_loop_iterations is 20"),
            (Schedule::Sequence, &Config::lstm(4, 2048), webgpu(), "hidden_size 2048 does not fit the 16384 bytes"),
            (Schedule::StepTiled, &small, lower("max_compute_invocations_per_workgroup", 63), "of 64 invocations"),
            (Schedule::StepTiled, &small, lower("max_compute_workgroup_storage_size", 5119), "5120 bytes"),
        ] {
            let message = chosen(schedule, config, 40, &limits, GPU).expect_err("it cannot run").to_string();
            let name = format!("unsupported: the schedule '{schedule}' ");
            assert!(message.starts_with(&name) && message.contains(why), "{message}: want {name}.. {why}");
            let auto = chosen(Schedule::Auto, config, 40, &limits, GPU).expect("auto always runs");
            assert_ne!(auto.schedule, schedule, "{message}");
        }
        let asked = chosen(Schedule::Sequence, &small, 40, &webgpu(), HOST).expect("what is asked for runs");
        assert_eq!(asked, Choice { schedule: Schedule::Sequence, reason: "asked for" });
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for schedule in Schedule::ALL {
            assert_eq!(schedule.to_string().parse::<Schedule>().ok(), Some(schedule), "{schedule}");
        }
        let message = "exchange".parse::<Schedule>().expect_err("no such schedule").to_string();
        assert_eq!(message, "unknown schedule 'exchange': expected one of auto, step, step_tiled, sequence, wavefront");
    }
}
