//! Dispatches around recurrent layers: embedding before them, linear layers behind.

use std::ops::Range;

use super::{padded, planned};
use crate::dims::{Dims, EmbedDims, LinearDims};
use crate::error::Result;
use crate::kernel::{self, Kernel, LINEAR_MAX_ROWS, LINEAR_ROWS_COLUMNS, LINEAR_TILE, QUADS_PER_WORKGROUP, WeightType};
use crate::limits::Limits;
use crate::recording::{BufferId, Dispatch};

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
    planned(kernel::EMBED.stored_as(weights), Vec::new(), dims, vec![tokens, weight, y], workgroups, limits)
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
) -> Result<Dispatch> {
    let (shape, overrides) = LinearShape::of(rows, activation);
    let dims = LinearDims {
        steps: 1,
        batch: rows as u32,
        directions: 1,
        columns: columns.len() as u32,
        parts: 1,
        part_quads: (padded(in_features) / 4) as u32,
        y_row_stride: out_features as u32,
        y_direction_stride: 0,
        y_offset: columns.start as u32,
        row_tiles: rows.div_ceil(shape.rows) as u32,
        column_tiles: columns.len().div_ceil(shape.columns) as u32,
        pad: 0,
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

/// Which kernel computes a linear layer, and what one of its workgroups covers.
pub(super) struct LinearShape {
    pub(super) kernel: &'static Kernel,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl LinearShape {
    /// For so many rows, with the kernel's overrides. Tiles of 32 rows would leave most of their work undone for few.
    pub(super) fn of(rows: usize, activation: u32) -> (Self, Vec<(&'static str, u32)>) {
        if rows > LINEAR_MAX_ROWS {
            let shape = Self { kernel: &kernel::LINEAR, rows: LINEAR_TILE, columns: LINEAR_TILE };
            return (shape, vec![("ACTIVATION", activation)]);
        }
        let rows = rows.next_power_of_two();
        let shape = Self { kernel: &kernel::LINEAR_ROWS, rows, columns: LINEAR_ROWS_COLUMNS };
        (shape, vec![("ACTIVATION", activation), ("ROWS", rows as u32)])
    }
}
