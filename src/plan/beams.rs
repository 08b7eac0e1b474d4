//! One step of a beam search: reorder the states, run the model, keep the states.

use super::language_model::{LanguageModelLayout, LanguageModelPlan, Wanted, plan_pass};
use super::slots::{Way, move_states};
use super::{Plan, Profile, check_budget};
use crate::error::Result;
use crate::params::validate::Sizes;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Recording, Role};

/// A recording that runs one step of every beam. The states stay on the device from step to step.
#[derive(Debug, Clone)]
pub struct BeamPlan {
    /// The recurrent layers for one step, with the recording of the whole model.
    pub layers: Plan,
    /// The tokens that the step reads: `[B]`, u32.
    pub tokens: BufferId,
    /// The row of the states that each beam continues: `[B]`, u32.
    pub parents: BufferId,
    /// The row of the states that each beam leaves: `[B]`, u32. Callers write 0, 1, 2 and so on.
    pub rows: BufferId,
    /// The states: `[B, W]`. For each layer, a row holds h (padded to quads) and, in an LSTM, c.
    pub store: BufferId,
    /// The logits: `[1, B, ntoken]`.
    pub logits: BufferId,
}

impl AsRef<Recording> for BeamPlan {
    fn as_ref(&self) -> &Recording {
        &self.layers.recording
    }
}

/// Plans a step of `beams` beams.
///
/// All states are gathered by their parents before any is scattered, so that one store holds them.
///
/// # Errors
/// The errors of [`plan_pass`], and [`Error::Limit`](crate::Error::Limit) if the states exceed a
/// binding or the plan exceeds the memory budget.
pub fn plan_beams(
    layout: &LanguageModelLayout,
    beams: usize,
    profile: &Profile<'_>,
) -> Result<BeamPlan> {
    let limits = profile.limits;
    let sizes = Sizes { seq_len: 1, batch: beams };
    let LanguageModelPlan { mut layers, tokens, result, .. } =
        plan_pass(layout, sizes, Wanted::Logits, false, profile)?;
    let Some(logits) = result else { unreachable!("a pass of logits has logits") };
    let states = layers.carried_rows();
    let width: usize = states.iter().map(|state| state.width).sum();
    let mut buffer = |label: &str, axes: Vec<(Axis, usize)>, role| {
        layers.recording.buffer(BufferSpec { label: label.to_owned(), axes, role })
    };
    let parents = buffer("parents", vec![(Axis::Row, beams)], Role::Input);
    let rows = buffer("rows", vec![(Axis::Row, beams)], Role::Input);
    let store =
        buffer("beams' states", vec![(Axis::Slot, beams), (Axis::Unit, width)], Role::State);
    let gather = move_states(&states, beams, Way::Load, [parents, store], limits)?;
    let scatter = move_states(&states, beams, Way::Store, [rows, store], limits)?;
    let pass = std::mem::replace(&mut layers.recording.commands, gather);
    layers.recording.commands.extend(pass.into_iter().chain(scatter));
    check_budget(layers.size(), limits)?;
    Ok(BeamPlan { layers, tokens, parents, rows, store, logits })
}
