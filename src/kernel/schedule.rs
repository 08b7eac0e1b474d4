//! The schedules: how time steps map to dispatches.

use crate::error::{Error, Result};

/// How the recurrence is laid on the machine.
///
/// Schedules compute the same equations. They differ in speed and, on a GPU, in the order of their
/// sums, so in the last bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schedule {
    /// The one whose step should be the shortest by what is known of the device;
    /// [`Plan::schedule`](crate::plan::Plan::schedule) says which and why.
    #[default]
    Auto,
    /// One dispatch per time step; a workgroup owns some hidden units, and several invocations
    /// split each sum.
    Step,
    /// One dispatch per time step; each invocation owns several rows and units, for large batches.
    StepTiled,
    /// Workgroups that own batch rows walk time by themselves, many steps to a dispatch, for small
    /// hidden sizes.
    Sequence,
    /// The layers of a stack side by side, each some steps behind the one below it: fewer
    /// dispatches, the same bits as `step`.
    Wavefront,
}

impl Schedule {
    /// All, `auto` first.
    pub const ALL: &'static [Self] =
        &[Self::Auto, Self::Step, Self::StepTiled, Self::Sequence, Self::Wavefront];

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
            "unknown schedule 'exchange': expected one of auto, step, step_tiled, sequence, \
             wavefront"
        );
    }
}
