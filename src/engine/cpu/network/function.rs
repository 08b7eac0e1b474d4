//! Twin of `shaders/lib/function.wgsl`.

use wgpu_rnn_simd::Function;

use crate::kernel::families::activation;

/// Applies a function of a network to values.
pub(in crate::engine::cpu) fn activate(function: u32, slope: f32, values: &mut [f32]) {
    let function = match function {
        activation::SIGMOID => Function::Sigmoid,
        activation::RELU => Function::Relu,
        activation::TANH => Function::Tanh,
        activation::SILU => Function::Silu,
        activation::GELU => Function::Gelu,
        activation::GELU_TANH => Function::GeluTanh,
        activation::LEAKY_RELU => Function::LeakyRelu { slope },
        _ => return,
    };
    function.apply(values);
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
