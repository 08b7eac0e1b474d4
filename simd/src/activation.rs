//! Twin of `shaders/lib/activation.wgsl`: the same formulas in the same order.
//!
//! Every function is free of branches and uses only operations that IEEE 754 defines to the last
//! bit. The exponential is part of this file, since those of platforms differ. The compiler may
//! therefore vectorise at will. An element has the same bits in every lane, on every machine.

/// e^x for x <= 0, within 2 ulp; 0 below −87, where the result nears the subnormals. NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding this rounds to a whole number, which the sum's lowest bits hold.
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23
    // x = n · ln 2 + r (Cody and Waite). ln 2 is split in two, so that n times the first part is
    // exact.
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    // e^r with the polynomial of Cephes' expf (Moshier).
    let p = ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r
        + 0.166_666_66)
        * r
        + 0.5;
    let power_of_2 = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let e = ((p * r) * r + r + 1.0) * power_of_2;
    if x < -87.0 { 0.0 } else { e }
}

/// 1 / (1 + e^−x), which keeps its relative error until it vanishes. NaN stays NaN.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = 1.0 / (1.0 + e);
    if x >= 0.0 { s } else { e * s }
}

/// tanh x, within 3e-7 of its value, small ones too. NaN stays NaN.
#[inline(always)]
pub fn tanh_exact(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = ((((-5.704_988_7e-3 * z + 2.063_908_8e-2) * z - 5.373_971_6e-2) * z + 0.133_314_42)
        * z
        - 0.333_332_8)
        * z
        * x
        + x;
    let e = exp(-2.0 * a);
    let q = (1.0 - e) / (1.0 + e);
    let q = if x < 0.0 { -q } else { q };
    if a < 0.625 { p } else { q }
}

/// Returns x, or 0 below 0. NaN stays NaN, since a comparison with it is false.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::{exp, relu, sigmoid, tanh_exact};

    /// Magnitudes from subnormal to the largest finite, and the ranges where drivers' own tanh
    /// fails.
    fn sweep() -> impl Iterator<Item = f32> {
        let powers = (-149..128).flat_map(|e| [1.0_f32, 1.3, 1.9].map(|m| m * 2.0_f32.powi(e)));
        let fine = (0..2000).map(|i| i as f32 * 0.01).chain((4300..4500).map(|i| i as f32 * 0.01));
        powers
            .chain(fine)
            .chain([0.0, 44.36, 88.7, 89.0, 1e4, 1e30, f32::MAX, f32::INFINITY])
            .flat_map(|x| [x, -x])
    }

    #[test]
    fn both_are_within_their_bounds_of_f64_at_every_magnitude() {
        for x in sweep() {
            let (tanh, sig) = (tanh_exact(x), sigmoid(x));
            let want_tanh = f64::from(x).tanh();
            let want_sigmoid = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!(
                (f64::from(tanh) - want_tanh).abs() <= 1.2e-7,
                "tanh({x}) = {tanh}, want {want_tanh}"
            );
            assert!(
                (f64::from(tanh) - want_tanh).abs() <= 3e-7 * want_tanh.abs() + 1e-44,
                "tanh({x}) = {tanh}, want {want_tanh}: relative"
            );
            assert!(
                (f64::from(sig) - want_sigmoid).abs() <= 1.2e-7,
                "sigmoid({x}) = {sig}, want {want_sigmoid}"
            );
            // Compare by value: the polynomial loses the sign of a zero, which WGSL allows.
            assert_eq!(tanh_exact(-x), -tanh, "tanh is odd at {x}");
        }
    }

    #[test]
    fn the_exponential_is_within_2_ulp_of_f64_down_to_its_end() {
        for x in sweep().chain((0..870_000).map(|i| i as f32 * -1e-4)).filter(|&x| x <= 0.0) {
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            if x < -87.0 {
                assert_eq!(got, 0.0, "exp({x:e})");
            } else {
                // A unit in the last place of the result.
                let ulp = f64::from(f32::EPSILON) * 2.0_f64.powi(want.log2().floor() as i32);
                assert!((got - want).abs() <= 2.0 * ulp, "exp({x:e}) = {got:e}, want {want:e}");
            }
        }
        assert_eq!(exp(0.0), 1.0, "exp 0");
    }

    #[test]
    fn a_sigmoid_keeps_its_relative_error_until_it_vanishes() {
        for x in sweep().filter(|&x| x >= -87.0) {
            let (got, want) = (f64::from(sigmoid(x)), 1.0 / (1.0 + (-f64::from(x)).exp()));
            assert!((got - want).abs() <= 3e-7 * want, "sigmoid({x:e}) = {got:e}, want {want:e}");
        }
        assert_eq!((sigmoid(f32::NEG_INFINITY), sigmoid(f32::INFINITY)), (0.0, 1.0), "at the ends");
    }

    #[test]
    fn nan_stays_nan() {
        for f in [exp, tanh_exact, sigmoid, relu] {
            assert!(f(f32::NAN).is_nan(), "NaN in, NaN out");
        }
        assert_eq!(relu(f32::NEG_INFINITY), 0.0, "relu of -inf is 0, not NaN");
    }
}
