//! The kernel table: everything about each kernel, stated once.
//!
//! A kernel is one compute entry point together with its twin. Its WGSL is a schedule file followed by the fragments
//! that it needs; WGSL takes declarations in any order, so the schedule comes first and a compiler's line numbers are
//! the file's. Tests walk this table.

mod f16;
mod recurrence;
mod schedule;
mod slots;
mod subgroup;
mod transfer;
pub mod uniforms;

pub use f16::*;
pub use recurrence::*;
pub use schedule::Schedule;
pub use slots::*;
pub use subgroup::*;
pub use transfer::*;

use crate::dtype::WeightType;
use crate::engine::cpu::{self, Twin};
use crate::kernel::uniforms::Dims;

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
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// Name in messages, recordings and GPU debuggers.
    pub name: &'static str,
    /// The WGSL entry point, which is also the stem of the schedule file.
    pub entry: &'static str,
    /// The composed WGSL.
    pub wgsl: &'static str,
    /// Whether binding 1 is the dynamic uniform that holds the step index.
    pub stepped: bool,
    /// The storage bindings, in the order of [`Dispatch::bindings`](crate::plan::recording::Dispatch::bindings).
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

/// What the names of kernels end with whose weights are stored as f16.
const F16: &str = "_f16";

impl Kernel {
    /// The kernel that does the same with weights stored otherwise; itself if it reads none.
    pub fn stored_as(&'static self, weights: WeightType) -> &'static Self {
        let f16 = |kernel: &&&'static Self| kernel.name.strip_suffix(F16) == Some(self.name);
        match weights {
            WeightType::F32 => self,
            WeightType::F16 => KERNELS.iter().find(f16).copied().unwrap_or(self),
        }
    }

    /// Whether the device must have the feature `subgroups`.
    pub fn needs_subgroups(&self) -> bool {
        self.entry.ends_with("_subgroup")
    }

    /// The kernel that does the same with weights stored as f32.
    pub(crate) fn widened(&'static self) -> &'static Self {
        let f32 = |kernel: &&&'static Self| Some(kernel.name) == self.name.strip_suffix(F16);
        KERNELS.iter().find(f32).copied().unwrap_or(self)
    }
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

const LINEAR_BINDINGS: [Binding; 5] = [
    read(1, "x_same"),
    read(2, "x_mirrored"),
    read(3, "weight"),
    read(4, "bias"),
    read_write(5, "y"),
];
const ACTIVATION: Override =
    Override { name: "ACTIVATION", values: &[activation::NONE, activation::SIGMOID] };

/// `y = x · Wᵀ + b` over all steps of a segment.
pub static LINEAR: Kernel = Kernel {
    name: "linear",
    entry: "linear",
    wgsl: concat!(
        include_str!("../../shaders/linear.wgsl"),
        include_str!("../../shaders/shared/linear.wgsl"),
        include_str!("../../shaders/shared/activation.wgsl"),
        include_str!("../../shaders/weight/f32.wgsl"),
    ),
    stepped: false,
    bindings: &LINEAR_BINDINGS,
    overrides: &[ACTIVATION],
    workgroup: |_| WorkgroupUse { size: [8, 8, 1], storage: 2 * 160 * 16 },
    loop_iterations: |dims, _| {
        let Dims::Linear(dims) = dims else { return 0 };
        // Per tile of 4 quads: the tile, two loads, four quads; at the end four stores of four columns.
        u64::from((dims.parts * dims.part_quads).div_ceil(4)) * 7 + 16
    },
    twin: cpu::linear::linear,
};

/// Rows and columns of a `linear_wide` workgroup.
pub const LINEAR_WIDE_TILE: usize = 64;

/// The same for many rows and columns.
pub static LINEAR_WIDE: Kernel = Kernel {
    name: "linear_wide",
    entry: "linear_wide",
    wgsl: concat!(
        include_str!("../../shaders/linear_wide.wgsl"),
        include_str!("../../shaders/shared/linear.wgsl"),
        include_str!("../../shaders/shared/activation.wgsl"),
        include_str!("../../shaders/weight/f32.wgsl"),
    ),
    stepped: false,
    bindings: &LINEAR_BINDINGS,
    overrides: &[ACTIVATION],
    workgroup: |_| WorkgroupUse { size: [8, 8, 1], storage: 2 * 320 * 16 },
    loop_iterations: |dims, _| {
        let Dims::Linear(dims) = dims else { return 0 };
        // Per tile of 4 quads: the tile, four loads, four quads.
        u64::from((dims.parts * dims.part_quads).div_ceil(4)) * 9
    },
    twin: cpu::linear::linear,
};

/// Most rows that one invocation of `linear_rows` sums at a time.
pub const LINEAR_MAX_ROWS: usize = 8;

/// Invocations, and so columns, of a `linear_rows` workgroup.
pub const LINEAR_ROWS_COLUMNS: usize = 32;

/// The same for few rows.
pub static LINEAR_ROWS: Kernel = Kernel {
    name: "linear_rows",
    entry: "linear_rows",
    wgsl: concat!(
        include_str!("../../shaders/linear_rows.wgsl"),
        include_str!("../../shaders/shared/linear.wgsl"),
        include_str!("../../shaders/shared/activation.wgsl"),
        include_str!("../../shaders/weight/f32.wgsl"),
    ),
    stepped: false,
    bindings: &LINEAR_BINDINGS,
    overrides: &[ACTIVATION, Override { name: "ROWS", values: &[1, 2, 4, LINEAR_MAX_ROWS as u32] }],
    workgroup: |_| WorkgroupUse { size: [LINEAR_ROWS_COLUMNS as u32, 1, 1], storage: 0 },
    loop_iterations: |dims, overrides| {
        let Dims::Linear(dims) = dims else { return 0 };
        let (rows, quads) =
            (u64::from(override_value(overrides, "ROWS")), u64::from(dims.parts * dims.part_quads));
        quads.div_ceil(4) * (1 + rows) + quads * (1 + rows) + rows
    },
    twin: cpu::linear::linear,
};

/// Invocations of a workgroup of `embed` and of `dropout`, one for each quad.
pub const QUADS_PER_WORKGROUP: usize = 64;

/// `nn.Embedding`: rows of a table by their tokens.
pub static EMBED: Kernel = Kernel {
    name: "embed",
    entry: "embed",
    wgsl: concat!(
        include_str!("../../shaders/embed.wgsl"),
        include_str!("../../shaders/weight/f32.wgsl")
    ),
    stepped: false,
    bindings: &[read(1, "tokens"), read(3, "weight"), read_write(2, "y")],
    overrides: &[],
    workgroup: |_| WorkgroupUse { size: [QUADS_PER_WORKGROUP as u32, 1, 1], storage: 0 },
    loop_iterations: |_, _| 0,
    twin: cpu::embed::embed,
};

/// Rounds of `philox`.
const PHILOX_ROUNDS: u64 = 10;

/// Dropout in place.
pub static DROPOUT: Kernel = Kernel {
    name: "dropout",
    entry: "dropout",
    wgsl: concat!(
        include_str!("../../shaders/dropout.wgsl"),
        include_str!("../../shaders/shared/philox.wgsl")
    ),
    stepped: false,
    bindings: &[read(1, "settings"), read_write(2, "y")],
    overrides: &[],
    workgroup: |_| WorkgroupUse { size: [QUADS_PER_WORKGROUP as u32, 1, 1], storage: 0 },
    loop_iterations: |_, _| PHILOX_ROUNDS,
    twin: cpu::dropout::dropout,
};

const ROW_OVERRIDES: [Override; 1] = [Override { name: "WORKGROUP_SIZE", values: &[32, 64, 256] }];

/// The negative log-likelihood of targets.
pub static SCORE: Kernel = Kernel {
    name: "score",
    entry: "score",
    wgsl: concat!(
        include_str!("../../shaders/score.wgsl"),
        include_str!("../../shaders/shared/softmax.wgsl"),
        include_str!("../../shaders/shared/log.wgsl"),
    ),
    stepped: false,
    bindings: &[read(1, "logits"), read(2, "targets"), read_write(3, "nll")],
    overrides: &ROW_OVERRIDES,
    workgroup: |overrides| {
        let invocations = override_value(overrides, "WORKGROUP_SIZE");
        WorkgroupUse { size: [invocations, 1, 1], storage: invocations * 4 }
    },
    loop_iterations: |dims, overrides| {
        let Dims::Score(dims) = dims else { return 0 };
        let invocations = override_value(overrides, "WORKGROUP_SIZE");
        // Columns and rounds of the reduction, for the maximum and for the sum.
        2 * (u64::from(dims.columns.div_ceil(invocations)) + u64::from(invocations.ilog2()))
    },
    twin: cpu::score::score,
};

/// What `sample` writes where there is nothing to draw from: the logits have NaN, or their largest is infinite.
pub const NO_TOKEN: u32 = u32::MAX;

/// The last word of the counter of `sample`'s random numbers; in those of `dropout` it is the site.
pub const SAMPLE_SITE: u32 = u32::MAX;

/// The next token, drawn from the softmax of the logits.
pub static SAMPLE: Kernel = Kernel {
    name: "sample",
    entry: "sample",
    wgsl: concat!(
        include_str!("../../shaders/sample.wgsl"),
        include_str!("../../shaders/shared/softmax.wgsl"),
        include_str!("../../shaders/shared/philox.wgsl"),
    ),
    stepped: true,
    bindings: &[
        read(2, "logits"),
        read(3, "settings"),
        read_write(4, "token"),
        read_write(5, "tokens"),
    ],
    overrides: &ROW_OVERRIDES,
    workgroup: |overrides| {
        let invocations = override_value(overrides, "WORKGROUP_SIZE");
        // The sums, a counter for each bit, and two words of 16 bytes each.
        WorkgroupUse { size: [invocations, 1, 1], storage: invocations * 4 + 32 * 4 + 2 * 16 }
    },
    loop_iterations: |dims, overrides| {
        let Dims::Sample(dims) = dims else { return 0 };
        let invocations = override_value(overrides, "WORKGROUP_SIZE");
        let chunk = u64::from(dims.columns.div_ceil(invocations));
        // The maximum, 32 rounds of counting, the chunk's sum; then, for one invocation, the random number, the sums
        // twice and one chunk.
        chunk + 32 * (1 + chunk) + chunk + PHILOX_ROUNDS + 2 * u64::from(invocations) + chunk
    },
    twin: cpu::sample::sample,
};

/// The whole table.
pub static KERNELS: [&Kernel; 57] = [
    &LINEAR,
    &LINEAR_WIDE,
    &LINEAR_ROWS,
    &STEP_RNN,
    &STEP_LSTM,
    &STEP_GRU,
    &STEP_LSTM_UNPROJECTED,
    &STEP_PROJECTION,
    &STEP_RNN_WAVE,
    &STEP_LSTM_WAVE,
    &STEP_GRU_WAVE,
    &STEP_TILED_RNN,
    &STEP_TILED_LSTM,
    &STEP_TILED_GRU,
    &SEQUENCE_RNN,
    &SEQUENCE_LSTM,
    &SEQUENCE_GRU,
    &EMBED,
    &DROPOUT,
    &SCORE,
    &SAMPLE,
    &LOAD_SLOTS,
    &STORE_SLOTS,
    &GATHER,
    &SCATTER,
    &LINEAR_F16,
    &LINEAR_ROWS_F16,
    &STEP_RNN_F16,
    &STEP_LSTM_F16,
    &STEP_GRU_F16,
    &STEP_LSTM_UNPROJECTED_F16,
    &STEP_PROJECTION_F16,
    &EMBED_F16,
    &SEQUENCE_RNN_F16,
    &SEQUENCE_LSTM_F16,
    &SEQUENCE_GRU_F16,
    &LINEAR_WIDE_F16,
    &STEP_TILED_RNN_F16,
    &STEP_TILED_LSTM_F16,
    &STEP_TILED_GRU_F16,
    &STEP_RNN_WAVE_F16,
    &STEP_LSTM_WAVE_F16,
    &STEP_GRU_WAVE_F16,
    &LINEAR_SUBGROUP,
    &STEP_SUBGROUP_RNN,
    &STEP_SUBGROUP_LSTM,
    &STEP_SUBGROUP_GRU,
    &LINEAR_SUBGROUP_F16,
    &STEP_SUBGROUP_RNN_F16,
    &STEP_SUBGROUP_LSTM_F16,
    &STEP_SUBGROUP_GRU_F16,
    &SEQUENCE_SUBGROUP_RNN,
    &SEQUENCE_SUBGROUP_LSTM,
    &SEQUENCE_SUBGROUP_GRU,
    &SEQUENCE_SUBGROUP_RNN_F16,
    &SEQUENCE_SUBGROUP_LSTM_F16,
    &SEQUENCE_SUBGROUP_GRU_F16,
];
