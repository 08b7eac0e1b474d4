//! The recording of a recurrent module, as a part of a network's.

use std::ops::Range;

use super::layout::NodeWeights;
use super::splice::splice;
use super::{Planner, StatePart, Value};
use crate::error::Result;
use crate::kernel::Family;
use crate::kernel::uniforms::PackDims;
use crate::params::Config;
use crate::params::network::StepShape;
use crate::params::validate::Sizes;
use crate::plan::recording::{BufferId, Role};
use crate::plan::{Plan, Request, StateRow, pack, plan_layered};
use crate::tensor::padded;

impl Planner<'_> {
    /// Records a recurrent module and returns its output.
    pub(super) fn recurrent(
        &mut self,
        index: usize,
        label: &str,
        config: &Config,
        x: Value,
    ) -> Result<Value> {
        let NodeWeights::Rnn { first, weights } = self.layout.of_node(index) else {
            unreachable!("a recurrent module has its own weights");
        };
        let steps = x.steps;
        let sizes = Sizes { seq_len: steps, batch: self.batch };
        let request = Request { config, weights, sizes, training: false };
        let schedule = self.schedules[index];
        let plan = plan_layered(&request, &self.profile, schedule, "a network")?;
        self.has_segments |= plan.segments.len() > 1;
        // Buffers of the module's recording, and those of the network in their places.
        let mut placed = vec![(plan.lengths, self.lengths(steps)?)];
        let last = plan.states[config.num_layers - 1].h[0];
        let hidden = self.hidden.iter().find(|(node, _)| *node == index);
        placed.extend(hidden.map(|(_, buffer)| (last, *buffer)));
        match plan.input[..] {
            // A sequence of one segment lies in the plan's buffer as it lies here.
            [input] => placed.push((input, x.buffer)),
            _ => {
                for (segment, &inner) in plan.segments.iter().zip(&plan.input) {
                    let axes = plan.recording.spec(inner).axes.clone();
                    let input = self.buffer(&format!("{label}input"), axes, Role::Scratch)?;
                    let bindings = [x.buffer, input];
                    self.transfer(Family::Pack, segment, x, [1, x.width()], bindings)?;
                    placed.push((inner, input));
                }
            }
        }
        let own_weights = weights.buffers().len();
        let ids = splice(&mut self.recording, plan.recording.clone(), |id| {
            let of_value = || placed.iter().find(|(inner, _)| *inner == id).map(|(_, at)| *at);
            (id.0 < own_weights).then_some(BufferId(first + id.0)).or_else(of_value)
        });
        self.add_states(label, config, &plan, &ids);
        let shape = StepShape::Features(config.output_size());
        if let (&[output], 1) = (&plan.output[..], config.num_directions()) {
            return Ok(Value { buffer: ids[output.0], shape, steps, flat: false });
        }
        let y = self.value(label, shape, steps, Role::Scratch)?;
        let width = [config.num_directions(), config.state_size()];
        for (segment, output) in plan.segments.iter().zip(&plan.output) {
            let bindings = [ids[output.0], y.buffer];
            self.transfer(Family::Unpack, segment, y, width, bindings)?;
        }
        Ok(y)
    }

    /// Copies a segment between a plan's buffer and the value that holds all steps.
    fn transfer(
        &mut self,
        family: Family,
        segment: &Range<usize>,
        value: Value,
        [directions, features]: [usize; 2],
        bindings: [BufferId; 2],
    ) -> Result<()> {
        let dims = PackDims {
            steps: segment.len() as u32,
            batch: self.batch as u32,
            directions: directions as u32,
            features: features as u32,
            width: padded(features) as u32,
            first_step: segment.start as u32,
            seq_len: value.steps as u32,
            offset: 0,
            step_stride: (self.batch * value.stride()) as u32,
            row_stride: value.stride() as u32,
            pad: [0; 2],
        };
        self.push(pack::transfer(family, dims, bindings, self.profile.limits)?);
        Ok(())
    }

    /// Notes the states of a module's layers.
    fn add_states(&mut self, label: &str, config: &Config, plan: &Plan, ids: &[BufferId]) {
        for (layer, state) in plan.states.iter().enumerate() {
            let mut add = |name: &str, read: BufferId, written: BufferId, row| {
                self.states.push(StatePart {
                    label: format!("{label}{name}_l{layer}"),
                    read: ids[read.0],
                    written: ids[written.0],
                    row,
                });
            };
            add("h", state.h[0], plan.final_h(layer), StateRow::h(config));
            if let Some(c) = state.c {
                add("c", c, c, StateRow::c(config));
            }
        }
    }
}
