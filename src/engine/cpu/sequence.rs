//! Twins of `shaders/recurrence/sequence.wgsl`, one per cell.

use super::TwinBuffer::{self, Matrix as Weight, Read, ReadWrite};
use super::step::{Buffers, gru, lstm, rnn};
use crate::kernel::uniforms::{Dims, Step, StepDims};
use crate::plan::recording::Dispatch;

/// Twin of `sequence` with `cell/rnn.wgsl`.
pub(crate) fn sequence_rnn(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let relu = dispatch.overrides.relu == 1;
    iterate(dispatch, bindings, |dims, at, of, _| rnn(dims, at, relu, of));
}

/// Twin of `sequence` with `cell/lstm.wgsl`.
pub(crate) fn sequence_lstm(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    iterate(dispatch, bindings, |dims, at, of, own| {
        let [ReadWrite(c)] = own else { unreachable!("sequence_lstm is dispatched with its c") };
        lstm(dims, at, of, c);
    });
}

/// Twin of `sequence` with `cell/gru.wgsl`.
pub(crate) fn sequence_gru(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    iterate(dispatch, bindings, |dims, at, of, own| {
        let [Read(bias_hn)] = own else {
            unreachable!("sequence_gru is dispatched with its bias_hn")
        };
        gru(dims, at, of, bias_hn);
    });
}

/// Runs all steps of a dispatch, alternating between two copies of the state. `step` also takes the
/// cell's own bindings.
fn iterate(
    dispatch: &Dispatch,
    bindings: &mut [TwinBuffer<'_>],
    step: impl Fn(&StepDims, Step, Buffers<'_>, &mut [TwinBuffer<'_>]),
) {
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
    // All units form one shard; the CPU's product ignores tiles.
    let step_dims = StepDims {
        seq_len: dims.seq_len,
        first_step: dims.first_step,
        batch: dims.batch,
        directions: dims.directions,
        hidden_size: dims.hidden_size,
        state_quads: dims.state_quads,
        units: dims.hidden_size,
        unit_offset: 0,
        unit_tiles: 1,
        row_tiles: 1,
        weight_base: dims.weight_base,
        first_index: 0,
        layer_delay: 0,
        steps: 0,
        pad: [0; 2],
    };
    // Buffers may be larger than a dispatch needs.
    let states = (dims.directions * dims.batch * dims.state_quads * 4) as usize;
    let mut now = h_in[..states].to_vec();
    let mut next = now.clone();
    for index in dims.first_index..dims.first_index + dims.steps {
        let of = Buffers { gates_x, weight, h_in: &now, h_out: &mut next, y, lengths };
        step(&step_dims, Step { index, pad: [0; 3] }, of, own);
        std::mem::swap(&mut now, &mut next);
    }
    h_out[..states].copy_from_slice(&now);
}
