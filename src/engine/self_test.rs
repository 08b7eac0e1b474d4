//! The test that a device passes before it is handed out: a small LSTM against the definition.
//!
//! Its gates saturate, it has two directions and odd sizes, units of several subgroups and two layers: that reaches the faults of drivers that
//! are known (tanh of large arguments, barriers that do nothing, all-zero results, stale state).

use crate::diagnostics::compare::{Comparison, Tolerance};
use crate::engine::device::Device;
use crate::engine::gpu::Waiting;
use crate::error::{Error, Result};
use crate::nn::rnn::{ForwardOptions, Rnn};
use crate::params::Params;
use crate::params::config::Config;
use crate::params::random::Mt19937;
use crate::reference;
use crate::tensor::Tensor;

const SEQ_LEN: usize = 4;
const BATCH: usize = 3;
const INPUT_SIZE: usize = 5;

/// Runs the self-test on `device`.
///
/// # Errors
/// [`Error::SelfTest`] when the numbers are wrong, else the errors of the device.
pub(crate) async fn run(device: &Device, waiting: Waiting) -> Result<()> {
    let config = Config::lstm(INPUT_SIZE, 19).num_layers(2).bidirectional(true);
    let mut generator = Mt19937::new(0);
    // Up to ±20 each: most gates end at 0 or 1, some in between.
    let params = Params::from_fn(&config, |_, shape| {
        Ok(generator.uniform_vec(shape.iter().product(), -20.0, 20.0))
    })?;
    let input = generator.uniform_vec(SEQ_LEN * BATCH * INPUT_SIZE, -1.0, 1.0);
    let want = reference::forward(&params, SEQ_LEN, BATCH, &input, None, None, None);
    let input = Tensor::trusted([SEQ_LEN, BATCH, INPUT_SIZE], input);
    let rnn = Rnn::new(device, &params)?;
    let (output, state) = rnn.forward_as(&input, &ForwardOptions::default(), waiting).await?;
    let c_n = state.c.map(Tensor::into_data).unwrap_or_default();
    judge(
        &device.to_string(),
        [
            ("output", output.data(), want.output.as_slice()),
            ("h_n", state.h.data(), want.h_n.as_slice()),
            ("c_n", &c_n, want.c_n.as_slice()),
        ],
    )
}

/// Compares results with the definition's.
fn judge(device: &str, tensors: [(&str, &[f32], &[f64]); 3]) -> Result<()> {
    // Weights of this size amplify rounding; a driver that is wrong is wrong by far more.
    let tolerance = Tolerance { atol: 2e-4, rtol: 0.0 };
    let mut comparison = Comparison::default();
    for (name, got, want) in tensors {
        comparison.add(name, &[want.len()], got, want, tolerance);
    }
    if comparison.agrees() {
        log::debug!("{device}: self-test passed, {}", comparison.describe());
        return Ok(());
    }
    Err(Error::SelfTest { adapter: device.to_owned(), detail: comparison.describe() })
}

#[cfg(test)]
mod tests {
    use super::{judge, run};
    use crate::engine::gpu::Waiting;
    use crate::{Device, Error};

    #[test]
    fn the_cpu_passes() {
        pollster::block_on(run(&Device::cpu(), Waiting::Block))
            .expect("the twins agree with the oracle");
    }

    #[test]
    fn a_wrong_driver_is_refused_by_name() {
        let want = [0.5, -0.5];
        for wrong in [[0.5, 0.5], [0.0, 0.0], [f32::NAN, -0.5], [0.501, -0.5]] {
            let tensors = [
                ("output", wrong.as_slice(), want.as_slice()),
                ("h_n", &[], &[]),
                ("c_n", &[], &[]),
            ];
            let error =
                judge("Broken GPU (Vulkan)", tensors).expect_err("wrong numbers are refused");
            assert!(matches!(error, Error::SelfTest { .. }), "{error}");
            assert!(error.to_string().contains("Broken GPU"), "{error}");
        }
    }
}
