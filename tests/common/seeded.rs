//! Random tensors that a seed determines, so that a failure is the same on every machine.

use wgpu_rnn::Tensor;
use wgpu_rnn::internals::params::random::Mt19937;

/// A tensor whose values are uniform in ±`bound`.
pub fn tensor(seed: u64, shape: &[usize], bound: f32) -> Tensor {
    let count = shape.iter().product();
    let values = Mt19937::new(seed).uniform_vec(count, -bound, bound);
    Tensor::new(shape, values).expect("as many values as the shape has")
}
