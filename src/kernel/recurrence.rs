//! The rows of the recurrence: each schedule with each cell.

use super::{Binding, Kernel, Override, WorkgroupUse, override_value, read, read_write};
use crate::engine::cpu;
use crate::kernel::uniforms::Dims;

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
    WorkgroupUse {
        size: [invocations, 1, 1],
        storage: invocations * override_value(overrides, "ROWS") * gates_size,
    }
}

fn step_loop_iterations(dims: &Dims, overrides: &[(&'static str, u32)]) -> u64 {
    let Dims::Step(dims) = dims else { return 0 };
    let (lanes, rows) =
        (override_value(overrides, "LANES"), u64::from(override_value(overrides, "ROWS")));
    // The lengths go over the rows, and so does each quad; then the stores, the rounds of the reduction and the updates do.
    u64::from(dims.state_quads.div_ceil(lanes)) * (1 + rows) + rows * (4 + u64::from(lanes.ilog2()))
}

macro_rules! step_kernel {
    ($name:literal, [$($fragment:literal),+], $gates_size:literal, $twin:path, $bindings:expr, $overrides:expr) => {
        Kernel {
            name: $name,
            entry: "step",
            wgsl: concat!(
                include_str!("../../shaders/step.wgsl"),
                $(include_str!(concat!("../../shaders/", $fragment, ".wgsl")),)+
                include_str!("../../shaders/weight/f32.wgsl"),
            ),
            stepped: true,
            bindings: $bindings,
            overrides: $overrides,
            workgroup: |overrides| step_workgroup(overrides, $gates_size),
            loop_iterations: step_loop_iterations,
            twin: $twin,
        }
    };
}

pub(super) const STEP_BINDINGS: [Binding; 6] = [
    read(2, "gates_x"),
    read(3, "weight"),
    read(4, "h_in"),
    read_write(5, "h_out"),
    read_write(6, "y"),
    read(7, "lengths"),
];

pub(super) const fn with_own(own: Binding) -> [Binding; 7] {
    let [a, b, c, d, e, f] = STEP_BINDINGS;
    [a, b, c, d, e, f, own]
}

/// One time step of `nn.RNN`.
pub static STEP_RNN: Kernel = step_kernel!(
    "step_rnn",
    ["cell/rnn", "update/state", "shared/directions", "shared/activation"],
    4,
    cpu::step::step_rnn,
    &STEP_BINDINGS,
    {
        const ALL: [Override; 4] = [
            STEP_OVERRIDES[0],
            STEP_OVERRIDES[1],
            STEP_OVERRIDES[2],
            Override { name: "RELU", values: &[0, 1] },
        ];
        &ALL
    }
);

/// One time step of `nn.LSTM`.
pub static STEP_LSTM: Kernel = step_kernel!(
    "step_lstm",
    ["cell/lstm", "update/state", "shared/directions", "shared/activation"],
    16,
    cpu::step::step_lstm,
    &const { with_own(read_write(8, "c")) },
    &STEP_OVERRIDES
);

/// One time step of `nn.GRU`.
pub static STEP_GRU: Kernel = step_kernel!(
    "step_gru",
    ["cell/gru", "update/state", "shared/directions", "shared/activation"],
    16, // vec3<f32> has the stride of vec4<f32> in an array
    cpu::step::step_gru,
    &const { with_own(read(8, "bias_hn")) },
    &STEP_OVERRIDES
);

/// One time step of `nn.LSTM` with `proj_size`, up to what [`STEP_PROJECTION`] makes the state of.
pub static STEP_LSTM_UNPROJECTED: Kernel = step_kernel!(
    "step_lstm_unprojected",
    ["cell/lstm", "update/unprojected", "shared/directions", "shared/activation"],
    16,
    cpu::step::step_lstm_unprojected,
    &[
        read(2, "gates_x"),
        read(3, "weight"),
        read(4, "h_in"),
        read_write(5, "m"),
        read(7, "lengths"),
        read_write(8, "c"),
    ],
    &STEP_OVERRIDES
);

/// The projection of one time step of `nn.LSTM` with `proj_size`.
pub static STEP_PROJECTION: Kernel = step_kernel!(
    "step_projection",
    ["cell/projection", "shared/directions"],
    4,
    cpu::step::step_projection,
    &[
        read(3, "weight"),
        read(4, "h_in"),
        read_write(5, "h_out"),
        read_write(6, "y"),
        read(7, "lengths"),
        read(8, "h_before"),
    ],
    &STEP_OVERRIDES
);

/// A row of the table like another, but for what it updates: one step of every layer of a stack.
macro_rules! wave_kernel {
    ($name:ident, $of:ident, $label:literal, $cell:literal) => {
        #[doc = concat!("[`", stringify!($of), "`] for every layer of a stack, each some steps behind the one below it.")]
        pub static $name: Kernel = Kernel {
            name: $label,
            wgsl: concat!(
                include_str!("../../shaders/step.wgsl"),
                include_str!(concat!("../../shaders/cell/", $cell, ".wgsl")),
                include_str!("../../shaders/update/wave.wgsl"),
                include_str!("../../shaders/shared/activation.wgsl"),
                include_str!("../../shaders/weight/f32.wgsl"),
            ),
            ..$of
        };
    };
}

wave_kernel!(STEP_RNN_WAVE, STEP_RNN, "step_rnn_wave", "rnn");
wave_kernel!(STEP_LSTM_WAVE, STEP_LSTM, "step_lstm_wave", "lstm");
wave_kernel!(STEP_GRU_WAVE, STEP_GRU, "step_gru_wave", "gru");

/// Units and rows of a `step_tiled` workgroup.
pub const STEP_TILE_UNITS: usize = 8;
/// See [`STEP_TILE_UNITS`].
pub const STEP_TILE_ROWS: usize = 32;

macro_rules! step_tiled_kernel {
    ($name:literal, $cell:literal, $gates:literal, $twin:path, $bindings:expr, $overrides:expr) => {
        Kernel {
            name: $name,
            entry: "step_tiled",
            wgsl: concat!(
                include_str!("../../shaders/step_tiled.wgsl"),
                include_str!(concat!("../../shaders/cell/", $cell, ".wgsl")),
                include_str!("../../shaders/update/state.wgsl"),
                include_str!("../../shaders/shared/directions.wgsl"),
                include_str!("../../shaders/shared/activation.wgsl"),
                include_str!("../../shaders/weight/f32.wgsl"),
            ),
            stepped: true,
            bindings: $bindings,
            overrides: $overrides,
            // Tiles of four quads and one more for each row, and for each unit's every gate.
            workgroup: |_| WorkgroupUse { size: [8, 8, 1], storage: (32 + 8 * $gates) * 5 * 16 },
            loop_iterations: |dims, _| {
                let Dims::Step(dims) = dims else { return 0 };
                // Per tile of 4 quads: the tile, two loads, four quads.
                u64::from(dims.state_quads.div_ceil(4)) * 7
            },
            twin: $twin,
        }
    };
}

/// One time step of `nn.RNN` for many rows.
pub static STEP_TILED_RNN: Kernel = step_tiled_kernel!(
    "step_tiled_rnn",
    "rnn",
    1,
    cpu::step::step_rnn,
    &STEP_BINDINGS,
    &[Override { name: "RELU", values: &[0, 1] }]
);

/// One time step of `nn.LSTM` for many rows.
pub static STEP_TILED_LSTM: Kernel = step_tiled_kernel!(
    "step_tiled_lstm",
    "lstm",
    4,
    cpu::step::step_lstm,
    &const { with_own(read_write(8, "c")) },
    &[]
);

/// One time step of `nn.GRU` for many rows.
pub static STEP_TILED_GRU: Kernel = step_tiled_kernel!(
    "step_tiled_gru",
    "gru",
    3,
    cpu::step::step_gru,
    &const { with_own(read(8, "bias_hn")) },
    &[]
);

/// Values of `sequence`'s STATE: 4, 12 and 32 KiB of workgroup memory. With the middle one and the sums of most
/// specialisations 16 KiB, which every device has, are enough.
pub const SEQUENCE_STATES: &[u32] = &[1024, 3072, 8192];

/// Quads of each gate's weights that a lane of `sequence` holds at most.
pub const SEQUENCE_MAX_HELD: usize = 4;

const SEQUENCE_OVERRIDES: [Override; 5] = [
    Override { name: "WORKGROUP_SIZE", values: &[8, 64, 256] },
    Override { name: "LANES", values: &[1, 2, 4] },
    Override { name: "ROWS", values: &[1, 2, 4, STEP_MAX_ROWS] },
    Override { name: "STATE", values: SEQUENCE_STATES },
    Override { name: "HELD", values: &[0, 1] },
];

/// Workgroup use of a `sequence` kernel whose `Gates` take `gates_size` bytes in an array.
fn sequence_workgroup(overrides: &[(&'static str, u32)], gates_size: u32) -> WorkgroupUse {
    let sums = step_workgroup(overrides, gates_size);
    WorkgroupUse { storage: sums.storage + override_value(overrides, "STATE") * 4, ..sums }
}

fn sequence_loop_iterations(dims: &Dims, overrides: &[(&'static str, u32)]) -> u64 {
    let Dims::Sequence(dims) = dims else { return 0 };
    let [invocations, lanes, rows] =
        ["WORKGROUP_SIZE", "LANES", "ROWS"].map(|name| u64::from(override_value(overrides, name)));
    let quads = u64::from(dims.state_quads);
    // The sums, of weights that are held or not, their stores, two barriers, and the updates, each of which joins the lanes'
    // sums.
    let tile = quads.div_ceil(lanes).max(SEQUENCE_MAX_HELD as u64) * (1 + rows)
        + rows
        + 2
        + rows * (1 + 2 * lanes);
    let tiles = u64::from(dims.hidden_size).div_ceil(invocations / lanes);
    // The state is copied in and out; the lengths go over the rows.
    let copies = 2 * (rows * quads * 4).div_ceil(invocations) + rows;
    SEQUENCE_MAX_HELD as u64 + copies + u64::from(dims.steps) * (1 + tiles * (1 + tile))
}

macro_rules! sequence_kernel {
    ($name:literal, $cell:literal, $gates_size:literal, $twin:path, $bindings:expr, $overrides:expr) => {
        Kernel {
            name: $name,
            entry: "sequence",
            wgsl: concat!(
                include_str!("../../shaders/sequence.wgsl"),
                include_str!("../../shaders/shared/sequence.wgsl"),
                include_str!(concat!("../../shaders/cell/", $cell, ".wgsl")),
                include_str!("../../shaders/shared/activation.wgsl"),
                include_str!("../../shaders/weight/f32.wgsl"),
            ),
            stepped: false,
            bindings: $bindings,
            overrides: $overrides,
            workgroup: |overrides| sequence_workgroup(overrides, $gates_size),
            loop_iterations: sequence_loop_iterations,
            twin: $twin,
        }
    };
}

/// Several time steps of `nn.RNN`.
pub static SEQUENCE_RNN: Kernel =
    sequence_kernel!("sequence_rnn", "rnn", 4, cpu::sequence::sequence_rnn, &STEP_BINDINGS, {
        const ALL: [Override; 6] = {
            let [a, b, c, d, e] = SEQUENCE_OVERRIDES;
            [a, b, c, d, e, Override { name: "RELU", values: &[0, 1] }]
        };
        &ALL
    });

/// Several time steps of `nn.LSTM`.
pub static SEQUENCE_LSTM: Kernel = sequence_kernel!(
    "sequence_lstm",
    "lstm",
    16,
    cpu::sequence::sequence_lstm,
    &const { with_own(read_write(8, "c")) },
    &SEQUENCE_OVERRIDES
);

/// Several time steps of `nn.GRU`.
pub static SEQUENCE_GRU: Kernel = sequence_kernel!(
    "sequence_gru",
    "gru",
    16,
    cpu::sequence::sequence_gru,
    &const { with_own(read(8, "bias_hn")) },
    &SEQUENCE_OVERRIDES
);
