//! Networks of modules as subjects.

use super::{ReferenceTensor, Subject};
use crate::engine::device::Device;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::nn::network::Network;
use crate::params::network::{NetworkParams, Op, StepShape};
use crate::params::random::Mt19937;
use crate::reference;
use crate::tensor::{Tensor, element_count, zeroed};

impl Subject for NetworkParams {
    /// `[T, B, ·]`; tokens are whole numbers, `[T, B]`.
    type Input = Tensor;

    fn title(&self) -> String {
        format!(
            "Sequential of {} modules, {:?} to {:?} a step",
            self.graph().nodes.len(),
            self.input().sizes(),
            self.output().sizes()
        )
    }

    fn draw(&self, seq_len: usize, batch: usize, seed: u64) -> Result<Tensor> {
        // A convolution may need more steps, and an output step several input steps.
        let longer = (0..12).map(|doublings| seq_len << doublings);
        let seq_len = { longer }.find(|&t| self.graph().steps(t, 0).is_ok()).unwrap_or(seq_len);
        let shape = [vec![seq_len, batch], self.input().sizes()].concat();
        let count = element_count(&shape).unwrap_or(usize::MAX);
        let mut values = zeroed(count, "the drawn input")?;
        let mut generator = Mt19937::new(seed);
        match self.tokens() {
            Some(tokens) => values.fill_with(|| (generator.next_u32() as usize % tokens) as f32),
            None => values.fill_with(|| generator.uniform(-1.0, 1.0)),
        }
        Tensor::new(shape, values)
    }

    fn reference(&self, input: &Tensor) -> Result<Vec<ReferenceTensor>> {
        let values: Vec<f64> = input.data().iter().map(|&value| value.into()).collect();
        let (steps, batch) = (input.shape()[0], input.shape()[1]);
        let output = reference::network(self, &values, [steps, batch])?;
        let shape = [vec![output.steps, batch], output.shape.sizes()].concat();
        Ok(vec![ReferenceTensor { name: "output".to_owned(), shape, values: output.values }])
    }

    fn run(&self, device: &Device, inputs: &[Tensor]) -> Result<Vec<Vec<Tensor>>> {
        pollster::block_on(self.results(device, inputs, device.blocking()?))
    }

    async fn run_async(&self, device: &Device, inputs: &[Tensor]) -> Result<Vec<Vec<Tensor>>> {
        self.results(device, inputs, Waiting::Await).await
    }
}

impl NetworkParams {
    async fn results(
        &self,
        device: &Device,
        inputs: &[Tensor],
        waiting: Waiting,
    ) -> Result<Vec<Vec<Tensor>>> {
        let network = Network::new(device, self)?;
        let mut all = Vec::with_capacity(inputs.len());
        for input in inputs {
            let output = match self.input() {
                StepShape::Token => {
                    let tokens: Vec<i64> = input.data().iter().map(|&t| t as i64).collect();
                    network.compute((&tokens[..], input.shape()).into(), waiting).await
                }
                _ => network.compute(input.view().into(), waiting).await,
            };
            all.push(vec![output?]);
        }
        Ok(all)
    }

    /// Returns the rows of the embedding of a network of tokens.
    fn tokens(&self) -> Option<usize> {
        let embeddings = self.graph().nodes.iter().filter(|node| node.inputs == [0]);
        { embeddings }.find_map(|node| match node.op {
            Op::Embedding { tokens, .. } => Some(tokens),
            _ => None,
        })
    }
}
