//! Twins of `shaders/network/layer_norm.wgsl` and `shaders/network/softmax.wgsl`.

use super::sum_of;
use crate::engine::cpu::TwinBuffer::{self, Read, ReadWrite};
use crate::engine::cpu::log::log_exact;
use crate::engine::cpu::softmax::softmax_term;
use crate::engine::cpu::threads::each_row;
use crate::kernel::uniforms::{Dims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/network/layer_norm.wgsl`.
pub(in crate::engine::cpu) fn layer_norm(
    dispatch: &Dispatch,
    _: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let (&Dims::LayerNorm(dims), [Read(x), Read(scale), Read(shift), ReadWrite(y)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("layer_norm is dispatched with LayerNormDims and four buffers");
    };
    let [rows, stride, features] =
        [dims.rows, dims.stride, dims.features].map(|size| size as usize);
    each_row(y, [rows, stride, features * 4], |row, y| {
        let x = &x[row * stride..][..features];
        let origin = x[0];
        let mean = sum_of(features, |i| x[i] - origin) / features as f32;
        let distance = |x: f32| (x - origin) - mean;
        let variance = sum_of(features, |i| distance(x[i]) * distance(x[i])) / features as f32;
        let rate = 1.0 / (variance + dims.eps).sqrt();
        for (((y, &x), scale), shift) in y.iter_mut().zip(x).zip(*scale).zip(*shift) {
            *y = distance(x) * rate * scale + shift;
        }
    });
}

/// Twin of `shaders/network/softmax.wgsl`.
pub(in crate::engine::cpu) fn softmax(
    dispatch: &Dispatch,
    _: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let (&Dims::Softmax(dims), [Read(x), Read(lengths), ReadWrite(y)]) = (&dispatch.dims, bindings)
    else {
        unreachable!("softmax is dispatched with SoftmaxDims and three buffers");
    };
    let [rows, stride, columns] = [dims.rows, dims.stride, dims.columns].map(|size| size as usize);
    each_row(y, [rows, stride, columns * 32], |row, y| {
        let valid = match dims.batch as usize {
            0 => columns,
            batch => (lengths[row % batch].to_bits() as usize).clamp(1, columns),
        };
        let x = &x[row * stride..][..columns];
        let (y, masked) = y[..columns].split_at_mut(valid);
        let row_max = x[..valid].iter().fold(x[0], |most, &x| most.max(x));
        let sum = sum_of(valid, |i| softmax_term(x[i] - row_max));
        let log_sum = log_exact(sum);
        for (y, x) in y.iter_mut().zip(x) {
            let z = x - row_max;
            *y = if dims.is_log == 1 { z - log_sum } else { softmax_term(z) / sum };
        }
        masked.fill(0.0);
    });
}
