//! The kernels of pools.

use super::{Kernel, QUADS_PER_WORKGROUP, WorkgroupUse, read, read_write};
use crate::engine::cpu;

/// In a tick, the slot of a row that only fills up.
pub const NO_SLOT: u32 = u32::MAX;

/// Values that a workgroup copies.
pub const SLOT_VALUES_PER_WORKGROUP: usize = QUADS_PER_WORKGROUP;

const ONE_EACH: fn(&[(&'static str, u32)]) -> WorkgroupUse =
    |_| WorkgroupUse { size: [SLOT_VALUES_PER_WORKGROUP as u32, 1, 1], storage: 0 };

/// The state of a layer out of slots.
pub static LOAD_SLOTS: Kernel = Kernel {
    name: "load_slots",
    entry: "load_slots",
    wgsl: concat!(
        include_str!("../../shaders/load_slots.wgsl"),
        include_str!("../../shaders/shared/slots.wgsl")
    ),
    stepped: false,
    bindings: &[read(1, "slots"), read(2, "store"), read_write(3, "state")],
    overrides: &[],
    workgroup: ONE_EACH,
    loop_iterations: |_, _| 0,
    twin: cpu::slots::load_slots,
};

/// The state of a layer into slots.
pub static STORE_SLOTS: Kernel = Kernel {
    name: "store_slots",
    entry: "store_slots",
    wgsl: concat!(
        include_str!("../../shaders/store_slots.wgsl"),
        include_str!("../../shaders/shared/slots.wgsl")
    ),
    stepped: false,
    bindings: &[read(1, "slots"), read(2, "state"), read_write(3, "store")],
    overrides: &[],
    workgroup: ONE_EACH,
    loop_iterations: |_, _| 0,
    twin: cpu::slots::store_slots,
};
