//! The dispatches around recurrent layers: embeddings before them, linear layers after them.

use std::ops::Range;

use super::planned;
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::families::{
    COPIES_PER_WORKGROUP, MATVEC_COLUMNS, MATVEC_MAX_ROWS, TILE32, TILE64,
};
use crate::kernel::uniforms::{Dims, EmbedDims, LinearDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::plan::limits::Limits;
use crate::plan::recording::{BufferId, Dispatch};
use crate::tensor::padded;

/// Returns the dispatch that looks up `rows` tokens in a table of `width` features. It handles the
/// tokens in `shard` and skips the others.
///
/// The buffers are the tokens (`[rows]`, u32), the shard's weight, and `y` (`[rows, width]`). Both
/// rows of features are padded to quads.
pub(crate) fn embed(
    rows: usize,
    width: usize,
    shard: Range<usize>,
    [tokens, weight, y]: [BufferId; 3],
    weights: WeightType,
    limits: &Limits,
) -> Result<Dispatch> {
    let quads = padded(width) / 4;
    let dims = Dims::Embed(EmbedDims {
        rows: rows as u32,
        first_token: shard.start as u32,
        tokens: shard.len() as u32,
        quads: quads as u32,
    });
    let workgroups = (rows * quads).div_ceil(COPIES_PER_WORKGROUP) as u64;
    planned(
        Kernel::new(Family::Embed, weights),
        Overrides::default(),
        dims,
        vec![tokens, weight, y],
        workgroups,
        limits,
    )
}

/// Returns the dispatch of some columns of a linear layer. The sizes are (rows, in_features,
/// out_features).
///
/// The buffers are `x` (`[rows, in_features]`, padded to quads), the columns' weight (padded in the
/// same way) and bias, and `y` (`[rows, out_features]`).
pub(crate) fn linear(
    (rows, in_features, out_features): (usize, usize, usize),
    columns: Range<usize>,
    activation: u32,
    [x, weight, bias, y]: [BufferId; 4],
    weights: WeightType,
    limits: &Limits,
) -> Result<Dispatch> {
    let quads = padded(in_features) / 4;
    let shape = LinearShape::choose([rows, columns.len(), 1], weights, limits);
    let overrides = Overrides { activation, ..shape.overrides };
    let dims = LinearDims {
        steps: 1,
        batch: rows as u32,
        directions: 1,
        columns: columns.len() as u32,
        halves: 1,
        half_quads: quads as u32,
        y_row_stride: out_features as u32,
        y_direction_stride: 0,
        y_offset: columns.start as u32,
        row_tiles: rows.div_ceil(shape.rows) as u32,
        column_tiles: columns.len().div_ceil(shape.columns) as u32,
        weight_base: 0,
        x_first_row: 0,
        x_direction_rows: 0,
        pad: [0; 2],
    };
    let workgroups = u64::from(dims.row_tiles) * u64::from(dims.column_tiles);
    planned(
        shape.kernel,
        overrides,
        Dims::Linear(dims),
        vec![x, x, weight, bias, y],
        workgroups,
        limits,
    )
}

/// The workgroups that occupy a large GPU: four for each of its cores.
const MANY_TILES: usize = 512;

/// The kernel of a linear layer, and the rows and columns of one of its workgroups.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearShape {
    pub(super) kernel: Kernel,
    pub(super) overrides: Overrides,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl LinearShape {
    /// Chooses the kernel for some rows and columns in some directions. All kernels sum in the same
    /// order.
    ///
    /// For few rows, tiles of 32 rows would waste most of their work. Tiles of 64 rows read less,
    /// but a GPU needs enough of them to stay busy.
    pub(super) fn choose(
        [rows, columns, directions]: [usize; 3],
        weights: WeightType,
        limits: &Limits,
    ) -> Self {
        let kernel = |family| Kernel::new(family, weights);
        let shape = |family, rows, columns| Self {
            kernel: kernel(family),
            overrides: Overrides::default(),
            rows,
            columns,
        };
        if rows <= MATVEC_MAX_ROWS {
            let rows = rows.next_power_of_two();
            let overrides = Overrides { rows: rows as u32, ..Overrides::default() };
            return Self { overrides, ..shape(Family::Matvec, rows, MATVEC_COLUMNS) };
        }
        let tiles = rows.div_ceil(TILE64) * columns.div_ceil(TILE64) * directions;
        let storage = kernel(Family::Tile64).workgroup(&Overrides::default()).storage;
        let fits = storage <= limits.max_compute_workgroup_storage_size;
        if rows.min(columns) > TILE32 && tiles >= MANY_TILES && fits {
            return shape(Family::Tile64, TILE64, TILE64);
        }
        shape(Family::Tile32, TILE32, TILE32)
    }
}
