//! A forward pass of a network, in parts where the limits do not allow the whole.

use super::packer::{Checked, Input, Packer, Part, Values};
use super::{Network, PreparedNetwork};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::runner::Prepared;
use crate::params::network::Op;
use crate::params::validate::Sizes;
use crate::plan::NetworkPlan;
use crate::plan::recording::CopyPair;
use crate::tensor::{Tensor, element_count, zeroed};

/// The output of a call, part by part.
pub(super) struct Output {
    pub values: Vec<f32>,
    pub sizes: Sizes,
}

impl Network {
    /// Checks an input.
    pub(super) fn check_input(&self, input: &Input<'_>) -> Result<Checked> {
        let tokens = self.0.graph.nodes.iter().find_map(|node| match node.op {
            Op::Embedding { tokens, .. } => Some(tokens),
            _ => None,
        });
        input.check(self.input(), tokens.unwrap_or(0), self.batch_first())
    }

    pub(super) fn batch_first(&self) -> bool {
        self.options().batch_first.unwrap_or(false)
    }

    /// Returns zeros for the output of a call.
    pub(super) fn outputs(&self, sizes: Sizes) -> Result<Output> {
        let graph = &self.0.graph;
        let seq_len = graph.steps(sizes.seq_len, 1)?[graph.output];
        let count = element_count(&[seq_len, sizes.batch, self.output().count()]);
        let values = zeroed(count.unwrap_or(usize::MAX), "the output")?;
        Ok(Output { values, sizes: Sizes { seq_len, ..sizes } })
    }

    /// Returns the tensor of an output.
    pub(super) fn tensor(&self, output: Output, unbatched: bool) -> Tensor {
        let Sizes { seq_len, batch } = output.sizes;
        let leading = match (unbatched, self.batch_first()) {
            (true, _) => vec![seq_len],
            (false, true) => vec![batch, seq_len],
            (false, false) => vec![seq_len, batch],
        };
        Tensor::trusted([leading, self.output().sizes()].concat(), output.values)
    }

    /// The core of [`forward`](Self::forward).
    pub(crate) async fn compute(&self, input: Input<'_>, waiting: Waiting) -> Result<Tensor> {
        let Checked { sizes, unbatched } = self.check_input(&input)?;
        let graph = &self.0.graph;
        if graph.memory().is_some() {
            return Err(Error::Option(
                "this network attends a memory: give it one with decoder()".to_owned(),
            ));
        }
        let mut output = self.outputs(sizes)?;
        if sizes.batch > 0 && graph.is_stepwise() {
            let mut stream = self.stream(sizes.batch)?;
            stream.run_steps(input.values, sizes, &mut output, waiting).await?;
        } else if sizes.batch > 0 {
            match self.prepare(sizes.into()) {
                Ok(mut prepared) => {
                    let part = Part { steps: 0..sizes.seq_len, rows: 0..sizes.batch };
                    self.run_part(&mut prepared, input.values, sizes, &part, &mut output, waiting)
                        .await?;
                    self.0.runner.put(prepared);
                }
                Err(Error::Limit { .. }) => {
                    self.run_parts(input.values, sizes, &mut output, waiting).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.tensor(output, unbatched))
    }

    /// Runs a call whose whole exceeds a limit: in pieces of time where the network can, in fewer
    /// rows otherwise.
    async fn run_parts(
        &self,
        values: Values<'_>,
        sizes: Sizes,
        output: &mut Output,
        waiting: Waiting,
    ) -> Result<()> {
        let Sizes { seq_len, batch } = sizes;
        let fits = |seq_len, batch| self.plan(seq_len, batch).is_ok();
        let stride = self.0.graph.stride().ok().filter(|stride| seq_len > *stride);
        if let Some(stride) = stride.filter(|&stride| fits(stride, batch)) {
            // The most steps that fit, by doubling.
            let longer = std::iter::successors(Some(stride), |steps| steps.checked_mul(2));
            let steps = longer.take_while(|&s| s < seq_len && fits(s, batch)).last();
            let steps = steps.unwrap_or(stride);
            let mut stream = self.stream(batch)?;
            for start in (0..seq_len).step_by(steps) {
                let part = Part { steps: start..seq_len.min(start + steps), rows: 0..batch };
                stream.run(values, sizes, &part, output, waiting).await?;
            }
            return Ok(());
        }
        let mut rows = batch;
        while rows > 1 && !fits(seq_len, rows) {
            rows = rows.div_ceil(2);
        }
        for start in (0..batch).step_by(rows) {
            let part = Part { steps: 0..seq_len, rows: start..batch.min(start + rows) };
            let mut prepared = self.prepare(Sizes { seq_len, batch: part.rows.len() }.into())?;
            self.run_part(&mut prepared, values, sizes, &part, output, waiting).await?;
            self.0.runner.put(prepared);
        }
        Ok(())
    }

    /// Runs some rows from zero states.
    async fn run_part(
        &self,
        prepared: &mut PreparedNetwork,
        values: Values<'_>,
        sizes: Sizes,
        part: &Part,
        output: &mut Output,
        waiting: Waiting,
    ) -> Result<()> {
        let Prepared { plan, session, .. } = &mut *prepared;
        for state in &plan.states {
            session.set(state.read, None)?;
        }
        self.write_input(prepared, values, sizes, part)?;
        self.complete(prepared, part, &[], output, waiting).await
    }

    /// Runs a whole plan, then copies `pairs`.
    pub(super) async fn complete(
        &self,
        prepared: &mut PreparedNetwork,
        part: &Part,
        pairs: &[CopyPair],
        output: &mut Output,
        waiting: Waiting,
    ) -> Result<()> {
        let Prepared { plan, session, .. } = prepared;
        let packer = self.unpacker(plan, output.sizes);
        let part = packer_part(plan, part);
        let take = |(), packed: &[f32]| packer.unpack(packed, &part, &mut output.values);
        session.complete(&[(plan.output.buffer, ())], pairs, waiting, take).await
    }

    /// Writes the input of a part.
    pub(super) fn write_input(
        &self,
        prepared: &mut PreparedNetwork,
        values: Values<'_>,
        sizes: Sizes,
        part: &Part,
    ) -> Result<()> {
        let Prepared { plan, session, packed, .. } = prepared;
        let batch_first = self.batch_first();
        let packer = Packer { value: plan.input, sizes, batch_first };
        session.write(plan.input.buffer, packer.pack(values, part, packed)?)
    }

    /// Returns the packer of an output of these sizes.
    pub(super) fn unpacker(&self, plan: &NetworkPlan, sizes: Sizes) -> Packer {
        Packer { value: plan.output, sizes, batch_first: self.batch_first() }
    }
}

/// Returns the part of the output that a plan computes for a part of the input. Pieces of time
/// have whole strides before them.
pub(super) fn packer_part(plan: &NetworkPlan, part: &Part) -> Part {
    let (from, to) = (plan.of.sizes.seq_len, plan.output.steps);
    // All pieces but the last are as long as the first.
    let start = match part.steps.start {
        0 => 0,
        start => start / from.div_ceil(to),
    };
    Part { steps: start..start + to, rows: part.rows.clone() }
}
