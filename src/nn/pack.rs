//! Packing and unpacking: copies between PyTorch's tensors and the buffers of a plan, which differ
//! in padding, time order and batch order.

use std::ops::Range;

use rayon::prelude::*;

use super::rows::{Rows, are_many};
use crate::engine::session::Session;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::params::config::Config;
use crate::params::validate::{Checked, Sizes};
use crate::plan::recording::BufferId;
use crate::plan::{Plan, StateRow};
use crate::tensor::{State, Tensor, TensorView, padded, zeroed};

/// Returns the shape of `output`, in the layout of the input.
pub(crate) fn output_shape(config: &Config, Checked { sizes, unbatched }: Checked) -> Vec<usize> {
    let Sizes { seq_len, batch } = sizes;
    match (unbatched, config.batch_first) {
        (true, _) => vec![seq_len, config.output_size()],
        (false, true) => vec![batch, seq_len, config.output_size()],
        (false, false) => vec![seq_len, batch, config.output_size()],
    }
}

/// Returns the words of [`Plan::dropout`].
pub(crate) fn dropout_settings(seed: u64, first_step: usize, first_row: usize) -> [f32; 4] {
    [seed as u32, (seed >> 32) as u32, first_step as u32, first_row as u32].map(f32::from_bits)
}

/// The inputs of a forward pass, after the checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// `[T, B, I]` or `[B, T, I]`.
    pub input: TensorView<'a>,
    /// Valid steps of each row; all are valid without them.
    pub lengths: Option<&'a [usize]>,
    /// The initial state.
    pub state: Option<&'a State>,
    /// The seed of dropout between layers, in training.
    pub seed: Option<u64>,
    /// T and B of the input.
    pub sizes: Sizes,
}

impl Inputs<'_> {
    /// Returns T of the longest row, and B. No later step needs to run.
    pub fn live_sizes(&self) -> Sizes {
        let longest = |lengths: &[usize]| lengths.iter().copied().max().unwrap_or(0);
        Sizes { seq_len: self.lengths.map_or(self.sizes.seq_len, longest), ..self.sizes }
    }
}

/// Returns the first values of `packed`, which grows if it is too short. Their values are old: who
/// packs writes each of them. So memory that a caller keeps is not cleared for every run.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the host's memory does not hold them.
fn first(packed: &mut Vec<f32>, count: usize) -> Result<&mut [f32]> {
    if packed.len() < count {
        // The old memory goes first: nothing reads it.
        packed.clear();
        packed.shrink_to_fit();
        *packed = zeroed(count, "packed values")?;
    }
    Ok(&mut packed[..count])
}

/// Packs and unpacks one run of a plan.
///
/// Each method that writes hands the values of a buffer to `write`; `None` means zeros. Values that
/// the caller's tensor has in a buffer's order come from there. Others are packed into `packed`
/// first. The caller may keep the memory of `packed`.
#[derive(Debug, Clone)]
pub(crate) struct Packer<'a> {
    /// The module.
    pub config: &'a Config,
    /// The plan that runs.
    pub plan: &'a Plan,
    /// T and B of the caller's tensors.
    pub sizes: Sizes,
    /// The rows of the caller's tensors that run.
    pub rows: Range<usize>,
    /// Valid steps of each row of the caller's tensors; all are valid without them.
    lengths: Option<&'a [usize]>,
}

impl<'a> Packer<'a> {
    /// A packer for tensors with the plan's sizes.
    pub fn whole(config: &'a Config, plan: &'a Plan) -> Self {
        Self { config, plan, sizes: plan.sizes, rows: 0..plan.sizes.batch, lengths: None }
    }

    /// A packer for some rows of these inputs.
    pub fn of(config: &'a Config, plan: &'a Plan, inputs: &Inputs<'a>, rows: Range<usize>) -> Self {
        Self { config, plan, sizes: inputs.sizes, rows, lengths: inputs.lengths }
    }

    /// Writes all host inputs of a run: input, lengths, dropout settings and initial state.
    pub fn write_inputs(
        &self,
        inputs: &Inputs<'_>,
        packed: &mut Vec<f32>,
        mut write: impl FnMut(BufferId, Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        self.write_sequence(inputs, packed, &mut write)?;
        if let (Some(id), Some(seed)) = (self.plan.dropout, inputs.seed) {
            write(id, Some(&dropout_settings(seed, 0, self.rows.start)))?;
        }
        self.write_state(inputs.state, packed, write)
    }

    /// Writes the inputs that change in each run of a stream: the input and the lengths.
    pub fn write_sequence(
        &self,
        inputs: &Inputs<'_>,
        packed: &mut Vec<f32>,
        mut write: impl FnMut(BufferId, Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        let input = inputs.input.data();
        for (segment, id) in self.plan.segments.iter().zip(&self.plan.input) {
            let values = match self.as_packed(input, segment) {
                Some(values) => values,
                None => self.pack_input(input, segment, packed)?,
            };
            write(*id, Some(values))?;
        }
        let lengths = first(packed, self.rows.len())?;
        // The buffer holds u32; hosts and engines carry every buffer as 32-bit words.
        for (to, row) in lengths.iter_mut().zip(self.rows.clone()) {
            *to = f32::from_bits(self.length(row) as u32);
        }
        write(self.plan.lengths, Some(lengths))
    }

    /// Writes the initial state, or zeros.
    pub fn write_state(
        &self,
        state: Option<&State>,
        packed: &mut Vec<f32>,
        mut write: impl FnMut(BufferId, Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        let h_0 = state.map(|state| state.h.data());
        let c_0 = state.and_then(|state| state.c.as_ref()).map(Tensor::data);
        for (layer, ids) in self.plan.states.iter().enumerate() {
            write(ids.h[0], h_0.map(|h_0| self.h(layer).pack(h_0, packed)).transpose()?)?;
            if let Some(c) = ids.c {
                write(c, c_0.map(|c_0| self.c(layer).pack(c_0, packed)).transpose()?)?;
            }
        }
        Ok(())
    }

    /// Reads the state from which the session's next run would start.
    ///
    /// # Errors
    /// The errors of the device.
    pub async fn read_state(&self, session: &Session, waiting: Waiting) -> Result<State> {
        let mut state = State::zeros(self.config, self.sizes.batch)?;
        for (layer, ids) in self.plan.states.iter().enumerate() {
            let packed = session.fetch(ids.h[0], waiting).await?;
            self.h(layer).unpack(&packed, state.h.data_mut());
            if let (Some(id), Some(c)) = (ids.c, &mut state.c) {
                let packed = session.fetch(id, waiting).await?;
                self.c(layer).unpack(&packed, c.data_mut());
            }
        }
        Ok(state)
    }

    /// Returns the block of one layer's h.
    pub fn h(&self, layer: usize) -> StateBlock {
        self.state(layer, StateRow::h(self.config))
    }

    /// Returns the block of one layer's c.
    pub fn c(&self, layer: usize) -> StateBlock {
        self.state(layer, StateRow::c(self.config))
    }

    fn state(&self, layer: usize, row: StateRow) -> StateBlock {
        let directions = self.config.num_directions();
        let first = layer * directions;
        let (batch, rows) = (self.sizes.batch, self.rows.clone());
        StateBlock { row, layers: first..first + directions, batch, rows }
    }

    /// Returns one segment of the input where the caller's tensor has it in the buffer's order.
    fn as_packed<'v>(&self, input: &'v [f32], steps: &Range<usize>) -> Option<&'v [f32]> {
        let (width, rows) = (self.config.input_size, self.rows.len());
        let in_order = match (self.config.reverse, self.config.batch_first) {
            (true, _) => false,
            (false, true) => rows == 1 || self.sizes.seq_len == 1,
            (false, false) => rows == self.sizes.batch || steps.len() == 1,
        };
        let start = self.position(steps.start, self.rows.start) * width;
        (in_order && width == padded(width))
            .then(|| &input[start..start + steps.len() * rows * width])
    }

    /// Packs one segment of the input: `[S, rows, I padded]`.
    fn pack_input<'p>(
        &self,
        input: &[f32],
        steps: &Range<usize>,
        packed: &'p mut Vec<f32>,
    ) -> Result<&'p [f32]> {
        let width = self.config.input_size;
        let stride = self.rows.len() * padded(width);
        let packed = first(packed, steps.len() * stride)?;
        let Config { batch_first, reverse, .. } = *self.config;
        let whole = self.rows.len() == self.sizes.batch && !batch_first && !reverse;
        if whole {
            let start = self.position(steps.start, self.rows.start) * width;
            Rows { width, from: width, to: padded(width) }.copy(&input[start..], packed);
            return Ok(packed);
        }
        let pack_step = |(t, packed): (usize, &mut [f32])| {
            for (to, b) in packed.chunks_exact_mut(padded(width)).zip(self.rows.clone()) {
                let start = self.position(self.step(steps.start + t, b), b) * width;
                to[..width].copy_from_slice(&input[start..start + width]);
                to[width..].fill(0.0);
            }
        };
        if are_many(packed.len()) {
            packed.par_chunks_exact_mut(stride).enumerate().for_each(pack_step);
        } else {
            packed.chunks_exact_mut(stride).enumerate().for_each(pack_step);
        }
        Ok(packed)
    }

    /// Unpacks one segment of the output into PyTorch's layout. The reverse direction's steps are
    /// in reverse order.
    pub fn unpack_output(&self, segment: usize, packed: &[f32], output: &mut [f32]) {
        let steps = self.plan.segments[segment].clone();
        let (directions, features) = (self.config.num_directions(), self.config.state_size());
        let (width, stride) = (self.config.output_size(), padded(features));
        let Sizes { seq_len, batch } = self.sizes;
        let rows = self.rows.clone();
        let Config { batch_first, reverse, .. } = *self.config;
        let in_order = directions == 1 && !reverse && (!batch_first || batch == 1);
        if in_order && rows.len() == batch {
            let output = &mut output[steps.start * batch * width..steps.end * batch * width];
            return Rows { width, from: stride, to: width }.copy(packed, output);
        }
        // Copies one direction of one step of one row to its place in a block of the output.
        let copy = |d: usize, step: usize, b: usize, block: &mut [f32], place: usize| {
            let row = (step - steps.start) * rows.len() + b - rows.start;
            let from = (row * directions + d) * stride;
            let to = place * width + d * features;
            block[to..to + features].copy_from_slice(&packed[from..from + features]);
        };
        let last = self.plan.sizes.seq_len - 1;
        // The step of a direction at a time of a row, and back. Beyond the last there are none.
        let step_at = |d: usize, t: usize, b: usize| match d {
            1 => last.checked_sub(t),
            _ => Some(self.step(t, b)),
        };
        let unpack_row = |(b, block): (usize, &mut [f32])| {
            for (d, step) in (0..directions).flat_map(|d| steps.clone().map(move |step| (d, step)))
            {
                copy(d, step, b, block, if d == 1 { last - step } else { self.step(step, b) });
            }
        };
        let unpack_time = |(t, block): (usize, &mut [f32])| {
            for (d, b) in (0..directions).flat_map(|d| rows.clone().map(move |b| (d, b))) {
                if let Some(step) = step_at(d, t, b).filter(|step| steps.contains(step)) {
                    copy(d, step, b, block, b);
                }
            }
        };
        let many = are_many(packed.len());
        if self.config.batch_first {
            let values = &mut output[rows.start * seq_len * width..rows.end * seq_len * width];
            let in_rows = |(row, block)| unpack_row((rows.start + row, block));
            if many {
                values.par_chunks_exact_mut(seq_len * width).enumerate().for_each(in_rows);
            } else {
                values.chunks_exact_mut(seq_len * width).enumerate().for_each(in_rows);
            }
        } else if many {
            output.par_chunks_exact_mut(batch * width).enumerate().for_each(unpack_time);
        } else {
            output.chunks_exact_mut(batch * width).enumerate().for_each(unpack_time);
        }
    }

    /// Returns the valid steps of a row.
    fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.sizes.seq_len, |lengths| lengths[row])
    }

    /// Returns the time of a step of the plan, or the step of a time. A reverse module reads the
    /// valid steps of a row from the last one, so that the plan runs forward.
    fn step(&self, t: usize, row: usize) -> usize {
        let reversed = if self.config.reverse { self.length(row) } else { 0 };
        if t < reversed { reversed - 1 - t } else { t }
    }

    /// Returns the index of step t of row b among all steps and rows, for either order of the axes.
    fn position(&self, t: usize, b: usize) -> usize {
        let Sizes { seq_len, batch } = self.sizes;
        if self.config.batch_first { b * seq_len + t } else { t * batch + b }
    }
}

/// One layer's h or c, both directions: `[L·D, B, features]` in the caller's tensor,
/// `[D, rows, stride]` in a plan's buffer.
#[derive(Debug, Clone)]
pub(crate) struct StateBlock {
    row: StateRow,
    /// The layer's indices along L·D.
    layers: Range<usize>,
    /// B of the caller's tensor.
    batch: usize,
    rows: Range<usize>,
}

impl StateBlock {
    /// Packs the layer's state into the first values of `packed`, and returns them.
    pub fn pack<'p>(&self, state: &[f32], packed: &'p mut Vec<f32>) -> Result<&'p [f32]> {
        let StateRow { features, stride } = self.row;
        let rows = self.rows.len();
        let packed = first(packed, self.layers.len() * rows * stride)?;
        let copy = Rows { width: features, from: features, to: stride };
        for (start, to) in self.starts().zip(packed.chunks_exact_mut((rows * stride).max(1))) {
            copy.copy(&state[start..start + rows * features], to);
        }
        Ok(packed)
    }

    /// Unpacks the layer's state into PyTorch's layout.
    pub fn unpack(&self, packed: &[f32], state: &mut [f32]) {
        let StateRow { features, stride } = self.row;
        let rows = self.rows.len();
        let copy = Rows { width: features, from: stride, to: features };
        for (start, from) in self.starts().zip(packed.chunks_exact((rows * stride).max(1))) {
            copy.copy(from, &mut state[start..start + rows * features]);
        }
    }

    /// Returns the start of the rows of each direction in the caller's tensor.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let (batch, features, first) = (self.batch, self.row.features, self.rows.start);
        self.layers.clone().map(move |layer| (layer * batch + first) * features)
    }
}

/// Returns the values of a slot that holds the state of one row: h and, in an LSTM, c of each
/// layer, padded as a plan has them.
pub(super) fn slot_values(config: &Config, state: &State) -> Vec<f32> {
    let mut values = Vec::new();
    for layer in 0..config.num_layers {
        let mut put = |from: &Tensor, StateRow { features, stride }: StateRow| {
            values.extend_from_slice(&from.data()[layer * features..][..features]);
            values.resize(values.len() + stride - features, 0.0);
        };
        put(&state.h, StateRow::h(config));
        if let Some(c) = &state.c {
            put(c, StateRow::c(config));
        }
    }
    values
}
