//! The ways in which the workgroups of a device may exchange the state of a layer.

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
