//! Dispatches around recurrent layers: embedding before them, linear layers after them.

use std::ops::Range;

use super::tiles::{self, MANY_TILES, fits};
use super::{halvings, largest, planned};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::families::{COPIES_PER_WORKGROUP, MATVEC_GROUPS, MATVEC_MAX_ROWS};
use crate::kernel::uniforms::{Dims, EmbedDims, LinearDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::plan::limits::Limits;
use crate::plan::recording::{BufferId, Dispatch};
use crate::tensor::padded;

/// Looks up those of `rows` tokens that are in `shard`, in a table of `width` features.
///
/// Buffers are the tokens (`[rows]`, u32), the shard's weight and `y` (`[rows, width]`), both
/// padded to quads.
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

/// A product with some columns of a linear layer, for each group of features.
///
/// A group has its own rows of x, its own weights and its own columns of y. A linear layer has one
/// group.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// Rows of x and y.
    pub rows: usize,
    /// Groups.
    pub groups: usize,
    /// Features of a row of x in a group, which is padded to quads.
    pub features: usize,
    /// The columns of each group.
    pub columns: Range<usize>,
    /// Values from one row of y to the next.
    pub y_stride: usize,
    /// Values of y from one group's first column to the next group's.
    pub y_group_stride: usize,
    /// The function of the sums; see [`activation`](crate::kernel::families::activation).
    pub activation: u32,
}

impl Product {
    /// A product of a linear layer over `rows` rows, whose rows of y have `out_features` values.
    pub fn of_layer(
        [rows, in_features, out_features]: [usize; 3],
        columns: Range<usize>,
        activation: u32,
    ) -> Self {
        let (features, y_stride) = (in_features, out_features);
        Self { rows, groups: 1, features, columns, y_stride, y_group_stride: 0, activation }
    }
}

/// Multiplies rows with the weights of some columns and adds their bias.
///
/// Buffers are `x` (`[groups, rows, features]`, padded to quads), the columns' weight (`[groups,
/// columns, features]`, padded likewise) and bias, and `y` (`[rows, ·]`).
pub(crate) fn linear(
    product: Product,
    [x, weight, bias, y]: [BufferId; 4],
    weights: WeightType,
    limits: &Limits,
) -> Result<Dispatch> {
    let Product { rows, groups, features, columns, y_stride, y_group_stride, activation } = product;
    let shape = LinearShape::choose([rows, columns.len(), groups], weights, limits);
    let overrides = Overrides { activation, ..shape.overrides };
    let dims = LinearDims {
        steps: 1,
        batch: rows as u32,
        directions: groups as u32,
        columns: columns.len() as u32,
        halves: 1,
        half_quads: (padded(features) / 4) as u32,
        y_row_stride: y_stride as u32,
        y_direction_stride: y_group_stride as u32,
        y_offset: columns.start as u32,
        row_tiles: rows.div_ceil(shape.rows) as u32,
        column_tiles: columns.len().div_ceil(shape.columns) as u32,
        weight_base: 0,
        x_first_row: 0,
        x_direction_rows: if groups > 1 { rows as u32 } else { 0 },
        pad: [0; 2],
    };
    let workgroups = u64::from(dims.row_tiles) * u64::from(dims.column_tiles) * groups as u64;
    planned(
        shape.kernel,
        overrides,
        Dims::Linear(dims),
        vec![x, x, weight, bias, y],
        workgroups,
        limits,
    )
}

/// Most rows of a `matvec` dispatch. A workgroup sums 8 rows, so that more rows read the weights
/// again.
const MATVEC_ROWS: usize = 32;

/// The kernel of a linear layer, and what one of its workgroups covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearShape {
    pub(super) kernel: Kernel,
    pub(super) overrides: Overrides,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl LinearShape {
    /// The kernel for some rows and columns in some directions: `matvec` for up to 32 rows, which
    /// was measured on an H200, and `tile` for more. If the limits allow no tile, `matvec` runs.
    /// All kernels sum in the same order.
    pub(super) fn choose(
        [rows, columns, directions]: [usize; 3],
        weights: WeightType,
        limits: &Limits,
    ) -> Self {
        let kernel = Kernel::new(Family::Tile, weights);
        let tile = tiles::choose(kernel, [rows, columns, directions], limits);
        if let Some(tile) = tile.filter(|_| rows > MATVEC_ROWS) {
            let (rows, columns) = (tile.rows as usize, tile.columns as usize);
            return Self { kernel, overrides: tile.overrides(), rows, columns };
        }
        Self::matvec(rows, columns, weights, limits)
    }

    /// `matvec`, with as many columns to an invocation as leave enough workgroups.
    fn matvec(rows: usize, columns: usize, weights: WeightType, limits: &Limits) -> Self {
        let kernel = Kernel::new(Family::Matvec, weights);
        let columns = match columns / (MATVEC_GROUPS * MANY_TILES) {
            0 | 1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        let overrides = |rows: usize| Overrides {
            rows: rows as u32,
            columns: columns as u32,
            ..Overrides::default()
        };
        let wanted = rows.next_power_of_two().min(MATVEC_MAX_ROWS);
        // If not even one row fits, the checks of the dispatch name the limit.
        let rows = largest(halvings(wanted), |&rows| fits(kernel, &overrides(rows), limits));
        let rows = rows.unwrap_or(1);
        Self { kernel, overrides: overrides(rows), rows, columns: columns * MATVEC_GROUPS }
    }
}
