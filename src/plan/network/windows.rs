//! The dispatches of convolutions before their products, and of changes of layout.

use super::{Planner, StatePart, Value};
use crate::error::Result;
use crate::kernel::Family;
use crate::kernel::network::{order, padding};
use crate::kernel::uniforms::{Dims, HistoryDims, UnfoldDims};
use crate::params::network::conv::Padding;
use crate::params::network::{Conv1d, PaddingMode, StepShape};
use crate::plan::StateRow;
use crate::plan::recording::{Axis, BufferId, Role};
use crate::tensor::padded;

/// The windows of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// Taps.
    pub(super) kernel: usize,
    /// Channels of a group.
    pub(super) channels: usize,
    pub(super) conv: Conv1d,
}

impl Windows {
    fn mode(&self) -> u32 {
        match (self.conv.padding, self.conv.padding_mode) {
            (Padding::Causal, _) => padding::HISTORY,
            (_, PaddingMode::Zeros) => padding::ZEROS,
            (_, PaddingMode::Reflect) => padding::REFLECT,
            (_, PaddingMode::Replicate) => padding::REPLICATE,
            (_, PaddingMode::Circular) => padding::CIRCULAR,
        }
    }
}

impl Planner<'_> {
    /// Records the windows of `x` whose products make `y`, and returns their buffer.
    pub(super) fn windows(
        &mut self,
        label: &str,
        x: Value,
        windows: Windows,
        over_time: bool,
        y: Value,
    ) -> Result<BufferId> {
        let Windows { kernel, channels, conv } = windows;
        let (width, stride) = (padded(channels * kernel), x.stride());
        let [before, _] = conv.sides(kernel);
        // Over time a row of the batch is a row, and a step is a position.
        let (rows, positions, strides) = match x.shape {
            StepShape::Channels([_, length]) if x.flat => {
                (x.rows(self.batch), length, [stride, 1, length])
            }
            StepShape::Channels([_, length]) => {
                (x.steps * self.batch, length, [length * stride, stride, 1])
            }
            _ => (self.batch, x.steps, [stride, self.batch * stride, 1]),
        };
        let axes = vec![
            (Axis::Direction, conv.groups),
            (Axis::Row, y.rows(self.batch)),
            (Axis::Feature, width),
        ];
        let unfolded = self.buffer(&format!("{label}windows"), axes, Role::Scratch)?;
        let keeps = windows.mode() == padding::HISTORY && before > 0;
        let history = if keeps && over_time {
            self.history(label, x, channels * conv.groups, before)?
        } else {
            x.buffer
        };
        // Inside a step nothing comes before the first position.
        let mode = if over_time { windows.mode() } else { windows.mode() % padding::HISTORY };
        let dims = UnfoldDims {
            rows: rows as u32,
            positions: positions as u32,
            outputs: (y.rows(self.batch) / rows) as u32,
            channels: channels as u32,
            groups: conv.groups as u32,
            kernel: kernel as u32,
            stride: conv.stride as u32,
            dilation: conv.dilation as u32,
            padding: before as u32,
            mode,
            x_row_stride: strides[0] as u32,
            x_position_stride: strides[1] as u32,
            x_channel_stride: strides[2] as u32,
            width: width as u32,
            order: if over_time { order::TIME_MAJOR } else { 0 },
            pad: 0,
        };
        self.unfold(dims, [x.buffer, history, unfolded])?;
        Ok(unfolded)
    }

    fn unfold(&mut self, dims: UnfoldDims, bindings: [BufferId; 3]) -> Result<()> {
        let [groups, rows, outputs, width] =
            [dims.groups, dims.rows, dims.outputs, dims.width].map(|size| size as usize);
        let count = groups * rows * outputs * width;
        self.by_value(Family::Unfold, Dims::Unfold(dims), count, bindings.to_vec())
    }

    /// Records the steps that a convolution keeps for the next run, and returns the buffer of those
    /// that it kept before.
    fn history(
        &mut self,
        label: &str,
        x: Value,
        channels: usize,
        length: usize,
    ) -> Result<BufferId> {
        let axes =
            || vec![(Axis::Row, self.batch), (Axis::Step, length), (Axis::Feature, channels)];
        let axes = [axes(), axes()];
        let [read, written] =
            axes.map(|axes| self.buffer(&format!("{label}history"), axes, Role::State));
        let (read, written) = (read?, written?);
        let lengths = self.lengths(x.steps)?;
        let dims = HistoryDims {
            rows: self.batch as u32,
            length: length as u32,
            channels: channels as u32,
            steps: x.steps as u32,
            x_row_stride: x.stride() as u32,
            x_step_stride: (self.batch * x.stride()) as u32,
            pad: [0; 2],
        };
        let count = self.batch * length * channels;
        let bindings = vec![x.buffer, read, lengths, written];
        self.by_value(Family::History, Dims::History(dims), count, bindings)?;
        let (features, stride) = (length * channels, length * channels);
        let row = StateRow { features, stride };
        self.states.push(StatePart { label: format!("{label}history"), read, written, row });
        Ok(read)
    }

    /// Returns a value with its positions as rows: `[C, L]` values may lie channel by channel.
    pub(super) fn by_position(&mut self, x: Value) -> Result<Value> {
        let StepShape::Channels([channels, length]) = x.shape else { return Ok(x) };
        if !x.flat {
            return Ok(x);
        }
        let y = self.value("positions", x.shape, x.steps, Role::Scratch)?;
        let dims = UnfoldDims {
            rows: x.rows(self.batch) as u32,
            positions: length as u32,
            outputs: length as u32,
            channels: channels as u32,
            kernel: 1,
            x_row_stride: x.stride() as u32,
            x_position_stride: 1,
            x_channel_stride: length as u32,
            width: y.stride() as u32,
            order: 0,
            ..Self::one_window()
        };
        self.unfold(dims, [x.buffer, x.buffer, y.buffer])?;
        Ok(y)
    }

    /// Returns `[L, C]` of `[C, L]`; `[F]` stays as it is.
    pub(super) fn transposed(&mut self, label: &str, x: Value) -> Result<Value> {
        let StepShape::Channels([channels, length]) = x.shape else { return Ok(x) };
        let shape = StepShape::Channels([length, channels]);
        let y = self.value(label, shape, x.steps, Role::Scratch)?;
        let (stride, rows) = (x.stride() as u32, (x.steps * self.batch) as u32);
        // A position of y is a channel of x.
        let strides =
            if x.flat { [stride, length as u32, 1] } else { [stride * length as u32, 1, stride] };
        let dims = UnfoldDims {
            rows,
            positions: channels as u32,
            outputs: channels as u32,
            channels: length as u32,
            x_row_stride: strides[0],
            x_position_stride: strides[1],
            x_channel_stride: strides[2],
            width: y.stride() as u32,
            ..Self::one_window()
        };
        self.unfold(dims, [x.buffer, x.buffer, y.buffer])?;
        Ok(y)
    }

    /// Returns `[C, L]` as `[C·L]`, channel by channel.
    pub(super) fn flatten(&mut self, label: &str, x: Value, shape: StepShape) -> Result<Value> {
        let StepShape::Channels([channels, length]) = x.shape else { return Ok(x) };
        if x.flat || length == 1 {
            return Ok(Value { shape, flat: false, ..x });
        }
        let y = self.value(label, shape, x.steps, Role::Scratch)?;
        let dims = UnfoldDims {
            rows: (x.steps * self.batch) as u32,
            positions: length as u32,
            outputs: 1,
            channels: channels as u32,
            kernel: length as u32,
            x_row_stride: (length * x.stride()) as u32,
            x_position_stride: x.stride() as u32,
            x_channel_stride: 1,
            width: y.stride() as u32,
            order: order::CHANNELS_FIRST,
            ..Self::one_window()
        };
        self.unfold(dims, [x.buffer, x.buffer, y.buffer])?;
        Ok(y)
    }

    /// Windows of one group, without padding, stride and dilation.
    const fn one_window() -> UnfoldDims {
        UnfoldDims {
            rows: 0,
            positions: 0,
            outputs: 0,
            channels: 0,
            groups: 1,
            kernel: 1,
            stride: 1,
            dilation: 1,
            padding: 0,
            mode: padding::ZEROS,
            x_row_stride: 0,
            x_position_stride: 0,
            x_channel_stride: 0,
            width: 0,
            order: 0,
            pad: 0,
        }
    }
}
