//! Equality to the last bit of results that were computed with other numbers of rows at a time.

use wgpu_rnn::{State, Tensor};

/// The bits of every value.
pub fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.data().iter().map(|value| value.to_bits()).collect()
}

/// Whether two tensors are the same in shape and every bit.
pub fn alike(got: &Tensor, want: &Tensor) -> bool {
    got.shape() == want.shape() && bits(got) == bits(want)
}

/// [`alike`] for h and c.
pub fn states_alike(got: &State, want: &State) -> bool {
    let c = match (&got.c, &want.c) {
        (Some(got), Some(want)) => alike(got, want),
        (None, None) => true,
        _ => false,
    };
    alike(&got.h, &want.h) && c
}
