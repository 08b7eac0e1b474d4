//! The kernel of `persistent`, whose invocations hold their weights: its row and its shapes.

use super::families::Row;
use super::rows::{STEP, constant, read, write};
use super::text::shader;
use super::uniforms::{Dims, PersistentDims};
use super::{Access, Binding, Cell, Kernel, Override, Overrides, WorkgroupUse};
use crate::dtype::WeightType;

/// Invocations of a workgroup.
pub const PERSISTENT_WORKGROUP: u32 = 256;
/// Values of `exchange` before the first state; the first of them is the flag.
pub const EXCHANGE_START: usize = 64;
/// Quads of each gate's weights that a lane holds at most.
pub const MAX_QUADS: u32 = 8;
/// Registers of an invocation that hold weights at most.
pub const MAX_HELD: u32 = 128;
/// The most rows of a workgroup.
pub const MAX_ROWS: u32 = 64;
/// The most rows that a workgroup advances at a time.
pub const MAX_CHUNK: u32 = 8;

/// The shape of a workgroup of `persistent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistent {
    /// Invocations that share the sums of their units.
    pub lanes: u32,
    /// Quads of each gate's weights that a lane holds.
    pub quads: u32,
    /// Units of a lane.
    pub units: u32,
    /// Rows that advance at a time.
    pub chunk: u32,
    /// Rows of a workgroup.
    pub rows: u32,
    /// Whether the state never leaves the workgroup.
    pub alone: bool,
    /// Whether lanes pass values on within subgroups.
    pub subgroups: bool,
    /// Whether the exchange is volatile memory.
    pub volatile: bool,
}

impl Persistent {
    /// The shape that override values give.
    pub fn of(o: &Overrides) -> Self {
        Self {
            lanes: o.lanes.max(1),
            quads: o.quads.max(1),
            units: o.units.max(1),
            chunk: o.chunk.max(1),
            rows: o.rows.max(1),
            alone: o.alone == 1,
            subgroups: o.subgroups == 1,
            volatile: o.volatile == 1,
        }
    }

    /// The override values of the shape.
    pub fn overrides(self) -> Overrides {
        let Self { lanes, quads, units, chunk, rows, alone, subgroups, volatile } = self;
        Overrides {
            lanes,
            quads,
            units,
            chunk,
            rows,
            alone: alone.into(),
            subgroups: subgroups.into(),
            volatile: volatile.into(),
            ..Overrides::default()
        }
    }

    /// The units of a workgroup.
    pub fn tile(self) -> u32 {
        PERSISTENT_WORKGROUP / self.lanes * self.units
    }

    /// Registers of an invocation that hold weights.
    pub fn held(self, gates: u32) -> u32 {
        self.quads * self.units * gates * 4
    }

    /// Whether each row and unit of a chunk has a lane, and chunks make up the rows.
    pub fn is_legal(self) -> bool {
        let whole = self.rows.is_multiple_of(self.chunk);
        whole && self.chunk * self.units <= self.lanes && !(self.alone && self.rows > self.chunk)
    }

    /// Values of the state that a workgroup holds, of two chunks.
    fn state(self) -> u32 {
        let quads = self.chunk * self.lanes * self.quads;
        // Planes have 8 values more each.
        8 * if self.volatile { quads } else { quads + 8 }
    }

    /// The needs of a workgroup: the state, the cell's own values, and the sums that lanes pass on
    /// where subgroups do not.
    pub fn workgroup(self, cell: Option<Cell>) -> WorkgroupUse {
        let own = self.rows / self.chunk * PERSISTENT_WORKGROUP * 4;
        let gates = cell.map_or(16, Cell::gates_stride);
        let passed = if self.subgroups { 0 } else { PERSISTENT_WORKGROUP * gates };
        let storage = self.state() * 4 + own + passed;
        WorkgroupUse { size: [PERSISTENT_WORKGROUP, 1, 1], storage }
    }

    /// The loop iterations of an invocation. It looks at a missing word up to `spins` times where
    /// another workgroup may not have written the word yet.
    pub fn loop_iterations(self, dims: &PersistentDims) -> u64 {
        let chunks = u64::from(self.rows / self.chunk);
        let per_invocation = |values: u32| u64::from(values.div_ceil(PERSISTENT_WORKGROUP));
        let quads = self.chunk * self.lanes * self.quads;
        // A sweep is of four vectors: of quads, or of words.
        let (vectors, zeroed) = if self.volatile {
            (per_invocation(quads), per_invocation(self.state() / 4))
        } else {
            (per_invocation(4 * quads).div_ceil(4), per_invocation(self.state()))
        };
        let sweeps = vectors.div_ceil(4);
        let waits = dims.steps > 1 && !self.alone;
        let looks = if waits { sweeps + u64::from(dims.spins) } else { sweeps };
        // The copies of the state before the segment are no more than the sweeps' words.
        let copied = per_invocation(4 * quads);
        let round = 1 + sweeps + looks + 3 + copied;
        zeroed + 2 * chunks + u64::from(dims.steps) * chunks * round
    }
}

pub(super) const PERSISTENT: Row = Row {
    name: "persistent",
    entry: "persistent",
    source: shader!("recurrence/persistent"),
    fragments: &[shader!("persistent/io"), shader!("persistent/common"), shader!("lib/activation")],
    fragments_of: persistent_fragments,
    variants: false,
    choices: &[
        constant!("UNITS", units, &[1, 2, 4]),
        constant!("SUBGROUPS", subgroups, &[0, 1]),
        constant!("VOLATILE", volatile, &[0, 1]),
    ],
    stepped: false,
    bindings: &[
        read(2, "gates_x"),
        Binding { index: 3, name: "weight", access: Access::Held },
        read(4, "h_in"),
        write(5, "h_out"),
        write(6, "y"),
        read(7, "lengths"),
        write(9, "exchange"),
    ],
    overrides: &[
        constant!("LANES", lanes, &[4, 8, 16, 32]),
        constant!("QUADS", quads, &[1, 2, 4, MAX_QUADS]),
        constant!("CHUNK", chunk, &[1, 2, 4, MAX_CHUNK]),
        constant!("ROWS", rows, &[1, 2, 4, 8, 16, 32, MAX_ROWS]),
        constant!("ALONE", alone, &[0, 1]),
    ],
    workgroup: |cell, o| Persistent::of(o).workgroup(cell),
    loop_iterations: |dims, o| {
        let Dims::Persistent(dims) = dims else { return 0 };
        Persistent::of(o).loop_iterations(dims)
    },
    ..STEP
};

fn persistent_fragments(kernel: Kernel, o: &Overrides) -> Vec<&'static str> {
    let shape = Persistent::of(o);
    let mut fragments = vec![
        cell_of(kernel),
        match kernel.cell {
            None | Some(Cell::Rnn) => shader!("persistent/own_rnn"),
            Some(Cell::Lstm) => shader!("persistent/own_lstm"),
            Some(Cell::Gru | Cell::Reset) => shader!("persistent/own_gru"),
        },
        match shape.units {
            1 => shader!("persistent/units_1"),
            2 => shader!("persistent/units_2"),
            _ => shader!("persistent/units_4"),
        },
        lanes_of(o),
        match kernel.weights {
            WeightType::F32 => shader!("persistent/weight_f32"),
            WeightType::F16 => shader!("persistent/weight_f16"),
        },
    ];
    if shape.volatile {
        fragments.push(shader!("persistent/exchange_quads"));
    } else {
        fragments.extend([shader!("persistent/exchange_words"), shader!("persistent/words")]);
    }
    fragments
}

/// The fragment of a cell's equations.
pub(super) fn cell_of(kernel: Kernel) -> &'static str {
    match kernel.cell {
        None | Some(Cell::Rnn) => shader!("persistent/cell_rnn"),
        Some(Cell::Lstm) => shader!("persistent/cell_lstm"),
        Some(Cell::Gru | Cell::Reset) => shader!("persistent/cell_gru"),
    }
}

/// The fragment by which lanes pass values on.
pub(super) fn lanes_of(o: &Overrides) -> &'static str {
    match o.subgroups {
        1 => shader!("persistent/lanes_subgroup"),
        _ => shader!("persistent/lanes_workgroup"),
    }
}
