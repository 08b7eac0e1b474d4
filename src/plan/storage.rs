//! How weights are stored where they run.

use crate::dtype::WeightType;

/// How the weights of a model are stored where they run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storage {
    /// What values are rounded to.
    pub weights: WeightType,
    /// Whether they are kept as f32 all the same, as on the CPU, whose vectors are f32.
    pub widened: bool,
}

impl Storage {
    /// The type that kernels read.
    pub fn read_as(self) -> WeightType {
        if self.widened { WeightType::F32 } else { self.weights }
    }

    /// The 32-bit words that `values` take, an even number.
    pub(crate) fn words(self, values: usize) -> usize {
        match self.read_as() {
            WeightType::F32 => values,
            WeightType::F16 => values / 2,
        }
    }

    /// Values as they are stored, an even number of them.
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
