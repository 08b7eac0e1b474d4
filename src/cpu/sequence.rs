//! Twins of `shaders/sequence.wgsl` with each of its cells.

use super::Binding::{self, Matrix as Weight, Read, ReadWrite};
use super::cell::{Gru, Lstm, Rnn, run};
use super::step::{Row, State, products};
use crate::dims::{Dims, SequenceDims, Step, StepDims};
use crate::kernel::override_value;
use crate::recording::Dispatch;

/// `sequence` with `cell/rnn.wgsl`.
pub(crate) fn sequence_rnn(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    let relu = override_value(&dispatch.overrides, "RELU") == 1;
    walk(dispatch, bindings, |row, sums, gates_x, _, next, _| run(Rnn { relu, sums, x: row.gates(gates_x), next }));
}

/// `sequence` with `cell/lstm.wgsl`.
pub(crate) fn sequence_lstm(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    walk(dispatch, bindings, |row, sums, gates_x, _, next, own| {
        let [ReadWrite(c)] = own else { unreachable!("sequence_lstm is dispatched with its c") };
        let c = &mut c[row.row * row.hidden_size..][row.units.clone()];
        run(Lstm { sums, x: row.gates(gates_x), c, next });
    });
}

/// `sequence` with `cell/gru.wgsl`.
pub(crate) fn sequence_gru(dispatch: &Dispatch, _: Step, bindings: &mut [Binding<'_>]) {
    walk(dispatch, bindings, |row, sums, gates_x, h, next, own| {
        let [Read(bias_hn)] = own else { unreachable!("sequence_gru is dispatched with its bias_hn") };
        let bias_hn = &bias_hn[row.slot * row.hidden_size..][row.units.clone()];
        run(Gru { sums, x: row.gates(gates_x), bias_hn, h, next });
    });
}

fn dims(dispatch: &Dispatch) -> &SequenceDims {
    let Dims::Sequence(dims) = &dispatch.dims else { unreachable!("a sequence is dispatched with SequenceDims") };
    dims
}

/// The schedule: step after step from one copy of the state to the other. `advance` makes the next h of a row, from its
/// sums, `gates_x`, its h and the cell's own bindings.
fn walk<const G: usize>(
    dispatch: &Dispatch,
    bindings: &mut [Binding<'_>],
    mut advance: impl FnMut(&Row, &[[f32; G]], &[f32], &[f32], &mut [f32], &mut [Binding<'_>]),
) {
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), own @ ..] = bindings
    else {
        unreachable!("a sequence is dispatched with its buffers")
    };
    let dims = dims(dispatch);
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
        slot: dims.slot,
        first_index: 0,
        lag: 0,
        steps: 0,
        pad: [0; 2],
    };
    let mut now = h_in.to_vec();
    let mut next = h_in.to_vec();
    for index in dims.first_index..dims.first_index + dims.steps {
        let mut state = State::new(dims.hidden_size, &now, &mut next, y);
        products(&step, Step { index, pad: [0; 3] }, (weight, &now, lengths), |row, sums| {
            state.update(row, |h, next| advance(row, sums, gates_x, h, next, own));
        });
        std::mem::swap(&mut now, &mut next);
    }
    h_out.copy_from_slice(&now);
}
