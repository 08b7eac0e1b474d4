//! Twins of `shaders/recurrence/step.wgsl` and `step_tiled.wgsl`. They run one layer's directions,
//! or the layers of a wave.

use wgpu_rnn_simd::{Gru, Lstm, Panels, Rnn};

use super::TwinBuffer::{self, Matrix as Weight, Read, ReadWrite};
use super::recurrence::{BatchRow, step};
use super::variant::Variant;
use super::written::Written;
use crate::kernel::uniforms::{Dims, Step, StepDims};
use crate::kernel::{Cell, Kernel};
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

/// Runs one step of `cell/rnn.wgsl`, or of the variant with these settings.
fn rnn(dims: &StepDims, at: Step, relu: bool, of: Buffers<'_>, variant: Option<&[f32]>) {
    let Buffers { gates_x, weight, h_in, h_out, y, lengths } = of;
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, h_in, lengths), written, |row, sums, [next, y]| {
        let x = row.gates(gates_x);
        row.update(h_in, [next, y], |_, next| match variant {
            None => Rnn { relu, sums, x, next }.run(),
            Some(words) => Variant::of(words, row.matrix).rnn(sums, x, next),
        });
    });
}

/// Runs one step of `cell/lstm.wgsl`, or of the variant with these settings.
fn lstm(dims: &StepDims, at: Step, of: Buffers<'_>, c: &mut [f32], variant: Option<&[f32]>) {
    let Buffers { gates_x, weight, h_in, h_out, y, lengths } = of;
    let written =
        [Written::state(h_out, dims), Written::output(y, dims, at), Written::cells(c, dims)];
    step(dims, at, (weight, h_in, lengths), written, |row, sums, [next, y, c]| {
        row.update(h_in, [next, y], |_, next| advance_lstm(row, sums, gates_x, c, next, variant));
    });
}

/// Advances c of a row's units and writes o∘tanh(c'), or what a variant has, to `next`.
fn advance_lstm(
    row: &BatchRow,
    sums: &[[f32; 4]],
    gates_x: &[f32],
    c: &mut [f32],
    next: &mut [f32],
    variant: Option<&[f32]>,
) {
    let x = row.gates(gates_x);
    match variant {
        None => Lstm { sums, x, c, next }.run(),
        Some(words) => {
            let units = (row.units.clone(), row.hidden_size);
            Variant::of(words, row.matrix).lstm(units, sums, x, c, next);
        }
    }
}

/// Runs one step of `cell/gru.wgsl`, or of the variant with these settings.
fn gru(dims: &StepDims, at: Step, of: Buffers<'_>, bias_hn: &[f32], variant: Option<&[f32]>) {
    let Buffers { gates_x, weight, h_in, h_out, y, lengths } = of;
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, h_in, lengths), written, |row, sums, [next, y]| {
        let bias_hn = &bias_hn[row.matrix * row.hidden_size..][row.units.clone()];
        let x = row.gates(gates_x);
        row.update(h_in, [next, y], |h, next| match variant {
            None => Gru { sums, x, bias_hn, h, next }.run(),
            Some(words) => Variant::of(words, row.matrix).gru(sums, x, [bias_hn, h], next),
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
    let kernel = dispatch.kernel;
    let (own, variant) = without_variant(kernel, own);
    match (kernel.cell, own) {
        (Some(Cell::Rnn), []) => rnn(dims, at, dispatch.overrides.relu == 1, of, variant),
        (Some(Cell::Lstm), [ReadWrite(c)]) => lstm(dims, at, of, c, variant),
        (Some(Cell::Gru), [Read(bias_hn)]) => gru(dims, at, of, bias_hn, variant),
        _ => unreachable!("{} is dispatched with its cell's bindings", kernel.name()),
    }
}

/// Splits the settings of a variant, which come last, from other bindings.
fn without_variant<'a, 'b>(
    kernel: Kernel,
    bindings: &'b mut [TwinBuffer<'a>],
) -> (&'b mut [TwinBuffer<'a>], Option<&'a [f32]>) {
    let count = bindings.len().saturating_sub(usize::from(kernel.variant));
    let (others, last) = bindings.split_at_mut(count);
    let words = match last {
        [Read(words)] => Some(*words),
        _ => None,
    };
    (others, words)
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

/// Twin of `step` with `update/unprojected.wgsl`.
pub(crate) fn step_unprojected(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(m), Read(lengths), own @ ..] =
        bindings
    else {
        unreachable!("step_unprojected is dispatched with its buffers")
    };
    let dims = dims(dispatch);
    let (product, m) = ((&**weight, &**h_in, &**lengths), Written::state(m, dims));
    let (own, variant) = without_variant(dispatch.kernel, own);
    match (dispatch.kernel.cell, own) {
        (Some(Cell::Lstm), [ReadWrite(c)]) => {
            step(dims, at, product, [m, Written::cells(c, dims)], |row, sums, [next, c]| {
                if row.valid {
                    advance_lstm(row, sums, gates_x, c, next, variant);
                }
            });
        }
        (Some(Cell::Reset), [ReadWrite(z), Read(words)]) => {
            step(dims, at, product, [m, Written::state(z, dims)], |row, sums, [m, z]| {
                if row.valid {
                    let h = row.state(h_in);
                    Variant::of(words, row.matrix).reset(sums, row.gates(gates_x), h, [m, z]);
                }
            });
        }
        _ => unreachable!("step_unprojected is dispatched with its cell's buffers"),
    }
}

/// Twin of `step` with `cell/projection.wgsl`.
pub(crate) fn step_projection(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (bindings, variant) = without_variant(dispatch.kernel, bindings);
    let [Weight(weight), Read(m), ReadWrite(h_out), ReadWrite(y), Read(lengths), Read(h_before)] =
        bindings
    else {
        unreachable!("step_projection is dispatched with its buffers")
    };
    let dims = dims(dispatch);
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, m, lengths), written, |row, sums: &[[f32; 1]], [next, y]| {
        row.update(h_before, [next, y], |_, next| match variant {
            Some(words) => Variant::of(words, row.matrix).projection(sums, next),
            None => next.copy_from_slice(sums.as_flattened()),
        });
    });
}

/// Twin of `step` with `cell/candidate.wgsl`.
pub(crate) fn step_candidate(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [
        Read(gates_x),
        Weight(weight),
        Read(m),
        ReadWrite(h_out),
        ReadWrite(y),
        Read(lengths),
        Read(h_before),
        Read(words),
    ] = bindings
    else {
        unreachable!("step_candidate is dispatched with its buffers")
    };
    let dims = dims(dispatch);
    let written = [Written::state(h_out, dims), Written::output(y, dims, at)];
    step(dims, at, (weight, m, lengths), written, |row, sums, [next, y]| {
        let x = row.gates(gates_x);
        row.update(h_before, [next, y], |h, next| {
            Variant::of(words, row.matrix).update(sums, x, h, next);
        });
    });
}

fn dims(dispatch: &Dispatch) -> &StepDims {
    let Dims::Step(dims) = &dispatch.dims else {
        unreachable!("a step is dispatched with StepDims")
    };
    dims
}
