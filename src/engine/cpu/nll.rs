//! Twin of `shaders/head/nll.wgsl`.

use super::TwinBuffer::{self, Read, ReadWrite};
use super::log::log_exact;
use super::softmax::softmax_term;
use crate::kernel::uniforms::{Dims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/head/nll.wgsl`. Each element of `lanes` is the value of one invocation.
pub(crate) fn nll(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Nll(dims), [Read(logits), Read(targets), ReadWrite(losses)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("nll is dispatched with NllDims and three buffers");
    };
    let targets: &[u32] = bytemuck::cast_slice(targets);
    let mut lanes = vec![0.0; dispatch.overrides.workgroup_size as usize];
    let rows = logits.chunks_exact(dims.columns as usize).take(dims.rows as usize);
    for ((row, &target), loss) in rows.zip(targets).zip(losses.iter_mut()) {
        lanes.fill(row[0]);
        for columns in row.chunks(lanes.len()) {
            lanes.iter_mut().zip(columns).for_each(|(lane, &x)| *lane = lane.max(x));
        }
        let row_max = reduce(&mut lanes, f32::max);
        lanes.fill(0.0);
        for columns in row.chunks(lanes.len()) {
            lanes.iter_mut().zip(columns).for_each(|(lane, &x)| *lane += softmax_term(x - row_max));
        }
        let sum = reduce(&mut lanes, |a, b| a + b);
        *loss = row.get(target as usize).map_or(0.0, |x| log_exact(sum) + (row_max - x));
    }
}

/// Joins the two halves of the lanes until one lane is left.
fn reduce(lanes: &mut [f32], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = lanes.len() / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = join(*low, *high));
        half /= 2;
    }
    lanes[0]
}
