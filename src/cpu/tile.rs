//! One part of a matrix product: dot products, a tile of them at a time in registers.
//!
//! Everything is inlined into `with_simd`, which pulp compiles for each instruction set: a function of its own, a closure
//! too, would be compiled for the oldest.

use std::ops::Range;

use pulp::{Simd, WithSimd};

/// Rows of features: row r starts at `r · stride`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub features: usize,
}

impl<'a> Rows<'a> {
    /// N rows from `first` on.
    #[inline(always)]
    fn get<const N: usize>(self, first: usize) -> [&'a [f32]; N] {
        let mut rows: [&[f32]; N] = [&[]; N];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &self.values[(first + r) * self.stride..][..self.features];
        }
        rows
    }
}

/// Rows and columns whose sums are kept in registers at a time: with a row's and a column's features they fill 16.
pub(super) const TILE_ROWS: usize = 3;
const TILE_COLUMNS: usize = 4;
/// Columns where there is but one row: sums enough to hide how long an addition takes.
pub(super) const ROW_TILE_COLUMNS: usize = 8;

/// Values of x that stay in the innermost cache while columns go by, and of w that stay in the next while rows do.
const CACHED_X: usize = 8 << 10;
const CACHED_W: usize = 64 << 10;

/// The product of some rows of x and some of w; y is a slice for each row.
pub(super) struct Product<'a, 'y> {
    pub x: Rows<'a>,
    pub w: Rows<'a>,
    pub y: Vec<&'y mut [f32]>,
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.y.first().map_or(0, |row| row.len());
        let features = self.x.features.max(1);
        // Whole tiles, at least one.
        let most_rows = (CACHED_X / features).next_multiple_of(TILE_ROWS).max(TILE_ROWS);
        let most_columns = (CACHED_W / features).next_multiple_of(ROW_TILE_COLUMNS).max(ROW_TILE_COLUMNS);
        let mut first_column = 0;
        while first_column < columns {
            let last_column = columns.min(first_column + most_columns);
            let mut first = 0;
            while first < self.y.len() {
                let rows = first..self.y.len().min(first + most_rows);
                let mut j = first_column;
                while j < last_column {
                    j += match last_column - j {
                        ROW_TILE_COLUMNS.. if rows.len() == 1 => self.row::<S, ROW_TILE_COLUMNS>(simd, first, j),
                        TILE_COLUMNS.. => self.rows::<S, TILE_COLUMNS>(simd, rows.clone(), j),
                        2.. => self.rows::<S, 2>(simd, rows.clone(), j),
                        _ => self.rows::<S, 1>(simd, rows.clone(), j),
                    };
                }
                first = rows.end;
            }
            first_column = last_column;
        }
    }
}

impl Product<'_, '_> {
    /// N columns of one row, from `j` on; returns N.
    #[inline(always)]
    fn row<S: Simd, const N: usize>(&mut self, simd: S, i: usize, j: usize) -> usize {
        let w = Vectors::<S, N>::new(simd, self.w.get(j));
        self.tile::<S, 1, N>(simd, i, j, &w);
        N
    }

    /// N columns of some rows, from `j` on; returns N.
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(&mut self, simd: S, rows: Range<usize>, j: usize) -> usize {
        let w = Vectors::<S, N>::new(simd, self.w.get(j));
        let mut i = rows.start;
        while i < rows.end {
            // Four rows are two pairs, which share more than three and one.
            i += match rows.end - i {
                1 => self.tile::<S, 1, N>(simd, i, j, &w),
                2 | 4 => self.tile::<S, 2, N>(simd, i, j, &w),
                _ => self.tile::<S, TILE_ROWS, N>(simd, i, j, &w),
            };
        }
        N
    }

    /// M rows from `i` on and N columns from `j` on; returns M.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        i: usize,
        j: usize,
        w: &Vectors<'_, S, N>,
    ) -> usize {
        let x = Vectors::<S, M>::new(simd, self.x.get(i));
        let sums = dot_products(simd, &x, w);
        for (y, sums) in self.y[i..][..M].iter_mut().zip(&sums) {
            y[j..][..N].copy_from_slice(sums);
        }
        M
    }
}

/// N rows of features in vectors.
struct Vectors<'a, S: Simd, const N: usize> {
    whole: [&'a [S::f32s]; N],
    /// What is left of each row, and zeros.
    rest: [S::f32s; N],
}

impl<'a, S: Simd, const N: usize> Vectors<'a, S, N> {
    #[inline(always)]
    fn new(simd: S, rows: [&'a [f32]; N]) -> Self {
        let mut vectors = Self { whole: [&[]; N], rest: [simd.splat_f32s(0.0); N] };
        for ((row, whole), rest) in rows.into_iter().zip(&mut vectors.whole).zip(&mut vectors.rest) {
            let (body, tail) = S::as_simd_f32s(row);
            *whole = body;
            if !tail.is_empty() {
                *rest = simd.partial_load_f32s(tail);
            }
        }
        vectors
    }
}

/// The dot products of each x with each w, all of the same length.
#[inline(always)]
fn dot_products<S: Simd, const M: usize, const N: usize>(
    simd: S,
    x: &Vectors<'_, S, M>,
    w: &Vectors<'_, S, N>,
) -> [[f32; N]; M] {
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    let vectors = x.whole[0].len();
    // Cut to the same length where the compiler sees it, so that it leaves the checks out of the loop.
    let (mut xs, mut ws) = (x.whole, w.whole);
    for row in &mut xs {
        *row = &row[..vectors];
    }
    for row in &mut ws {
        *row = &row[..vectors];
    }
    for q in 0..vectors {
        for (c, w) in ws.iter().enumerate() {
            for (sums, x) in sums.iter_mut().zip(&xs) {
                // Fused where the machine can, else a product and a sum.
                sums[c] = simd.mul_add_e_f32s(x[q], w[q], sums[c]);
            }
        }
    }
    let mut results = [[0.0; N]; M];
    for ((results, sums), x) in results.iter_mut().zip(&sums).zip(x.rest) {
        for ((result, sum), w) in results.iter_mut().zip(sums).zip(w.rest) {
            *result = simd.reduce_sum_f32s(simd.mul_add_e_f32s(x, w, *sum));
        }
    }
    results
}
