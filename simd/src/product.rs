//! One part of a matrix product, in tiles whose sums stay in registers.
//!
//! Every function is inlined into `with_simd`, which pulp compiles for each instruction set. Code
//! that is not inlined, closures included, would be compiled for the oldest one. WebAssembly has
//! one.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::panels::PANEL_VECTORS;

/// Rows of features: row r starts at `r · stride`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// All rows.
    pub values: &'a [f32],
    /// Values from the start of a row to that of the next.
    pub stride: usize,
    /// Values of a row, K.
    pub features: usize,
}

/// The most rows of a one-panel tile on any machine. Parts of a product are multiples of it.
pub const TILE_ROWS: usize = 12;

/// The most rows of a one-panel tile on this machine. The sums, one value of a row and one step of
/// a panel take 15 of 16 registers, or 27 of 32. With 32 registers, each cached value of a panel
/// serves twice the rows.
///
/// WebAssembly hides its machine. There a product takes a register before it is added, and a
/// browser keeps some of 16 for itself.
const fn tile_rows<S: Simd>() -> usize {
    match S::REGISTER_COUNT {
        _ if cfg!(target_arch = "wasm32") => TILE_ROWS / 3,
        ..32 => TILE_ROWS / 2,
        _ => TILE_ROWS,
    }
}

/// The most panels side by side, for a tile of one row.
pub const TILE_PANELS: usize = 4;

/// Features in a block of a sum. A block of a panel stays in the innermost cache for all rows. Its
/// sums are added to those of the blocks before it.
const FEATURES_AT_A_TIME: usize = 256;

/// Rows of x that stay in the next cache for all panels.
const ROWS_AT_A_TIME: usize = 10 * TILE_ROWS;

/// A part of `y = x · wᵀ + bias`: some rows of x and some columns of y.
///
/// Each element is a sum over features in order, in blocks of a few hundred; the sums of blocks are
/// added in order. This order depends only on the number of features.
#[derive(Debug)]
pub struct Product<'a, 'y> {
    /// The rows of x, of which it needs as many as there are slices in `y`.
    pub x: Rows<'a>,
    /// The panels of the columns: `[·, K, P]`.
    pub panels: &'a [f32],
    /// The bias of each column, added last; empty for none.
    pub bias: &'a [f32],
    /// Whether to start with the last panels.
    pub backwards: bool,
    /// One slice per row.
    pub y: &'a mut [&'y mut [f32]],
}

impl Product<'_, '_> {
    /// Writes the product to `y`, with the vectors of `arch`, for which the panels were packed.
    ///
    /// # Panics
    /// When `x`, `panels` or `bias` are shorter than `y` needs.
    pub fn compute(self, arch: Arch) {
        arch.dispatch(self);
    }
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.y.first().map_or(0, |row| row.len());
        let panels = columns.div_ceil(S::F32_LANES * PANEL_VECTORS);
        let mut first = 0;
        while first < self.y.len() {
            let rows = first..self.y.len().min(first + ROWS_AT_A_TIME);
            first = rows.end;
            let side = match rows.len() {
                1 => TILE_PANELS,
                2 | 3 => 2,
                _ => 1,
            };
            let groups = panels.div_ceil(side);
            for index in 0..groups {
                let group = if self.backwards { groups - 1 - index } else { index };
                let panel = group * side;
                match (rows.len(), panels - panel) {
                    (1, TILE_PANELS..) => self.few::<S, 1, TILE_PANELS>(simd, rows.start, panel),
                    (2, 2..) => self.few::<S, 2, 2>(simd, rows.start, panel),
                    (3, 2..) => self.few::<S, 3, 2>(simd, rows.start, panel),
                    (_, left) => {
                        for panel in panel..panel + left.min(side) {
                            self.many(simd, rows.clone(), panel);
                        }
                    }
                }
            }
        }
    }
}

impl Product<'_, '_> {
    /// Computes M rows from `i` on and N panels from `panel` on, over all features.
    #[inline(always)]
    fn few<S: Simd, const M: usize, const N: usize>(&mut self, simd: S, i: usize, panel: usize) {
        for k in self.turns() {
            self.tile::<S, M, N>(simd, i, panel, k);
        }
    }

    /// Computes any number of rows of one panel, over all features.
    #[inline(always)]
    fn many<S: Simd>(&mut self, simd: S, rows: Range<usize>, panel: usize) {
        for k in self.turns() {
            let mut i = rows.start;
            while i < rows.end {
                // Tiles of about equal height: a low tile waits for the latency of its additions.
                let left = rows.end - i;
                let most = tile_rows::<S>();
                let height = left.div_ceil(left.div_ceil(most));
                // The guards leave out tiles that this machine never has.
                match height {
                    1 => self.tile::<S, 1, 1>(simd, i, panel, k),
                    2 => self.tile::<S, 2, 1>(simd, i, panel, k),
                    3 => self.tile::<S, 3, 1>(simd, i, panel, k),
                    4 => self.tile::<S, 4, 1>(simd, i, panel, k),
                    5 if most > 4 => self.tile::<S, 5, 1>(simd, i, panel, k),
                    6 if most > 4 => self.tile::<S, 6, 1>(simd, i, panel, k),
                    7 if most > 6 => self.tile::<S, 7, 1>(simd, i, panel, k),
                    8 if most > 6 => self.tile::<S, 8, 1>(simd, i, panel, k),
                    9 if most > 6 => self.tile::<S, 9, 1>(simd, i, panel, k),
                    10 if most > 6 => self.tile::<S, 10, 1>(simd, i, panel, k),
                    11 if most > 6 => self.tile::<S, 11, 1>(simd, i, panel, k),
                    12 if most > 6 => self.tile::<S, TILE_ROWS, 1>(simd, i, panel, k),
                    _ => unreachable!("a tile of {height} rows, at most {most}"),
                }
                i += height;
            }
        }
    }

    /// Iterates the first features of the blocks. Without features there is still one block, which
    /// writes zeros.
    #[inline(always)]
    fn turns(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.x.features.max(1)).step_by(FEATURES_AT_A_TIME)
    }

    /// Computes M rows from `i` on and N panels from `panel` on, over one block of features from
    /// `k` on.
    ///
    /// In WebAssembly every function has the same instructions, and a function for each size is
    /// faster: browsers assign registers badly in a large one.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        i: usize,
        panel: usize,
        k: usize,
    ) {
        let (features, width) = (self.x.features, S::F32_LANES * PANEL_VECTORS);
        let count = FEATURES_AT_A_TIME.min(features - k);
        let mut x: [&[f32]; M] = [&[]; M];
        for (r, x) in x.iter_mut().enumerate() {
            *x = &self.x.values[(i + r) * self.x.stride + k..][..count];
        }
        let mut w: [&[[S::f32s; PANEL_VECTORS]]; N] = [&[]; N];
        for (p, w) in w.iter_mut().enumerate() {
            let values = &self.panels[((panel + p) * features + k) * width..][..count * width];
            *w = &S::as_simd_f32s(values).0.as_chunks().0[..count];
        }
        let sums = multiply_add(simd, count, x, w);
        let last = k + count == features;
        for (y, sums) in self.y[i..][..M].iter_mut().zip(&sums) {
            for (v, &sum) in sums.as_flattened().iter().enumerate() {
                let at = panel * width + v * S::F32_LANES;
                let Some(y) = y.get_mut(at..) else { break };
                let lanes = y.len().min(S::F32_LANES);
                let y = &mut y[..lanes];
                let mut sum = sum;
                if k > 0 {
                    sum = simd.add_f32s(load(simd, y), sum);
                }
                if last && let Some(bias) = self.bias.get(at..at + lanes) {
                    sum = simd.add_f32s(sum, load(simd, bias));
                }
                store(simd, y, sum);
            }
        }
    }
}

/// Returns the sums of M rows by N panels over `count` features, in the order of the features.
#[inline(always)]
fn multiply_add<S: Simd, const M: usize, const N: usize>(
    simd: S,
    count: usize,
    x: [&[f32]; M],
    w: [&[[S::f32s; PANEL_VECTORS]]; N],
) -> [[[S::f32s; PANEL_VECTORS]; N]; M] {
    let mut sums = [[[simd.splat_f32s(0.0); PANEL_VECTORS]; N]; M];
    for k in 0..count {
        for (p, w) in w.iter().enumerate() {
            let w = w[k];
            for (sums, x) in sums.iter_mut().zip(x) {
                // Loaded here: loaded before the loop, the values of all rows would leave too few
                // registers for the sums.
                let x = simd.splat_f32s(x[k]);
                for (sum, w) in sums[p].iter_mut().zip(w) {
                    // Fused if the machine can, otherwise a product and a sum.
                    *sum = simd.mul_add_e_f32s(x, w, *sum);
                }
            }
        }
    }
    sums
}

/// Loads one vector of values; zeros fill missing lanes.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0 {
        [whole] => *whole,
        _ => simd.partial_load_f32s(values),
    }
}

/// Stores the lanes that fit into `values`.
#[inline(always)]
fn store<S: Simd>(simd: S, values: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(values).0 {
        [whole] => *whole = vector,
        _ => simd.partial_store_f32s(values, vector),
    }
}
