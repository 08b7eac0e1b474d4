//! Twin of `shaders/linear/matvec.wgsl` and `tile.wgsl`.

use super::TwinBuffer::{self, Matrix as Weight, Read, ReadWrite};
use super::matmul::{Matrix, multiply_transposed};
use super::network::activate;
use super::threads::each_row;
use crate::kernel::families::activation;
use crate::kernel::uniforms::{Dims, LinearDims, Step};
use crate::plan::recording::Dispatch;

/// Twin of the kernels of a linear layer: one matrix product per direction instead of tiles.
pub(crate) fn linear(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let (
        Dims::Linear(dims),
        [Read(x_same), Read(x_mirrored), Weight(weight), Read(bias), ReadWrite(y)],
    ) = (&dispatch.dims, bindings)
    else {
        unreachable!("linear is dispatched with LinearDims and five buffers");
    };
    let rows = (dims.steps * dims.batch) as usize;
    let features = (dims.halves * dims.half_quads * 4) as usize;
    let columns = dims.columns as usize;
    let y_row_stride = dims.y_row_stride as usize;
    let function = dispatch.overrides.activation;
    for d in 0..dims.directions {
        let offset = (d * dims.y_direction_stride + dims.y_offset) as usize;
        let gathered;
        let (x, first_row): (&[f32], _) =
            if dims.halves == 1 && (d == 0 || dims.x_direction_rows > 0) {
                (x_same, (dims.x_first_row + d * dims.x_direction_rows) as usize)
            } else {
                gathered = gather(dims, d, x_same, x_mirrored);
                (&gathered, 0)
            };
        let matrix = (dims.weight_base + d) as usize;
        multiply_transposed(
            (
                x,
                Matrix {
                    rows,
                    columns: features,
                    offset: first_row * features,
                    row_stride: features,
                },
            ),
            (weight, matrix),
            &bias[matrix * columns..][..columns],
            (y, Matrix { rows, columns, offset, row_stride: y_row_stride }),
        );
        if function != activation::NONE {
            each_row(&mut y[offset..], [rows, y_row_stride, columns * 16], |_, row| {
                activate(function, 0.0, &mut row[..columns]);
            });
        }
    }
}

/// Copies the rows that direction `d` reads, in the order of its visits: `[S, B, P·Q·4]`.
fn gather(dims: &LinearDims, d: u32, x_same: &[f32], x_mirrored: &[f32]) -> Vec<f32> {
    let (steps, batch, parts) = (dims.steps as usize, dims.batch as usize, dims.halves as usize);
    let part = dims.half_quads as usize * 4;
    let mut x = Vec::with_capacity(steps * batch * parts * part);
    for s in 0..steps {
        for b in 0..batch {
            for p in 0..parts {
                let (source, s) =
                    if p == d as usize { (x_same, s) } else { (x_mirrored, steps - 1 - s) };
                x.extend_from_slice(&source[((s * batch + b) * parts + p) * part..][..part]);
            }
        }
    }
    x
}
