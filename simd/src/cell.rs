//! Twins of `shaders/cell/*.wgsl`: the gate equations, for the units of one row at a time.
//!
//! pulp compiles each `with_simd` for every instruction set. The loops are plain, and the compiler
//! vectorises them, since activations have no branches. The bits of an element do not depend on its
//! position.

use pulp::{Arch, Simd, WithSimd};

use crate::activation::{relu, sigmoid, tanh_exact};

/// The most lanes of a vector of any machine.
const MOST_LANES: usize = 16;

/// Returns the number of units that fill whole vectors.
#[inline(always)]
const fn whole_vectors<S: Simd>(units: usize) -> usize {
    units / S::F32_LANES * S::F32_LANES
}

/// Copies the last units into arrays that fill a vector. One by one they would take as long as
/// several vectors.
#[inline(always)]
fn widened<T: Copy + Default>(units: &[T]) -> [T; MOST_LANES] {
    let mut wide = [T::default(); MOST_LANES];
    wide[..units.len()].copy_from_slice(units);
    wide
}

/// `cell/lstm.wgsl`: advances c, writes o∘tanh(c') to `next`, for U units.
#[derive(Debug)]
pub struct Lstm<'a> {
    /// `[U]`: the recurrent products of i, f, g, o.
    pub sums: &'a [[f32; 4]],
    /// `[U]`: the input projections.
    pub x: &'a [[f32; 4]],
    /// `[U]`: the cell state, updated.
    pub c: &'a mut [f32],
    /// `[U]`: receives o∘tanh(c').
    pub next: &'a mut [f32],
}

impl Lstm<'_> {
    /// Advances the units.
    ///
    /// # Panics
    /// When another slice is shorter than `next`.
    pub fn run(self) {
        run(self);
    }
}

impl WithSimd for Lstm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sums, x, c, next } = self;
        let whole = whole_vectors::<S>(next.len());
        let (c, last_c) = c.split_at_mut(whole);
        let (next, last_next) = next.split_at_mut(whole);
        Lstm { sums: &sums[..whole], x: &x[..whole], c, next }.units();
        if !last_next.is_empty() {
            let (sums, x) = (widened(&sums[whole..]), widened(&x[whole..]));
            let (mut c, mut next) = (widened(last_c), [0.0; MOST_LANES]);
            let of = ..S::F32_LANES;
            Lstm { sums: &sums[of], x: &x[of], c: &mut c[of], next: &mut next[of] }.units();
            last_c.copy_from_slice(&c[..last_c.len()]);
            last_next.copy_from_slice(&next[..last_next.len()]);
        }
    }
}

impl Lstm<'_> {
    #[inline(always)]
    fn units(self) {
        for (((sums, x), c), next) in self.sums.iter().zip(self.x).zip(self.c).zip(self.next) {
            let i = sigmoid(sums[0] + x[0]);
            let f = sigmoid(sums[1] + x[1]);
            let g = tanh_exact(sums[2] + x[2]);
            let o = sigmoid(sums[3] + x[3]);
            *c = f * *c + i * g;
            *next = o * tanh_exact(*c);
        }
    }
}

/// `cell/gru.wgsl`: writes h' to `next`, for U units.
#[derive(Debug)]
pub struct Gru<'a> {
    /// `[U]`: the recurrent products of r, z, n.
    pub sums: &'a [[f32; 3]],
    /// `[U]`: the input projections.
    pub x: &'a [[f32; 3]],
    /// `[U]`: the recurrent bias of n.
    pub bias_hn: &'a [f32],
    /// `[U]`: the state.
    pub h: &'a [f32],
    /// `[U]`: receives h'.
    pub next: &'a mut [f32],
}

impl Gru<'_> {
    /// Advances the units.
    ///
    /// # Panics
    /// When another slice is shorter than `next`.
    pub fn run(self) {
        run(self);
    }
}

impl WithSimd for Gru<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sums, x, bias_hn, h, next } = self;
        let whole = whole_vectors::<S>(next.len());
        let (next, last_next) = next.split_at_mut(whole);
        let of = ..whole;
        Gru { sums: &sums[of], x: &x[of], bias_hn: &bias_hn[of], h: &h[of], next }.units();
        if !last_next.is_empty() {
            let (sums, x) = (widened(&sums[whole..]), widened(&x[whole..]));
            let (bias_hn, h) = (widened(&bias_hn[whole..]), widened(&h[whole..]));
            let (of, mut next) = (..S::F32_LANES, [0.0; MOST_LANES]);
            let (bias_hn, h, next) = (&bias_hn[of], &h[of], &mut next[of]);
            Gru { sums: &sums[of], x: &x[of], bias_hn, h, next }.units();
            last_next.copy_from_slice(&next[..last_next.len()]);
        }
    }
}

impl Gru<'_> {
    #[inline(always)]
    fn units(self) {
        let inputs = self.sums.iter().zip(self.x).zip(self.bias_hn).zip(self.h);
        for ((((sums, x), bias_hn), h), next) in inputs.zip(self.next) {
            let r = sigmoid(sums[0] + x[0]);
            let z = sigmoid(sums[1] + x[1]);
            let n = tanh_exact(x[2] + r * (sums[2] + bias_hn));
            *next = (1.0 - z) * n + z * h;
        }
    }
}

/// `cell/rnn.wgsl`: writes h' to `next`, for U units.
#[derive(Debug)]
pub struct Rnn<'a> {
    /// Whether the function is relu, not tanh.
    pub relu: bool,
    /// `[U]`: the recurrent products.
    pub sums: &'a [[f32; 1]],
    /// `[U]`: the input projections.
    pub x: &'a [[f32; 1]],
    /// `[U]`: receives h'.
    pub next: &'a mut [f32],
}

impl Rnn<'_> {
    /// Advances the units.
    pub fn run(self) {
        run(self);
    }
}

impl WithSimd for Rnn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let units = self.sums.iter().zip(self.x).zip(self.next);
        if self.relu {
            units.for_each(|(([sum], [x]), next)| *next = relu(sum + x));
        } else {
            units.for_each(|(([sum], [x]), next)| *next = tanh_exact(sum + x));
        }
    }
}

/// Runs a cell with the widest vectors of this machine.
fn run(cell: impl WithSimd<Output = ()>) {
    Arch::new().dispatch(cell);
}

#[cfg(test)]
mod tests {
    use super::{Gru, Lstm, Rnn};

    /// Random values, N columns, whose activations range from linear to saturated.
    fn random<const N: usize>(seed: u64, units: usize) -> Vec<[f32; N]> {
        let mut word = seed;
        let mut next = || {
            // Knuth's linear generator; its high bits are random.
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (word >> 40) as f32 / (1_u32 << 24) as f32 * 24.0 - 12.0
        };
        (0..units).map(|_| std::array::from_fn(|_| next())).collect()
    }

    fn lstm(sums: &[[f32; 4]], x: &[[f32; 4]], c: &[f32]) -> Vec<f32> {
        let (mut c, mut next) = (c.to_vec(), vec![f32::NAN; c.len()]);
        Lstm { sums, x, c: &mut c, next: &mut next }.run();
        [next, c].concat()
    }

    fn gru(sums: &[[f32; 3]], x: &[[f32; 3]], [bias_hn, h]: [&[f32]; 2]) -> Vec<f32> {
        let mut next = vec![f32::NAN; h.len()];
        Gru { sums, x, bias_hn, h, next: &mut next }.run();
        next
    }

    fn rnn(relu: bool, sums: &[[f32; 1]], x: &[[f32; 1]]) -> Vec<f32> {
        let mut next = vec![f32::NAN; x.len()];
        Rnn { relu, sums, x, next: &mut next }.run();
        next
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// A unit has the same bits alone, in any lane of a vector, and in the remainder after the last
    /// vector.
    #[test]
    fn a_unit_does_not_depend_on_where_it_is() {
        for units in 1..70 {
            let (sums, x, own) =
                (random::<4>(1, units), random::<4>(2, units), random::<1>(3, units));
            let (sums_3, x_3, h) =
                (random::<3>(4, units), random::<3>(5, units), random::<1>(6, units));
            let (sums_1, x_1) = (random::<1>(7, units), random::<1>(8, units));
            let (own, h) = (own.as_flattened(), h.as_flattened());
            let together = lstm(&sums, &x, own);
            for u in 0..units {
                let alone = lstm(&sums[u..=u], &x[u..=u], &own[u..=u]);
                assert_eq!(
                    bits(&alone),
                    bits(&[together[u], together[units + u]]),
                    "lstm, unit {u} of {units}"
                );
            }
            let by_unit = |all: &[f32], alone: &dyn Fn(usize) -> Vec<f32>, what: &str| {
                for (u, value) in all.iter().enumerate() {
                    assert_eq!(bits(&alone(u)), [value.to_bits()], "{what}, unit {u} of {units}");
                }
            };
            by_unit(
                &gru(&sums_3, &x_3, [own, h]),
                &|u| gru(&sums_3[u..=u], &x_3[u..=u], [&own[u..=u], &h[u..=u]]),
                "gru",
            );
            for relu in [false, true] {
                by_unit(
                    &rnn(relu, &sums_1, &x_1),
                    &|u| rnn(relu, &sums_1[u..=u], &x_1[u..=u]),
                    "rnn",
                );
            }
        }
    }
}
