//! The schedules: how time steps map to dispatches.

use crate::error::{Error, Result};

/// The mapping of time steps to dispatches.
///
/// All schedules compute the same equations. They differ in speed. On a GPU they also differ in the
/// order of their sums, and so in the last bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schedule {
    /// The schedule with the shortest predicted step on the device.
    /// [`Plan::schedule`](crate::plan::Plan::schedule) names the choice and its reason.
    #[default]
    Auto,
    /// One dispatch per time step. A workgroup owns some hidden units, and several invocations
    /// split each sum.
    Step,
    /// One dispatch per time step, for large batches. Each invocation owns several rows and units.
    StepTiled,
    /// One dispatch for many time steps, for small hidden sizes. Each workgroup owns batch rows and
    /// iterates over time.
    Sequence,
    /// One dispatch for many time steps. Workgroups hold the weights in registers and exchange the
    /// state. A GPU must run all of them at the same time. It gives the bits of `step`.
    Persistent,
    /// All layers of a stack in one dispatch, each some steps later than the layer below it. It
    /// makes fewer dispatches than `step` and gives the same bits.
    Wavefront,
}

impl Schedule {
    /// Every schedule, `auto` first.
    pub const ALL: &'static [Self] = &[
        Self::Auto,
        Self::Step,
        Self::StepTiled,
        Self::Persistent,
        Self::Sequence,
        Self::Wavefront,
    ];

    /// Returns the name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Step => "step",
            Self::StepTiled => "step_tiled",
            Self::Persistent => "persistent",
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
        Self::ALL.iter().copied().find(|schedule| schedule.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|schedule| schedule.name()).collect();
            Error::UnknownName(format!(
                "unknown schedule '{name}': expected one of {}",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn names_are_read_as_they_are_written() {
        for &schedule in Schedule::ALL {
            assert_eq!(schedule.to_string().parse::<Schedule>().ok(), Some(schedule), "{schedule}");
        }
        let message = "exchange".parse::<Schedule>().expect_err("no such schedule").to_string();
        assert_eq!(
            message,
            "unknown schedule 'exchange': expected one of auto, step, step_tiled, persistent, \
             sequence, wavefront"
        );
    }
}
