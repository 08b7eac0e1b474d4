//! Which schedule runs the recurrence.

use super::sequence::SequenceShape;
use super::{Tuning, WeightLayout, tiled};
use crate::check::Sizes;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// How the recurrence is laid on the machine.
///
/// Schedules compute the same equations and differ in speed, and on a GPU in the order of their sums, so in last bits.
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
}

impl Schedule {
    /// All, `auto` first.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Step, Self::StepTiled, Self::Sequence];

    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Step => "step",
            Self::StepTiled => "step_tiled",
            Self::Sequence => "sequence",
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
        return software(hidden_size, sizes.batch, rows, runs);
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

/// The choice on an adapter of type CPU.
fn software(hidden_size: usize, batch: usize, rows: usize, runs: impl Fn(Schedule) -> bool) -> Result<Choice> {
    let taken = |schedule, reason| Ok(Choice { schedule, reason });
    if hidden_size <= SEQUENCE_HIDDEN_SIZE || (rows > 1 && hidden_size <= TILED_HIDDEN_SIZE) {
        if runs(Schedule::Sequence) {
            return taken(Schedule::Sequence, "a software adapter: dispatches cost more than small steps");
        }
    }
    if batch >= TILED_ROWS && runs(Schedule::StepTiled) {
        return taken(Schedule::StepTiled, "a software adapter: each value read serves several rows and units");
    }
    taken(Schedule::Step, "a software adapter: every core works on each step")
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
        Schedule::StepTiled => tiled::check(config),
        Schedule::Sequence => {
            SequenceShape::of(config, weights, Sizes { seq_len: 1, batch: 1 }, limits, tuning).map(drop)
        }
    }
}

/// The refusal of a schedule.
pub(super) fn refuse(schedule: Schedule, why: &str) -> Error {
    Error::Unsupported(format!("the schedule '{schedule}' {why}; use 'step', or 'auto'"))
}
