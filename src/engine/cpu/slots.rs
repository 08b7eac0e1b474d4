//! Twins of `shaders/pool/gather.wgsl` and `shaders/pool/scatter.wgsl`.

use super::TwinBuffer::{self, Read, ReadWrite};
use crate::kernel::families::NO_SLOT;
use crate::kernel::uniforms::{Dims, SlotsDims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `shaders/pool/gather.wgsl`.
pub(crate) fn gather(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Slots(dims), [Read(slots), Read(store), ReadWrite(state)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("gather is dispatched with SlotsDims and three buffers");
    };
    for (place, state) in places(dims, slots).zip(state.chunks_exact_mut(dims.width as usize)) {
        match place {
            Some(place) => state.copy_from_slice(&store[place..][..state.len()]),
            None => state.fill(0.0),
        }
    }
}

/// Twin of `shaders/pool/scatter.wgsl`.
pub(crate) fn scatter(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (Dims::Slots(dims), [Read(slots), Read(state), ReadWrite(store)]) =
        (&dispatch.dims, bindings)
    else {
        unreachable!("scatter is dispatched with SlotsDims and three buffers");
    };
    for (place, state) in places(dims, slots).zip(state.chunks_exact(dims.width as usize)) {
        if let Some(place) = place {
            store[place..][..state.len()].copy_from_slice(state);
        }
    }
}

/// Iterates the rows and returns each slot's offset in the store, or `None` for a row without a
/// slot.
fn places(dims: &SlotsDims, slots: &[f32]) -> impl Iterator<Item = Option<usize>> {
    let (stride, offset) = (dims.stride as usize, dims.offset as usize);
    let place = move |slot: &f32| {
        let slot = slot.to_bits();
        (slot != NO_SLOT).then_some(slot as usize * stride + offset)
    };
    slots[..dims.rows as usize].iter().map(place)
}
