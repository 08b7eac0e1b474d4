//! Passes over a text, each small enough for the device. The state stays there from pass to pass.

use super::LanguageModel;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::nn::options::ForwardOptions;
use crate::nn::pack::{Packer, dropout_settings};
use crate::nn::runner::Prepared;
use crate::params::validate::Sizes;
use crate::plan::recording::BufferId;
use crate::plan::{self, LanguageModelPlan, Wanted};

/// The key of a pass's plan: its sizes, its results, and whether dropout draws.
pub(in crate::nn::language_model) type PassKey = (Sizes, Wanted, bool);

/// A pass that is ready to run.
pub(in crate::nn::language_model) type PreparedPass = Prepared<PassKey, LanguageModelPlan>;

/// The inputs of all passes, time first.
pub(in crate::nn::language_model) struct PassInputs<'a> {
    /// Tokens, `[T, B]`.
    pub(in crate::nn::language_model) tokens: &'a [u32],
    /// Targets, `[T, B]`.
    pub(in crate::nn::language_model) targets: Option<&'a [u32]>,
    pub(in crate::nn::language_model) sizes: Sizes,
    pub(in crate::nn::language_model) options: ForwardOptions<'a>,
}

impl LanguageModel {
    /// Runs `inputs` in passes and hands the results of each to `take`. Returns the last pass,
    /// whose buffers hold the state; `None` when there are no steps.
    pub(in crate::nn::language_model) async fn run_passes(
        &self,
        inputs: &PassInputs<'_>,
        wanted: Wanted,
        waiting: Waiting,
        mut take: impl FnMut(&[f32]),
    ) -> Result<Option<PreparedPass>> {
        let Sizes { seq_len, batch } = inputs.sizes;
        if seq_len == 0 {
            return Ok(None);
        }
        let training = self.dropout_seed(inputs).is_some();
        let profile = self.device().profile();
        let steps = plan::steps_per_pass(&self.0.layout, inputs.sizes, wanted, training, &profile)?;
        let mut last: Option<PreparedPass> = None;
        for start in (0..seq_len).step_by(steps) {
            let sizes = Sizes { seq_len: steps.min(seq_len - start), batch };
            let mut next = match last.take() {
                Some(last) if last.plan.layers.sizes == sizes => last,
                before => self.prepare_after(before, (sizes, wanted, training), inputs)?,
            };
            self.write_pass(&mut next, inputs, start)?;
            let Prepared { plan, session, .. } = &mut next;
            let result = plan.result.map(|id| (id, ()));
            let carried = plan.layers.carried();
            session
                .complete(result.as_slice(), &carried, waiting, |(), values| take(values))
                .await?;
            last = Some(next);
        }
        Ok(last)
    }

    /// Returns the seed of dropout in training.
    fn dropout_seed(&self, inputs: &PassInputs<'_>) -> Option<u64> {
        inputs.options.training.filter(|_| self.config().dropout > 0.0)
    }

    /// Returns a pass whose buffers hold the state: the state after the previous pass, or the
    /// initial one.
    fn prepare_after(
        &self,
        before: Option<PreparedPass>,
        key: PassKey,
        inputs: &PassInputs<'_>,
    ) -> Result<PreparedPass> {
        let mut next = self.0.passes.take(key, || {
            let (sizes, wanted, training) = key;
            plan::plan_pass(&self.0.layout, sizes, wanted, training, &self.device().profile())
        })?;
        let Prepared { plan, session, packed, .. } = &mut next;
        if let Some(before) = before {
            let pairs = before.plan.layers.carried_to(&plan.layers);
            session.carry_from(&before.session, &pairs)?;
            self.0.passes.put(before);
        } else {
            let packer = Packer::whole(self.rnn_config(), &plan.layers);
            let write = |id, values: Option<&[f32]>| session.set(id, values);
            packer.write_state(inputs.options.state, packed, write)?;
        }
        Ok(next)
    }

    /// Writes the inputs of the pass that starts at step `start`.
    fn write_pass(
        &self,
        pass: &mut PreparedPass,
        inputs: &PassInputs<'_>,
        start: usize,
    ) -> Result<()> {
        let Prepared { plan, session, .. } = pass;
        let Sizes { seq_len, batch } = plan.layers.sizes;
        let mut write =
            |id: BufferId, words: &[u32]| session.write(id, bytemuck::cast_slice(words));
        let part = start * batch..(start + seq_len) * batch;
        write(plan.tokens, &inputs.tokens[part.clone()])?;
        if let (Some(id), Some(targets)) = (plan.targets, inputs.targets) {
            write(id, &targets[part])?;
        }
        let length = |row| inputs.options.lengths.map_or(inputs.sizes.seq_len, |all| all[row]);
        let valid = |row| length(row).saturating_sub(start).min(seq_len) as u32;
        write(plan.layers.lengths, &(0..batch).map(valid).collect::<Vec<_>>())?;
        if let (Some(id), Some(seed)) = (plan.layers.dropout, self.dropout_seed(inputs)) {
            session.write(id, &dropout_settings(seed, start, 0))?;
        }
        Ok(())
    }
}
