//! Dispatches around recurrent layers: embedding before them, linear layers behind.

use std::ops::Range;

use bytemuck::Zeroable;

use super::{Tuning, planned, subgroup};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::uniforms::{Dims, EmbedDims, LinearDims};
use crate::kernel::{
    self, Kernel, LINEAR_MAX_ROWS, LINEAR_ROWS_COLUMNS, LINEAR_SUBGROUP_COLUMNS, LINEAR_TILE,
    LINEAR_WIDE_TILE, QUADS_PER_WORKGROUP,
};
use crate::plan::limits::Limits;
use crate::plan::recording::{BufferId, Dispatch};
use crate::tensor::padded;

/// Looks up those of `rows` tokens that are in `shard`, in a table of `width` features.
///
/// Buffers are the tokens (`[rows]`, u32), the shard's weight and `y` (`[rows, width]`), both padded to quads.
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
    let workgroups = (rows * quads).div_ceil(QUADS_PER_WORKGROUP) as u64;
    planned(
        kernel::EMBED.stored_as(weights),
        Vec::new(),
        dims,
        vec![tokens, weight, y],
        workgroups,
        limits,
    )
}

/// Some columns of a linear layer over rows: sizes are (rows, in_features, out_features).
///
/// Buffers are `x` (`[rows, in_features]`, padded to quads), the columns' weight (padded likewise) and bias, and `y`
/// (`[rows, out_features]`).
pub(crate) fn linear(
    (rows, in_features, out_features): (usize, usize, usize),
    columns: Range<usize>,
    activation: u32,
    [x, weight, bias, y]: [BufferId; 4],
    weights: WeightType,
    limits: &Limits,
    tuning: Tuning,
) -> Result<Dispatch> {
    let quads = padded(in_features) / 4;
    let (shape, overrides) =
        LinearShape::of([rows, columns.len(), 1], quads, activation, limits, tuning);
    let dims = LinearDims {
        steps: 1,
        batch: rows as u32,
        directions: 1,
        columns: columns.len() as u32,
        parts: 1,
        part_quads: quads as u32,
        y_row_stride: out_features as u32,
        y_direction_stride: 0,
        y_offset: columns.start as u32,
        row_tiles: rows.div_ceil(shape.rows) as u32,
        column_tiles: columns.len().div_ceil(shape.columns) as u32,
        slot: 0,
        x_first_row: 0,
        x_direction_rows: 0,
        pad: [0; 2],
    };
    let workgroups = u64::from(dims.row_tiles) * u64::from(dims.column_tiles);
    planned(
        shape.kernel.stored_as(weights),
        overrides,
        Dims::Linear(dims),
        vec![x, x, weight, bias, y],
        workgroups,
        limits,
    )
}

/// Workgroups that occupy a large GPU, four to each of its cores.
const MANY_TILES: usize = 512;

/// Which kernel computes a linear layer, and what one of its workgroups covers.
pub(super) struct LinearShape {
    pub(super) kernel: &'static Kernel,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl LinearShape {
    /// For so many rows and columns in so many directions, each a sum over `quads`, with the kernel's overrides. All of
    /// them sum in the same order.
    ///
    /// Tiles of 32 rows would leave most of their work undone for few rows. Those of 64 read less, and need enough of
    /// them to occupy a GPU, whose cores have more to do with four workgroups each; a software adapter's always do.
    pub(super) fn of(
        [rows, columns, directions]: [usize; 3],
        quads: usize,
        activation: u32,
        limits: &Limits,
        tuning: Tuning,
    ) -> (Self, Vec<(&'static str, u32)>) {
        let sums = LinearDims { parts: 1, part_quads: quads as u32, ..LinearDims::zeroed() };
        let passed_round = tuning
            .subgroups
            .then(|| subgroup::rows(&kernel::LINEAR_SUBGROUP, rows, &Dims::Linear(sums), limits));
        if let Some(rows) = passed_round.flatten() {
            let shape =
                Self { kernel: &kernel::LINEAR_SUBGROUP, rows, columns: LINEAR_SUBGROUP_COLUMNS };
            return (shape, vec![("ACTIVATION", activation), ("ROWS", rows as u32)]);
        }
        let tiles =
            rows.div_ceil(LINEAR_WIDE_TILE) * columns.div_ceil(LINEAR_WIDE_TILE) * directions;
        let occupied = tuning.row_per_invocation || tiles >= MANY_TILES;
        let fits = (kernel::LINEAR_WIDE.workgroup)(&[]).storage
            <= limits.max_compute_workgroup_storage_size;
        if rows.min(columns) > LINEAR_TILE && occupied && fits {
            let shape = Self {
                kernel: &kernel::LINEAR_WIDE,
                rows: LINEAR_WIDE_TILE,
                columns: LINEAR_WIDE_TILE,
            };
            return (shape, vec![("ACTIVATION", activation)]);
        }
        if rows > LINEAR_MAX_ROWS {
            let shape = Self { kernel: &kernel::LINEAR, rows: LINEAR_TILE, columns: LINEAR_TILE };
            return (shape, vec![("ACTIVATION", activation)]);
        }
        let rows = rows.next_power_of_two();
        let shape = Self { kernel: &kernel::LINEAR_ROWS, rows, columns: LINEAR_ROWS_COLUMNS };
        (shape, vec![("ACTIVATION", activation), ("ROWS", rows as u32)])
    }
}
