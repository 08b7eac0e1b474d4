//! The choice of a register tile, for linear layers and for `step_tiled`.

use crate::kernel::tiles::Tile;
use crate::kernel::{Kernel, Overrides, WorkgroupUse};
use crate::plan::limits::Limits;

/// Tiles that occupy a large GPU. They are about as many as its cores: 132 of an H200.
pub(super) const MANY_TILES: usize = 128;

/// Rows × columns from which large tiles are faster than small ones, in tiles of 64 × 64.
const LARGE_TILES: usize = 96;

/// The tile of many rows and columns, which reads least for each sum.
const LARGE: Tile = Tile { rows: 64, columns: 64, depth: 16, own_rows: 8, slices: 1 };

/// `LARGE` within the default limits of WebGPU.
const LARGE_FLAT: Tile = Tile { depth: 8, ..LARGE };

/// The tile of 65 to 80 rows, of which `LARGE` would fill up more than a third.
const TALL: Tile = Tile { rows: 80, columns: 64, depth: 16, own_rows: 4, slices: 1 };

/// The tile of fewer rows and columns.
const MIDDLE: Tile = Tile { rows: 32, columns: 32, depth: 16, own_rows: 4, slices: 1 };

/// The tile of few rows and columns, which splits each sum in four.
const SPLIT: Tile = Tile { slices: 4, ..MIDDLE };

/// The tile of the fewest rows and columns.
const FEW: Tile = Tile { rows: 16, ..SPLIT };

/// `FEW` within the default limits of WebGPU.
const FEW_FLAT: Tile = Tile { depth: 8, ..FEW };

/// The tile that needs least of a workgroup.
pub(super) const LEAST: Tile = Tile { depth: 8, ..MIDDLE };

/// Returns whether a kernel with these overrides runs within the limits.
pub(super) fn fits(kernel: Kernel, overrides: &Overrides, limits: &Limits) -> bool {
    let WorkgroupUse { size, storage } = kernel.workgroup(overrides);
    size[0] <= limits.max_compute_workgroup_size_x
        && size[0] <= limits.max_compute_invocations_per_workgroup
        && storage <= limits.max_compute_workgroup_storage_size
}

/// Returns the tile of `kernel` for some rows and columns in some directions or layers; `None` if
/// the limits allow none. All tiles sum in the same order.
///
/// | condition | tile |
/// |---|---|
/// | at most 128 tiles of 16 rows and 32 columns | that one, each sum split in four |
/// | at most 128 tiles of 32 rows and columns | that one, each sum split in four |
/// | less area than 96 tiles of 64 rows and columns | 32 rows and columns |
/// | 65 to 80 rows | 80 rows and 64 columns |
/// | other | 64 rows and columns |
///
/// Measured on an H200. Limits may not allow a tile: then the next smaller one runs.
pub(super) fn choose(
    kernel: Kernel,
    [rows, columns, parts]: [usize; 3],
    limits: &Limits,
) -> Option<Tile> {
    let of_all = |each: usize| each.saturating_mul(parts);
    let tiles = |tile: Tile| {
        let (high, wide) = (tile.rows as usize, tile.columns as usize);
        of_all(rows.div_ceil(high).saturating_mul(columns.div_ceil(wide)))
    };
    let area = of_all(rows.saturating_mul(columns)) / (LARGE.rows * LARGE.columns) as usize;
    let preferred = if tiles(FEW) <= MANY_TILES {
        &[FEW, FEW_FLAT, LEAST][..]
    } else if tiles(SPLIT) <= MANY_TILES {
        &[SPLIT, FEW_FLAT, LEAST][..]
    } else if area < LARGE_TILES {
        &[MIDDLE, LEAST][..]
    } else if rows > LARGE.rows as usize && rows <= TALL.rows as usize {
        &[TALL, LARGE, LARGE_FLAT, LEAST][..]
    } else {
        &[LARGE, LARGE_FLAT, LEAST][..]
    };
    preferred.iter().copied().find(|tile| fits(kernel, &tile.overrides(), limits))
}

#[cfg(test)]
mod tests {
    use super::{FEW, FEW_FLAT, LARGE, LARGE_FLAT, LEAST, MIDDLE, SPLIT, TALL, choose};
    use crate::dtype::WeightType;
    use crate::kernel::{Family, Kernel};
    use crate::plan::limits::Limits;

    #[test]
    fn the_tile_follows_from_the_area() {
        let kernel = Kernel::new(Family::Tile, WeightType::F32);
        let webgpu = Limits::of(&wgpu::Limits::defaults(), false);
        let mut large = webgpu.clone();
        large.max_compute_workgroup_storage_size = 1 << 16;
        large.max_compute_workgroup_size_x = 1024;
        large.max_compute_invocations_per_workgroup = 1024;
        for (area, wanted, within_webgpu) in [
            ([16, 4096, 1], FEW, FEW_FLAT),
            ([16, 2048, 2], FEW, FEW_FLAT),
            ([17, 2048, 1], FEW, FEW_FLAT),
            ([17, 2049, 1], SPLIT, FEW_FLAT),
            ([64, 2048, 1], SPLIT, FEW_FLAT),
            ([64, 2049, 1], MIDDLE, MIDDLE),
            ([64, 6143, 1], MIDDLE, MIDDLE),
            ([64, 6144, 1], LARGE, LARGE_FLAT),
            ([65, 6144, 1], TALL, LARGE_FLAT),
            ([80, 6144, 1], TALL, LARGE_FLAT),
            ([81, 6144, 1], LARGE, LARGE_FLAT),
        ] {
            assert_eq!(choose(kernel, area, &large), Some(wanted), "{area:?}");
            assert_eq!(choose(kernel, area, &webgpu), Some(within_webgpu), "{area:?} in WebGPU");
        }
        let mut least = webgpu;
        least.max_compute_workgroup_storage_size = 0;
        assert_eq!(choose(kernel, [64, 6144, 1], &least), None, "{LEAST:?} needs memory");
    }
}
