//! Twin of `shaders/shared/activation.wgsl`: the same formulas in the same order.

pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = (-x.abs()).exp();
    let s = 1.0 / (1.0 + e);
    if x >= 0.0 { s } else { e * s }
}

pub(crate) fn tanh_exact(x: f32) -> f32 {
    let a = x.abs();
    if a < 0.625 {
        let z = x * x;
        return ((((-5.704_988_7e-3 * z + 2.063_909e-2) * z - 5.373_971_6e-2) * z + 0.133_314_42) * z - 0.333_332_8)
            * z
            * x
            + x;
    }
    let e = (-2.0 * a).exp();
    let q = (1.0 - e) / (1.0 + e);
    if x < 0.0 { -q } else { q }
}

/// NaN stays NaN: a comparison with it is false.
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::{relu, sigmoid, tanh_exact};

    /// Magnitudes from subnormal to the largest finite, and the ranges where drivers' own tanh fails.
    fn sweep() -> impl Iterator<Item = f32> {
        let powers = (-149..128).flat_map(|e| [1.0_f32, 1.3, 1.9].map(|m| m * 2.0_f32.powi(e)));
        let fine = (0..2000).map(|i| i as f32 * 0.01).chain((4300..4500).map(|i| i as f32 * 0.01));
        powers.chain(fine).chain([0.0, 44.36, 88.7, 89.0, 1e4, 1e30, f32::MAX, f32::INFINITY]).flat_map(|x| [x, -x])
    }

    #[test]
    fn both_are_within_their_bounds_of_f64_at_every_magnitude() {
        for x in sweep() {
            let (tanh, sig) = (tanh_exact(x), sigmoid(x));
            let want_tanh = f64::from(x).tanh();
            let want_sigmoid = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(tanh) - want_tanh).abs() <= 1.2e-7, "tanh({x}) = {tanh}, want {want_tanh}");
            assert!(
                (f64::from(tanh) - want_tanh).abs() <= 3e-7 * want_tanh.abs() + 1e-44,
                "tanh({x}) = {tanh}, want {want_tanh}: relative"
            );
            assert!((f64::from(sig) - want_sigmoid).abs() <= 1.2e-7, "sigmoid({x}) = {sig}, want {want_sigmoid}");
            // By value: the sign of a zero is lost in the polynomial, as WGSL allows anyway.
            assert_eq!(tanh_exact(-x), -tanh, "tanh is odd at {x}");
        }
    }

    #[test]
    fn nan_stays_nan() {
        for f in [tanh_exact, sigmoid, relu] {
            assert!(f(f32::NAN).is_nan(), "NaN in, NaN out");
        }
        assert_eq!(relu(f32::NEG_INFINITY), 0.0, "relu of -inf is 0, not NaN");
    }
}
