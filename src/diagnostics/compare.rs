//! Comparison of tensors with expected values: counts mismatches and locates the worst element.

/// The largest accepted difference: `|got − want| <= atol + rtol·|want|`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Tolerance {
    /// The absolute part.
    pub atol: f64,
    /// The part relative to the expected value.
    pub rtol: f64,
}

impl Tolerance {
    /// The tolerance `atol + rtol·|want|`.
    pub const fn new(atol: f64, rtol: f64) -> Self {
        Self { atol, rtol }
    }

    /// The tolerance of `torch.testing.assert_close` for f32: atol 1e-5, rtol 1.3e-6.
    pub const F32: Self = Self { atol: 1e-5, rtol: 1.3e-6 };

    /// Whether `got` is within the tolerance.
    ///
    /// NaN agrees only with NaN, an infinity only with itself.
    pub fn accepts(&self, got: f64, want: f64) -> bool {
        if want.is_nan() || want.is_infinite() || !got.is_finite() {
            return got == want || (got.is_nan() && want.is_nan());
        }
        (got - want).abs() <= self.atol + self.rtol * want.abs()
    }
}

/// The element with the largest difference in proportion to its tolerance.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Worst {
    /// The name of the tensor.
    pub tensor: String,
    /// The index along each axis.
    pub index: Vec<usize>,
    /// The value of the element.
    pub got: f64,
    /// The expected value.
    pub want: f64,
}

/// The result of comparing one or more tensors, summed over all of them.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// The number of compared elements.
    pub count: usize,
    /// The number of elements out of tolerance.
    pub mismatches: usize,
    /// The largest `|got − want|`; infinite if the values differ and one is not finite.
    pub max_abs: f64,
    /// The largest `|got − want| / |want|`, over elements whose expected value is not 0.
    pub max_rel: f64,
    /// The worst element; `None` if all elements are equal.
    pub worst: Option<Worst>,
    /// The difference of the worst element divided by its tolerance: above 1 is out of tolerance.
    pub worst_ratio: f64,
    /// The reason why elements cannot be compared, such as different shapes.
    pub structural: Option<String>,
}

impl Comparison {
    /// Whether all shapes and all elements agree.
    pub fn agrees(&self) -> bool {
        self.mismatches == 0 && self.structural.is_none()
    }

    /// Compares the elements of a tensor and adds the result.
    ///
    /// `got` and `want` are in row-major order of `shape`.
    pub fn add(
        &mut self,
        tensor: &str,
        shape: &[usize],
        got: &[f32],
        want: &[f64],
        tolerance: Tolerance,
    ) {
        let expected: usize = shape.iter().product();
        if got.len() != want.len() || want.len() != expected {
            self.structural.get_or_insert_with(|| {
                format!(
                    "{tensor}: expected {expected} elements of shape {shape:?}, got {} and {}",
                    got.len(),
                    want.len()
                )
            });
            return;
        }
        self.count += want.len();
        for (offset, (&got, &want)) in got.iter().zip(want).enumerate() {
            let got = f64::from(got);
            let accepted = tolerance.accepts(got, want);
            self.mismatches += usize::from(!accepted);
            let equal = got == want || (got.is_nan() && want.is_nan());
            if equal {
                continue;
            }
            let difference = (got - want).abs();
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            self.max_abs = self.max_abs.max(difference);
            if want != 0.0 {
                self.max_rel = self.max_rel.max(difference / want.abs());
            }
            let allowed = tolerance.atol + tolerance.rtol * want.abs();
            let ratio = match (accepted, difference / allowed) {
                (true, ratio) => ratio.min(1.0),
                (false, ratio) if ratio.is_nan() => f64::INFINITY,
                (false, ratio) => ratio,
            };
            if self.worst.is_none() || ratio > self.worst_ratio {
                self.worst_ratio = ratio;
                let index = unravel(offset, shape);
                self.worst = Some(Worst { tensor: tensor.to_owned(), index, got, want });
            }
        }
    }

    /// Compares the shape of a tensor, then its elements, and adds the result.
    pub fn add_tensor(
        &mut self,
        tensor: &str,
        got: &crate::Tensor,
        (shape, want): (&[usize], &[f64]),
        tolerance: Tolerance,
    ) {
        if got.shape() == shape {
            self.add(tensor, shape, got.data(), want, tolerance);
        } else {
            self.structural.get_or_insert_with(|| {
                format!("{tensor}: expected shape {shape:?}, got {:?}", got.shape())
            });
        }
    }

    /// Adds the result of another comparison.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.mismatches += other.mismatches;
        self.max_abs = self.max_abs.max(other.max_abs);
        self.max_rel = self.max_rel.max(other.max_rel);
        if other.worst.is_some() && (self.worst.is_none() || other.worst_ratio > self.worst_ratio) {
            self.worst.clone_from(&other.worst);
            self.worst_ratio = other.worst_ratio;
        }
        if self.structural.is_none() {
            self.structural.clone_from(&other.structural);
        }
    }

    /// Describes the result in one line: counts, largest differences, worst element.
    pub fn describe(&self) -> String {
        if let Some(structural) = &self.structural {
            return structural.clone();
        }
        match &self.worst {
            None => format!("{} elements, all equal", self.count),
            Some(worst) => format!(
                "{} of {} elements out of tolerance, max abs {:.3e}, max rel {:.3e}, \
                 worst {}{:?}: got {}, want {}",
                self.mismatches,
                self.count,
                self.max_abs,
                self.max_rel,
                worst.tensor,
                worst.index,
                worst.got,
                worst.want
            ),
        }
    }
}

/// Converts a row-major offset in `shape` to an index along each axis.
#[doc(hidden)]
pub fn unravel(mut offset: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let at = offset % size.max(1);
            offset /= size.max(1);
            at
        })
        .collect();
    index.reverse();
    index
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Tolerance};

    fn compare(got: &[f32], want: &[f64]) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.add("y", &[want.len()], got, want, Tolerance::F32);
        comparison
    }

    #[test]
    fn differences_are_found() {
        let cases: [(&str, Vec<f32>, Vec<f64>); 8] = [
            ("a value just out of tolerance", vec![1.0, 2.000_02], vec![1.0, 2.0]),
            ("NaN instead of a number", vec![f32::NAN], vec![1.0]),
            ("a number instead of NaN", vec![1.0], vec![f64::NAN]),
            ("an infinity of the other sign", vec![f32::INFINITY], vec![f64::NEG_INFINITY]),
            (
                "an infinity instead of the largest number",
                vec![f32::INFINITY],
                vec![f64::from(f32::MAX)],
            ),
            ("a number instead of an infinity", vec![f32::MAX], vec![f64::INFINITY]),
            ("a shorter buffer", vec![1.0], vec![1.0, 1.0]),
            ("zeros instead of values", vec![0.0; 3], vec![0.5, -0.5, 0.1]),
        ];
        for (what, got, want) in cases {
            assert!(!compare(&got, &want).agrees(), "{what} must not agree");
        }
    }

    #[test]
    fn equal_and_close_values_agree() {
        for (got, want) in [
            (vec![1.0, 2.000_01], vec![1.0, 2.0]),
            (vec![f32::NAN, f32::INFINITY], vec![f64::NAN, f64::INFINITY]),
            (vec![], vec![]),
        ] {
            let comparison = compare(&got, &want);
            assert!(comparison.agrees(), "{}", comparison.describe());
        }
    }

    #[test]
    fn the_worst_element_is_located() {
        let mut comparison = Comparison::default();
        comparison.add("a", &[2, 2], &[0.0, 0.1, 0.0, 0.0], &[0.0; 4], Tolerance::F32);
        comparison.add("b", &[2, 3], &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5], &[0.0; 6], Tolerance::F32);
        let worst = comparison.worst.clone().expect("two elements differ");
        assert_eq!((worst.tensor.as_str(), worst.index.as_slice()), ("b", [1, 2].as_slice()));
        assert_eq!(comparison.mismatches, 2, "{}", comparison.describe());
        assert_eq!(comparison.count, 10, "{}", comparison.describe());
    }

    #[test]
    fn wrong_shapes_do_not_agree() {
        let mut comparison = Comparison::default();
        let got = crate::Tensor::new([2, 3], vec![0.0; 6]).expect("six elements");
        comparison.add_tensor("y", &got, (&[3, 2], &[0.0; 6]), Tolerance::F32);
        assert!(
            !comparison.agrees() && comparison.describe().contains("[3, 2]"),
            "{}",
            comparison.describe()
        );
    }
}
