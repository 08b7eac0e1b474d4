//! Twins of `shaders/recurrence/step.wgsl` and `step_tiled.wgsl`. They run one layer's directions,
//! or the layers of a wave.

use super::TwinBuffer::{self, Matrix as Weight, Read, ReadWrite};
use super::cell::{Gru, Lstm, Rnn, run};
use super::panels::Panels;
use super::recurrence::{Written, step};
use crate::kernel::Cell;
use crate::kernel::uniforms::{Dims, Step, StepDims};
use crate::plan::recording::Dispatch;

/// The buffers that every cell reads and writes; see `shaders/recurrence/step.wgsl`.
pub(super) struct Buffers<'a> {
    pub gates_x: &'a [f32],
    pub weight: &'a Panels,
    pub h_in: &'a [f32],
    pub h_out: &'a mut [f32],
    pub y: &'a mut [f32],
    pub lengths: &'a [f32],
}

/// Runs one step of `cell/rnn.wgsl`.
fn rnn(dims: &StepDims, at: Step, relu: bool, of: Buffers<'_>) {
    let Buffers { gates_x, weight, h_in, h_out, y, lengths } = of;
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, h_in, lengths), written, |row, sums, [next, y]| {
        row.update(h_in, [next, y], |_, next| run(Rnn { relu, sums, x: row.gates(gates_x), next }));
    });
}

/// Runs one step of `cell/lstm.wgsl`.
fn lstm(dims: &StepDims, at: Step, of: Buffers<'_>, c: &mut [f32]) {
    let Buffers { gates_x, weight, h_in, h_out, y, lengths } = of;
    let written =
        [Written::state(h_out, dims), Written::output(y, dims, at), Written::cells(c, dims)];
    step(dims, at, (weight, h_in, lengths), written, |row, sums, [next, y, c]| {
        row.update(h_in, [next, y], |_, next| run(Lstm { sums, x: row.gates(gates_x), c, next }));
    });
}

/// Runs one step of `cell/gru.wgsl`.
fn gru(dims: &StepDims, at: Step, of: Buffers<'_>, bias_hn: &[f32]) {
    let Buffers { gates_x, weight, h_in, h_out, y, lengths } = of;
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, h_in, lengths), written, |row, sums, [next, y]| {
        let bias_hn = &bias_hn[row.matrix * row.hidden_size..][row.units.clone()];
        row.update(h_in, [next, y], |h, next| {
            run(Gru { sums, x: row.gates(gates_x), bias_hn, h, next })
        });
    });
}

/// Runs one step of the dispatch's cell. `own` has the cell's own bindings.
pub(super) fn advance(
    dispatch: &Dispatch,
    dims: &StepDims,
    at: Step,
    of: Buffers<'_>,
    own: &mut [TwinBuffer<'_>],
) {
    match (dispatch.kernel.cell, own) {
        (Some(Cell::Rnn), []) => rnn(dims, at, dispatch.overrides.relu == 1, of),
        (Some(Cell::Lstm), [ReadWrite(c)]) => lstm(dims, at, of, c),
        (Some(Cell::Gru), [Read(bias_hn)]) => gru(dims, at, of, bias_hn),
        _ => unreachable!("{} is dispatched with its cell's bindings", dispatch.kernel.name()),
    }
}

/// Returns the sizes of a step whose units form one shard. The CPU's product ignores tiles.
pub(super) fn of_one_shard(dims: StepDims) -> StepDims {
    StepDims { units: dims.hidden_size, unit_tiles: 1, row_tiles: 1, ..dims }
}

/// Twin of `step` and `step_tiled` with a cell.
pub(crate) fn step_of_cell(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
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
        unreachable!("a step is dispatched with its buffers")
    };
    let of = Buffers { gates_x, weight, h_in, h_out, y, lengths };
    advance(dispatch, dims(dispatch), at, of, own);
}

/// Twin of `step` with `cell/lstm.wgsl` and `update/unprojected.wgsl`.
pub(crate) fn step_lstm_unprojected(
    dispatch: &Dispatch,
    at: Step,
    bindings: &mut [TwinBuffer<'_>],
) {
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(m), Read(lengths), ReadWrite(c)] =
        bindings
    else {
        unreachable!("step_lstm_unprojected is dispatched with its buffers")
    };
    let dims = dims(dispatch);
    step(
        dims,
        at,
        (weight, h_in, lengths),
        [Written::state(m, dims), Written::cells(c, dims)],
        |row, sums, [next, c]| {
            if row.valid {
                run(Lstm { sums, x: row.gates(gates_x), c, next });
            }
        },
    );
}

/// Twin of `step` with `cell/projection.wgsl`.
pub(crate) fn step_projection(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [Weight(weight), Read(m), ReadWrite(h_out), ReadWrite(y), Read(lengths), Read(h_before)] =
        bindings
    else {
        unreachable!("step_projection is dispatched with its buffers")
    };
    let dims = dims(dispatch);
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, m, lengths), written, |row, sums: &[[f32; 1]], [next, y]| {
        row.update(h_before, [next, y], |_, next| next.copy_from_slice(sums.as_flattened()));
    });
}

fn dims(dispatch: &Dispatch) -> &StepDims {
    let Dims::Step(dims) = &dispatch.dims else {
        unreachable!("a step is dispatched with StepDims")
    };
    dims
}
