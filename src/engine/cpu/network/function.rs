//! Twin of `shaders/lib/function.wgsl`.

use pulp::{Simd, WithSimd};

use crate::engine::cpu::activation::{exp, relu, sigmoid, tanh_exact};
use crate::engine::cpu::cell::run;
use crate::kernel::families::activation;

/// Applies a function of a network to values, with the widest vectors of this machine.
pub(in crate::engine::cpu) fn activate(function: u32, slope: f32, values: &mut [f32]) {
    run(Activation { function, slope, values });
}

struct Activation<'a> {
    function: u32,
    slope: f32,
    values: &'a mut [f32],
}

impl WithSimd for Activation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { function, slope, values } = self;
        // A loop for each function: the compiler makes vectors of it.
        match function {
            activation::SIGMOID => each(values, sigmoid),
            activation::RELU => each(values, relu),
            activation::TANH => each(values, tanh_exact),
            activation::SILU => each(values, |x| gated_by(x, sigmoid(x))),
            activation::GELU => each(values, |x| gated_by(x, normal_share(x))),
            activation::GELU_TANH => each(values, |x| {
                let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
                gated_by(x, 0.5 * (1.0 + tanh_exact(inner)))
            }),
            activation::LEAKY_RELU => each(values, |x| if x < 0.0 { slope * x } else { x }),
            _ => {}
        }
    }
}

#[inline(always)]
fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = function(*value));
}

#[inline(always)]
fn gated_by(x: f32, gate: f32) -> f32 {
    if gate == 0.0 { 0.0 } else { x * gate }
}

#[inline(always)]
fn normal_share(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t
        + 0.254_829_6)
        * t;
    let tail = 0.5 * p * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::{activate, activation};

    fn of(function: u32, x: f32) -> f32 {
        let mut values = [x];
        activate(function, 0.01, &mut values);
        values[0]
    }

    #[test]
    fn functions_are_close_to_their_definitions_in_f64() {
        let normal = |x: f64| {
            // The integral of the density by Simpson's rule.
            let (steps, width) = (4000, x.abs().min(12.0) / 4000.0);
            let density = |at: f64| (-0.5 * at * at).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let inner = |i: u32| density(f64::from(i) * width) * if i % 2 == 1 { 4.0 } else { 2.0 };
            let ends = density(0.0) + density(x.abs().min(12.0));
            let area = (ends + (1..steps).map(inner).sum::<f64>()) * width / 3.0;
            0.5 + area.copysign(x)
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let cubic = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        for at in -400..=400 {
            let x = at as f32 * 0.037;
            let wide = f64::from(x);
            for (function, want) in [
                (activation::NONE, wide),
                (activation::SIGMOID, sigmoid(wide)),
                (activation::RELU, wide.max(0.0)),
                (activation::TANH, wide.tanh()),
                (activation::SILU, wide * sigmoid(wide)),
                (activation::GELU, wide * normal(wide)),
                (activation::GELU_TANH, wide * 0.5 * (1.0 + cubic(wide).tanh())),
                (activation::LEAKY_RELU, if x < 0.0 { 0.01 * wide } else { wide }),
            ] {
                let got = f64::from(of(function, x));
                let allowed = 1e-6 + 4e-7 * want.abs();
                assert!((got - want).abs() <= allowed, "{function} of {x}: {got}, want {want}");
            }
        }
    }

    #[test]
    fn functions_have_limits_and_keep_nan() {
        for function in activation::NONE..=activation::LEAKY_RELU {
            assert!(of(function, f32::NAN).is_nan(), "function {function} of NaN");
        }
        for function in [activation::SILU, activation::GELU, activation::GELU_TANH] {
            assert_eq!(of(function, f32::NEG_INFINITY), 0.0, "function {function}");
            assert_eq!(of(function, f32::INFINITY), f32::INFINITY, "function {function}");
        }
    }
}
