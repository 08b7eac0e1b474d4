//! Soaks: one forward pass many times, each compared bit by bit with the first.

use serde::Serialize;

use super::{Options, Workload};
use crate::engine::device::Device;
use crate::error::Result;
use crate::nn::rnn::Rnn;
use crate::tensor::{State, Tensor};

/// The result of [`Workload::soak`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Soak {
    /// The name of the shape.
    pub name: String,
    /// The device, as [`Device::name`] returns it.
    pub device: String,
    /// The name of the schedule that ran.
    pub schedule: String,
    /// Forward passes after the first.
    pub passes: u64,
    /// Time steps of all layers in these passes.
    pub steps: u64,
    /// Passes with other bits than the first, in the output or in a state.
    pub changed: u64,
    /// Whether the compared part of the first output is within the tolerance of f32.
    pub agrees: bool,
}

impl Workload {
    /// Runs the forward pass until `steps` time steps have run, and compares each output and state
    /// with those of the first pass, bit by bit.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for an option of the module that does not apply; the
    /// errors of loading and running the module.
    pub fn soak(&self, device: &Device, options: &Options, steps: u64) -> Result<Soak> {
        options.module.check("a soak's shape", &["schedule"])?;
        let rnn = Rnn::with_options(device, &self.params, &options.module)?;
        let sizes = self.shape.sizes;
        let schedule = super::schedule(&rnn.plan(sizes.seq_len, sizes.batch)?).to_owned();
        let (output, _) = pollster::block_on(self.run_compared(&rnn, device.blocking()?))?;
        let agrees = self.compare(&output)?.agrees();
        let first = rnn.forward(&self.input, None)?;
        let each = self.shape.steps() as u64;
        let passes = steps.div_ceil(each.max(1));
        let mut changed = 0;
        for _ in 0..passes {
            changed += u64::from(!same_bits(&first, &rnn.forward(&self.input, None)?));
        }
        Ok(Soak {
            name: self.shape.name.clone(),
            device: device.name().to_owned(),
            schedule,
            passes,
            steps: passes.saturating_mul(each),
            changed,
            agrees,
        })
    }
}

/// Returns whether two results have the same bits.
fn same_bits(one: &(Tensor, State), other: &(Tensor, State)) -> bool {
    bits(one) == bits(other)
}

/// Returns the words of the output and of the states.
fn bits((output, state): &(Tensor, State)) -> Vec<&[u32]> {
    let tensors = [Some(output), Some(&state.h), state.c.as_ref()].into_iter().flatten();
    tensors.map(|tensor| bytemuck::cast_slice(tensor.data())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Shape, Workload};
    use super::same_bits;
    use crate::dtype::WeightType;
    use crate::{Config, Device, State, Tensor};

    #[test]
    fn a_soak_counts_the_steps_of_all_layers() {
        let shape = Shape::new("test", Config::lstm(3, 5).num_layers(2), 4, 2);
        let workload = Workload::new(&shape, WeightType::F32).expect("a network");
        let soak = workload.soak(&Device::cpu(), &Options::default(), 17).expect("the CPU runs it");
        assert_eq!((soak.passes, soak.steps, soak.changed), (3, 24, 0), "{soak:?}");
        assert!(soak.agrees, "{soak:?}");
    }

    #[test]
    fn a_sign_of_zero_in_any_tensor_is_another_result() {
        let tensor = |value: f32| Tensor::new([1, 2], vec![1.0, value]).expect("two values");
        let result = |[y, h, c]: [f32; 3]| (tensor(y), State { h: tensor(h), c: Some(tensor(c)) });
        let zeros = result([0.0; 3]);
        assert!(same_bits(&zeros, &result([0.0; 3])), "the same values");
        for values in [[-0.0, 0.0, 0.0], [0.0, -0.0, 0.0], [0.0, 0.0, -0.0]] {
            assert!(!same_bits(&zeros, &result(values)), "{values:?}");
        }
    }
}
