//! The kernels that measure a device. They are no part of any network, and have a table of their own.

use super::twins;
use crate::kernel::uniforms::Dims;
use crate::kernel::{Access, Binding, Kernel, WorkgroupUse};

const fn binding(index: u32, name: &'static str, access: Access) -> Binding {
    Binding { index, name, access }
}

fn iterations(dims: &Dims, _: &[(&'static str, u32)]) -> u64 {
    let Dims::Probe(dims) = dims else { return 0 };
    u64::from(dims.iterations)
}

/// Invocations of a workgroup of `chain`, of `barrier` and of `multiply_add`.
pub const WORKGROUP_SIZE: usize = 64;

/// Invocations of a workgroup of `bandwidth`, and so quads of a tile.
pub const TILE_QUADS: usize = 256;

/// Tiles that a workgroup of `bandwidth` sums in one iteration.
pub const BLOCK_TILES: usize = 4;

/// Barriers of an iteration of `barrier`.
pub const BARRIERS: u64 = 2;

/// Multiply-adds of an iteration of one invocation of `multiply_add`.
pub const MULTIPLY_ADDS: u64 = 128;

/// Waits for the dispatch before it.
pub static CHAIN: Kernel = Kernel {
    name: "chain",
    entry: "chain",
    wgsl: include_str!("../../../shaders/calibrate/chain.wgsl"),
    stepped: true,
    bindings: &[binding(2, "x", Access::Read), binding(3, "y", Access::ReadWrite)],
    overrides: &[],
    workgroup: |_| WorkgroupUse { size: [WORKGROUP_SIZE as u32, 1, 1], storage: 0 },
    loop_iterations: |_, _| 0,
    twin: twins::chain,
};

/// Barriers of a workgroup.
pub static BARRIER: Kernel = Kernel {
    name: "barrier",
    entry: "barrier",
    wgsl: include_str!("../../../shaders/calibrate/barrier.wgsl"),
    stepped: false,
    bindings: &[binding(1, "y", Access::ReadWrite)],
    overrides: &[],
    workgroup: |_| WorkgroupUse {
        size: [WORKGROUP_SIZE as u32, 1, 1],
        storage: WORKGROUP_SIZE as u32 * 4,
    },
    loop_iterations: iterations,
    twin: twins::barrier,
};

/// Reading.
pub static BANDWIDTH: Kernel = Kernel {
    name: "bandwidth",
    entry: "bandwidth",
    wgsl: include_str!("../../../shaders/calibrate/bandwidth.wgsl"),
    stepped: false,
    bindings: &[binding(1, "x", Access::Read), binding(2, "y", Access::ReadWrite)],
    overrides: &[],
    workgroup: |_| WorkgroupUse { size: [TILE_QUADS as u32, 1, 1], storage: 0 },
    loop_iterations: iterations,
    twin: twins::bandwidth,
};

/// Multiply-adds.
pub static MULTIPLY_ADD: Kernel = Kernel {
    name: "multiply_add",
    entry: "multiply_add",
    wgsl: include_str!("../../../shaders/calibrate/multiply_add.wgsl"),
    stepped: false,
    bindings: &[binding(1, "y", Access::ReadWrite)],
    overrides: &[],
    workgroup: |_| WorkgroupUse { size: [WORKGROUP_SIZE as u32, 1, 1], storage: 0 },
    loop_iterations: iterations,
    twin: twins::multiply_add,
};

/// The whole table.
pub static KERNELS: [&Kernel; 4] = [&CHAIN, &BARRIER, &BANDWIDTH, &MULTIPLY_ADD];
