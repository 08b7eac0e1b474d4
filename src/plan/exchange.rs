//! The ways in which the workgroups of a device may exchange the state of a layer.

use super::decision::refuse;
use crate::error::Result;
use crate::kernel::Schedule;

/// How workgroups may exchange the state of a layer from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// The workgroups of one dispatch wait for each other.
    Resident(Resident),
    /// A dispatch runs one step, so that no workgroup waits: software adapters and the host.
    OneStep,
    /// The device cannot exchange states, with the reason.
    Refused(&'static str),
}

/// The lanes that share a sum at most, where subgroups are large enough.
const MAX_LANES: u32 = 32;

impl Exchange {
    /// Returns the workgroups that wait for each other; `None` where none has to.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) with the reason, if the device cannot
    /// exchange states.
    pub(super) fn resident(self) -> Result<Option<Resident>> {
        match self {
            Self::Resident(resident) => Ok(Some(resident)),
            Self::OneStep => Ok(None),
            Self::Refused(why) => Err(refuse(
                Schedule::Persistent,
                &format!("needs a device whose workgroups wait for each other: {why}"),
            )),
        }
    }

    /// Returns the lanes that share a sum over `quads` quads, in `step`, `persistent` and
    /// `generate`.
    ///
    /// LANES decides the order of a sum. It depends on the sum and the device alone, never on rows
    /// or steps. Therefore `step` and `persistent` give the same bits, for any part of a sequence.
    pub(super) fn lanes(self, quads: usize) -> u32 {
        let subgroup = match self {
            Self::Resident(resident) if resident.has_subgroups() => resident.subgroup_size,
            _ => MAX_LANES,
        };
        let most = 1 << subgroup.min(MAX_LANES).ilog2();
        quads.next_power_of_two().clamp(4, most) as u32
    }
}

/// The workgroups that a device runs at the same time, and the words that they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// Workgroups of 256 invocations that ran at the same time.
    pub workgroups: u32,
    /// Invocations of the smallest subgroup; 0 where shaders have no subgroup operations.
    pub subgroup_size: u32,
    /// Whether shaders may declare memory as coherent and volatile.
    pub volatile: bool,
    /// Looks at a missing word before an invocation gives up.
    pub spins: u32,
}

impl Resident {
    /// Returns whether lanes can pass values on within subgroups, which have at least 4 of them.
    pub(super) fn has_subgroups(self) -> bool {
        self.subgroup_size >= 4
    }
}

#[cfg(test)]
mod tests {
    use super::{Exchange, Resident};

    #[test]
    fn lanes_stay_within_a_subgroup() {
        let resident = Resident { workgroups: 1, subgroup_size: 0, volatile: true, spins: 1 };
        let of = |subgroup_size| Exchange::Resident(Resident { subgroup_size, ..resident });
        // Without subgroup operations the lanes meet in workgroup memory.
        for (subgroup_size, most) in [(0, 32), (3, 32), (4, 4), (8, 8), (32, 32), (64, 32)] {
            let lanes = [1, 5, 8, 9, 1000].map(|quads| of(subgroup_size).lanes(quads));
            let wanted = [4, 8, 8, 16, 32].map(|lanes| most.min(lanes));
            assert_eq!(lanes, wanted, "subgroups of {subgroup_size}");
        }
        assert_eq!(Exchange::OneStep.lanes(1000), 32);
    }
}
