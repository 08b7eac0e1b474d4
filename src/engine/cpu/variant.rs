//! Twins of `shaders/lib/variant.wgsl`, `advance/*_variant.wgsl`, `advance/reset.wgsl` and
//! `cell/candidate.wgsl`: cells that PyTorch lacks, for the units of one row at a time.

use std::ops::Range;

use wgpu_rnn_simd::activation::{exp, relu, sigmoid, tanh_exact};

use crate::kernel::variant::{Settings, VARIANT_WORDS};
use crate::params::variant::{ActivationFunction, Coupling};

/// The cell of one direction of a layer.
pub(super) struct Variant<'a> {
    settings: Settings,
    /// The buffer of settings and peepholes.
    words: &'a [f32],
}

impl<'a> Variant<'a> {
    /// Returns the cell of a block of settings.
    pub(super) fn of(words: &'a [f32], block: usize) -> Self {
        let (blocks, _) = words.as_chunks::<VARIANT_WORDS>();
        Self { settings: Settings::read(&blocks[block]), words }
    }

    /// The function of a gate.
    fn gate(&self, x: f32) -> f32 {
        apply(self.settings.functions[0], clipped(x, self.settings.gate_clip))
    }

    /// The function of the candidate.
    fn candidate(&self, x: f32) -> f32 {
        apply(self.settings.functions[1], clipped(x, self.settings.gate_clip))
    }

    /// `advance/rnn_variant.wgsl`: writes h' to `next`, for U units.
    pub(super) fn rnn(&self, sums: &[[f32; 1]], x: &[[f32; 1]], next: &mut [f32]) {
        for (([sum], [x]), next) in sums.iter().zip(x).zip(next) {
            *next = self.gate(sum + x);
        }
    }

    /// `advance/gru_variant.wgsl`: writes h' to `next`, for U units.
    pub(super) fn gru(
        &self,
        sums: &[[f32; 3]],
        x: &[[f32; 3]],
        [bias_hn, h]: [&[f32]; 2],
        next: &mut [f32],
    ) {
        let inputs = sums.iter().zip(x).zip(bias_hn).zip(h);
        for ((((sums, x), bias_hn), h), next) in inputs.zip(next) {
            let r = self.gate(sums[0] + x[0]);
            let z = self.gate(sums[1] + x[1]);
            let n = self.candidate(x[2] + r * (sums[2] + bias_hn));
            *next = (1.0 - z) * n + z * h;
        }
    }

    /// `advance/lstm_variant.wgsl`: advances `c` and writes o∘h(c') to `next`, for some units of
    /// `hidden_size`.
    pub(super) fn lstm(
        &self,
        (units, hidden_size): (Range<usize>, usize),
        sums: &[[f32; 4]],
        x: &[[f32; 4]],
        c: &mut [f32],
        next: &mut [f32],
    ) {
        let Settings { functions, cell_clip, coupling, peepholes, .. } = self.settings;
        // Without peepholes the operand stays as it is: 0 times an infinite state has no value.
        let with_peephole = |x: f32, gate: usize, c: f32, unit: usize| match peepholes {
            Some(first) => x + self.words[first + gate * hidden_size + unit] * c,
            None => x,
        };
        let units = units.zip(sums.iter().zip(x));
        for ((unit, (sums, x)), (c, next)) in units.zip(c.iter_mut().zip(next)) {
            let operand = |gate: usize| sums[gate] + x[gate];
            let mut i = self.gate(with_peephole(operand(0), 0, *c, unit));
            let mut f = self.gate(with_peephole(operand(1), 1, *c, unit));
            match coupling {
                None => {}
                Some(Coupling::ForgetFromInput) => f = 1.0 - i,
                Some(Coupling::InputFromForget) => i = 1.0 - f,
            }
            *c = clipped(f * *c + i * self.candidate(operand(2)), cell_clip);
            let o = self.gate(with_peephole(operand(3), 2, *c, unit));
            *next = o * apply(functions[2], *c);
        }
    }

    /// `update/clipped.wgsl`: writes the clipped sums to `next`, for U units.
    pub(super) fn projection(&self, sums: &[[f32; 1]], next: &mut [f32]) {
        for ([sum], next) in sums.iter().zip(next) {
            *next = clipped(*sum, self.settings.projection_clip);
        }
    }

    /// `advance/reset.wgsl`: writes r∘h to `m` and z to `z`, for U units.
    pub(super) fn reset(
        &self,
        sums: &[[f32; 2]],
        x: &[[f32; 3]],
        h: &[f32],
        [m, z]: [&mut [f32]; 2],
    ) {
        for (((sums, x), h), (m, z)) in sums.iter().zip(x).zip(h).zip(m.iter_mut().zip(z)) {
            *m = self.gate(sums[0] + x[0]) * h;
            *z = self.gate(sums[1] + x[1]);
        }
    }

    /// `cell/candidate.wgsl`: replaces z in `next` by h', for U units.
    pub(super) fn update(&self, sums: &[[f32; 1]], x: &[[f32; 3]], h: &[f32], next: &mut [f32]) {
        for ((([sum], x), h), next) in sums.iter().zip(x).zip(h).zip(next) {
            let z = *next;
            *next = (1.0 - z) * self.candidate(sum + x[2]) + z * h;
        }
    }
}

/// Clips to ±`limit`. A comparison with NaN is false, so that NaN stays.
fn clipped(x: f32, limit: Option<f32>) -> f32 {
    match limit {
        Some(limit) if x > limit => limit,
        Some(limit) if x < -limit => -limit,
        _ => x,
    }
}

/// Applies a function. NaN stays NaN.
fn apply(function: ActivationFunction, x: f32) -> f32 {
    match function {
        ActivationFunction::Sigmoid => sigmoid(x),
        ActivationFunction::Tanh => tanh_exact(x),
        ActivationFunction::Relu => relu(x),
        ActivationFunction::Affine { alpha, beta } => alpha * x + beta,
        ActivationFunction::LeakyRelu { alpha } => {
            if x < 0.0 {
                alpha * x
            } else {
                x
            }
        }
        ActivationFunction::ThresholdedRelu { alpha } => {
            if x < alpha {
                0.0
            } else {
                x
            }
        }
        ActivationFunction::ScaledTanh { alpha, beta } => alpha * tanh_exact(beta * x),
        ActivationFunction::HardSigmoid { alpha, beta } => {
            let y = alpha * x + beta;
            match y {
                _ if y < 0.0 => 0.0,
                _ if y > 1.0 => 1.0,
                _ => y,
            }
        }
        ActivationFunction::Elu { alpha } if x < 0.0 => {
            // e^x − 1 without cancellation near 0: 2t / (1 − t) of t = tanh(x / 2).
            let t = tanh_exact(0.5 * x);
            alpha * (2.0 * t / (1.0 - t))
        }
        ActivationFunction::Elu { .. } => x,
        // The quotient has no value at infinity, where its limit is ±1.
        ActivationFunction::Softsign if x.abs() > 1e30 => 1.0_f32.copysign(x),
        ActivationFunction::Softsign => x / (1.0 + x.abs()),
        ActivationFunction::Softplus => softplus(x),
    }
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e), where e = e^−|x|. The logarithm is 2 artanh(s) of
/// s = e / (2 + e), whose series ends where s² <= 1/9 is below the rounding.
fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = e / (2.0 + e);
    let z = s * s;
    let p = (((((z / 13.0 + 1.0 / 11.0) * z + 1.0 / 9.0) * z + 1.0 / 7.0) * z + 0.2) * z
        + 1.0 / 3.0)
        * z
        + 1.0;
    relu(x) + 2.0 * s * p
}

#[cfg(test)]
mod tests {
    use super::{apply, clipped};
    use crate::params::variant::ActivationFunction;

    /// The definitions in f64, as the library of the platform computes them.
    fn exact(function: ActivationFunction, x: f64) -> f64 {
        let of = |value: f32| f64::from(value);
        match function {
            ActivationFunction::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            ActivationFunction::Tanh => x.tanh(),
            ActivationFunction::Relu => x.max(0.0),
            ActivationFunction::Affine { alpha, beta } => of(alpha) * x + of(beta),
            ActivationFunction::LeakyRelu { alpha } => x.max(0.0) + of(alpha) * x.min(0.0),
            ActivationFunction::ThresholdedRelu { alpha } => f64::from(x >= of(alpha)) * x,
            ActivationFunction::ScaledTanh { alpha, beta } => of(alpha) * (of(beta) * x).tanh(),
            ActivationFunction::HardSigmoid { alpha, beta } => {
                (of(alpha) * x + of(beta)).clamp(0.0, 1.0)
            }
            ActivationFunction::Elu { alpha } => x.max(0.0) + of(alpha) * x.min(0.0).exp_m1(),
            ActivationFunction::Softsign => x / (1.0 + x.abs()),
            ActivationFunction::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        }
    }

    fn functions() -> impl Iterator<Item = ActivationFunction> {
        let given = [(None, None), (Some(0.7), Some(0.4)), (Some(-1.25), Some(-0.5))];
        ActivationFunction::ALL
            .into_iter()
            .flat_map(move |function| given.map(move |(alpha, beta)| function.with(alpha, beta)))
    }

    #[test]
    fn functions_are_their_definitions_at_every_magnitude() {
        let fine = (0..4_000).map(|i| i as f32 * 0.01 - 20.0);
        let powers = (-40..100).flat_map(|e| [1.0_f32, -1.0].map(|sign| sign * 2.0_f32.powi(e)));
        for x in fine.chain(powers) {
            for function in functions() {
                let (got, want) = (f64::from(apply(function, x)), exact(function, f64::from(x)));
                let allowed = 4e-7 * want.abs().max(0.5);
                assert!(
                    (got - want).abs() <= allowed,
                    "{function} of {x:e}: {got:e}, not {want:e}"
                );
            }
        }
    }

    #[test]
    fn functions_of_infinity_are_their_limits_and_nan_stays() {
        let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
        for (function, want) in [
            (ActivationFunction::Sigmoid, [0.0, 1.0]),
            (ActivationFunction::Tanh, [-1.0, 1.0]),
            (ActivationFunction::Relu, [0.0, high]),
            (ActivationFunction::Elu { alpha: 0.5 }, [-0.5, high]),
            (ActivationFunction::HardSigmoid { alpha: 0.2, beta: 0.5 }, [0.0, 1.0]),
            (ActivationFunction::Softsign, [-1.0, 1.0]),
            (ActivationFunction::Softplus, [0.0, high]),
        ] {
            assert_eq!([low, high].map(|x| apply(function, x)), want, "{function}");
        }
        for function in functions() {
            assert!(apply(function, f32::NAN).is_nan(), "{function} of NaN");
        }
    }

    #[test]
    fn clips_have_two_ends_and_keep_nan() {
        let by = |limit| [-3.0, -1.0, 0.5, 3.0].map(|x| clipped(x, limit));
        assert_eq!(by(Some(1.5)), [-1.5, -1.0, 0.5, 1.5], "the ends");
        assert_eq!(by(None), [-3.0, -1.0, 0.5, 3.0], "no limit");
        assert!(clipped(f32::NAN, Some(1.5)).is_nan(), "NaN");
    }
}
