//! The functions of a network's layers.

use pulp::{Arch, Simd, WithSimd};

use crate::activation::{exp, relu, sigmoid, tanh_exact};

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// max(x, 0).
    Relu,
    /// tanh x.
    Tanh,
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), Φ being the normal distribution.
    Gelu,
    /// The approximation of [`Gelu`](Self::Gelu) by tanh.
    GeluTanh,
    /// x, or `slope` · x below 0.
    LeakyRelu {
        /// The slope below 0.
        slope: f32,
    },
}

impl Function {
    /// Applies the function to values.
    pub fn apply(self, values: &mut [f32]) {
        Arch::new().dispatch(Applied { function: self, values });
    }
}

struct Applied<'a> {
    function: Function,
    values: &'a mut [f32],
}

impl WithSimd for Applied<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { function, values } = self;
        // A loop for each function: the compiler makes vectors of it.
        match function {
            Function::Sigmoid => each(values, sigmoid),
            Function::Relu => each(values, relu),
            Function::Tanh => each(values, tanh_exact),
            Function::Silu => each(values, |x| gated_by(x, sigmoid(x))),
            Function::Gelu => each(values, |x| gated_by(x, normal_share(x))),
            Function::GeluTanh => each(values, |x| {
                let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
                gated_by(x, 0.5 * (1.0 + tanh_exact(inner)))
            }),
            Function::LeakyRelu { slope } => each(values, |x| if x < 0.0 { slope * x } else { x }),
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
