//! Twin of `shaders/head/generate.wgsl`. All steps run in order, so nobody waits.

use wgpu_rnn_simd::{Gru, Lstm, Rnn};

use super::TwinBuffer::{self, Read, ReadWrite};
use super::persistent::{exchanged, restored};
use super::sample::drawn;
use crate::kernel::Cell;
use crate::kernel::persistent::EXCHANGE_START;
use crate::kernel::uniforms::{Dims, GenerateDims, Step};
use crate::plan::recording::Dispatch;

/// Twin of `generate`: the steps of a dispatch.
pub(crate) fn generate(dispatch: &Dispatch, _: Step, bindings: &mut [TwinBuffer<'_>]) {
    let [
        Read(bias),
        Read(weight),
        Read(state_in),
        ReadWrite(state_out),
        ReadWrite(tokens),
        Read(settings),
        ReadWrite(exchange),
        own @ ..,
    ] = bindings
    else {
        unreachable!("generate is dispatched with its buffers")
    };
    let Dims::Generate(dims) = &dispatch.dims else {
        unreachable!("generate is dispatched with GenerateDims")
    };
    let model = Model::of(dispatch, dims, bias, weight);
    let Model { gates, batch, units, width, columns, .. } = model;
    let layers = dims.layers as usize;
    let mut input: Vec<u32> = bytemuck::cast_slice(&state_in[..batch]).to_vec();
    let mut h: Vec<f32> = state_in[batch..].iter().map(|&h| exchanged(h)).collect();
    let mut words = &mut exchange[EXCHANGE_START..];
    for step in dims.first_step..dims.first_step + dims.steps {
        let (now, rest) = words.split_at_mut(batch * (layers * units + columns));
        words = rest;
        let (states, logits) = now.split_at_mut(layers * batch * units);
        for layer in 0..layers {
            for (b, &token) in input.iter().enumerate() {
                let row =
                    |layer: usize| (layer * batch + b) * width..(layer * batch + b + 1) * width;
                let x = match layer {
                    0 => model.embedded(token),
                    _ => h[row(layer - 1)].to_vec(),
                };
                let (x, sums) = model.sums(layer, &x, &h[row(layer)]);
                let place = (layer * batch + b) * units;
                let next = &mut states[place..][..units];
                match (dispatch.kernel.cell, &mut *own) {
                    (Some(Cell::Lstm), [ReadWrite(c)]) => Lstm {
                        sums: bytemuck::cast_slice(&sums),
                        x: bytemuck::cast_slice(&x),
                        c: &mut c[place..][..units],
                        next,
                    }
                    .run(),
                    (Some(Cell::Gru), [Read(bias_hn)]) => Gru {
                        sums: bytemuck::cast_slice(&sums),
                        x: bytemuck::cast_slice(&x),
                        bias_hn: &bias_hn[layer * units..][..units],
                        h: &h[row(layer)][..units],
                        next,
                    }
                    .run(),
                    _ => Rnn {
                        relu: dispatch.overrides.relu == 1,
                        sums: bytemuck::cast_slice(&sums),
                        x: bytemuck::cast_slice(&x),
                        next,
                    }
                    .run(),
                }
                next.iter_mut().for_each(|h| *h = exchanged(*h));
                h[row(layer)][..units].copy_from_slice(next);
            }
        }
        for (b, logits) in logits.chunks_exact_mut(columns).enumerate() {
            let top = &h[((layers - 1) * batch + b) * width..][..width];
            let bias = &bias[layers * units * gates..];
            let rows = weight[dims.decoder as usize * 4..].chunks_exact(width);
            for ((logit, row), bias) in logits.iter_mut().zip(rows).zip(bias) {
                *logit = exchanged(dot(row, top) + bias);
            }
            let workgroup_size = dispatch.overrides.workgroup_size as usize;
            input[b] = drawn(logits, settings, step, b as u32, workgroup_size);
            tokens[step as usize * batch + b] = f32::from_bits(input[b]);
        }
    }
    state_out[..batch].copy_from_slice(bytemuck::cast_slice(&input));
    let rows = state_out[batch..].chunks_exact_mut(width).zip(h.chunks_exact(width));
    for (out, h) in rows {
        out.iter_mut().zip(&h[..units]).for_each(|(out, &h)| *out = restored(h));
    }
}

/// The weights of a whole model, as `plan/language_model/at_once.rs` lays them out.
struct Model<'a> {
    bias: &'a [f32],
    weight: &'a [f32],
    gates: usize,
    batch: usize,
    units: usize,
    /// Values of a state, padding included.
    width: usize,
    /// Values of an embedding, padding included.
    input: usize,
    columns: usize,
}

impl<'a> Model<'a> {
    fn of(dispatch: &Dispatch, dims: &GenerateDims, bias: &'a [f32], weight: &'a [f32]) -> Self {
        Self {
            bias,
            weight,
            gates: dispatch.kernel.cell.map_or(1, Cell::gates),
            batch: dims.batch as usize,
            units: dims.hidden_size as usize,
            width: dims.state_quads as usize * 4,
            input: dims.input_quads as usize * 4,
            columns: dims.ntoken as usize,
        }
    }

    fn embedded(&self, token: u32) -> Vec<f32> {
        let token = (token as usize).min(self.columns - 1);
        self.weight[token * self.input..][..self.input].to_vec()
    }

    /// Returns the sums of a layer's gates from its input, with the bias, and from its state:
    /// `[H, G]` each.
    fn sums(&self, layer: usize, x: &[f32], h: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (rows, width) = (self.units * self.gates, self.width);
        let table = self.columns.next_multiple_of(self.gates) * self.input;
        let first = match layer {
            0 => table,
            _ => table + rows * (self.input + width + (layer - 1) * 2 * width),
        };
        let weights = self.weight[first..].chunks_exact(x.len() + width).take(rows);
        let biases = &self.bias[layer * rows..];
        let sums = weights.zip(biases).map(|(row, bias)| {
            let (of_x, of_h) = row.split_at(x.len());
            (dot(of_x, x) + bias, dot(of_h, h))
        });
        sums.unzip()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}
