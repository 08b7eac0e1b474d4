//! Twins of `shaders/sequence.wgsl` with each of its cells.

use super::Binding::{self, Read, ReadWrite};
use super::activation::{relu, tanh_exact};
use super::step::{At, gates, gru, lstm, products};
use crate::dims::{Dims, SequenceDims, Step, StepDims};
use crate::kernel::override_value;
use crate::recording::Dispatch;

/// `sequence` with `cell/rnn.wgsl`.
pub(crate) fn sequence_rnn(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    let nonlinearity = if override_value(&dispatch.overrides, "RELU") == 1 { relu } else { tanh_exact };
    walk(dispatch, bindings, |_, sums: &[f32; 1], x, _, _| nonlinearity(sums[0] + x[0]));
}

/// `sequence` with `cell/lstm.wgsl`.
pub(crate) fn sequence_lstm(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    let hidden_size = dims(dispatch).hidden_size as usize;
    walk(dispatch, bindings, |at, sums, x, _, own| {
        let [ReadWrite(c)] = own else { unreachable!("sequence_lstm is dispatched with its c") };
        lstm(sums, x, &mut c[at.row * hidden_size + at.j])
    });
}

/// `sequence` with `cell/gru.wgsl`.
pub(crate) fn sequence_gru(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    let hidden_size = dims(dispatch).hidden_size as usize;
    walk(dispatch, bindings, |at, sums, x, h, own| {
        let [Read(bias_hn)] = own else { unreachable!("sequence_gru is dispatched with its bias_hn") };
        gru(sums, x, bias_hn[at.d * hidden_size + at.j], h)
    });
}

fn dims(dispatch: &Dispatch) -> &SequenceDims {
    let Dims::Sequence(dims) = &dispatch.dims else { unreachable!("a sequence is dispatched with SequenceDims") };
    dims
}

/// The schedule: step after step from one copy of the state to the other. `advance` gives the next h of a unit, from its
/// sums, its projected inputs, its h and the cell's own bindings.
fn walk<const G: usize>(
    dispatch: &Dispatch,
    bindings: &mut [Binding<'_>],
    mut advance: impl FnMut(At, &[f32; G], &[f32; G], f32, &mut [Binding<'_>]) -> f32,
) {
    let [Read(gates_x), Read(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), own @ ..] = bindings
    else {
        unreachable!("a sequence is dispatched with its buffers")
    };
    let dims = dims(dispatch);
    let (hidden_size, state_size) = (dims.hidden_size as usize, dims.state_quads as usize * 4);
    // All units at once; the product does not look at tiles.
    let step = StepDims {
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
        pad: [0; 2],
    };
    let mut now = h_in.to_vec();
    let mut next = h_in.to_vec();
    for index in dims.first_index..dims.first_index + dims.steps {
        products(&step, Step { index, pad: [0; 3] }, (weight, &now, lengths), |at, sums| {
            let here = at.row * state_size + at.j;
            let x = gates(gates_x, at.y_row * hidden_size + at.j);
            next[here] = if at.valid { advance(at, sums, x, now[here], own) } else { now[here] };
            y[at.y_row * state_size + at.j] = if at.valid { next[here] } else { 0.0 };
        });
        std::mem::swap(&mut now, &mut next);
    }
    h_out.copy_from_slice(&now);
}
