//! The kernel that generates several tokens in one dispatch: its row and its shapes.

use super::families::Row;
use super::heads::{DRAW_STORAGE, draw_iterations};
use super::persistent::{cell_of, lanes_of};
use super::rows::{STEP, constant, read, write};
use super::text::shader;
use super::uniforms::{Dims, GenerateDims};
use super::{Cell, Kernel, Override, Overrides, WorkgroupUse};
use crate::dtype::WeightType;

/// Invocations of a workgroup.
pub const GENERATE_WORKGROUPS: &[u32] = &[64, 128, 256];
/// The most rows.
pub const GENERATE_ROWS: u32 = 16;
/// Values of STATE: 4 to 32 KiB of workgroup memory.
pub const GENERATE_STATES: &[u32] = &[1024, 2048, 4096, 8192];

/// The shape of a workgroup of `generate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generate {
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Invocations that share the sums of a unit.
    pub lanes: u32,
    /// Values of the state and the logits in workgroup memory.
    pub state: u32,
    /// Whether one workgroup computes everything.
    pub alone: bool,
    /// Whether lanes pass values on within subgroups.
    pub subgroups: bool,
}

impl Generate {
    /// The shape that override values give.
    pub fn of(o: &Overrides) -> Self {
        Self {
            invocations: o.workgroup_size.max(1),
            lanes: o.lanes.max(1),
            state: o.state,
            alone: o.alone == 1,
            subgroups: o.subgroups == 1,
        }
    }

    /// The override values of the shape.
    pub fn overrides(self) -> Overrides {
        let Self { invocations, lanes, state, alone, subgroups } = self;
        Overrides {
            workgroup_size: invocations,
            lanes,
            state,
            alone: alone.into(),
            subgroups: subgroups.into(),
            ..Overrides::default()
        }
    }

    /// Groups of lanes in a workgroup.
    pub fn groups(self) -> u32 {
        (self.invocations / self.lanes).max(1)
    }

    /// The needs of a workgroup: the copy of the state, the tokens, the words of a draw, and the
    /// sums that lanes pass on where subgroups do not.
    pub fn workgroup(self, cell: Option<Cell>) -> WorkgroupUse {
        let gates = cell.map_or(16, Cell::gates_stride);
        let passed = if self.subgroups { 0 } else { self.invocations * gates };
        let copy = (self.state + 32) * 4 + GENERATE_ROWS * 4;
        let storage = copy + DRAW_STORAGE + self.invocations * 8 + passed;
        WorkgroupUse { size: [self.invocations, 1, 1], storage }
    }

    /// The loop iterations of an invocation. It looks at a missing word up to `spins` times.
    pub fn loop_iterations(self, dims: &GenerateDims) -> u64 {
        let per_invocation = |values: u64| values.div_ceil(u64::from(self.invocations));
        let [batch, layers, units, quads, tokens] =
            [dims.batch, dims.layers, dims.hidden_size, dims.state_quads, dims.ntoken]
                .map(u64::from);
        let groups = u64::from(dims.workgroups.max(1) * self.groups());
        let products = |quads: u64| quads.div_ceil(4 * u64::from(self.lanes));
        // Each sweep is of four words, all of which are there if the workgroup is alone.
        let copied = |words: u64| {
            let sweeps = per_invocation(words).div_ceil(4);
            6 * sweeps + u64::from(dims.spins)
        };
        let input = quads.max(dims.input_quads.into());
        let layer = (batch * units).div_ceil(groups) * (1 + products(quads) + products(input))
            + copied(batch * units);
        // With one gate, a block of logits is one.
        let decoder =
            (batch * tokens).div_ceil(groups) * (1 + products(quads)) + copied(batch * tokens);
        let draws = batch * (1 + draw_iterations(dims.ntoken, self.invocations));
        let begin = per_invocation(u64::from(self.state) + 32)
            + per_invocation(layers * batch * units)
            + products(quads);
        begin + u64::from(dims.steps) * (2 + layers * (1 + layer) + decoder + draws)
    }
}

pub(super) const GENERATE: Row = Row {
    name: "generate",
    entry: "generate",
    source: shader!("head/generate"),
    fragments: &[
        shader!("generate/io"),
        shader!("persistent/common"),
        shader!("persistent/words"),
        shader!("lib/activation"),
        shader!("lib/draw"),
        shader!("lib/philox"),
        shader!("lib/softmax"),
    ],
    fragments_of: generate_fragments,
    variants: false,
    choices: &[constant!("SUBGROUPS", subgroups, &[0, 1])],
    stepped: false,
    bindings: &[
        read(2, "bias"),
        read(3, "weight"),
        read(4, "state_in"),
        write(5, "state_out"),
        write(6, "tokens"),
        read(7, "settings"),
        write(9, "exchange"),
    ],
    overrides: &[
        constant!("WORKGROUP_SIZE", workgroup_size, GENERATE_WORKGROUPS),
        constant!("LANES", lanes, &[4, 8, 16, 32]),
        constant!("STATE", state, GENERATE_STATES),
        constant!("ALONE", alone, &[0, 1]),
    ],
    workgroup: |cell, o| Generate::of(o).workgroup(cell),
    loop_iterations: |dims, o| {
        let Dims::Generate(dims) = dims else { return 0 };
        Generate::of(o).loop_iterations(dims)
    },
    ..STEP
};

fn generate_fragments(kernel: Kernel, o: &Overrides) -> Vec<&'static str> {
    vec![
        cell_of(kernel),
        match kernel.cell {
            None | Some(Cell::Rnn) => shader!("generate/own_rnn"),
            Some(Cell::Lstm) => shader!("generate/own_lstm"),
            Some(Cell::Gru | Cell::Reset) => shader!("generate/own_gru"),
        },
        lanes_of(o),
        match kernel.weights {
            WeightType::F32 => shader!("weight/f32"),
            WeightType::F16 => shader!("weight/f16"),
        },
    ]
}
