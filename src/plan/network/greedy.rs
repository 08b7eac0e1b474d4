//! Greedy decoding: the steps of a network that writes tokens, in one recording.

use super::{NetworkPlan, StatePart};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::families::{COPIES_PER_WORKGROUP, activation};
use crate::kernel::network::operation;
use crate::kernel::uniforms::{Dims, MapDims, SampleDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Role};
use crate::plan::rows::row_overrides;
use crate::plan::{check_binding, planned};

/// The buffers of greedy decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greedy {
    /// The settings of the draw, `[8]`: zeros take the likeliest token.
    pub settings: BufferId,
    /// The tokens of all steps: `[N, B]`, u32.
    pub tokens: BufferId,
}

impl NetworkPlan {
    /// Repeats the plan of one step `count` times. Each step reads the likeliest token of the step
    /// before it.
    pub(super) fn greedy(mut self, count: usize, limits: &Limits) -> Result<Self> {
        let (batch, logits) = (self.of.sizes.batch, self.output);
        let columns = logits.width();
        let mut buffer = |label: &str, axes: Vec<(Axis, usize)>, role| -> Result<BufferId> {
            let spec = BufferSpec { label: label.to_owned(), axes, role };
            check_binding(spec.size(), &format!("the buffer '{label}'"), limits)?;
            Ok(self.recording.buffer(spec))
        };
        let rows = vec![(Axis::Row, batch), (Axis::Column, columns)];
        let joined = buffer("logits", rows, Role::Scratch)?;
        let settings = buffer("sampling settings", vec![(Axis::Word, 8)], Role::Input)?;
        let tokens = buffer("tokens", vec![(Axis::Step, count), (Axis::Row, batch)], Role::Output)?;
        // The draw reads rows without padding, and writes the next input.
        let dims = MapDims {
            rows: batch as u32,
            features: columns as u32,
            x_stride: logits.stride() as u32,
            y_stride: columns as u32,
            other_stride: 0,
            other_step: 0,
            operation: operation::NONE,
            function: activation::NONE,
            slope: 0.0,
            pad: [0; 3],
        };
        let copy = planned(
            Kernel::new(Family::Map, WeightType::F32),
            Overrides::default(),
            Dims::Map(dims),
            vec![logits.buffer, logits.buffer, joined],
            (batch * columns).div_ceil(COPIES_PER_WORKGROUP) as u64,
            limits,
        )?;
        let draw = planned(
            Kernel::new(Family::Sample, WeightType::F32),
            row_overrides(columns, limits),
            Dims::Sample(SampleDims { batch: batch as u32, columns: columns as u32, pad: [0; 2] }),
            vec![joined, settings, self.input.buffer, tokens],
            batch as u64,
            limits,
        )?;
        let main = self.recording.commands.split_off(self.prologue);
        let mut even: Vec<Dispatch> =
            main.iter().flat_map(|command| command.dispatches(0)).cloned().collect();
        even.push(copy);
        even.iter_mut().for_each(|dispatch| dispatch.in_place = true);
        even.push(draw);
        let odd = even.iter().map(|dispatch| turned(dispatch, &self.states)).collect();
        let count = count as u32;
        let by_parity = [even, odd];
        self.recording.commands.push(Command::Steps { count, first_step: 0, by_parity });
        for (id, role) in [(self.input.buffer, Role::State), (logits.buffer, Role::Scratch)] {
            self.recording.buffers[id.0].role = role;
        }
        self.greedy = Some(Greedy { settings, tokens });
        Ok(self)
    }
}

/// Returns a dispatch whose states are in the buffers that the step before it wrote.
fn turned(dispatch: &Dispatch, states: &[StatePart]) -> Dispatch {
    let mut turned = dispatch.clone();
    for id in &mut turned.bindings {
        if let Some(part) = states.iter().find(|part| [part.read, part.written].contains(id)) {
            *id = if *id == part.read { part.written } else { part.read };
        }
    }
    turned
}
