//! The dispatches of attention, and the values that a decoder reads: its memory and its own state.

use super::layout::NodeWeights;
use super::{Planner, Value};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::uniforms::{ContextDims, Dims, ScoresDims, SoftmaxDims};
use crate::kernel::{Family, Kernel};
use crate::params::network::{Node, Op, StepShape};
use crate::plan::planned;
use crate::plan::recording::{Axis, Role};
use crate::plan::rows::row_overrides;

impl Planner<'_> {
    /// Returns the value of a node that reads no other: the memory, or a hidden state.
    pub(super) fn source(&mut self, node: &Node, steps: usize) -> Result<Value> {
        match &node.op {
            Op::Hidden(of) => {
                let stride = node.shape.count().next_multiple_of(4);
                let axes =
                    vec![(Axis::Direction, 1), (Axis::Row, self.batch), (Axis::Unit, stride)];
                let buffer = self.buffer(&format!("{} h", node.label), axes, Role::State)?;
                self.hidden.push((*of, buffer));
                Ok(Value { buffer, shape: node.shape, steps: 1, flat: false })
            }
            _ => {
                let memory = self.value(&node.label, node.shape, steps, Role::Input)?;
                let axes = vec![(Axis::Row, self.batch)];
                let lengths = self.buffer("memory lengths", axes, Role::Input)?;
                let memory = Value { flat: false, ..memory };
                self.memory = Some((memory, lengths));
                Ok(memory)
            }
        }
    }

    /// Records the scores of a query, their softmax, and the context.
    pub(super) fn attend(
        &mut self,
        index: usize,
        label: &str,
        additive: bool,
        inputs: &[Value],
    ) -> Result<Value> {
        let (&[query, keys, memory], &NodeWeights::Scores(scale), Some((_, lengths))) =
            (inputs, self.layout.of_node(index), self.memory)
        else {
            unreachable!("attention reads a query, keys and a memory");
        };
        let limits = self.profile.limits;
        let (batch, steps) = (self.batch as u32, memory.steps as u32);
        let shape = StepShape::Features(memory.steps);
        let scores = self.value(&format!("{label}scores"), shape, 1, Role::Scratch)?;
        let dims = ScoresDims {
            batch,
            steps,
            features: query.width() as u32,
            query_stride: query.stride() as u32,
            keys_stride: keys.stride() as u32,
            y_stride: scores.stride() as u32,
            additive: u32::from(additive),
            pad: 0,
        };
        let kernel = Kernel::new(Family::Scores, WeightType::F32);
        let overrides = row_overrides(query.width(), limits);
        let bindings = vec![query.buffer, keys.buffer, scale, scores.buffer];
        let workgroups = u64::from(batch) * u64::from(steps);
        let dims = Dims::Scores(dims);
        self.push(planned(kernel, overrides, dims, bindings, workgroups, limits)?);

        let shares = self.value(&format!("{label}shares"), shape, 1, Role::Scratch)?;
        let dims = SoftmaxDims {
            rows: batch,
            columns: steps,
            stride: scores.stride() as u32,
            is_log: 0,
            batch,
            pad: [0; 3],
        };
        let bindings = vec![scores.buffer, lengths, shares.buffer];
        self.by_row(Family::Softmax, Dims::Softmax(dims), scores, bindings)?;

        let shape = StepShape::Features(memory.width());
        let context = self.value(label, shape, 1, Role::Scratch)?;
        let dims = ContextDims {
            batch,
            steps,
            features: memory.width() as u32,
            shares_stride: shares.stride() as u32,
            memory_stride: memory.stride() as u32,
            y_stride: context.stride() as u32,
            pad: [0; 2],
        };
        let bindings = vec![shares.buffer, memory.buffer, context.buffer];
        let count = self.batch * memory.width();
        self.by_value(Family::Context, Dims::Context(dims), count, bindings)?;
        Ok(context)
    }
}
