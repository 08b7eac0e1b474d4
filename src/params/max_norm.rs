//! `max_norm` and `norm_type` of `nn.Embedding`: a bound on the norm of each row.

use crate::error::{Error, Result};

/// A bound on the p-norm of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxNorm {
    bound: f64,
    p: f32,
}

impl MaxNorm {
    /// Creates the bound `max_norm` of the norm `norm_type`, which is 2 by default.
    ///
    /// # Errors
    /// [`Error::Option`] for a bound that is negative or NaN, and for the types 0 and NaN. PyTorch
    /// takes them, and then changes a row at each look-up.
    pub fn new(max_norm: f64, norm_type: Option<f64>) -> Result<Self> {
        if max_norm.is_nan() || max_norm < 0.0 {
            return Err(Error::Option(format!(
                "max_norm should be a number of at least 0, got {max_norm}"
            )));
        }
        let p = norm_type.unwrap_or(2.0) as f32;
        if p.is_nan() || p == 0.0 {
            return Err(Error::Option(format!(
                "norm_type should be a number other than 0, got {p}: a norm scales with its row"
            )));
        }
        Ok(Self { bound: max_norm, p })
    }

    /// Returns the factor that brings a row to the bound; `None` for a row within it.
    ///
    /// As in PyTorch, the norm is in f32 and the factor in f64. The factor is rounded to f32 for
    /// the product. A row whose norm is NaN stays as it is.
    fn factor(self, row: &[f32]) -> Option<f32> {
        let norm = f64::from(self.norm(row));
        (norm > self.bound).then(|| (self.bound / (norm + 1e-7)) as f32)
    }

    /// Brings rows of `width` values to the bound. A row follows `stride` values after the one
    /// before it.
    pub fn scale(self, rows: &mut [f32], width: usize, stride: usize) {
        for row in rows.chunks_exact_mut(stride) {
            let row = &mut row[..width];
            if let Some(factor) = self.factor(row) {
                row.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }

    fn norm(self, row: &[f32]) -> f32 {
        let values = row.iter().map(|value| value.abs());
        let extreme = |first: fn(f32, f32) -> bool| {
            let next = |a: f32, b: f32| if a.is_nan() || first(a, b) { a } else { b };
            { values.clone() }.reduce(next).unwrap_or(0.0)
        };
        match self.p {
            f32::INFINITY => extreme(|a, b| a > b),
            f32::NEG_INFINITY => extreme(|a, b| a < b),
            // PyTorch's order of summation depends on the CPU. A sum in f64 is close to each.
            p => {
                let sum: f64 = values.map(|value| f64::from(value.powf(p))).sum();
                (sum as f32).powf(p.recip())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MaxNorm;

    #[test]
    fn norms_are_those_of_their_definition() {
        let norm = |p: f32, row: &[f32]| MaxNorm { bound: 1.0, p }.norm(row);
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        for (p, want) in [
            (1.0, 7.0),
            (2.0, 5.0),
            (infinity, 4.0),
            (-infinity, 3.0),
            (-1.0, 12.0 / 7.0),
            (0.5, (3_f32.sqrt() + 2.0).powi(2)),
        ] {
            let got = norm(p, &[-3.0, 4.0]);
            assert!((got - want).abs() < 1e-6 * want, "{p}: {got}, want {want}");
            assert!(norm(p, &[nan, 4.0]).is_nan() && norm(p, &[4.0, nan, 3.0]).is_nan(), "{p}");
        }
        assert_eq!(norm(2.0, &[1e30, 1.0]), infinity, "squares overflow f32, as in PyTorch");
    }

    #[test]
    fn only_rows_over_the_bound_are_scaled() {
        let two = MaxNorm::new(5.0, None).expect("a bound");
        assert_eq!(two.factor(&[3.0, 4.0]), None, "at the bound");
        assert_eq!(two.factor(&[f32::NAN, 40.0]), None, "its norm is NaN");
        assert_eq!(two.factor(&[f32::INFINITY, 1.0]), Some(0.0), "its norm is infinite");
        let factor = two.factor(&[6.0, 8.0]).expect("over the bound");
        assert!((factor - 0.5).abs() < 1e-6, "{factor}");
        for (bound, p, refused) in [
            (-1.0, None, "max_norm should be a number of at least 0, got -1"),
            (f64::NAN, None, "max_norm should be a number of at least 0, got NaN"),
            (1.0, Some(0.0), "norm_type should be a number other than 0, got 0"),
            (1.0, Some(f64::NAN), "norm_type should be a number other than 0, got NaN"),
        ] {
            let error = MaxNorm::new(bound, p).expect_err(refused).to_string();
            assert!(error.starts_with(refused), "{error}");
        }
    }
}
