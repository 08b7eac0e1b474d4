//! Twins of `shaders/step.wgsl` with each of its cells, in one layer's directions or in the layers of a wave.

use std::ops::Range;

use super::Binding::{self, Matrix as Weight, Read, ReadWrite};
use super::cell::{Gru, Lstm, Rnn, run};
use super::matmul::{Matrix, multiply_transposed};
use super::panels::Panels;
use crate::dims::{Dims, Step, StepDims};
use crate::kernel::override_value;
use crate::plan::padded;
use crate::recording::Dispatch;

/// `step` with `cell/rnn.wgsl`.
pub(crate) fn step_rnn(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let relu = override_value(&dispatch.overrides, "RELU") == 1;
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths)] = bindings else {
        unreachable!("step_rnn is dispatched with its buffers")
    };
    let mut state = State::new(dims(dispatch).hidden_size, h_in, h_out, y);
    products(dims(dispatch), at, (weight, h_in, lengths), |row, sums| {
        state.update(row, |_, next| run(Rnn { relu, sums, x: row.gates(gates_x), next }));
    });
}

/// `step` with `cell/lstm.wgsl`.
pub(crate) fn step_lstm(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), ReadWrite(c)] =
        bindings
    else {
        unreachable!("step_lstm is dispatched with its buffers")
    };
    let mut state = State::new(dims(dispatch).hidden_size, h_in, h_out, y);
    products(dims(dispatch), at, (weight, h_in, lengths), |row, sums| {
        let c = &mut c[row.row * row.hidden_size..][row.units.clone()];
        state.update(row, |_, next| run(Lstm { sums, x: row.gates(gates_x), c, next }));
    });
}

/// `step` with `cell/gru.wgsl`.
pub(crate) fn step_gru(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), Read(bias_hn)] =
        bindings
    else {
        unreachable!("step_gru is dispatched with its buffers")
    };
    let mut state = State::new(dims(dispatch).hidden_size, h_in, h_out, y);
    products(dims(dispatch), at, (weight, h_in, lengths), |row, sums| {
        let bias_hn = &bias_hn[row.slot * row.hidden_size..][row.units.clone()];
        state.update(row, |h, next| run(Gru { sums, x: row.gates(gates_x), bias_hn, h, next }));
    });
}

/// `step` with `cell/lstm.wgsl` and `update/unprojected.wgsl`.
pub(crate) fn step_lstm_unprojected(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(gates_x), Weight(weight), Read(h_in), ReadWrite(m), Read(lengths), ReadWrite(c)] = bindings else {
        unreachable!("step_lstm_unprojected is dispatched with its buffers")
    };
    products(dims(dispatch), at, (weight, h_in, lengths), |row, sums| {
        if row.valid {
            let c = &mut c[row.row * row.hidden_size..][row.units.clone()];
            let next = &mut m[row.row * padded(row.hidden_size)..][row.units.clone()];
            run(Lstm { sums, x: row.gates(gates_x), c, next });
        }
    });
}

/// `step` with `cell/projection.wgsl`.
pub(crate) fn step_projection(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Weight(weight), Read(m), ReadWrite(h_out), ReadWrite(y), Read(lengths), Read(h_before)] = bindings else {
        unreachable!("step_projection is dispatched with its buffers")
    };
    let mut state = State::new(dims(dispatch).hidden_size, h_before, h_out, y);
    products(dims(dispatch), at, (weight, m, lengths), |row, sums: &[[f32; 1]]| {
        state.update(row, |_, next| next.copy_from_slice(sums.as_flattened()));
    });
}

/// The dispatch's units of one row, in one direction, at one step.
pub(super) struct Row {
    /// Where the direction is among its weights.
    pub(super) slot: usize,
    /// Of `[D, B]`.
    pub(super) row: usize,
    /// Of `[S, B, D]`, in a wave of `[L, S, B]`; none where a layer of a wave is not within the segment.
    y_row: Option<usize>,
    /// Of H.
    pub(super) units: Range<usize>,
    pub(super) hidden_size: usize,
    /// Whether the row's sequence reaches this step.
    valid: bool,
}

impl Row {
    /// `[U, G]` of `[S, B, D, H, G]`.
    pub(super) fn gates<'a, const G: usize>(&self, gates_x: &'a [f32]) -> &'a [[f32; G]] {
        &gates_x.as_chunks().0[self.y_row.unwrap_or(0) * self.hidden_size..][self.units.clone()]
    }
}

/// `update/state.wgsl`.
pub(super) struct State<'a> {
    state_size: usize,
    h_in: &'a [f32],
    h_out: &'a mut [f32],
    y: &'a mut [f32],
}

impl<'a> State<'a> {
    /// For units of H padded to quads.
    pub(super) fn new(hidden_size: u32, h_in: &'a [f32], h_out: &'a mut [f32], y: &'a mut [f32]) -> Self {
        Self { state_size: padded(hidden_size as usize), h_in, h_out, y }
    }

    /// Advances a row's units, or leaves them as they are where its sequence does not reach this step. `advance` is given
    /// their state and where the next goes, `[U]` each.
    pub(super) fn update(&mut self, row: &Row, advance: impl FnOnce(&[f32], &mut [f32])) {
        let h = &self.h_in[row.row * self.state_size..][row.units.clone()];
        let next = &mut self.h_out[row.row * self.state_size..][row.units.clone()];
        let y = row.y_row.map(|y_row| &mut self.y[y_row * self.state_size..][row.units.clone()]);
        if row.valid {
            advance(h, next);
        } else {
            next.copy_from_slice(h);
        }
        match y {
            Some(y) if row.valid => y.copy_from_slice(next),
            Some(y) => y.fill(0.0),
            None => {}
        }
    }
}

fn dims(dispatch: &Dispatch) -> &StepDims {
    let Dims::Step(dims) = &dispatch.dims else { unreachable!("a step is dispatched with StepDims") };
    dims
}

/// The schedule: the recurrent product, and then `update` for every row with its sums, `[U, G]`.
pub(super) fn products<const G: usize>(
    dims: &StepDims,
    at: Step,
    (weight, h_in, lengths): (&Panels, &[f32], &[f32]),
    mut update: impl FnMut(&Row, &[[f32; G]]),
) {
    let lengths: &[u32] = bytemuck::cast_slice(lengths);
    let (batch, directions, units) = (dims.batch as usize, dims.directions as usize, dims.units as usize);
    let (columns, first_unit) = (dims.state_quads as usize * 4, dims.unit_offset as usize);
    let mut sums = vec![[0.0; G]; batch * units];
    for d in 0..directions {
        let (t, y_rows) = visited(dims, at, d);
        let matrix = |rows, width, first| Matrix { rows, columns: width, offset: first * width, row_stride: width };
        // Rows whose sequence does not reach this step have nothing to sum.
        let mut first = 0;
        for rows in lengths.chunk_by(|a, b| (t < *a) == (t < *b)) {
            if t < rows[0] {
                multiply_transposed(
                    (h_in, matrix(rows.len(), columns, d * batch + first)),
                    (weight, dims.slot as usize + d),
                    &[],
                    (sums.as_flattened_mut(), matrix(rows.len(), units * G, first)),
                );
            }
            first += rows.len();
        }
        for (b, (&length, sums)) in lengths.iter().zip(sums.chunks_exact(units)).enumerate() {
            let row = Row {
                slot: dims.slot as usize + d,
                row: d * batch + b,
                y_row: y_rows.map(|(first, distance)| first + b * distance),
                units: first_unit..first_unit + units,
                hidden_size: dims.hidden_size as usize,
                valid: t < length,
            };
            update(&row, sums);
        }
    }
}

/// The time step that direction `d` visits, or in a wave layer `d` is at (`shared/directions.wgsl`, `update/wave.wgsl`),
/// and the first of its rows of `y` with the distance to the next. There are none where a layer of a wave is not within the
/// segment; its time is then more than any.
fn visited(dims: &StepDims, at: Step, d: usize) -> (u32, Option<(usize, usize)>) {
    let (batch, directions) = (dims.batch as usize, dims.directions as usize);
    if dims.lag == 0 {
        let elapsed = dims.first_step + at.index;
        let t = if d == 1 { dims.seq_len - 1 - elapsed } else { elapsed };
        return (t, Some((at.index as usize * batch * directions + d, directions)));
    }
    let begun = (dims.first_index + at.index).checked_sub(d as u32 * dims.lag);
    match begun.filter(|s| *s < dims.steps) {
        Some(s) => (dims.first_step + s, Some(((d * dims.steps as usize + s as usize) * batch, 1))),
        None => (u32::MAX, None),
    }
}
