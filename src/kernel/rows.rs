//! The kernel table: a row for each family.

use super::Access::{Read, ReadWrite};
use super::families::*;
use super::text::shader;
use super::tiles::{TILE_COLUMNS, TILE_ROWS, Tile, quarter};
use super::uniforms::{Dims, LinearDims, SequenceDims};
use super::{Binding, Cell, Kernel, Override, Overrides, WorkgroupUse};
use crate::dtype::WeightType;

/// An override of this name, which lies in this field of [`Overrides`].
macro_rules! constant {
    ($name:literal, $field:ident, $values:expr) => {
        Override {
            name: $name,
            get: |o| o.$field,
            set: |o, value| o.$field = value,
            values: $values,
        }
    };
}

pub(super) use constant;

pub(super) const fn read(index: u32, name: &'static str) -> Binding {
    Binding { index, name, access: Read }
}

pub(super) const fn write(index: u32, name: &'static str) -> Binding {
    Binding { index, name, access: ReadWrite }
}

pub(super) const fn flat(invocations: u32, storage: u32) -> WorkgroupUse {
    WorkgroupUse { size: [invocations, 1, 1], storage }
}

/// The fragments of the kernel's cell and weights.
fn shared(kernel: Kernel) -> Vec<&'static str> {
    let weight = match kernel.weights {
        WeightType::F32 => shader!("weight/f32"),
        WeightType::F16 => shader!("weight/f16"),
    };
    let weight = kernel.row().weights.then_some(weight);
    let cell = kernel.cell.map_or(&[][..], |cell| cell.texts(kernel.variant));
    cell.iter().copied().chain(weight).collect()
}

/// The fragment of variants, and the binding of their settings.
pub(super) const VARIANT: &str = shader!("lib/variant");
pub(super) const VARIANT_BINDING: Binding = read(9, "variant");

const ACTIVATION: Override = constant!("ACTIVATION", activation, activation::OF_PRODUCTS);
pub(super) const RELU: Override = constant!("RELU", relu, &[0, 1]);
const STEP_ROWS: Override = constant!("ROWS", rows, &[1, 2, 4, STEP_MAX_ROWS]);
/// The overrides of a tile's shape.
const TILE_SHAPE: [Override; 5] = [
    constant!("TILE_ROWS", tile_rows, TILE_ROWS),
    constant!("TILE_COLUMNS", tile_columns, TILE_COLUMNS),
    constant!("DEPTH", depth, &[8, 16]),
    constant!("ROWS", rows, &[4, 8]),
    constant!("SLICES", slices, &[1, 4]),
];

/// A linear layer: `y = x · Wᵀ + b` over all steps of a segment, every direction in one dispatch.
const LINEAR: Row = Row {
    name: "",
    entry: "",
    source: "",
    fragments: &[shader!("linear/io"), shader!("lib/function"), shader!("lib/activation")],
    fragments_of: |kernel, _| shared(kernel),
    choices: &[],
    cells: &[],
    variants: false,
    weights: true,
    stepped: false,
    bindings: &[
        read(1, "x_same"),
        read(2, "x_mirrored"),
        read(3, "weight"),
        read(4, "bias"),
        write(5, "y"),
    ],
    overrides: &[ACTIVATION],
    workgroup: |_, _| flat(0, 0),
    loop_iterations: |_, _| 0,
};

pub(super) const MATVEC: Row = Row {
    name: "matvec",
    entry: "matvec",
    source: shader!("linear/matvec"),
    overrides: &[
        ACTIVATION,
        constant!("ROWS", rows, &[1, 2, 4, MATVEC_MAX_ROWS as u32]),
        constant!("COLUMNS", columns, &[1, 2, 4]),
    ],
    // A quad of sums for each quarter of each group and row.
    workgroup: |_, o| flat(4 * MATVEC_GROUPS as u32, 4 * MATVEC_GROUPS as u32 * o.rows * 16),
    loop_iterations: |dims, o| {
        // Quads in fours and the rest of them; then the rows whose sums an invocation joins.
        quarter(linear_quads(dims)).div_ceil(4) + 3 + u64::from(o.rows.div_ceil(4))
    },
    ..LINEAR
};

pub(super) const TILE: Row = Row {
    name: "tile",
    entry: "tile",
    source: shader!("linear/tile"),
    fragments: &[
        shader!("lib/product"),
        shader!("linear/io"),
        shader!("lib/function"),
        shader!("lib/activation"),
    ],
    overrides: &[
        ACTIVATION,
        TILE_SHAPE[0],
        TILE_SHAPE[1],
        TILE_SHAPE[2],
        TILE_SHAPE[3],
        TILE_SHAPE[4],
    ],
    workgroup: |_, o| Tile::of(o).workgroup(),
    loop_iterations: |dims, o| Tile::of(o).loop_iterations(linear_quads(dims)),
    ..LINEAR
};

/// Quads of the features of a linear layer.
fn linear_quads(dims: &Dims) -> u64 {
    let Dims::Linear(LinearDims { halves, half_quads, .. }) = dims else { return 0 };
    u64::from(halves * half_quads)
}

pub(super) const STEP: Row = Row {
    name: "step",
    entry: "step",
    source: shader!("recurrence/step"),
    fragments: &[
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("update/state"),
        shader!("lib/activation"),
    ],
    fragments_of: |kernel, _| shared(kernel),
    choices: &[],
    cells: &Cell::ALL,
    variants: true,
    weights: true,
    stepped: true,
    bindings: &[
        read(2, "gates_x"),
        read(3, "weight"),
        read(4, "h_in"),
        write(5, "h_out"),
        write(6, "y"),
        read(7, "lengths"),
    ],
    overrides: &[
        constant!("WORKGROUP_SIZE", workgroup_size, &[32, 64]),
        constant!("LANES", lanes, &[4, 8, 16, 32]),
        STEP_ROWS,
    ],
    workgroup: |cell, o| flat(o.workgroup_size, sums_storage(cell, o)),
    loop_iterations: |dims, o| {
        let Dims::Step(dims) = dims else { return 0 };
        let rows = u64::from(o.rows);
        // The lengths go over the rows, and so does each quad; then the stores, the rounds of the
        // reduction and the updates do.
        u64::from(dims.state_quads.div_ceil(o.lanes)) * (1 + rows)
            + rows * (4 + u64::from(o.lanes.ilog2()))
    },
};

/// Bytes of the partial sums of a workgroup.
fn sums_storage(cell: Option<Cell>, o: &Overrides) -> u32 {
    // Without a cell a unit has one sum: the projection's.
    o.workgroup_size * o.rows * cell.map_or(4, Cell::gates_stride)
}

pub(super) const STEP_UNPROJECTED: Row = Row {
    name: "step_unprojected",
    fragments: &[
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("update/unprojected"),
        shader!("lib/activation"),
    ],
    cells: &[Cell::Lstm, Cell::Reset],
    bindings: &[
        read(2, "gates_x"),
        read(3, "weight"),
        read(4, "h_in"),
        write(5, "m"),
        read(7, "lengths"),
    ],
    ..STEP
};

pub(super) const STEP_PROJECTION: Row = Row {
    name: "step_projection",
    fragments: &[
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("cell/projection"),
    ],
    fragments_of: |kernel, _| [projected(kernel), shared(kernel)].concat(),
    cells: &[],
    bindings: &[
        read(3, "weight"),
        read(4, "h_in"),
        write(5, "h_out"),
        write(6, "y"),
        read(7, "lengths"),
        read(8, "h_before"),
    ],
    ..STEP
};

/// The fragments that store a projected state.
fn projected(kernel: Kernel) -> Vec<&'static str> {
    if kernel.variant {
        vec![shader!("update/clipped"), VARIANT, shader!("lib/activation")]
    } else {
        vec![shader!("update/projected")]
    }
}

pub(super) const STEP_CANDIDATE: Row = Row {
    name: "step_candidate",
    fragments: &[
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("cell/candidate"),
        VARIANT,
        shader!("lib/activation"),
    ],
    cells: &[],
    variants: false,
    bindings: &[
        read(2, "gates_x"),
        read(3, "weight"),
        read(4, "h_in"),
        write(5, "h_out"),
        write(6, "y"),
        read(7, "lengths"),
        read(8, "h_before"),
        VARIANT_BINDING,
    ],
    ..STEP
};

pub(super) const STEP_WAVE: Row = Row {
    name: "step_wave",
    fragments: &[
        shader!("recurrence/step_io"),
        shader!("update/wave"),
        shader!("update/state"),
        shader!("lib/activation"),
    ],
    ..STEP
};

pub(super) const STEP_TILED: Row = Row {
    name: "step_tiled",
    entry: "step_tiled",
    source: shader!("recurrence/step_tiled"),
    fragments: &[
        shader!("lib/product"),
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("update/state"),
        shader!("lib/activation"),
    ],
    fragments_of: |kernel, _| {
        let one_gate = kernel.cell.is_none_or(|cell| cell.gates() == 1);
        let epilogue = if one_gate { shader!("lib/units") } else { shader!("lib/gates") };
        [shared(kernel), vec![epilogue]].concat()
    },
    overrides: &TILE_SHAPE,
    workgroup: |_, o| Tile::of(o).workgroup(),
    loop_iterations: |dims, o| {
        let Dims::Step(dims) = dims else { return 0 };
        Tile::of(o).loop_iterations(u64::from(dims.state_quads))
    },
    ..STEP
};

pub(super) const STEP_TILED_UNPROJECTED: Row = Row {
    name: "step_tiled_unprojected",
    fragments: &[
        shader!("lib/product"),
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("update/unprojected"),
        shader!("lib/activation"),
    ],
    cells: STEP_UNPROJECTED.cells,
    bindings: STEP_UNPROJECTED.bindings,
    ..STEP_TILED
};

pub(super) const STEP_TILED_PROJECTION: Row = Row {
    name: "step_tiled_projection",
    fragments: &[
        shader!("lib/product"),
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("cell/projection"),
    ],
    fragments_of: |kernel, o| [projected(kernel), (STEP_TILED.fragments_of)(kernel, o)].concat(),
    cells: STEP_PROJECTION.cells,
    bindings: STEP_PROJECTION.bindings,
    ..STEP_TILED
};

pub(super) const STEP_TILED_CANDIDATE: Row = Row {
    name: "step_tiled_candidate",
    fragments: &[
        shader!("lib/product"),
        shader!("recurrence/step_io"),
        shader!("recurrence/directions"),
        shader!("cell/candidate"),
        VARIANT,
        shader!("lib/activation"),
    ],
    cells: STEP_CANDIDATE.cells,
    variants: STEP_CANDIDATE.variants,
    bindings: STEP_CANDIDATE.bindings,
    ..STEP_TILED
};

pub(super) const STEP_TILED_WAVE: Row = Row {
    name: "step_tiled_wave",
    fragments: &[
        shader!("lib/product"),
        shader!("recurrence/step_io"),
        shader!("update/wave"),
        shader!("update/state"),
        shader!("lib/activation"),
    ],
    ..STEP_TILED
};

pub(super) const SEQUENCE: Row = Row {
    name: "sequence",
    entry: "sequence",
    source: shader!("recurrence/sequence"),
    fragments: &[shader!("recurrence/sequence_io"), shader!("lib/activation")],
    stepped: false,
    overrides: &[
        constant!("WORKGROUP_SIZE", workgroup_size, &[8, 64, 256]),
        constant!("LANES", lanes, &[1, 2, 4]),
        STEP_ROWS,
        constant!("STATE", state, SEQUENCE_STATES),
        constant!("IN_REGISTERS", in_registers, &[0, 1]),
    ],
    workgroup: |cell, o| flat(o.workgroup_size, sums_storage(cell, o) + o.state * 4),
    loop_iterations: |dims, o| {
        let Dims::Sequence(SequenceDims { state_quads, hidden_size, steps, .. }) = dims else {
            return 0;
        };
        let [invocations, lanes, rows] = [o.workgroup_size, o.lanes, o.rows].map(u64::from);
        let (quads, registers) = (u64::from(*state_quads), SEQUENCE_REGISTER_QUADS as u64);
        // The sums, over weights in registers or not, their stores, two barriers, and the updates,
        // each of which joins the lanes' sums.
        let tile =
            quads.div_ceil(lanes).max(registers) * (1 + rows) + rows + 2 + rows * (1 + 2 * lanes);
        let tiles = u64::from(*hidden_size).div_ceil(invocations / lanes);
        // The state is copied in and out; the lengths go over the rows.
        let copies = 2 * (rows * quads * 4).div_ceil(invocations) + rows;
        registers + copies + u64::from(*steps) * (1 + tiles * (1 + tile))
    },
    ..STEP
};

/// A family without cells, weights, overrides and loops, whose invocations do one thing each.
pub(super) const COPY: Row = Row {
    name: "",
    entry: "",
    source: "",
    fragments: &[],
    fragments_of: |kernel, _| shared(kernel),
    choices: &[],
    cells: &[],
    variants: false,
    weights: false,
    stepped: false,
    bindings: &[],
    overrides: &[],
    workgroup: |_, _| flat(COPIES_PER_WORKGROUP as u32, 0),
    loop_iterations: |_, _| 0,
};
