//! Twin of `shaders/lib/log.wgsl`: the same formula in the same order.

pub(super) fn log_exact(x: f32) -> f32 {
    let bits = x.to_bits();
    if bits >= 0x7f80_0000 {
        return x;
    }
    let above = bits.wrapping_sub(0x3f35_04f3);
    let e = ((above as i32) >> 23) as f32;
    let f = f32::from_bits((above & 0x007f_ffff) + 0x3f35_04f3) - 1.0;
    let z = f * f;
    let p = (((((((7.037_683_6e-2 * f - 0.115_146_1) * f + 0.116_769_984) * f - 0.124_201_41)
        * f
        + 0.142_493_23)
        * f
        - 0.166_680_57)
        * f
        + 0.200_007_15)
        * f
        - 0.249_999_94)
        * f
        + 0.333_333_3;
    let tail = p * f * z - 2.121_944_4e-4 * e - 0.5 * z;
    f + tail + 0.693_359_4 * e
}

#[cfg(test)]
mod tests {
    use std::f32::consts::SQRT_2;

    use super::log_exact;

    #[test]
    fn is_within_2_ulp_of_f64_at_every_magnitude() {
        let near_1 = (0..4000)
            .flat_map(|i| [1.0 + i as f32 * f32::EPSILON, 1.0 - i as f32 * f32::EPSILON / 2.0]);
        let around = (1..4000).map(|i| i as f32 * 1e-3);
        let powers = (-126..128).flat_map(|e| {
            [1.0_f32, 1.2, SQRT_2, SQRT_2.next_up(), 1.9].map(|m| m * 2.0_f32.powi(e))
        });
        for x in near_1.chain(around).chain(powers).chain([f32::MIN_POSITIVE, f32::MAX]) {
            let (got, want) = (f64::from(log_exact(x)), f64::from(x).ln());
            // A unit in the last place of the result.
            let ulp =
                f64::from(f32::EPSILON) * 2.0_f64.powi(want.abs().max(1e-30).log2().floor() as i32);
            assert!((got - want).abs() <= 2.0 * ulp, "log({x:e}) = {got:e}, want {want:e}");
        }
        assert_eq!(log_exact(1.0), 0.0, "log 1");
    }

    #[test]
    fn nan_and_infinity_stay() {
        assert!(
            log_exact(f32::NAN).is_nan() && log_exact(-f32::NAN).is_nan(),
            "NaN of either sign"
        );
        assert_eq!(log_exact(f32::INFINITY), f32::INFINITY, "infinity");
    }
}
