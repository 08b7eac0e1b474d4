//! Sums of scaled rows.

use pulp::{Arch, Simd, WithSimd};

/// Adds `scale · x` to the values of `y`, as many as both have.
pub fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    Arch::new().dispatch(AddScaled { y, scale, x });
}

struct AddScaled<'a> {
    y: &'a mut [f32],
    scale: f32,
    x: &'a [f32],
}

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let len = self.y.len().min(self.x.len());
        let (y, last_y) = S::as_mut_simd_f32s(&mut self.y[..len]);
        let (x, last_x) = S::as_simd_f32s(&self.x[..len]);
        let scale = simd.splat_f32s(self.scale);
        // Fused if the machine can, otherwise a product and a sum.
        for (y, x) in y.iter_mut().zip(x) {
            *y = simd.mul_add_e_f32s(*x, scale, *y);
        }
        if !last_y.is_empty() {
            let (x, y) = (simd.partial_load_f32s(last_x), simd.partial_load_f32s(last_y));
            simd.partial_store_f32s(last_y, simd.mul_add_e_f32s(x, scale, y));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::add_scaled;

    #[test]
    fn adds_to_every_value_and_to_no_other() {
        for len in 0..70 {
            let x: Vec<f32> = (0..len + 3).map(|i| i as f32 - 20.0).collect();
            let mut y = vec![0.5; len];
            add_scaled(&mut y, -1.5, &x);
            // Small numbers: every product and sum is exact.
            let want: Vec<f32> = x[..len].iter().map(|x| 0.5 - 1.5 * x).collect();
            assert_eq!(y, want, "{len} values");
            let mut longer = vec![1.0; len + 5];
            add_scaled(&mut longer, 2.0, &x);
            assert_eq!(longer[len + 3..], [1.0; 2], "values beyond the {} of x", len + 3);
        }
    }

    /// A value has the same bits alone, in any lane of a vector, and after the last vector.
    #[test]
    fn a_value_does_not_depend_on_where_it_is() {
        let x: Vec<f32> = (0..61).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut all = vec![0.1; 61];
        add_scaled(&mut all, 0.7, &x);
        for (at, value) in all.iter().enumerate() {
            let mut alone = [0.1];
            add_scaled(&mut alone, 0.7, &x[at..]);
            assert_eq!(alone[0].to_bits(), value.to_bits(), "value {at}");
        }
    }
}
