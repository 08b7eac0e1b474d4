//! The kernel table: everything about each kernel, stated once.
//!
//! A kernel is one compute entry point together with its twin. Its WGSL is a schedule file followed by the fragments
//! that it needs; WGSL takes declarations in any order, so the schedule comes first and a compiler's line numbers are
//! the file's. Tests walk this table.

use crate::cpu::{self, Twin};
use crate::dims::Dims;

/// How a kernel uses a storage binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A storage binding: its `@binding` number, its name in WGSL and its access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// `@binding(index)`.
    pub index: u32,
    /// The variable's name.
    pub name: &'static str,
    /// The variable's access mode.
    pub access: Access,
}

/// An override of a pipeline and the values that plans may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The override's name in WGSL.
    pub name: &'static str,
    /// Every legal value; tests specialise each of them.
    pub values: &'static [u32],
}

/// What a specialised kernel needs of a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkgroupUse {
    /// Invocations along x, y and z.
    pub size: [u32; 3],
    /// Bytes of workgroup memory.
    pub storage: u32,
}

/// One row of the table.
#[derive(Debug)]
pub struct Kernel {
    /// Name in messages, recordings and GPU debuggers.
    pub name: &'static str,
    /// The WGSL entry point, which is also the stem of the schedule file.
    pub entry: &'static str,
    /// The composed WGSL.
    pub wgsl: &'static str,
    /// Whether binding 1 is the dynamic uniform that holds the step index.
    pub stepped: bool,
    /// The storage bindings, in the order of [`Dispatch::bindings`](crate::recording::Dispatch::bindings).
    pub bindings: &'static [Binding],
    /// The overrides.
    pub overrides: &'static [Override],
    /// Workgroup size and memory under given override values.
    pub workgroup: fn(&[(&'static str, u32)]) -> WorkgroupUse,
    /// An upper bound of the loop iterations of one invocation.
    pub loop_iterations: fn(&Dims, &[(&'static str, u32)]) -> u64,
    /// The CPU function that does the same, buffer for buffer.
    pub twin: Twin,
}

/// The value of an override; tables and plans are written together, so that a missing one is a defect.
pub fn override_value(overrides: &[(&'static str, u32)], name: &str) -> u32 {
    let found = overrides.iter().find(|(key, _)| *key == name);
    debug_assert!(found.is_some(), "no override {name} in {overrides:?}");
    found.map_or(0, |&(_, value)| value)
}

const fn read(index: u32, name: &'static str) -> Binding {
    Binding { index, name, access: Access::Read }
}

const fn read_write(index: u32, name: &'static str) -> Binding {
    Binding { index, name, access: Access::ReadWrite }
}

/// Rows and columns of a `linear` workgroup.
pub const LINEAR_TILE: usize = 32;

/// Values of `linear`'s ACTIVATION.
pub mod activation {
    /// The sums as they are.
    pub const NONE: u32 = 0;
    /// The sigmoid of the sums.
    pub const SIGMOID: u32 = 1;
}

/// `y = x · Wᵀ + b` over all steps of a segment.
pub static LINEAR: Kernel = Kernel {
    name: "linear",
    entry: "linear",
    wgsl: concat!(
        include_str!("../shaders/linear.wgsl"),
        include_str!("../shaders/shared/activation.wgsl"),
        include_str!("../shaders/weight/f32.wgsl"),
    ),
    stepped: false,
    bindings: &[read(1, "x_same"), read(2, "x_mirrored"), read(3, "weight"), read(4, "bias"), read_write(5, "y")],
    overrides: &[Override { name: "ACTIVATION", values: &[activation::NONE, activation::SIGMOID] }],
    workgroup: |_| WorkgroupUse { size: [8, 8, 1], storage: 2 * 160 * 16 },
    loop_iterations: |dims, _| match dims {
        // Per tile of 4 quads: the tile, two loads, four quads; at the end four stores of four columns.
        Dims::Linear(dims) => u64::from((dims.parts * dims.part_quads).div_ceil(4)) * 7 + 16,
        Dims::Step(_) => 0,
    },
    twin: cpu::linear::linear,
};

/// Most rows that one invocation of `step` sums at a time.
pub const STEP_MAX_ROWS: u32 = 8;

const STEP_OVERRIDES: [Override; 3] = [
    Override { name: "WORKGROUP_SIZE", values: &[32, 64] },
    Override { name: "LANES", values: &[1, 2, 4, 8, 16, 32] },
    Override { name: "ROWS", values: &[1, 2, 4, STEP_MAX_ROWS] },
];

/// Workgroup use of a `step` kernel whose `Gates` take `gates_size` bytes in an array.
fn step_workgroup(overrides: &[(&'static str, u32)], gates_size: u32) -> WorkgroupUse {
    let invocations = override_value(overrides, "WORKGROUP_SIZE");
    WorkgroupUse { size: [invocations, 1, 1], storage: invocations * override_value(overrides, "ROWS") * gates_size }
}

fn step_loop_iterations(dims: &Dims, overrides: &[(&'static str, u32)]) -> u64 {
    let Dims::Step(dims) = dims else { return 0 };
    let (lanes, rows) = (override_value(overrides, "LANES"), u64::from(override_value(overrides, "ROWS")));
    // The lengths go over the rows, and so does each quad; then the stores, the rounds of the reduction and the updates do.
    u64::from(dims.state_quads.div_ceil(lanes)) * (1 + rows) + rows * (4 + u64::from(lanes.ilog2()))
}

macro_rules! step_kernel {
    ($name:literal, $cell:literal, $gates_size:literal, $twin:path, $own:expr, $overrides:expr) => {
        Kernel {
            name: $name,
            entry: "step",
            wgsl: concat!(
                include_str!("../shaders/step.wgsl"),
                include_str!(concat!("../shaders/cell/", $cell, ".wgsl")),
                include_str!("../shaders/shared/activation.wgsl"),
                include_str!("../shaders/weight/f32.wgsl"),
            ),
            stepped: true,
            bindings: $own,
            overrides: $overrides,
            workgroup: |overrides| step_workgroup(overrides, $gates_size),
            loop_iterations: step_loop_iterations,
            twin: $twin,
        }
    };
}

const STEP_BINDINGS: [Binding; 6] = [
    read(2, "gates_x"),
    read(3, "weight"),
    read(4, "h_in"),
    read_write(5, "h_out"),
    read_write(6, "y"),
    read(7, "lengths"),
];

const fn with_own(own: Binding) -> [Binding; 7] {
    let [a, b, c, d, e, f] = STEP_BINDINGS;
    [a, b, c, d, e, f, own]
}

/// One time step of `nn.RNN`.
pub static STEP_RNN: Kernel = step_kernel!("step_rnn", "rnn", 4, cpu::step::step_rnn, &STEP_BINDINGS, {
    const ALL: [Override; 4] =
        [STEP_OVERRIDES[0], STEP_OVERRIDES[1], STEP_OVERRIDES[2], Override { name: "RELU", values: &[0, 1] }];
    &ALL
});

/// One time step of `nn.LSTM`.
pub static STEP_LSTM: Kernel = step_kernel!(
    "step_lstm",
    "lstm",
    16,
    cpu::step::step_lstm,
    &const { with_own(read_write(8, "c")) },
    &STEP_OVERRIDES
);

/// One time step of `nn.GRU`.
pub static STEP_GRU: Kernel = step_kernel!(
    "step_gru",
    "gru",
    16, // vec3<f32> has the stride of vec4<f32> in an array
    cpu::step::step_gru,
    &const { with_own(read(8, "bias_hn")) },
    &STEP_OVERRIDES
);

/// The whole table.
pub static KERNELS: [&Kernel; 4] = [&LINEAR, &STEP_RNN, &STEP_LSTM, &STEP_GRU];
