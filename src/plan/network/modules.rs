//! The dispatches of each module of a network.

use super::layout::NodeWeights;
use super::windows::Windows;
use super::{Planner, Value};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::families::{COPIES_PER_WORKGROUP, activation};
use crate::kernel::network::operation;
use crate::kernel::uniforms::{Dims, LayerNormDims, MapDims, PackDims, SoftmaxDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::params::network::{Function, Node, Op, StepShape};
use crate::plan::recording::{BufferId, Role};
use crate::plan::rows::row_overrides;
use crate::plan::{Product, embed, linear, pack, planned};

/// Returns the number and the slope of a function.
const fn number_of(function: Function) -> (u32, f32) {
    match function {
        Function::Relu => (activation::RELU, 0.0),
        Function::LeakyRelu(slope) => (activation::LEAKY_RELU, slope),
        Function::Sigmoid => (activation::SIGMOID, 0.0),
        Function::Tanh => (activation::TANH, 0.0),
        Function::Gelu => (activation::GELU, 0.0),
        Function::GeluTanh => (activation::GELU_TANH, 0.0),
        Function::Silu => (activation::SILU, 0.0),
    }
}

/// Returns the number of a function that products apply.
pub(super) const fn of_product(function: Function) -> Option<u32> {
    match function {
        Function::LeakyRelu(_) => None,
        other => Some(number_of(other).0),
    }
}

/// The other operand of a `map` dispatch: its buffer, and its strides.
#[derive(Clone, Copy)]
struct Other {
    buffer: BufferId,
    /// Values from one row to the next.
    stride: usize,
    /// Values from one feature to the next.
    step: usize,
}

impl Planner<'_> {
    /// Records a node and returns its value.
    pub(super) fn node(
        &mut self,
        index: usize,
        node: &Node,
        inputs: &[Value],
        steps: usize,
        fused: &[Option<u32>],
    ) -> Result<Value> {
        let label = node.label.as_str();
        // A node without inputs makes its own value.
        let Some(&x) = inputs.first() else { return self.source(node, steps) };
        let new = |planner: &mut Self| planner.value(label, node.shape, steps, Role::Scratch);
        match &node.op {
            Op::Linear { .. } => {
                let y = new(self)?;
                let function = fused[index + 1].unwrap_or(activation::NONE);
                self.products(index, x.buffer, (x.width(), 1), y, function)?;
                Ok(y)
            }
            Op::Conv1d { channels, kernel, conv, over_time, .. } => {
                let y = new(self)?;
                let function = fused[index + 1].unwrap_or(activation::NONE);
                let (channels, kernel) = (*channels, *kernel);
                let in_place = kernel == 1
                    && conv.stride == 1
                    && conv.groups == 1
                    && conv.sides(kernel) == [0; 2]
                    && (*over_time || !x.flat);
                let windows = if in_place {
                    x.buffer
                } else {
                    self.windows(
                        label,
                        x,
                        Windows { kernel, channels, conv: *conv },
                        *over_time,
                        y,
                    )?
                };
                self.products(index, windows, (channels * kernel, conv.groups), y, function)?;
                Ok(y)
            }
            Op::Embedding { .. } => {
                let y = new(self)?;
                self.embedding(index, x, y)?;
                Ok(y)
            }
            Op::Rnn(config) => self.recurrent(index, label, config, x),
            Op::LayerNorm(eps) => {
                let [scale, shift] = self.vectors(index);
                self.along_last_axis(label, x, |planner, x, y| {
                    let (rows, features) = (x.rows(planner.batch) as u32, x.width() as u32);
                    let stride = x.stride() as u32;
                    let dims = LayerNormDims { rows, features, stride, eps: *eps };
                    let bindings = vec![x.buffer, scale, shift, y.buffer];
                    planner.by_row(Family::LayerNorm, Dims::LayerNorm(dims), x, bindings)
                })
            }
            Op::Scale => {
                let x = self.by_position(x)?;
                let [scale, shift] =
                    self.vectors(index).map(|buffer| Other { buffer, stride: 0, step: 1 });
                let scaled = self.map(label, x, node.shape, operation::MULTIPLY, scale, None)?;
                self.map(label, scaled, node.shape, operation::ADD, shift, None)
            }
            // The product before it has applied it.
            Op::Function(_) if fused[node.inputs[0]].is_some() => Ok(x),
            Op::Function(function) => {
                let function = Some(*function);
                self.map(label, x, node.shape, operation::NONE, Other::of(x), function)
            }
            Op::Softmax { is_log } => self.along_last_axis(label, x, |planner, x, y| {
                let dims = SoftmaxDims {
                    rows: x.rows(planner.batch) as u32,
                    columns: x.width() as u32,
                    stride: x.stride() as u32,
                    is_log: u32::from(*is_log),
                    batch: 0,
                    pad: [0; 3],
                };
                // Without a batch no length is read.
                let bindings = vec![x.buffer, x.buffer, y.buffer];
                planner.by_row(Family::Softmax, Dims::Softmax(dims), x, bindings)
            }),
            Op::Magnitude => {
                self.map(label, x, node.shape, operation::MAGNITUDE, Other::of(x), None)
            }
            Op::Flatten => self.flatten(label, x, node.shape),
            Op::Unflatten => Ok(Value { shape: node.shape, flat: true, ..x }),
            Op::Concat => self.concat(label, inputs, node.shape),
            Op::Attend { additive } => self.attend(index, label, *additive, inputs),
            Op::Memory | Op::Hidden(_) => unreachable!("they read no value"),
            Op::Add => self.join(label, inputs, operation::ADD),
            Op::Mul => self.join(label, inputs, operation::MULTIPLY),
        }
    }

    fn vectors(&self, index: usize) -> [BufferId; 2] {
        match self.layout.of_node(index) {
            NodeWeights::Vectors(vectors) => *vectors,
            _ => unreachable!("a normalisation has two vectors"),
        }
    }

    /// Records the products of rows of `x`, of `features` in each of `groups`, with a node's
    /// weights.
    fn products(
        &mut self,
        index: usize,
        x: BufferId,
        (features, groups): (usize, usize),
        y: Value,
        activation: u32,
    ) -> Result<()> {
        let NodeWeights::Product(shards) = self.layout.of_node(index) else {
            unreachable!("a product has weights");
        };
        for (columns, [weight, bias]) in shards {
            let product = Product {
                rows: y.rows(self.batch),
                groups,
                features,
                columns: columns.clone(),
                y_stride: y.stride(),
                y_group_stride: y.width() / groups,
                activation,
            };
            let (weights, limits) = (self.layout.storage().read_as(), self.profile.limits);
            let dispatch = linear(product, [x, *weight, *bias, y.buffer], weights, limits)?;
            self.push(dispatch);
        }
        Ok(())
    }

    fn embedding(&mut self, index: usize, x: Value, y: Value) -> Result<()> {
        let NodeWeights::Table(shards) = self.layout.of_node(index) else {
            unreachable!("an embedding has a table");
        };
        let (weights, limits) = (self.layout.storage().read_as(), self.profile.limits);
        for (tokens, weight) in shards {
            let rows = x.rows(self.batch);
            let buffers = [x.buffer, *weight, y.buffer];
            let dispatch = embed(rows, y.width(), tokens.clone(), buffers, weights, limits)?;
            self.push(dispatch);
        }
        Ok(())
    }

    /// Records work along the last axis from a value to another of its shape. `[C, L]` values are
    /// `[L, C]` around it.
    fn along_last_axis(
        &mut self,
        label: &str,
        x: Value,
        record: impl Fn(&mut Self, Value, Value) -> Result<()>,
    ) -> Result<Value> {
        let rows = self.transposed(label, x)?;
        let y = self.value(label, rows.shape, rows.steps, Role::Scratch)?;
        record(self, rows, y)?;
        self.transposed(label, y)
    }

    /// Records a kernel in which a workgroup owns a row of `x`.
    pub(super) fn by_row(
        &mut self,
        family: Family,
        dims: Dims,
        x: Value,
        bindings: Vec<BufferId>,
    ) -> Result<()> {
        let limits = self.profile.limits;
        let kernel = Kernel::new(family, WeightType::F32);
        let overrides = row_overrides(x.width(), limits);
        let rows = x.rows(self.batch) as u64;
        self.push(planned(kernel, overrides, dims, bindings, rows, limits)?);
        Ok(())
    }

    /// Records a kernel in which an invocation computes one of `count` values.
    pub(super) fn by_value(
        &mut self,
        family: Family,
        dims: Dims,
        count: usize,
        bindings: Vec<BufferId>,
    ) -> Result<()> {
        let workgroups = count.div_ceil(COPIES_PER_WORKGROUP) as u64;
        let kernel = Kernel::new(family, WeightType::F32);
        let limits = self.profile.limits;
        let overrides = Overrides::default();
        self.push(planned(kernel, overrides, dims, bindings, workgroups, limits)?);
        Ok(())
    }

    /// Records elementwise work. The value keeps the layout of `x`.
    fn map(
        &mut self,
        label: &str,
        x: Value,
        shape: StepShape,
        operation: u32,
        other: Other,
        function: Option<Function>,
    ) -> Result<Value> {
        let y = self.like(label, x, shape)?;
        let (function, slope) = function.map_or((activation::NONE, 0.0), number_of);
        let dims = MapDims {
            rows: y.rows(self.batch) as u32,
            features: y.width() as u32,
            x_stride: x.stride() as u32,
            y_stride: y.stride() as u32,
            other_stride: other.stride as u32,
            other_step: other.step as u32,
            operation,
            function,
            slope,
            pad: [0; 3],
        };
        let bindings = vec![x.buffer, other.buffer, y.buffer];
        let count = y.rows(self.batch) * y.width();
        self.by_value(Family::Map, Dims::Map(dims), count, bindings)?;
        Ok(y)
    }

    /// Adds the buffer of a value with the layout of `x`.
    fn like(&mut self, label: &str, x: Value, shape: StepShape) -> Result<Value> {
        // A flat value has its buffer as a row of features has it.
        let plain = match shape {
            StepShape::Channels([channels, length]) if x.flat => {
                StepShape::Features(channels * length)
            }
            other => other,
        };
        let y = self.value(label, plain, x.steps, Role::Scratch)?;
        Ok(Value { shape, flat: x.flat, ..y })
    }

    /// Records a copy.
    pub(super) fn copy(&mut self, label: &str, x: Value) -> Result<Value> {
        self.map(label, x, x.shape, operation::NONE, Other::of(x), None)
    }

    /// Records a sum or a product of two values.
    fn join(&mut self, label: &str, inputs: &[Value], operation: u32) -> Result<Value> {
        let &[x, other] = inputs else { unreachable!("two values are joined") };
        let (mut x, mut other) = (x, other);
        if x.flat != other.flat && matches!(x.shape, StepShape::Channels(_)) {
            (x, other) = (self.by_position(x)?, self.by_position(other)?);
        }
        let of_other = match other.shape {
            StepShape::Features(1) => Other { step: 0, ..Other::of(other) },
            _ => Other::of(other),
        };
        self.map(label, x, x.shape, operation, of_other, None)
    }

    /// Records the joined features or channels of values.
    fn concat(&mut self, label: &str, inputs: &[Value], shape: StepShape) -> Result<Value> {
        let y = self.value(label, shape, inputs[0].steps, Role::Scratch)?;
        let mut first = 0;
        for &x in inputs {
            let x = self.by_position(x)?;
            let rows = x.rows(self.batch);
            let dims = PackDims {
                steps: 1,
                batch: rows as u32,
                directions: 1,
                features: x.width() as u32,
                width: x.stride() as u32,
                first_step: 0,
                seq_len: 1,
                offset: first as u32,
                step_stride: 0,
                row_stride: y.stride() as u32,
                pad: [0; 2],
            };
            let bindings = [x.buffer, y.buffer];
            self.push(pack::transfer(Family::Unpack, dims, bindings, self.profile.limits)?);
            first += x.width();
        }
        Ok(y)
    }
}

impl Other {
    /// A value as the other operand.
    fn of(value: Value) -> Self {
        Self { buffer: value.buffer, stride: value.stride(), step: 1 }
    }
}
