//! Twins of `shaders/network/scores.wgsl` and `shaders/network/context.wgsl`.

use wgpu_rnn_simd::activation::tanh_exact;
use wgpu_rnn_simd::add_scaled;

use super::sum_of;
use crate::engine::cpu::TwinBuffer::{self, Read, ReadWrite};
use crate::engine::cpu::threads::each_row;
use crate::kernel::uniforms::{Dims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/network/scores.wgsl`.
pub(in crate::engine::cpu) fn scores(
    dispatch: &Dispatch,
    _: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let (&Dims::Scores(dims), [Read(query), Read(keys), Read(scale), ReadWrite(y)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("scores is dispatched with ScoresDims and four buffers");
    };
    let (batch, steps, features) =
        (dims.batch as usize, dims.steps as usize, dims.features as usize);
    each_row(y, [batch, dims.y_stride as usize, steps * features * 16], |row, y| {
        let q = &query[row * dims.query_stride as usize..][..features];
        for (step, y) in y[..steps].iter_mut().enumerate() {
            let k = &keys[(step * batch + row) * dims.keys_stride as usize..][..features];
            *y = if dims.additive == 1 {
                sum_of(features, |i| scale[i] * tanh_exact(q[i] + k[i]))
            } else {
                sum_of(features, |i| q[i] * k[i])
            };
        }
    });
}

/// Twin of `shaders/network/context.wgsl`.
pub(in crate::engine::cpu) fn context(
    dispatch: &Dispatch,
    _: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let (&Dims::Context(dims), [Read(shares), Read(memory), ReadWrite(y)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("context is dispatched with ContextDims and three buffers");
    };
    let (batch, steps, features) =
        (dims.batch as usize, dims.steps as usize, dims.features as usize);
    each_row(y, [batch, dims.y_stride as usize, steps * features], |row, y| {
        let y = &mut y[..features];
        y.fill(0.0);
        let shares = &shares[row * dims.shares_stride as usize..][..steps];
        for (step, &share) in shares.iter().enumerate() {
            let values = &memory[(step * batch + row) * dims.memory_stride as usize..];
            add_scaled(y, share, values);
        }
    });
}
