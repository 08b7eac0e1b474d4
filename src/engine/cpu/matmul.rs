//! The matrix product of the CPU engine.
//!
//! Each element is a sum over features in order, in blocks of a few hundred; the sums of blocks are
//! added in order. This order depends only on the number of features. It does not depend on
//! neighbouring rows and columns, tiles or threads. A row therefore has the same bits in every
//! batch.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use wgpu_rnn_simd::{Arch, Panels, Product, Rows, TILE_PANELS, TILE_ROWS};

use super::Slices;
use super::threads::{ONE_THREAD, parts_for, threads};

/// A row-major matrix inside a slice: row r starts at `offset + r · row_stride`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub offset: usize,
    pub row_stride: usize,
}

impl Matrix {
    /// Whether every element lies inside a slice of `len` values.
    fn fits(&self, len: usize) -> bool {
        if self.rows == 0 {
            return true;
        }
        let last_row =
            (self.rows - 1).checked_mul(self.row_stride).and_then(|r| r.checked_add(self.offset));
        self.row_stride >= self.columns
            && last_row.and_then(|r| r.checked_add(self.columns)).is_some_and(|end| end <= len)
    }
}

/// Computes `y = x · wᵀ + bias`, and overwrites y. x is `[M, K]`, w is one direction's `[N, K]`,
/// bias is `[N]` or empty for none, y is `[M, N]`.
///
/// # Panics
/// When the shapes do not match or a matrix exceeds its slice. Twins derive both from the same
/// dims.
pub(crate) fn multiply_transposed(
    x: (&[f32], Matrix),
    w: (&Panels, usize),
    bias: &[f32],
    y: (&mut [f32], Matrix),
) {
    let parts = match threads(y.1.rows, y.1.columns, x.1.columns) {
        1 => 1,
        threads => parts_for(threads, rayon::current_num_threads()),
    };
    multiply_in_parts(Arch::new(), parts, x, w, bias, y);
}

/// Computes columns of `x · wᵀ` from `column` on, where a panel begins, for the width of y's rows.
/// The work stays on this thread; `backwards` starts with the last columns.
///
/// # Panics
/// When the shapes do not match, no panel begins at `column`, or a matrix exceeds its slice.
pub(super) fn multiply_columns(
    x: (&[f32], Matrix),
    w: (&Panels, usize),
    column: usize,
    backwards: bool,
    y: &mut [&mut [f32]],
) {
    Product { backwards, ..product(x, w, column, &[], y) }.compute(Arch::new());
}

fn product<'a, 'y>(
    (values, x): (&'a [f32], Matrix),
    (w, d): (&'a Panels, usize),
    column: usize,
    bias: &'a [f32],
    y: &'a mut [&'y mut [f32]],
) -> Product<'a, 'y> {
    let (columns, [n, k]) = (y.first().map_or(0, |row| row.len()), w.shape());
    assert!(
        [y.len(), k] == [x.rows, x.columns],
        "[{}, {}] x {:?}ᵀ -> {} rows",
        x.rows,
        x.columns,
        [n, k],
        y.len()
    );
    assert!(
        column.is_multiple_of(w.width()) && column + columns <= n,
        "columns {column} + {columns} of {n}"
    );
    assert!(x.fits(values.len()), "a matrix exceeds its slice");
    Product {
        x: Rows {
            values: values.get(x.offset..).unwrap_or(&[]),
            stride: x.row_stride,
            features: k,
        },
        panels: &w.direction(d)[column * k..],
        bias,
        backwards: false,
        y,
    }
}

/// Computes the product in about `parts` parts of whole tiles, cutting the longer side of y.
fn multiply_in_parts(
    arch: Arch,
    parts: usize,
    x: (&[f32], Matrix),
    (w, d): (&Panels, usize),
    bias: &[f32],
    y: (&mut [f32], Matrix),
) {
    let (m, n, k) = (y.1.rows, y.1.columns, x.1.columns);
    let shape = |matrix: &Matrix| [matrix.rows, matrix.columns];
    assert!(
        shape(&x.1) == [m, k] && w.shape() == [n, k],
        "{:?} x {:?}ᵀ -> {:?}",
        shape(&x.1),
        w.shape(),
        [m, n]
    );
    assert!(x.1.fits(x.0.len()) && y.1.fits(y.0.len()), "a matrix exceeds its slice");
    assert!(bias.is_empty() || bias.len() == n, "{} biases of {n} columns", bias.len());
    if m == 0 || n == 0 {
        return;
    }
    let (height, width) = match m >= n {
        true => (m.div_ceil(parts).next_multiple_of(TILE_ROWS), n),
        false => (m, n.div_ceil(parts).next_multiple_of(w.width() * TILE_PANELS)),
    };
    let across = n.div_ceil(width);
    let rows_of_y = y.0[y.1.offset..].chunks_mut(y.1.row_stride).take(m).map(|row| &mut row[..n]);
    if ONE_THREAD || parts == 1 {
        let mut y: Slices<_> = rows_of_y.collect();
        return product(x, (w, d), 0, bias, &mut y).compute(arch);
    }
    let mut rows: Vec<Vec<&mut [f32]>> = Vec::new();
    rows.resize_with(m.div_ceil(height) * across, || Vec::with_capacity(height.min(m)));
    for (i, row) in rows_of_y.enumerate() {
        for (j, piece) in row.chunks_mut(width).enumerate() {
            rows[i / height * across + j].push(piece);
        }
    }
    rows.into_par_iter().enumerate().for_each(|(index, mut y)| {
        let (row, column) = (index / across * height, index % across * width);
        let x_part = Matrix { rows: y.len(), offset: x.1.offset + row * x.1.row_stride, ..x.1 };
        let bias = bias.get(column..).unwrap_or(&[]);
        product((x.0, x_part), (w, d), column, bias, &mut y).compute(arch);
    });
}

#[cfg(test)]
mod tests {
    use wgpu_rnn_simd::{Arch, Panels};

    use super::{Matrix, multiply_columns, multiply_in_parts, multiply_transposed};
    use crate::params::random::Mt19937;

    fn random(seed: u64, rows: usize, columns: usize) -> (Vec<f32>, Matrix) {
        let values = Mt19937::new(seed).uniform_vec(rows * columns, -1.0, 1.0);
        (values, Matrix { rows, columns, offset: 0, row_stride: columns })
    }

    #[test]
    fn agrees_with_three_loops_for_ugly_sizes_and_strides() {
        let sizes = [
            (1, 1, 1),
            (1, 7, 5),
            (3, 4, 8),
            (4, 9, 2),
            (5, 13, 1),
            (33, 17, 65),
            (0, 3, 2),
            (3, 0, 2),
            (2, 3, 0),
        ];
        // A tile of each height.
        let sizes = sizes.into_iter().chain((6..=13).map(|m| (m, 9, 3)));
        for ((m, n, k), arch) in sizes.flat_map(|size| [(size, Arch::new()), (size, Arch::Scalar)])
        {
            let (x_stride, y_stride) = (k + 3, n + 2);
            let x: Vec<f32> = (0..m * x_stride + 2).map(|i| (i % 7) as f32 - 3.0).collect();
            let w: Vec<f32> = (0..2 * n * k).map(|i| (i % 5) as f32 - 2.0).collect();
            let bias: Vec<f32> = (0..n).map(|i| (i % 3) as f32 - 1.0).collect();
            let panels = Panels::for_arch(arch, &w, [2, n, k]);
            for (parts, bias) in
                [1, 2, 100].into_iter().flat_map(|parts| [(parts, &bias[..]), (parts, &[])])
            {
                let mut y = vec![f32::NAN; m * y_stride + 4];
                multiply_in_parts(
                    arch,
                    parts,
                    (&x, Matrix { rows: m, columns: k, offset: 2, row_stride: x_stride }),
                    (&panels, 1),
                    bias,
                    (&mut y, Matrix { rows: m, columns: n, offset: 4, row_stride: y_stride }),
                );
                for (at, got) in y.iter().enumerate() {
                    let Some((i, j)) = at
                        .checked_sub(4)
                        .map(|at| (at / y_stride, at % y_stride))
                        .filter(|&(_, j)| j < n)
                    else {
                        assert!(
                            got.is_nan(),
                            "({m}, {n}, {k}) in {parts}: {got} written at {at}, between the rows"
                        );
                        continue;
                    };
                    let want: f32 =
                        (0..k).map(|p| x[2 + i * x_stride + p] * w[(n + j) * k + p]).sum();
                    let want = want + bias.get(j).unwrap_or(&0.0);
                    // Small integers: every order of summation is exact.
                    assert_eq!(
                        *got, want,
                        "({m}, {n}, {k}) on {arch:?} in {parts} parts at ({i}, {j})"
                    );
                }
            }
        }
    }

    /// An element has the same bits whatever rows, columns, parts and threads surround it.
    #[test]
    fn an_element_does_not_depend_on_what_is_computed_beside_it() {
        // With 9,000 features, rows and columns pass through the caches in several groups.
        for (k, arch) in
            [1, 4, 37, 128, 9_000].into_iter().flat_map(|k| [(k, Arch::new()), (k, Arch::Scalar)])
        {
            let (m, n) = (33, 29);
            let ((x, x_matrix), (w, _)) = (random(1, m, k), random(2, n, k));
            let product = |parts, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
                let (m, n) = (rows.len(), columns.len());
                let panels =
                    Panels::for_arch(arch, &w[columns.start * k..columns.end * k], [1, n, k]);
                let mut y = vec![f32::NAN; m * n];
                multiply_in_parts(
                    arch,
                    parts,
                    (&x, Matrix { rows: m, offset: rows.start * k, ..x_matrix }),
                    (&panels, 0),
                    &[],
                    (&mut y, Matrix { rows: m, columns: n, offset: 0, row_stride: n }),
                );
                y
            };
            let whole = product(1, 0..m, 0..n);
            for (height, width, parts) in (1..=12)
                .chain([33])
                .flat_map(|h| [1, 2, 3, 7, 8, 29].map(|w| (h, w, 1 + (h + w) % 3)))
            {
                for (first, column) in
                    [(0, 0), (m - height, n - width), ((m - height) / 2, (n - width) / 2)]
                {
                    let got = product(parts, first..first + height, column..column + width);
                    for (at, got) in got.iter().enumerate() {
                        let (i, j) = (first + at / width, column + at % width);
                        let want = whole[i * n + j];
                        assert_eq!(
                            got.to_bits(),
                            want.to_bits(),
                            "K = {k} on {arch:?}: {height} x {width} in {parts} parts, \
                             ({i}, {j}): {got:e}, {want:e}"
                        );
                    }
                }
            }
        }
    }

    /// An element has the same bits wherever its panel begins and whichever panels come first.
    #[test]
    fn columns_by_themselves_are_those_of_the_whole_product() {
        let (n, k) = (331, 300);
        let (w, _) = random(2, n, k);
        let panels = Panels::new(&w, 1, n, k);
        for m in [1, 2, 3, 4, 13] {
            let (x, x_matrix) = random(1, m, k);
            let mut whole = vec![f32::NAN; m * n];
            let y_matrix = Matrix { rows: m, columns: n, offset: 0, row_stride: n };
            multiply_transposed((&x, x_matrix), (&panels, 0), &[], (&mut whole, y_matrix));
            for (first, backwards) in [0, panels.width(), 3 * panels.width()]
                .into_iter()
                .flat_map(|c| [(c, false), (c, true)])
            {
                let mut y = vec![f32::NAN; m * (n - first)];
                let mut rows: Vec<_> = y.chunks_mut(n - first).collect();
                multiply_columns((&x, x_matrix), (&panels, 0), first, backwards, &mut rows);
                for (i, (got, want)) in y.chunks(n - first).zip(whole.chunks(n)).enumerate() {
                    let bits = |values: &[f32]| {
                        values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
                    };
                    assert_eq!(
                        bits(got),
                        bits(&want[first..]),
                        "row {i} of {m}, from {first}, backwards {backwards}"
                    );
                }
            }
        }
    }

    /// The comparisons of bits can fail: another order of the sum gives other bits.
    #[test]
    fn the_order_of_a_sum_shows_in_its_bits() {
        let ((x, matrix), (w, _)) = (random(1, 1, 1_000), random(2, 1, 1_000));
        let product = |x: &[f32], w: &[f32]| {
            let mut y = [f32::NAN];
            let one = Matrix { rows: 1, columns: 1, offset: 0, row_stride: 1 };
            multiply_transposed((x, matrix), (&Panels::new(w, 1, 1, 1_000), 0), &[], (&mut y, one));
            y[0]
        };
        let reversed = |values: &[f32]| values.iter().rev().copied().collect::<Vec<f32>>();
        let (forward, backward) = (product(&x, &w), product(&reversed(&x), &reversed(&w)));
        assert_ne!(forward.to_bits(), backward.to_bits(), "the same terms, added in another order");
        assert!((forward - backward).abs() < 1e-4, "{forward} and {backward} are close");
    }

    /// The product is large enough for several threads.
    #[test]
    fn sums_are_as_close_as_f32_allows() {
        let (m, n, k) = (5, 64, 4_096);
        let ((x, x_matrix), (w, _)) = (random(3, m, k), random(4, n, k));
        let (mut y, y_matrix) = random(5, m, n);
        multiply_transposed(
            (&x, x_matrix),
            (&Panels::new(&w, 1, n, k), 0),
            &[],
            (&mut y, y_matrix),
        );
        for (at, got) in y.iter().enumerate() {
            let terms = x[at / n * k..][..k].iter().zip(&w[at % n * k..][..k]);
            let want: f64 = terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            assert!(
                (f64::from(*got) - want).abs() < 5e-5,
                "({}, {}): {got}, want {want}",
                at / n,
                at % n
            );
        }
    }

    #[test]
    #[should_panic(expected = "exceeds its slice")]
    fn a_matrix_that_exceeds_its_slice_is_refused() {
        let one = Matrix { rows: 2, columns: 2, offset: 0, row_stride: 2 };
        multiply_transposed(
            (&[0.0; 3], one),
            (&Panels::new(&[0.0; 4], 1, 2, 2), 0),
            &[],
            (&mut [0.0; 4], one),
        );
    }

    #[test]
    #[should_panic(expected = "[2, 3] x [2, 2]")]
    fn shapes_that_do_not_match_are_refused() {
        let of = |columns| Matrix { rows: 2, columns, offset: 0, row_stride: columns };
        multiply_transposed(
            (&[0.0; 6], of(3)),
            (&Panels::new(&[0.0; 4], 1, 2, 2), 0),
            &[],
            (&mut [0.0; 4], of(2)),
        );
    }
}
