//! One time step on the CPU. A part of the units takes its recurrent product and then its cell,
//! while the sums are in the cache. The size of the step decides whether parts run on one thread or
//! on all.

use std::cell::Cell;
use std::ops::Range;

use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use wgpu_rnn_simd::Panels;

use super::Slices;
use super::matmul::{Matrix, multiply_columns};
use super::threads::{ONE_THREAD, threads};
use super::written::{Part, Whole, Written, cut, step_of_wave};
use crate::kernel::uniforms::{Step, StepDims};
use crate::tensor::padded;

/// One row at one step, in one direction: with all units of the dispatch, or with those of one
/// part.
pub(super) struct BatchRow {
    /// Index of the direction among its weights.
    pub(super) matrix: usize,
    /// Index in `[D, B]`.
    pub(super) row: usize,
    /// Index in `[S, B, D]`, or in a wave's `[L, S, B]`. Unused if a layer of a wave is outside the
    /// segment.
    y_row: usize,
    /// Range in H.
    pub(super) units: Range<usize>,
    pub(super) hidden_size: usize,
    /// Whether the row's sequence reaches this step.
    pub(super) valid: bool,
}

impl BatchRow {
    /// The input projections of the units: `[U, G]` of `[S, B, D, H, G]`.
    pub(super) fn gates<'a, const G: usize>(&self, gates_x: &'a [f32]) -> &'a [[f32; G]] {
        &gates_x.as_chunks().0[self.y_row * self.hidden_size..][self.units.clone()]
    }

    /// The state of the units: `[U]` of `[D, B, H]`.
    pub(super) fn state<'a>(&self, h: &'a [f32]) -> &'a [f32] {
        &h[self.row * padded(self.hidden_size)..][self.units.clone()]
    }

    /// `update/state.wgsl`: advances the units, or keeps their state if the sequence does not reach
    /// this step. `advance` takes their state and the slice for the next, `[U]` each. `y` is empty
    /// for a layer of a wave (`update/wave.wgsl`) outside the segment.
    pub(super) fn update(
        &self,
        h_in: &[f32],
        [next, y]: [&mut [f32]; 2],
        advance: impl FnOnce(&[f32], &mut [f32]),
    ) {
        let h = self.state(h_in);
        if self.valid {
            advance(h, next);
            y.copy_from_slice(next);
        } else {
            next.copy_from_slice(h);
            y.fill(0.0);
        }
    }
}

thread_local! {
    /// A thread's buffer of sums, reused from step to step.
    static SUMS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Runs one step: the recurrent product of `h_in` (`[D, B, K]`) and `weight` (`[D, U, G, K]`), then
/// `cell` for every row. `cell` takes the row's sums, `[U, G]`, and its units in each written
/// buffer.
pub(super) fn step<const G: usize, const W: usize>(
    dims: &StepDims,
    at: Step,
    inputs: (&Panels, &[f32], &[f32]),
    written: [Written<'_>; W],
    cell: impl Fn(&BatchRow, &[[f32; G]], [&mut [f32]; W]) + Sync,
) {
    let units = dims.units as usize;
    let width = match threads(
        (dims.batch * dims.directions) as usize,
        units * G,
        dims.state_quads as usize * 4,
    ) {
        1 => units,
        threads => units_of_part(inputs.0.width(), units, G, threads),
    };
    step_in_parts(width, dims, at, inputs, written, cell);
}

/// Returns the number of units of a part. Each thread has one part, whose weights may stay in its
/// cache. Each part begins with a panel.
fn units_of_part(panel: usize, units: usize, gates: usize, threads: usize) -> usize {
    let whole = if panel.is_multiple_of(gates) { panel / gates } else { panel };
    units.div_ceil(threads).next_multiple_of(whole)
}

/// Runs one step in parts of `width` units.
fn step_in_parts<const G: usize, const W: usize>(
    width: usize,
    dims: &StepDims,
    at: Step,
    (weight, h_in, lengths): (&Panels, &[f32], &[f32]),
    mut written: [Written<'_>; W],
    cell: impl Fn(&BatchRow, &[[f32; G]], [&mut [f32]; W]) + Sync,
) {
    // Buffers may be larger than a dispatch needs.
    let lengths: &[u32] = bytemuck::cast_slice(&lengths[..dims.batch as usize]);
    let (batch, directions) = (dims.batch as usize, dims.directions as usize);
    let (features, first_unit) = (dims.state_quads as usize * 4, dims.unit_offset as usize);
    let run = |part: &mut dyn Part<W>| {
        let (d, units) = part.place();
        let (t, first_y_row, y_row_distance) = visited(dims, at, d);
        let matrix = dims.weight_base as usize + d;
        let count = units.len();
        let mut sums = SUMS.take();
        let len = batch * count * G;
        if sums.len() < len {
            sums.resize(len, 0.0);
        }
        let all = &mut sums[..len].as_chunks_mut::<G>().0[..];
        // Rows whose sequence does not reach this step have nothing to sum, and keep old sums.
        let mut first = 0;
        for reached in lengths.chunk_by(|a, b| (t < *a) == (t < *b)) {
            let rows = reached.len();
            if t < reached[0] {
                let offset = (d * batch + first) * features;
                let x = Matrix { rows, columns: features, offset, row_stride: features };
                let y = all[first * count..]
                    .chunks_mut(count)
                    .take(rows)
                    .map(|row| row.as_flattened_mut());
                // Odd steps run backwards: the panels that the last step read last are still
                // cached.
                let backwards = at.index % 2 == 1;
                multiply_columns(
                    (h_in, x),
                    (weight, matrix),
                    (units.start - first_unit) * G,
                    backwards,
                    &mut y.collect::<Slices<_>>(),
                );
            }
            first += rows;
        }
        for (b, (&length, sums)) in lengths.iter().zip(all.chunks_exact(count)).enumerate() {
            let row = BatchRow {
                matrix,
                row: d * batch + b,
                y_row: first_y_row + b * y_row_distance,
                units: units.clone(),
                hidden_size: dims.hidden_size as usize,
                valid: t < length,
            };
            cell(&row, sums, part.row(b));
        }
        SUMS.set(sums);
    };
    let units = first_unit..first_unit + dims.units as usize;
    let rows = [directions, batch];
    if ONE_THREAD || width >= units.len() {
        for d in 0..directions {
            run(&mut Whole { written: &mut written, rows, d, units: units.clone() });
        }
    } else {
        cut(written, width, rows, units).par_iter_mut().for_each(|part| run(part));
    }
}

/// Returns the time step of direction `d`, or of layer `d` in a wave, then its first row of `y` and
/// the distance from row to row. See `recurrence/directions.wgsl` and `update/wave.wgsl`. For a
/// layer outside the segment the time step exceeds every length.
fn visited(dims: &StepDims, at: Step, d: usize) -> (u32, usize, usize) {
    let (batch, directions) = (dims.batch as usize, dims.directions as usize);
    if dims.layer_delay == 0 {
        let elapsed = dims.first_step + at.index;
        let t = if d == 1 { dims.seq_len - 1 - elapsed } else { elapsed };
        return (t, at.index as usize * batch * directions + d, directions);
    }
    match step_of_wave(dims, at, d) {
        Some(step) => (dims.first_step + step as u32, (d * dims.steps as usize + step) * batch, 1),
        None => (u32::MAX, 0, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::{Panels, Step, StepDims, Written, step_in_parts, units_of_part};
    use crate::params::random::Mt19937;

    /// Two directions, three rows (one ends early), and a shard of units 30 to 69 of 70.
    const DIMS: StepDims = StepDims {
        seq_len: 5,
        first_step: 1,
        batch: 3,
        directions: 2,
        hidden_size: 70,
        state_quads: 18,
        units: 40,
        unit_offset: 30,
        unit_tiles: 1,
        row_tiles: 1,
        weight_base: 0,
        first_index: 0,
        layer_delay: 0,
        steps: 0,
        pad: [0; 2],
    };

    /// Returns the next state (`[D, B, 72]`) and two output steps (`[2, B, D, 72]`) after the
    /// second step. The cell adds up the sums of two gates. NaN marks values that the step did not
    /// write.
    fn outcome(width: usize) -> [Vec<f32>; 2] {
        let random = |seed, len| Mt19937::new(seed).uniform_vec(len, -1.0, 1.0);
        let (weight, h_in) =
            (Panels::new(&random(1, 2 * 80 * 72), 2, 80, 72), random(2, 2 * 3 * 72));
        let lengths = [5_u32, 2, 5].map(f32::from_bits);
        let (mut next, mut y) = (vec![f32::NAN; 2 * 3 * 72], vec![f32::NAN; 2 * 3 * 2 * 72]);
        let at = Step { index: 1, pad: [0; 3] };
        let written = [Written::state(&mut next, &DIMS), Written::output(&mut y, &DIMS, at)];
        step_in_parts(
            width,
            &DIMS,
            at,
            (&weight, &h_in, &lengths),
            written,
            |row, sums: &[[f32; 2]], rows| {
                row.update(&h_in, rows, |h, next| {
                    next.iter_mut()
                        .zip(h)
                        .zip(sums)
                        .for_each(|((next, h), [a, b])| *next = h + a + b);
                });
            },
        );
        [next, y]
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// A step has the same bits for any number of threads, and writes only its own units.
    #[test]
    fn a_step_in_parts_is_that_step() {
        let [next, y] = outcome(40);
        for (at, value) in next.iter().enumerate() {
            assert_eq!(
                (30..70).contains(&(at % 72)),
                !value.is_nan(),
                "unit {} of row {}",
                at % 72,
                at / 72
            );
        }
        for (at, value) in y.iter().enumerate() {
            let (row, unit) = (at / 72, at % 72);
            assert_eq!(
                row >= 6 && (30..70).contains(&unit),
                !value.is_nan(),
                "unit {unit} of output row {row}"
            );
            if row >= 6 && !value.is_nan() {
                // Rows of y are [S, B, D]; rows of the state are [D, B]. Row 1 does not reach this
                // step.
                let (d, b) = (row % 2, row / 2 % 3);
                let want = if b == 1 { 0.0 } else { next[(d * 3 + b) * 72 + unit] };
                assert_eq!(
                    value.to_bits(),
                    want.to_bits(),
                    "unit {unit} of row {b}, direction {d}"
                );
            }
        }
        let panel = Panels::new(&[0.0], 1, 1, 1).width();
        for threads in [2, 16] {
            let width = units_of_part(panel, 40, 2, threads);
            assert!(width < 40, "{threads} threads: {width} units");
            let parts = outcome(width);
            assert_eq!(
                parts.map(|values| bits(&values)),
                [bits(&next), bits(&y)],
                "{width} units to a part"
            );
        }
    }
}
