//! Dispatches around recurrent layers: embedding before them, linear layers behind.

use std::ops::Range;

use super::{padded, planned};
use crate::dims::{Dims, EmbedDims, LinearDims};
use crate::error::Result;
use crate::kernel::{self, LINEAR_TILE, QUADS_PER_WORKGROUP};
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
    planned(&kernel::EMBED, Vec::new(), dims, vec![tokens, weight, y], workgroups, limits)
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
    limits: &Limits,
) -> Result<Dispatch> {
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
        row_tiles: rows.div_ceil(LINEAR_TILE) as u32,
        column_tiles: columns.len().div_ceil(LINEAR_TILE) as u32,
        pad: 0,
    };
    let workgroups = u64::from(dims.row_tiles) * u64::from(dims.column_tiles);
    let overrides = vec![("ACTIVATION", activation)];
    planned(&kernel::LINEAR, overrides, Dims::Linear(dims), vec![x, x, weight, bias, y], workgroups, limits)
}
