//! Twin of `shaders/score.wgsl`.

use super::Binding::{self, Read, ReadWrite};
use super::log::log_exact;
use super::softmax::softmax_term;
use crate::kernel::override_value;
use crate::kernel::uniforms::{Dims, Step};
use crate::plan::recording::Dispatch;

/// See `shaders/score.wgsl`; what an invocation holds is an element of `lanes`.
pub(crate) fn score(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    let (Dims::Score(dims), [Read(logits), Read(targets), ReadWrite(nll)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("score is dispatched with ScoreDims and three buffers");
    };
    let targets: &[u32] = bytemuck::cast_slice(targets);
    let mut lanes = vec![0.0; override_value(&dispatch.overrides, "WORKGROUP_SIZE") as usize];
    let rows = logits.chunks_exact(dims.columns as usize).take(dims.rows as usize);
    for ((row, &target), nll) in rows.zip(targets).zip(nll.iter_mut()) {
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
        *nll = row.get(target as usize).map_or(0.0, |x| log_exact(sum) + (row_max - x));
    }
}

/// Halves the lanes until one is left.
fn reduce(lanes: &mut [f32], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = lanes.len() / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = join(*low, *high));
        half /= 2;
    }
    lanes[0]
}
