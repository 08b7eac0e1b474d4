//! The rows whose invocations pass values round within a subgroup, for software adapters with vectors of 8 or more.

use super::recurrence::{SEQUENCE_STATES, STEP_BINDINGS, STEP_MAX_ROWS, with_own};
use super::{
    ACTIVATION, Kernel, LINEAR_BINDINGS, Override, WorkgroupUse, override_value, read, read_write,
};
use crate::engine::cpu;
use crate::kernel::uniforms::Dims;

/// Invocations of a workgroup, which subgroups divide.
pub const SUBGROUP_WORKGROUP_SIZE: usize = 16;

/// Most rows that one invocation sums at a time.
pub const SUBGROUP_MAX_ROWS: usize = 16;

/// Columns of a workgroup of `linear_subgroup`, four of each invocation.
pub const LINEAR_SUBGROUP_COLUMNS: usize = 4 * SUBGROUP_WORKGROUP_SIZE;

const ROWS: Override = Override { name: "ROWS", values: &[1, 2, 4, 8, SUBGROUP_MAX_ROWS as u32] };

/// Workgroup use of a kernel whose sums of one row take `size` bytes in an array.
fn workgroup(overrides: &[(&'static str, u32)], size: u32) -> WorkgroupUse {
    let invocations = SUBGROUP_WORKGROUP_SIZE as u32;
    WorkgroupUse {
        size: [invocations, 1, 1],
        storage: invocations * override_value(overrides, "ROWS") * size,
    }
}

/// `y = x · Wᵀ + b` over all steps of a segment.
pub static LINEAR_SUBGROUP: Kernel = Kernel {
    name: "linear_subgroup",
    entry: "linear_subgroup",
    wgsl: concat!(
        include_str!("../../shaders/linear_subgroup.wgsl"),
        include_str!("../../shaders/shared/linear.wgsl"),
        include_str!("../../shaders/shared/activation.wgsl"),
        include_str!("../../shaders/weight/f32.wgsl"),
    ),
    stepped: false,
    bindings: &LINEAR_BINDINGS,
    overrides: &[ACTIVATION, ROWS],
    workgroup: |overrides| workgroup(overrides, 16),
    loop_iterations: |dims, overrides| {
        let Dims::Linear(dims) = dims else { return 0 };
        let (rows, quads) =
            (u64::from(override_value(overrides, "ROWS")), u64::from(dims.parts * dims.part_quads));
        // Each goes over the rows: quads, tiles of them, and what a subgroup of at least four reads at a time; then the
        // sums and their four columns.
        (quads + 2 * quads.div_ceil(4)) * (1 + rows) + rows * (2 + 4)
    },
    twin: cpu::linear::linear,
};

macro_rules! step_subgroup_kernel {
    ($name:literal, $cell:literal, $gates_size:literal, $twin:path, $bindings:expr, $overrides:expr) => {
        Kernel {
            name: $name,
            entry: "step_subgroup",
            wgsl: concat!(
                include_str!("../../shaders/step_subgroup.wgsl"),
                include_str!(concat!("../../shaders/cell/", $cell, ".wgsl")),
                include_str!("../../shaders/update/state.wgsl"),
                include_str!("../../shaders/shared/directions.wgsl"),
                include_str!("../../shaders/shared/activation.wgsl"),
                include_str!("../../shaders/weight/f32.wgsl"),
            ),
            stepped: true,
            bindings: $bindings,
            overrides: $overrides,
            workgroup: |overrides| workgroup(overrides, $gates_size),
            loop_iterations: |dims, overrides| {
                let Dims::Step(dims) = dims else { return 0 };
                let (rows, quads) = (u64::from(override_value(overrides, "ROWS")), u64::from(dims.state_quads));
                // Each goes over the rows: quads, and what a subgroup of at least four reads at a time; then the lengths,
                // the sums and the updates.
                (quads + quads.div_ceil(4)) * (1 + rows) + 3 * rows
            },
            twin: $twin,
        }
    };
}

/// One time step of `nn.RNN`.
pub static STEP_SUBGROUP_RNN: Kernel = step_subgroup_kernel!(
    "step_subgroup_rnn",
    "rnn",
    4,
    cpu::step::step_rnn,
    &STEP_BINDINGS,
    &[ROWS, Override { name: "RELU", values: &[0, 1] }]
);

/// One time step of `nn.LSTM`.
pub static STEP_SUBGROUP_LSTM: Kernel = step_subgroup_kernel!(
    "step_subgroup_lstm",
    "lstm",
    16,
    cpu::step::step_lstm,
    &const { with_own(read_write(8, "c")) },
    &[ROWS]
);

/// One time step of `nn.GRU`.
pub static STEP_SUBGROUP_GRU: Kernel = step_subgroup_kernel!(
    "step_subgroup_gru",
    "gru",
    16, // vec3<f32> has the stride of vec4<f32> in an array
    cpu::step::step_gru,
    &const { with_own(read(8, "bias_hn")) },
    &[ROWS]
);

/// Most units of `sequence_subgroup`, whose weights its invocations hold.
pub const SEQUENCE_SUBGROUP_MAX_UNITS: usize = 256;

/// Values of `sequence_subgroup`'s GROUPS, of eight quads each.
pub const SEQUENCE_SUBGROUP_GROUPS: [u32; 4] = [1, 2, 4, 8];

const SEQUENCE_OVERRIDES: [Override; 4] = [
    Override {
        name: "WORKGROUP_SIZE",
        values: &[16, 32, 64, 128, SEQUENCE_SUBGROUP_MAX_UNITS as u32],
    },
    Override { name: "ROWS", values: &[1, 2, 4, STEP_MAX_ROWS] },
    Override { name: "STATE", values: SEQUENCE_STATES },
    Override { name: "GROUPS", values: &SEQUENCE_SUBGROUP_GROUPS },
];

macro_rules! sequence_subgroup_kernel {
    ($name:literal, $cell:literal, $twin:path, $bindings:expr, $overrides:expr) => {
        Kernel {
            name: $name,
            entry: "sequence_subgroup",
            wgsl: concat!(
                include_str!("../../shaders/sequence_subgroup.wgsl"),
                include_str!("../../shaders/shared/sequence.wgsl"),
                include_str!(concat!("../../shaders/cell/", $cell, ".wgsl")),
                include_str!("../../shaders/shared/activation.wgsl"),
                include_str!("../../shaders/weight/f32.wgsl"),
            ),
            stepped: false,
            bindings: $bindings,
            overrides: $overrides,
            workgroup: |overrides| WorkgroupUse {
                size: [override_value(overrides, "WORKGROUP_SIZE"), 1, 1],
                storage: override_value(overrides, "STATE") * 4,
            },
            loop_iterations: |dims, overrides| {
                let Dims::Sequence(dims) = dims else { return 0 };
                let [rows, groups] = ["ROWS", "GROUPS"].map(|name| u64::from(override_value(overrides, name)));
                // Groups of eight quads, all of which are held and some of which each row of each step adds; the rows
                // are read once and stored once.
                8 * 8 + 2 * rows + u64::from(dims.steps) * (1 + rows * (1 + groups * 8))
            },
            twin: $twin,
        }
    };
}

/// Several time steps of `nn.RNN`.
pub static SEQUENCE_SUBGROUP_RNN: Kernel = sequence_subgroup_kernel!(
    "sequence_subgroup_rnn",
    "rnn",
    cpu::sequence::sequence_rnn,
    &STEP_BINDINGS,
    {
        const ALL: [Override; 5] = {
            let [a, b, c, d] = SEQUENCE_OVERRIDES;
            [a, b, c, d, Override { name: "RELU", values: &[0, 1] }]
        };
        &ALL
    }
);

/// Several time steps of `nn.LSTM`.
pub static SEQUENCE_SUBGROUP_LSTM: Kernel = sequence_subgroup_kernel!(
    "sequence_subgroup_lstm",
    "lstm",
    cpu::sequence::sequence_lstm,
    &const { with_own(read_write(8, "c")) },
    &SEQUENCE_OVERRIDES
);

/// Several time steps of `nn.GRU`.
pub static SEQUENCE_SUBGROUP_GRU: Kernel = sequence_subgroup_kernel!(
    "sequence_subgroup_gru",
    "gru",
    cpu::sequence::sequence_gru,
    &const { with_own(read(8, "bias_hn")) },
    &SEQUENCE_OVERRIDES
);
