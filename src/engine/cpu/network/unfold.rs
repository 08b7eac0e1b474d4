//! Twins of `shaders/network/unfold.wgsl` and `shaders/network/history.wgsl`.

use crate::engine::cpu::TwinBuffer::{self, Read, ReadWrite};
use crate::engine::cpu::threads::each_row;
use crate::kernel::network::{order, padding};
use crate::kernel::uniforms::{Dims, HistoryDims, Step, UnfoldDims};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/network/unfold.wgsl`.
pub(in crate::engine::cpu) fn unfold(
    dispatch: &Dispatch,
    _: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let (&Dims::Unfold(dims), [Read(x), Read(history), ReadWrite(y)]) = (&dispatch.dims, bindings)
    else {
        unreachable!("unfold is dispatched with UnfoldDims and three buffers");
    };
    let rows = (dims.rows * dims.outputs) as usize;
    let width = dims.width as usize;
    each_row(y, [dims.groups as usize * rows, width, width], |index, window| {
        let (group, row) = (index / rows, index % rows);
        Window::of(&dims, group, row).fill(x, history, window);
    });
}

/// The window of one output position of one row and group.
struct Window<'a> {
    dims: &'a UnfoldDims,
    n: usize,
    output: usize,
    first_channel: usize,
}

impl<'a> Window<'a> {
    fn of(dims: &'a UnfoldDims, group: usize, row: usize) -> Self {
        let (rows, outputs) = (dims.rows as usize, dims.outputs as usize);
        let (n, output) = if dims.order & order::TIME_MAJOR != 0 {
            (row % rows, row / rows)
        } else {
            (row / outputs, row % outputs)
        };
        Self { dims, n, output, first_channel: group * dims.channels as usize }
    }

    /// Writes the window, and zeros after it.
    fn fill(&self, x: &[f32], history: &[f32], window: &mut [f32]) {
        let (taps, channels) = (self.dims.kernel as usize, self.dims.channels as usize);
        let channels_first = self.dims.order & order::CHANNELS_FIRST != 0;
        let (values, rest) = window.split_at_mut(taps * channels);
        rest.fill(0.0);
        for tap in 0..taps {
            let source = self.source(tap);
            for channel in 0..channels {
                let at =
                    if channels_first { channel * taps + tap } else { tap * channels + channel };
                let channel = self.first_channel + channel;
                values[at] = match source {
                    Source::Zero => 0.0,
                    Source::History(first) => history[first + channel],
                    Source::Input(first) => {
                        x[first + channel * self.dims.x_channel_stride as usize]
                    }
                };
            }
        }
    }

    /// Returns the place that a tap reads.
    fn source(&self, tap: usize) -> Source {
        let &UnfoldDims { positions, stride, dilation, padding: before, mode, .. } = self.dims;
        let (positions, before) = (positions as usize, before as usize);
        // Counts from the first position of the padding.
        let position = self.output * stride as usize + tap * dilation as usize;
        let inner = match position.checked_sub(before) {
            Some(p) if p < positions => Some(p),
            after => match (mode, after) {
                (padding::REFLECT, None) => Some(before - position),
                (padding::REFLECT, Some(p)) => Some(2 * (positions - 1) - p),
                (padding::REPLICATE, None) => Some(0),
                (padding::REPLICATE, Some(_)) => Some(positions - 1),
                (padding::CIRCULAR, None) => Some(position + positions - before),
                (padding::CIRCULAR, Some(p)) => Some(p - positions),
                _ => None,
            },
        };
        match inner {
            Some(p) => Source::Input(
                self.n * self.dims.x_row_stride as usize + p * self.dims.x_position_stride as usize,
            ),
            None if mode == padding::HISTORY => {
                let channels = (self.dims.groups * self.dims.channels) as usize;
                Source::History((self.n * before + position) * channels)
            }
            None => Source::Zero,
        }
    }
}

/// The first value of a position.
#[derive(Clone, Copy)]
enum Source {
    Zero,
    History(usize),
    Input(usize),
}

/// Twin of `shaders/network/history.wgsl`.
pub(in crate::engine::cpu) fn history(
    dispatch: &Dispatch,
    _: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let (&Dims::History(dims), [Read(x), Read(before), Read(lengths), ReadWrite(next)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("history is dispatched with HistoryDims and four buffers");
    };
    let HistoryDims { rows, length, steps, .. } = dims;
    let (length, channels) = (length as usize, dims.channels as usize);
    let lengths: &[u32] = bytemuck::cast_slice(&lengths[..rows as usize]);
    for (row, &valid) in lengths.iter().enumerate() {
        let valid = valid.min(steps) as usize;
        for j in 0..length {
            let to = &mut next[(row * length + j) * channels..][..channels];
            to.copy_from_slice(match (valid + j).checked_sub(length) {
                None => &before[(row * length + valid + j) * channels..][..channels],
                Some(step) => {
                    let first = row * dims.x_row_stride as usize;
                    &x[first + step * dims.x_step_stride as usize..][..channels]
                }
            });
        }
    }
}
