//! Twins of `shaders/step.wgsl` with each of its cells.

use super::Binding::{self, Read, ReadWrite};
use super::activation::{relu, sigmoid, tanh_exact};
use super::matmul::{Matrix, multiply_transposed};
use crate::dims::{Dims, Step, StepDims};
use crate::kernel::override_value;
use crate::plan::padded;
use crate::recording::Dispatch;

/// `step` with `cell/rnn.wgsl`.
pub(crate) fn step_rnn(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let nonlinearity = if override_value(&dispatch.overrides, "RELU") == 1 { relu } else { tanh_exact };
    let [Read(gates_x), Read(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths)] = bindings else {
        unreachable!("step_rnn is dispatched with its buffers")
    };
    let mut state = State::new(dispatch, gates_x, h_in, h_out, y);
    products(dims(dispatch), at, (weight, h_in, lengths), |at, sums: &[f32; 1]| {
        state.update(at, |x: &[f32; 1], _| nonlinearity(sums[0] + x[0]));
    });
}

/// `step` with `cell/lstm.wgsl`.
pub(crate) fn step_lstm(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(gates_x), Read(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), ReadWrite(c)] =
        bindings
    else {
        unreachable!("step_lstm is dispatched with its buffers")
    };
    let mut state = State::new(dispatch, gates_x, h_in, h_out, y);
    products(dims(dispatch), at, (weight, h_in, lengths), |at, sums: &[f32; 4]| {
        let cell = &mut c[at.row * state.hidden_size + at.j];
        state.update(at, |x, _| lstm(sums, x, cell));
    });
}

/// `step` with `cell/gru.wgsl`.
pub(crate) fn step_gru(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(gates_x), Read(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), Read(bias_hn)] =
        bindings
    else {
        unreachable!("step_gru is dispatched with its buffers")
    };
    let mut state = State::new(dispatch, gates_x, h_in, h_out, y);
    products(dims(dispatch), at, (weight, h_in, lengths), |at, sums: &[f32; 3]| {
        let bias_hn = bias_hn[at.d * state.hidden_size + at.j];
        state.update(at, |x, h| gru(sums, x, bias_hn, h));
    });
}

/// `step` with `cell/lstm.wgsl` and `update/unprojected.wgsl`.
pub(crate) fn step_lstm_unprojected(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(gates_x), Read(weight), Read(h_in), ReadWrite(m), Read(lengths), ReadWrite(c)] = bindings else {
        unreachable!("step_lstm_unprojected is dispatched with its buffers")
    };
    let hidden_size = dims(dispatch).hidden_size as usize;
    products(dims(dispatch), at, (weight, h_in, lengths), |at, sums: &[f32; 4]| {
        if at.valid {
            let cell = &mut c[at.row * hidden_size + at.j];
            m[at.row * padded(hidden_size) + at.j] = lstm(sums, gates(gates_x, at.y_row * hidden_size + at.j), cell);
        }
    });
}

/// `step` with `cell/projection.wgsl`.
pub(crate) fn step_projection(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let [Read(weight), Read(m), ReadWrite(h_out), ReadWrite(y), Read(lengths), Read(h_before)] = bindings else {
        unreachable!("step_projection is dispatched with its buffers")
    };
    let state_size = padded(dims(dispatch).hidden_size as usize);
    products(dims(dispatch), at, (weight, m, lengths), |at, &[sum]: &[f32; 1]| {
        let here = at.row * state_size + at.j;
        h_out[here] = if at.valid { sum } else { h_before[here] };
        y[at.y_row * state_size + at.j] = if at.valid { sum } else { 0.0 };
    });
}

/// The equations of `cell/lstm.wgsl`.
pub(super) fn lstm(sums: &[f32; 4], x: &[f32; 4], cell: &mut f32) -> f32 {
    let i = sigmoid(sums[0] + x[0]);
    let f = sigmoid(sums[1] + x[1]);
    let g = tanh_exact(sums[2] + x[2]);
    let o = sigmoid(sums[3] + x[3]);
    *cell = f * *cell + i * g;
    o * tanh_exact(*cell)
}

/// The equations of `cell/gru.wgsl`.
pub(super) fn gru(sums: &[f32; 3], x: &[f32; 3], bias_hn: f32, h: f32) -> f32 {
    let r = sigmoid(sums[0] + x[0]);
    let z = sigmoid(sums[1] + x[1]);
    let n = tanh_exact(x[2] + r * (sums[2] + bias_hn));
    (1.0 - z) * n + z * h
}

/// Where an update finds its unit.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) d: usize,
    /// Of `[D, B]`.
    pub(super) row: usize,
    /// Of `[S, B, D]`.
    pub(super) y_row: usize,
    /// Of H.
    pub(super) j: usize,
    /// Whether the row's sequence reaches this step.
    pub(super) valid: bool,
}

/// `update/state.wgsl`.
struct State<'a> {
    hidden_size: usize,
    state_size: usize,
    gates_x: &'a [f32],
    h_in: &'a [f32],
    h_out: &'a mut [f32],
    y: &'a mut [f32],
}

impl<'a> State<'a> {
    fn new(dispatch: &Dispatch, gates_x: &'a [f32], h_in: &'a [f32], h_out: &'a mut [f32], y: &'a mut [f32]) -> Self {
        let dims = dims(dispatch);
        let (hidden_size, state_size) = (dims.hidden_size as usize, dims.state_quads as usize * 4);
        Self { hidden_size, state_size, gates_x, h_in, h_out, y }
    }

    /// Advances a unit, or leaves it as it is where the row's sequence does not reach this step.
    fn update<const G: usize>(&mut self, at: At, advance: impl FnOnce(&[f32; G], f32) -> f32) {
        let here = at.row * self.state_size + at.j;
        let h = self.h_in[here];
        let next = if at.valid { advance(gates(self.gates_x, at.y_row * self.hidden_size + at.j), h) } else { h };
        self.h_out[here] = next;
        self.y[at.y_row * self.state_size + at.j] = if at.valid { next } else { 0.0 };
    }
}

fn dims(dispatch: &Dispatch) -> &StepDims {
    let Dims::Step(dims) = &dispatch.dims else { unreachable!("a step is dispatched with StepDims") };
    dims
}

/// The schedule: the recurrent product, and then `update` for every unit of every row.
pub(super) fn products<const G: usize>(
    dims: &StepDims,
    at: Step,
    (weight, h_in, lengths): (&[f32], &[f32], &[f32]),
    mut update: impl FnMut(At, &[f32; G]),
) {
    let lengths: &[u32] = bytemuck::cast_slice(lengths);
    let (batch, directions, units) = (dims.batch as usize, dims.directions as usize, dims.units as usize);
    let columns = dims.state_quads as usize * 4;
    let elapsed = dims.first_step + at.index;
    let mut sums = vec![0.0; batch * units * G];
    for d in 0..directions {
        let t = if d == 1 { dims.seq_len - 1 - elapsed } else { elapsed };
        let matrix = |rows, width, first| Matrix { rows, columns: width, offset: first * width, row_stride: width };
        // Rows whose sequence does not reach this step have nothing to sum.
        let mut first = 0;
        for rows in lengths.chunk_by(|a, b| (t < *a) == (t < *b)) {
            if t < rows[0] {
                multiply_transposed(
                    (h_in, matrix(rows.len(), columns, d * batch + first)),
                    (weight, matrix(units * G, columns, d * units * G)),
                    (&mut sums, matrix(rows.len(), units * G, first)),
                );
            }
            first += rows.len();
        }
        for (b, &length) in lengths.iter().enumerate() {
            for unit in 0..units {
                let at = At {
                    d,
                    row: d * batch + b,
                    y_row: (at.index as usize * batch + b) * directions + d,
                    j: dims.unit_offset as usize + unit,
                    valid: t < length,
                };
                update(at, gates(&sums, b * units + unit));
            }
        }
    }
}

/// The G gates of unit `index` in a row-major `[.., G]` slice.
pub(super) fn gates<const G: usize>(values: &[f32], index: usize) -> &[f32; G] {
    match values[index * G..][..G].first_chunk() {
        Some(gates) => gates,
        None => unreachable!("a slice of G values has G values"),
    }
}
