//! Twins of `shaders/network`: the kernels around recurrent layers in a network.

mod attention;
mod function;
mod map;
mod norm;
mod unfold;

pub(super) use attention::{context, scores};
pub(super) use function::activate;
pub(super) use map::map;
pub(super) use norm::{layer_norm, softmax};
pub(super) use unfold::{history, unfold};

/// Independent sums of a row, which vectors hold.
const LANES: usize = 16;

/// Returns the sum of `count` terms. Their order depends on `count` alone.
#[inline(always)]
fn sum_of(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = count / LANES * LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    for (sum, at) in lanes.iter_mut().zip(whole..count) {
        *sum += term(at);
    }
    lanes.iter().sum()
}
