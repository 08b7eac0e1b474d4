//! The one place that calls the GEMM crate, and the only `unsafe` code of this crate.

/// A row-major matrix inside a slice: row r starts at `offset + r · row_stride`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub offset: usize,
    pub row_stride: usize,
}

impl Matrix {
    /// Whether every element lies inside a slice of `len` values.
    fn fits(&self, len: usize) -> bool {
        if self.rows == 0 || self.columns == 0 {
            return true;
        }
        let last_row = (self.rows - 1).checked_mul(self.row_stride).and_then(|r| r.checked_add(self.offset));
        self.row_stride >= self.columns
            && last_row.and_then(|r| r.checked_add(self.columns)).is_some_and(|end| end <= len)
    }
}

/// Multiply-adds below which a second thread costs more than it brings.
const PARALLEL_FROM: usize = 1 << 20;

/// `y = x · wᵀ`: x is `[M, K]`, w is `[N, K]`, y is `[M, N]`; what y held is overwritten.
///
/// # Panics
/// When the shapes do not match or a matrix exceeds its slice. Twins compute both from the same dims.
#[allow(unsafe_code, reason = "the GEMM crate takes raw pointers; the asserts establish what it relies on")]
pub(super) fn multiply_transposed(x: (&[f32], Matrix), w: (&[f32], Matrix), y: (&mut [f32], Matrix)) {
    let (m, n, k) = (y.1.rows, y.1.columns, x.1.columns);
    assert!(x.1.rows == m && w.1.rows == n && w.1.columns == k, "{:?} x {:?} -> {:?}", x.1, w.1, y.1);
    assert!(x.1.fits(x.0.len()) && w.1.fits(w.0.len()) && y.1.fits(y.0.len()), "a matrix exceeds its slice");
    if m == 0 || n == 0 {
        return;
    }
    let parallelism = if m * n * k < PARALLEL_FROM { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(0) };
    let stride = |value: usize| value as isize;
    // SAFETY: `fits` has shown that every element addressed by (rows, columns, row_stride, offset) lies inside its
    // slice, so that all pointers stay in bounds; y is borrowed mutably and cannot overlap x or w; f32 has no invalid
    // bit patterns; `read_dst` is false, so that nothing is read from y.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.0.as_mut_ptr().add(y.1.offset),
            1,
            stride(y.1.row_stride),
            false,
            x.0.as_ptr().add(x.1.offset),
            1,
            stride(x.1.row_stride),
            w.0.as_ptr().add(w.1.offset),
            stride(w.1.row_stride),
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, multiply_transposed};

    #[test]
    fn agrees_with_three_loops_for_ugly_sizes_and_strides() {
        for (m, n, k) in [(1, 1, 1), (1, 7, 5), (3, 4, 8), (5, 13, 1), (33, 17, 65), (0, 3, 2), (2, 3, 0)] {
            let (x_stride, w_stride, y_stride) = (k + 3, k + 1, n + 2);
            let x: Vec<f32> = (0..m * x_stride + 2).map(|i| (i % 7) as f32 - 3.0).collect();
            let w: Vec<f32> = (0..n * w_stride + 1).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut y = vec![f32::NAN; m * y_stride + 4];
            multiply_transposed(
                (&x, Matrix { rows: m, columns: k, offset: 2, row_stride: x_stride }),
                (&w, Matrix { rows: n, columns: k, offset: 1, row_stride: w_stride }),
                (&mut y, Matrix { rows: m, columns: n, offset: 4, row_stride: y_stride }),
            );
            for i in 0..m {
                for j in 0..n {
                    let want: f32 = (0..k).map(|p| x[2 + i * x_stride + p] * w[1 + j * w_stride + p]).sum();
                    // Small integers: every order of summation is exact.
                    assert_eq!(y[4 + i * y_stride + j], want, "({m}, {n}, {k}) at ({i}, {j})");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "exceeds its slice")]
    fn a_matrix_that_exceeds_its_slice_is_refused() {
        let one = Matrix { rows: 2, columns: 2, offset: 0, row_stride: 2 };
        multiply_transposed((&[0.0; 3], one), (&[0.0; 4], one), (&mut [0.0; 4], one));
    }
}
