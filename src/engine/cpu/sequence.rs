//! Twin of `shaders/recurrence/sequence.wgsl`.

use bytemuck::Zeroable;

use super::TwinBuffer::{self, Matrix as Weight, Read, ReadWrite};
use super::step::{Buffers, advance, of_one_shard};
use crate::kernel::uniforms::{Dims, Step, StepDims};
use crate::plan::recording::Dispatch;

/// Twin of `sequence`: runs all steps of a dispatch, alternating between two copies of the state.
pub(crate) fn sequence(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [
        Read(gates_x),
        Weight(weight),
        Read(h_in),
        ReadWrite(h_out),
        ReadWrite(y),
        Read(lengths),
        own @ ..,
    ] = bindings
    else {
        unreachable!("a sequence is dispatched with its buffers")
    };
    let Dims::Sequence(dims) = &dispatch.dims else {
        unreachable!("a sequence is dispatched with SequenceDims")
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
    // Buffers may be larger than a dispatch needs.
    let states = (dims.directions * dims.batch * dims.state_quads * 4) as usize;
    let mut now = h_in[..states].to_vec();
    let mut next = now.clone();
    for index in dims.first_index..dims.first_index + dims.steps {
        let of = Buffers { gates_x, weight, h_in: &now, h_out: &mut next, y, lengths };
        advance(dispatch, &step_dims, Step { index, pad: [0; 3] }, of, own);
        std::mem::swap(&mut now, &mut next);
    }
    h_out[..states].copy_from_slice(&now);
}
