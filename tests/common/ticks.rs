//! The outputs of ticks.

use wgpu_rnn::Result;

/// The outputs of a tick whose slots all run; the first refusal otherwise.
pub fn outputs(results: Result<Vec<Result<Vec<f32>>>>) -> Result<Vec<Vec<f32>>> {
    results?.into_iter().collect()
}
