//! The shapes of register tiles: the overrides of kernels that include `shaders/lib/product.wgsl`.

use super::{Overrides, WorkgroupUse};

/// The features of a quarter are whole multiples of so many quads, but for the last ones.
pub const QUARTER_QUADS: usize = 8;
/// Values of TILE.
pub const TILE_SIZES: &[u32] = &[32, 64];

/// A shape of a register tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows and columns of a workgroup.
    pub size: u32,
    /// Features of a stage.
    pub depth: u32,
    /// Rows of an invocation, which has four columns.
    pub rows: u32,
    /// Groups of invocations that split each sum: 1, or 4 for one quarter each.
    pub slices: u32,
}

impl Tile {
    /// The shape that override values give.
    pub fn of(overrides: &Overrides) -> Self {
        let &Overrides { tile: size, depth, rows, slices, .. } = overrides;
        Self { size, depth, rows, slices }
    }

    /// The override values of the shape.
    pub fn overrides(self) -> Overrides {
        let Self { size: tile, depth, rows, slices } = self;
        Overrides { tile, depth, rows, slices, ..Overrides::default() }
    }

    /// The needs of a workgroup: two stages of each slice, with a value of each row and column for
    /// each feature.
    pub fn workgroup(self) -> WorkgroupUse {
        let slice = self.size / self.rows.max(1) * (self.size / 4);
        let storage = 2 * self.slices * self.depth * 2 * self.size * 4;
        WorkgroupUse { size: [slice * self.slices, 1, 1], storage }
    }

    /// The loop iterations of an invocation for sums over `quads` quads: stages and their features.
    pub fn loop_iterations(self, quads: u64) -> u64 {
        let span = if self.slices > 1 { quarter(quads) } else { quads };
        let depth = u64::from(self.depth.max(4));
        span.div_ceil(depth / 4) * (1 + depth) + u64::from(self.slices > 1)
    }

    /// Whether each block of a stage has an invocation that fetches it, and the quarters have room
    /// where the stages were.
    pub fn is_legal(self) -> bool {
        let slice = self.size / self.rows.max(1) * (self.size / 4);
        let blocks = self.size / 2 * (self.depth / 4);
        let fits = self.slices == 1 || self.size <= 16 * self.depth;
        blocks <= slice && fits
    }
}

/// Quads of a quarter of the features.
pub fn quarter(quads: u64) -> u64 {
    quads.div_ceil(4 * QUARTER_QUADS as u64) * QUARTER_QUADS as u64
}
