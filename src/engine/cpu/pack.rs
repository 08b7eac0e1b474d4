//! Twins of `shaders/pack/pack.wgsl` and `shaders/pack/unpack.wgsl`.

use super::TwinBuffer::{self, Read, ReadWrite};
use crate::kernel::uniforms::{Dims, PackDims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/pack/pack.wgsl`.
pub(crate) fn pack(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Pack(dims), [Read(x), ReadWrite(y)]) = (&dispatch.dims, bindings) else {
        unreachable!("pack is dispatched with PackDims and two buffers");
    };
    let features = dims.features as usize;
    for (row, theirs) in y.chunks_exact_mut(dims.width as usize).zip(rows(dims)) {
        let (values, padding) = row.split_at_mut(features);
        // Without features, x may end before the row's offset.
        if features > 0 {
            values.copy_from_slice(&x[theirs..][..features]);
        }
        padding.fill(0.0);
    }
}

/// Twin of `shaders/pack/unpack.wgsl`.
pub(crate) fn unpack(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Pack(dims), [Read(x), ReadWrite(y)]) = (&dispatch.dims, bindings) else {
        unreachable!("unpack is dispatched with PackDims and two buffers");
    };
    let features = dims.features as usize;
    for (row, theirs) in x.chunks_exact(dims.width as usize).zip(rows(dims)) {
        y[theirs..][..features].copy_from_slice(&row[..features]);
    }
}

/// Iterates the rows of a plan's buffer and returns each row's offset in the caller's buffer.
fn rows(dims: &PackDims) -> impl Iterator<Item = usize> {
    let &PackDims { steps, batch, directions, features, first_step, seq_len, .. } = dims;
    let &PackDims { offset, step_stride, row_stride, .. } = dims;
    (first_step..first_step + steps).flat_map(move |elapsed| {
        (0..batch).flat_map(move |b| {
            (0..directions).map(move |d| {
                let t = if d == 1 { seq_len - 1 - elapsed } else { elapsed };
                (offset + t * step_stride + b * row_stride + d * features) as usize
            })
        })
    })
}
