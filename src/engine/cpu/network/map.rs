//! Twin of `shaders/network/map.wgsl`.

use super::function::activate;
use crate::engine::cpu::TwinBuffer::{self, Read, ReadWrite};
use crate::engine::cpu::threads::each_row;
use crate::kernel::network::operation;
use crate::kernel::uniforms::{Dims, MapDims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/network/map.wgsl`.
pub(in crate::engine::cpu) fn map(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (&Dims::Map(dims), [Read(x), Read(other), ReadWrite(y)]) = (&dispatch.dims, bindings)
    else {
        unreachable!("map is dispatched with MapDims and three buffers");
    };
    let MapDims { x_stride, other_stride, other_step, .. } = dims;
    let [rows, y_stride, features] =
        [dims.rows, dims.y_stride, dims.features].map(|size| size as usize);
    // A function takes about as long as 16 products.
    each_row(y, [rows, y_stride, features * 16], |row, y| {
        let x = &x[row * x_stride as usize..];
        let other = &other[row * other_stride as usize..];
        let y = &mut y[..features];
        match dims.operation {
            operation::ADD => joined(y, x, other, other_step, |a, b| a + b),
            operation::MULTIPLY => joined(y, x, other, other_step, |a, b| a * b),
            operation::MAGNITUDE => {
                joined(y, x, &x[features..], 1, |a, b| (a * a + b * b).sqrt());
            }
            _ => y.copy_from_slice(&x[..features]),
        }
        activate(dims.function, dims.slope, y);
    });
}

#[inline(always)]
fn joined(y: &mut [f32], x: &[f32], other: &[f32], step: u32, join: impl Fn(f32, f32) -> f32) {
    if step == 0 {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = join(x, other[0]));
    } else {
        y.iter_mut().zip(x).zip(other).for_each(|((y, &x), &other)| *y = join(x, other));
    }
}
