//! The rows of the kernels between a caller's buffers and a plan's.

use super::{Kernel, WorkgroupUse, read, read_write};
use crate::engine::cpu;

/// Invocations of a workgroup of `gather` and of `scatter`, one for each value.
pub const TRANSFERS_PER_WORKGROUP: usize = 64;

/// A tensor of the caller into a buffer of a plan.
pub static GATHER: Kernel = Kernel {
    name: "gather",
    entry: "gather",
    wgsl: concat!(
        include_str!("../../shaders/gather.wgsl"),
        include_str!("../../shaders/shared/transfer.wgsl")
    ),
    stepped: false,
    bindings: &[read(1, "x"), read_write(2, "y")],
    overrides: &[],
    workgroup: |_| WorkgroupUse { size: [TRANSFERS_PER_WORKGROUP as u32, 1, 1], storage: 0 },
    loop_iterations: |_, _| 0,
    twin: cpu::transfer::gather,
};

/// A buffer of a plan into a tensor of the caller.
pub static SCATTER: Kernel = Kernel {
    name: "scatter",
    entry: "scatter",
    wgsl: concat!(
        include_str!("../../shaders/scatter.wgsl"),
        include_str!("../../shaders/shared/transfer.wgsl")
    ),
    twin: cpu::transfer::scatter,
    ..GATHER
};
