//! Twins of `shaders/step.wgsl` with each of its cells.

use super::Binding::{self, Read, ReadWrite};
use super::activation::{relu, sigmoid, tanh_exact};
use super::matmul::{Matrix, multiply_transposed};
use crate::dims::{Dims, Step};
use crate::kernel::override_value;
use crate::recording::Dispatch;

/// Where a cell finds its unit: direction, row of `[D, B]`, unit of H.
struct At {
    d: usize,
    row: usize,
    j: usize,
    hidden_size: usize,
}

/// `step` with `cell/rnn.wgsl`.
pub(crate) fn step_rnn(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let nonlinearity = if override_value(&dispatch.overrides, "RELU") == 1 { relu } else { tanh_exact };
    step(dispatch, at, bindings, |sums: &[f32; 1], x: &[f32; 1], _, _, _| nonlinearity(sums[0] + x[0]));
}

/// `step` with `cell/lstm.wgsl`.
pub(crate) fn step_lstm(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    step(dispatch, at, bindings, |sums: &[f32; 4], x: &[f32; 4], _, at, own| {
        let Some(ReadWrite(c)) = own else { unreachable!("step_lstm is dispatched with c") };
        let i = sigmoid(sums[0] + x[0]);
        let f = sigmoid(sums[1] + x[1]);
        let g = tanh_exact(sums[2] + x[2]);
        let o = sigmoid(sums[3] + x[3]);
        let cell = &mut c[at.row * at.hidden_size + at.j];
        *cell = f * *cell + i * g;
        o * tanh_exact(*cell)
    });
}

/// `step` with `cell/gru.wgsl`.
pub(crate) fn step_gru(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    step(dispatch, at, bindings, |sums: &[f32; 3], x: &[f32; 3], h, at, own| {
        let Some(Read(bias_hn)) = own else { unreachable!("step_gru is dispatched with bias_hn") };
        let r = sigmoid(sums[0] + x[0]);
        let z = sigmoid(sums[1] + x[1]);
        let n = tanh_exact(x[2] + r * (sums[2] + bias_hn[at.d * at.hidden_size + at.j]));
        (1.0 - z) * n + z * h
    });
}

/// The schedule: recurrent product, then the cell for every unit of every row whose sequence reaches this step.
fn step<const G: usize>(
    dispatch: &Dispatch,
    at: Step,
    bindings: &mut [Binding<'_>],
    mut advance: impl FnMut(&[f32; G], &[f32; G], f32, &At, Option<&mut Binding<'_>>) -> f32,
) {
    let (
        Dims::Step(dims),
        [Read(gates_x), Read(weight), Read(h_in), ReadWrite(h_out), ReadWrite(y), Read(lengths), own @ ..],
    ) = (&dispatch.dims, bindings)
    else {
        unreachable!("a step is dispatched with StepDims and its buffers");
    };
    let lengths: &[u32] = bytemuck::cast_slice(lengths);
    let (batch, directions, units) = (dims.batch as usize, dims.directions as usize, dims.units as usize);
    let (hidden_size, state_size) = (dims.hidden_size as usize, dims.state_quads as usize * 4);
    let s = at.index as usize;
    let elapsed = dims.first_step + at.index;
    let mut sums = vec![0.0; batch * units * G];
    for d in 0..directions {
        let t = if d == 1 { dims.seq_len - 1 - elapsed } else { elapsed };
        let matrix = |rows, columns, first| Matrix { rows, columns, offset: first * columns, row_stride: columns };
        // Rows whose sequence does not reach this step have nothing to sum.
        let mut first = 0;
        for rows in lengths.chunk_by(|a, b| (t < *a) == (t < *b)) {
            if t < rows[0] {
                multiply_transposed(
                    (h_in, matrix(rows.len(), state_size, d * batch + first)),
                    (weight, matrix(units * G, state_size, d * units * G)),
                    (&mut sums, matrix(rows.len(), units * G, first)),
                );
            }
            first += rows.len();
        }
        for (b, &length) in lengths.iter().enumerate() {
            let row = d * batch + b;
            let y_row = ((s * batch + b) * directions + d) * state_size;
            let x_row = ((s * batch + b) * directions + d) * hidden_size;
            for unit in 0..units {
                let j = dims.unit_offset as usize + unit;
                let h = h_in[row * state_size + j];
                let valid = t < length;
                let next = if valid {
                    let sums = gates(&sums, b * units + unit);
                    let x = gates(gates_x, x_row + j);
                    advance(sums, x, h, &At { d, row, j, hidden_size }, own.first_mut())
                } else {
                    h
                };
                h_out[row * state_size + j] = next;
                y[y_row + j] = if valid { next } else { 0.0 };
            }
        }
    }
}

/// The G gates of unit `index` in a row-major `[.., G]` slice.
fn gates<const G: usize>(values: &[f32], index: usize) -> &[f32; G] {
    match values[index * G..][..G].first_chunk() {
        Some(gates) => gates,
        None => unreachable!("a slice of G values has G values"),
    }
}
