//! Twin of `shaders/head/sample.wgsl`.

use super::TwinBuffer::{self, Read, ReadWrite};
use super::softmax::softmax_term;
use crate::kernel::families::{NO_TOKEN, SAMPLE_SITE};
use crate::kernel::uniforms::{Dims, Step};
use crate::params::random::philox4x32;
use crate::plan::recording::Dispatch;

/// Twin of `shaders/head/sample.wgsl`.
pub(crate) fn sample(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Sample(dims), [Read(logits), Read(settings), ReadWrite(token), ReadWrite(tokens)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("sample is dispatched with SampleDims and four buffers");
    };
    let (batch, columns) = (dims.batch as usize, dims.columns as usize);
    let workgroup_size = dispatch.overrides.workgroup_size as usize;
    let tokens = &mut tokens[at.index as usize * batch..][..batch];
    let rows = logits.chunks_exact(columns).zip(token.iter_mut().zip(tokens));
    for (b, (row, (token, generated))) in (0..dims.batch).zip(rows) {
        let chosen = f32::from_bits(drawn(row, settings, at.index, b, workgroup_size));
        *token = chosen;
        *generated = chosen;
    }
}

/// Twin of `drawn` in `shaders/lib/draw.wgsl`: the token of row `b` at step `step` of a chunk.
pub(super) fn drawn(
    row: &[f32],
    settings: &[f32],
    step: u32,
    b: u32,
    workgroup_size: usize,
) -> u32 {
    let &[low, high, temperature, top_k, first_position, top_p, ..] =
        bytemuck::cast_slice::<f32, u32>(settings)
    else {
        unreachable!("sampling has eight settings");
    };
    let (likeliest, largest) = first_of_the_largest(row);
    if temperature == 0 {
        return if largest == KEY_OF_NAN { NO_TOKEN } else { likeliest };
    }
    if !is_finite(largest) {
        return NO_TOKEN;
    }
    let narrowed = top_k > 0 && (top_k as usize) < row.len();
    let mut weights = Weights {
        row,
        row_max: row[likeliest as usize],
        temperature: f32::from_bits(temperature),
        lowest: if narrowed { nth_largest_key(row, top_k) } else { 0 },
    };
    let top_p = f32::from_bits(top_p);
    if top_p > 0.0 && top_p < 1.0 {
        weights.lowest = weights.nucleus(top_p, workgroup_size);
    }
    let counter = [0, first_position.wrapping_add(step), b, SAMPLE_SITE];
    let word = philox4x32(counter, [low, high])[0];
    weights.draw((word >> 8) as f32 / 16_777_216.0, workgroup_size, likeliest)
}

const KEY_OF_NAN: u32 = u32::MAX;

/// Maps floats to integers in the same order: −inf < .. < −0 = 0 < .. < inf < NaN of either sign.
fn key_of(x: f32) -> u32 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        KEY_OF_NAN
    } else if bits == magnitude {
        0x8000_0000 + magnitude
    } else {
        0x8000_0000 - magnitude
    }
}

fn is_finite(key: u32) -> bool {
    key > 0x0080_0000 && key < 0xff80_0000
}

/// Returns the first column with the largest key, and that key.
fn first_of_the_largest(row: &[f32]) -> (u32, u32) {
    let keys = (0..).zip(row).map(|(column, &x)| (column, key_of(x)));
    keys.fold((NO_TOKEN, 0), |largest, next| if next.1 > largest.1 { next } else { largest })
}

/// Finds the `n`-th largest key, bit by bit: the largest value that at least `n` keys reach.
fn nth_largest_key(row: &[f32], n: u32) -> u32 {
    (0..32).fold(0, |lowest, bit| {
        let candidate = lowest | (0x8000_0000 >> bit);
        let count = row.iter().filter(|&&x| key_of(x) >= candidate).count();
        if count >= n as usize { candidate } else { lowest }
    })
}

/// The sampling weights of a row's tokens.
#[derive(Clone, Copy)]
struct Weights<'a> {
    row: &'a [f32],
    row_max: f32,
    temperature: f32,
    /// Tokens below this key have weight 0.
    lowest: u32,
}

impl Weights<'_> {
    fn of(&self, x: f32) -> f32 {
        if key_of(x) >= self.lowest {
            softmax_term((x - self.row_max) / self.temperature)
        } else {
            0.0
        }
    }

    /// Returns the largest key that leaves at least the share `top_p` of the weight. Finds it bit
    /// by bit.
    fn nucleus(&self, top_p: f32, workgroup_size: usize) -> u32 {
        let goal = top_p * self.sum_from(self.lowest, workgroup_size);
        let found = (0..32).fold(0, |found, bit| {
            let candidate = found | (0x8000_0000 >> bit);
            let sum = self.sum_from(candidate.max(self.lowest), workgroup_size);
            if sum >= goal { candidate } else { found }
        });
        found.max(self.lowest)
    }

    /// Returns the sum of the weights of all keys from `lowest` on, in the kernel's order.
    fn sum_from(&self, lowest: u32, workgroup_size: usize) -> f32 {
        let from = Weights { lowest, ..*self };
        let mut sums: Vec<f32> = (0..workgroup_size)
            .map(|lane| {
                let lane = self.row.iter().skip(lane).step_by(workgroup_size);
                lane.fold(0.0, |sum, &x| sum + from.of(x))
            })
            .collect();
        while sums.len() > 1 {
            let (low, high) = sums.split_at(sums.len() / 2);
            sums = low.iter().zip(high).map(|(low, high)| low + high).collect();
        }
        sums[0]
    }

    /// Returns the token at which the running sum of the weights exceeds `share` (0 <= share < 1)
    /// of the total. The row has `count` chunks, the last of which may be empty.
    fn draw(&self, share: f32, count: usize, likeliest: u32) -> u32 {
        let chunk = self.row.len().div_ceil(count);
        let mut sums = vec![0.0; count];
        for (sum, chunk) in sums.iter_mut().zip(self.row.chunks(chunk)) {
            *sum = chunk.iter().fold(0.0, |sum, &x| sum + self.of(x));
        }
        // Sums double their reach in each round.
        let mut reach = 1;
        while reach < count {
            (reach..count).rev().for_each(|at| sums[at] += sums[at - reach]);
            reach *= 2;
        }
        let total = sums[count - 1];
        if !(total > 0.0 && total.is_finite()) {
            return NO_TOKEN;
        }
        let goal = share * total;
        let c = sums.iter().position(|&sum| sum > goal).unwrap_or(count - 1);
        let (mut chosen, mut sum) = (likeliest, if c > 0 { sums[c - 1] } else { 0.0 });
        for (column, &x) in self.row.iter().enumerate().skip(c * chunk).take(chunk) {
            let weight = self.of(x);
            sum += weight;
            if weight > 0.0 {
                chosen = column as u32;
                if sum > goal {
                    break;
                }
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::{first_of_the_largest, is_finite, key_of, nth_largest_key};

    #[test]
    fn keys_are_in_the_order_of_the_floats() {
        let ordered = [
            f32::NEG_INFINITY,
            f32::MIN,
            -1.5,
            -1.0,
            -f32::MIN_POSITIVE,
            -1e-45,
            0.0,
            1e-45,
            1.0,
            1.5,
        ];
        let ordered = [&ordered[..], &[f32::MAX, f32::INFINITY, f32::NAN]].concat();
        for pair in ordered.windows(2) {
            assert!(key_of(pair[0]) < key_of(pair[1]), "{} before {}", pair[0], pair[1]);
        }
        assert_eq!(key_of(-0.0), key_of(0.0), "zeros are equal");
        assert_eq!(key_of(-f32::NAN), key_of(f32::NAN), "NaN has no sign");
        for x in ordered {
            assert_eq!(is_finite(key_of(x)), x.is_finite(), "{x}");
        }
    }

    #[test]
    fn the_nth_largest_counts_ties() {
        let row = [3.0, -1.0, 3.0, 0.5, f32::NEG_INFINITY, -0.0, 0.0];
        for (n, want) in
            [(1, 3.0), (2, 3.0), (3, 0.5), (4, 0.0), (5, 0.0), (6, -1.0), (7, f32::NEG_INFINITY)]
        {
            assert_eq!(nth_largest_key(&row, n), key_of(want), "number {n} of {row:?}");
        }
        assert_eq!(first_of_the_largest(&row), (0, key_of(3.0)), "the first of equals");
    }
}
