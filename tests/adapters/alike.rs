//! Equality of results that were computed with other numbers of rows at a time.

use wgpu_rnn::{State, Tensor};

use crate::Target;

/// The bits of every value.
pub fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.data().iter().map(|value| value.to_bits()).collect()
}

/// Whether two tensors are the same in shape and every bit.
///
/// On the CPU, whose matrix product chooses its order of summation by the number of rows, a rounding is allowed for.
pub fn alike(target: &Target, got: &Tensor, want: &Tensor) -> bool {
    let rounded = |(g, w): (&f32, &f32)| (g - w).abs() <= 1e-6;
    let values = match target {
        Target::Cpu => got.data().iter().zip(want.data()).all(rounded),
        Target::Adapter(_) => bits(got) == bits(want),
    };
    got.shape() == want.shape() && values
}

/// [`alike`] for h and c.
pub fn states_alike(target: &Target, got: &State, want: &State) -> bool {
    let c = match (&got.c, &want.c) {
        (Some(got), Some(want)) => alike(target, got, want),
        (None, None) => true,
        _ => false,
    };
    alike(target, &got.h, &want.h) && c
}
