//! The shapes of register tiles: the overrides of kernels that include `shaders/lib/product.wgsl`.

use super::{Overrides, WorkgroupUse};

/// A quarter of the features is a whole multiple of this many quads, but for the last one.
pub const QUARTER_QUADS: usize = 8;
/// Values of `TILE_ROWS`.
pub const TILE_ROWS: &[u32] = &[16, 32, 64, 80];
/// Values of `TILE_COLUMNS`.
pub const TILE_COLUMNS: &[u32] = &[32, 64];
/// Rows of a tile in the cost model, which counts by them how often weights are read.
pub const TYPICAL_ROWS: usize = 32;

/// Most quads of rows, or of columns, that an invocation fetches for a stage.
const MAX_FETCHES: u32 = 4;

/// A shape of a register tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows of a workgroup.
    pub rows: u32,
    /// Columns of a workgroup.
    pub columns: u32,
    /// Features of a stage.
    pub depth: u32,
    /// Rows of an invocation, which has four columns.
    pub own_rows: u32,
    /// Groups of invocations that split each sum: 1, or 4 for one quarter each.
    pub slices: u32,
}

impl Tile {
    /// The shape that override values give.
    pub fn of(overrides: &Overrides) -> Self {
        let &Overrides { tile_rows, tile_columns, depth, rows, slices, .. } = overrides;
        Self { rows: tile_rows, columns: tile_columns, depth, own_rows: rows, slices }
    }

    /// The override values of the shape.
    pub fn overrides(self) -> Overrides {
        let Self { rows: tile_rows, columns: tile_columns, depth, own_rows: rows, slices } = self;
        Overrides { tile_rows, tile_columns, depth, rows, slices, ..Overrides::default() }
    }

    /// Invocations that sum one tile, or one quarter of its sums.
    fn slice_size(self) -> u32 {
        self.rows / self.own_rows.max(1) * (self.columns / 4)
    }

    /// Values of all stages: two of each slice, with a value of each row and column for each
    /// feature, and four values more for rows, and for columns.
    fn staged(self) -> u32 {
        2 * self.slices * self.depth * (self.rows + self.columns + 8)
    }

    /// The needs of a workgroup.
    pub fn workgroup(self) -> WorkgroupUse {
        let size = [self.slice_size() * self.slices, 1, 1];
        WorkgroupUse { size, storage: self.staged() * 4 }
    }

    /// The loop iterations of an invocation for sums over `quads` quads: quarters and stages.
    pub fn loop_iterations(self, quads: u64) -> u64 {
        let span = if self.slices > 1 { quarter(quads) } else { quads };
        4 + span.div_ceil(u64::from(self.depth.max(4)) / 4)
    }

    /// Whether each quad of a stage has an invocation that fetches it, and the quarters have room
    /// where the stages were.
    pub fn is_legal(self) -> bool {
        let (slice, quads) = (self.slice_size(), self.depth / 4);
        let fetches = self.rows.max(self.columns) * quads;
        let quarters = self.slices * self.own_rows * slice * 4;
        slice.is_multiple_of(quads)
            && self.rows.is_multiple_of(self.own_rows)
            && fetches <= MAX_FETCHES * slice
            && (self.slices == 1 || quarters <= self.staged())
    }
}

/// Quads of a quarter of the features.
pub fn quarter(quads: u64) -> u64 {
    quads.div_ceil(4 * QUARTER_QUADS as u64) * QUARTER_QUADS as u64
}
