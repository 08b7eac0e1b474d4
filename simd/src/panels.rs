//! Weights packed for the CPU engine's products.

use bytemuck::{Pod, Zeroable};
use pulp::{Arch, Simd, WithSimd};

/// Vectors per panel width. Two hide the latency of a multiply-add with half the rows that one
/// would need.
pub(crate) const PANEL_VECTORS: usize = 2;

/// A cache line. Its alignment keeps each vector within one line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Line([f32; 16]);

/// A matrix `[D, N, K]`, packed for products with its transpose.
///
/// Panels of P rows make it `[D, N/P, K, P]`; zeros fill the last panel. P is the width of two
/// vectors of this machine.
///
/// A product then reads the weights from front to back, and each vector of weights adds to one
/// vector of sums.
#[derive(Debug, Clone)]
pub struct Panels {
    lines: Vec<Line>,
    width: usize,
    directions: usize,
    rows: usize,
    features: usize,
}

impl Panels {
    /// Packs `values`, `[D, N, K]`.
    ///
    /// # Panics
    /// When `values` does not have D · N · K elements.
    pub fn new(values: &[f32], directions: usize, rows: usize, features: usize) -> Self {
        Self::for_arch(Arch::new(), values, [directions, rows, features])
    }

    /// Packs `values`, `[D, N, K]`, for products with the vectors of `arch`.
    ///
    /// # Panics
    /// When `values` does not have D · N · K elements.
    pub fn for_arch(arch: Arch, values: &[f32], [directions, rows, features]: [usize; 3]) -> Self {
        assert_eq!(
            values.len(),
            directions * rows * features,
            "the values of [{directions}, {rows}, {features}]"
        );
        let width = arch.dispatch(Width);
        let panel = features * width;
        let len = directions * rows.div_ceil(width) * panel;
        let mut lines = vec![Line::zeroed(); len.div_ceil(size_of::<Line>() / size_of::<f32>())];
        let packed: &mut [f32] = bytemuck::cast_slice_mut(&mut lines);
        if len > 0 {
            let panels = values.chunks_exact(rows * features).flat_map(|rows| rows.chunks(panel));
            for (packed, panel) in packed.chunks_exact_mut(panel).zip(panels) {
                for (r, row) in panel.chunks_exact(features).enumerate() {
                    row.iter()
                        .zip(packed[r..].iter_mut().step_by(width))
                        .for_each(|(value, packed)| *packed = *value);
                }
            }
        }
        Self { lines, width, directions, rows, features }
    }

    /// The number of rows of a panel, P.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The shape of one direction, `[N, K]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.features]
    }

    /// The panels of direction `d`: `[N/P, K, P]`.
    ///
    /// # Panics
    /// When there is no such direction.
    pub fn direction(&self, d: usize) -> &[f32] {
        assert!(d < self.directions, "direction {d} of {}", self.directions);
        let len = self.rows.div_ceil(self.width) * self.features * self.width;
        &bytemuck::cast_slice(&self.lines)[d * len..][..len]
    }

    /// The K values of row `n` of direction `d`.
    pub fn row(&self, d: usize, n: usize) -> impl Iterator<Item = f32> {
        let panel = n / self.width * self.features * self.width;
        let values = &self.direction(d)[panel..][..self.features * self.width];
        values.iter().skip(n % self.width).step_by(self.width).copied()
    }

    /// Widens a matrix whose values are words of two f16 values, the low half first.
    /// Returns `[D, N, 2 · K]`.
    pub fn widened(&self) -> Self {
        Self::new(&halves(&self.unpack()), self.directions, self.rows, 2 * self.features)
    }

    /// Returns the values before packing, `[D, N, K]`.
    pub fn unpack(&self) -> Vec<f32> {
        let rows = (0..self.directions).flat_map(|d| (0..self.rows).map(move |n| (d, n)));
        rows.flat_map(|(d, n)| self.row(d, n)).collect()
    }
}

/// Returns the values of words that hold two f16 values each, the low half first.
pub fn halves(words: &[f32]) -> Vec<f32> {
    let halves: &[half::f16] = bytemuck::cast_slice(words);
    halves.iter().map(|half| half.to_f32()).collect()
}

/// Computes P for an instruction set.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES * PANEL_VECTORS
    }
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::Panels;

    #[test]
    fn every_row_is_found_again() {
        for arch in [Arch::new(), Arch::Scalar] {
            for [directions, rows, features] in
                [[1, 1, 1], [2, 7, 3], [1, 33, 5], [2, 64, 2], [1, 0, 3], [1, 3, 0]]
            {
                let values: Vec<f32> =
                    (1..=directions * rows * features).map(|i| i as f32).collect();
                let panels = Panels::for_arch(arch, &values, [directions, rows, features]);
                assert_eq!(
                    panels.unpack(),
                    values,
                    "[{directions}, {rows}, {features}] on {arch:?}"
                );
                let width = panels.width();
                for (d, n, k) in (0..directions)
                    .flat_map(|d| (0..rows).map(move |n| (d, n)))
                    .flat_map(|(d, n)| (0..features).map(move |k| (d, n, k)))
                {
                    let got = panels.direction(d)[(n / width * features + k) * width + n % width];
                    assert_eq!(
                        got,
                        values[(d * rows + n) * features + k],
                        "[{d}, {n}, {k}] on {arch:?}"
                    );
                }
            }
        }
    }
}
