//! Copies of rows between tensors and packed memory, by one core or by all.
//!
//! | values | copy |
//! |---|---|
//! | fewer than 256 Ki (1 MiB) | one core: waking others takes longer than the copy |
//! | more | all cores, in blocks of 64 Ki values; each core also maps the pages that it writes |
//!
//! Rows that lie next to each other on both sides are one copy.

use rayon::prelude::*;

use crate::engine::cpu::ONE_THREAD;

/// The values from which on all cores copy.
const MANY: usize = 1 << 18;

/// Returns whether all cores copy this number of values.
pub(super) fn are_many(values: usize) -> bool {
    !ONE_THREAD && values >= MANY
}

/// The values of a block, about.
const BLOCK: usize = 1 << 16;

/// The rows of a copy: the values of each, and the distances from row to row on both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub width: usize,
    pub from: usize,
    pub to: usize,
}

impl Rows {
    /// Copies as many rows as `to` holds. Values between two rows of `to` become zero.
    pub fn copy(self, from: &[f32], to: &mut [f32]) {
        let large = are_many(to.len()) && self.width > 0;
        let rows = if large { (BLOCK / self.to.max(1)).max(1) } else { usize::MAX };
        if !large || to.len() <= rows * self.to {
            return self.copy_block(from, to);
        }
        to.par_chunks_mut(rows * self.to)
            .zip(from.par_chunks(rows * self.from))
            .for_each(|(to, from)| self.copy_block(from, to));
    }

    fn copy_block(self, from: &[f32], to: &mut [f32]) {
        let Self { width, from: stride, to: to_stride } = self;
        if stride == width && to_stride == width {
            return to.copy_from_slice(&from[..to.len()]);
        }
        for (to, from) in to.chunks_mut(to_stride.max(1)).zip(from.chunks(stride.max(1))) {
            let (values, rest) = to.split_at_mut(width);
            values.copy_from_slice(&from[..width]);
            rest.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, MANY, Rows};

    #[test]
    fn many_rows_are_copied_as_few_are() {
        for (width, from, to) in
            [(3, 3, 4), (4, 4, 4), (5, 8, 5), (1, 4, 1), (BLOCK + 1, BLOCK + 4, BLOCK + 1)]
        {
            for count in [0, 1, MANY / to + 7] {
                let values: Vec<f32> = (0..count * from).map(|i| i as f32 + 1.0).collect();
                let mut got = vec![-1.0; count * to];
                Rows { width, from, to }.copy(&values, &mut got);
                for (at, &got) in got.iter().enumerate() {
                    let (row, column) = (at / to, at % to);
                    let want = if column < width { values[row * from + column] } else { 0.0 };
                    assert_eq!(got, want, "{count} rows of {width}, {from}, {to}: at {at}");
                }
            }
        }
    }
}
