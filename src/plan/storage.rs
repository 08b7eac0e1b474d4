//! The storage of weights on the device that runs them.

use crate::dtype::WeightType;

/// The storage of a model's weights on the device that runs them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storage {
    /// The type that values are rounded to.
    pub weights: WeightType,
    /// Whether the rounded values are stored as f32. The CPU does so, because its vectors are f32.
    pub widened: bool,
}

impl Storage {
    /// Returns the type that kernels read.
    pub fn read_as(self) -> WeightType {
        if self.widened { WeightType::F32 } else { self.weights }
    }

    /// Returns the 32-bit words that `values` values take. `values` is even.
    pub(crate) fn words(self, values: usize) -> usize {
        match self.read_as() {
            WeightType::F32 => values,
            WeightType::F16 => values / 2,
        }
    }

    /// Returns the stored form of `values`, an even number of values.
    pub(crate) fn store(self, values: Vec<f32>) -> Vec<f32> {
        let half = |value: f32| half::f16::from_f32(value);
        match (self.weights, self.widened) {
            (WeightType::F32, _) => values,
            (WeightType::F16, true) => {
                values.into_iter().map(|value| half(value).to_f32()).collect()
            }
            (WeightType::F16, false) => {
                let word = |pair: &[f32]| {
                    let bits = |at: usize| {
                        u32::from(pair.get(at).map_or(0, |&value| half(value).to_bits()))
                    };
                    f32::from_bits(bits(0) | bits(1) << 16)
                };
                values.chunks(2).map(word).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Storage;
    use crate::dtype::WeightType;

    #[test]
    fn halves_are_stored_low_first() {
        let stored = Storage { weights: WeightType::F16, widened: false }
            .store(vec![1.0, -2.0, 0.1, 70_000.0]);
        let words: Vec<u32> = stored.into_iter().map(f32::to_bits).collect();
        assert_eq!(words, [0xc000_3c00, 0x7c00_2e66], "1, -2; 0.1, infinity");
        let widened = Storage { weights: WeightType::F16, widened: true }.store(vec![1.0, 0.1]);
        assert_eq!(widened, [1.0, 0.099_975_586], "rounded, and as wide as before");
        assert_eq!(Storage::default().store(vec![0.1]), [0.1], "as it was");
    }
}
