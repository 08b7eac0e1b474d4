//! Parts of tensors and of results: some steps, some rows, some units.

use std::ops::Range;

use wgpu_rnn::{State, Tensor};

/// What a forward call returns.
pub type Outcome = (Tensor, State);

/// `[A, B, F]` as `[B, A, F]`.
pub fn swapped(tensor: &Tensor) -> Tensor {
    let &[a, b, features] = tensor.shape() else { panic!("a tensor of three axes") };
    let rows = (0..b).flat_map(|j| (0..a).map(move |i| i * b + j));
    let data = rows.flat_map(|row| tensor.row(row).iter().copied()).collect();
    Tensor::new([b, a, features], data).expect("the same values")
}

/// Some of the first axis, in the order given.
pub fn along_first(tensor: &Tensor, indices: impl Iterator<Item = usize>) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let size: usize = shape[1..].iter().product();
    let data: Vec<f32> =
        indices.flat_map(|i| tensor.data()[i * size..(i + 1) * size].iter().copied()).collect();
    shape[0] = data.len() / size;
    Tensor::new(shape, data).expect("whole slices")
}

/// Some of the second axis, in the order given.
pub fn along_second(tensor: &Tensor, indices: impl Iterator<Item = usize>) -> Tensor {
    swapped(&along_first(&swapped(tensor), indices))
}

/// Some features, in every row.
pub fn along_last(tensor: &Tensor, features: Range<usize>) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let rows: usize = shape[..shape.len() - 1].iter().product();
    let data =
        (0..rows).flat_map(|row| tensor.row(row)[features.clone()].iter().copied()).collect();
    shape[tensor.shape().len() - 1] = features.len();
    Tensor::new(shape, data).expect("whole rows")
}

/// One tensor after the other along the first axis.
pub fn joined(parts: &[Tensor]) -> Tensor {
    let mut shape = parts[0].shape().to_vec();
    shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
    let data = parts.iter().flat_map(|part| part.data().iter().copied()).collect();
    Tensor::new(shape, data).expect("parts that go together")
}

/// `part` of each tensor of an outcome.
pub fn outcome_part(outcome: &Outcome, part: impl Fn(&Tensor) -> Tensor) -> Outcome {
    (part(&outcome.0), state_part(&outcome.1, part))
}

/// `part` of each tensor of a state.
pub fn state_part(state: &State, part: impl Fn(&Tensor) -> Tensor) -> State {
    State { h: part(&state.h), c: state.c.as_ref().map(part) }
}
