//! Twin of `shaders/recurrence/persistent.wgsl`. All steps run in order, so nobody waits.

use bytemuck::Zeroable;

use super::TwinBuffer::{self, Matrix as Weight, Read, ReadWrite};
use super::step::{Buffers, advance, of_one_shard};
use crate::kernel::persistent::EXCHANGE_START;
use crate::kernel::uniforms::{Dims, Step, StepDims};
use crate::plan::recording::Dispatch;

/// Twin of `persistent`: runs all steps of a dispatch, alternating between two copies of the state.
pub(crate) fn persistent(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [
        Read(gates_x),
        Weight(weight),
        Read(h_in),
        ReadWrite(h_out),
        ReadWrite(y),
        Read(lengths),
        ReadWrite(exchange),
        own @ ..,
    ] = bindings
    else {
        unreachable!("persistent is dispatched with its buffers")
    };
    let Dims::Persistent(dims) = &dispatch.dims else {
        unreachable!("persistent is dispatched with PersistentDims")
    };
    let step_dims = of_one_shard(StepDims {
        seq_len: dims.seq_len,
        first_step: dims.first_step,
        batch: dims.batch,
        directions: dims.directions,
        hidden_size: dims.hidden_size,
        state_quads: dims.state_quads,
        weight_base: dims.weight_base,
        ..StepDims::zeroed()
    });
    let (units, width) = (dims.hidden_size as usize, dims.state_quads as usize * 4);
    let states = (dims.directions * dims.batch) as usize * width;
    let slot = |index: u32| EXCHANGE_START + index as usize * states;
    let mut now = match dims.first_index.checked_sub(1) {
        None => h_in[..states].iter().map(|&h| exchanged(h)).collect(),
        Some(before) => exchange[slot(before)..][..states].to_vec(),
    };
    let mut next = now.clone();
    let end = dims.first_index + dims.steps;
    for index in dims.first_index..end {
        let of = Buffers { gates_x, weight, h_in: &now, h_out: &mut next, y, lengths };
        advance(dispatch, &step_dims, Step { index, pad: [0; 3] }, of, own);
        std::mem::swap(&mut now, &mut next);
        for row in now.chunks_exact_mut(width) {
            row[..units].iter_mut().for_each(|h| *h = exchanged(*h));
            row[units..].fill(-0.0);
        }
        if dispatch.overrides.alone == 0 || index + 1 == end {
            exchange[slot(index)..][..states].copy_from_slice(&now);
        }
    }
    for (out, h) in h_out.chunks_exact_mut(width).zip(now.chunks_exact(width)) {
        out.iter_mut().zip(&h[..units]).for_each(|(out, &h)| *out = restored(h));
    }
}

/// A value as workgroups exchange it: −0 replaces +0.
pub(super) fn exchanged(h: f32) -> f32 {
    if h == 0.0 { -0.0 } else { h }
}

/// A state after the exchange: +0 came back as −0.
pub(super) fn restored(h: f32) -> f32 {
    if h == 0.0 { 0.0 } else { h }
}
