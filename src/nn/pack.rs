//! Packing and unpacking: copies between PyTorch's tensors and the buffers of a plan, which differ
//! in padding, time order and batch order.

use std::ops::Range;

use crate::engine::session::Session;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::params::config::{Config, Kind};
use crate::params::validate::{Checked, Sizes};
use crate::plan::recording::BufferId;
use crate::plan::{Plan, StateRow};
use crate::tensor::{State, Tensor, padded};

/// Returns the shape of `output`, in the layout of the input.
pub(crate) fn output_shape(config: &Config, Checked { sizes, unbatched }: Checked) -> Vec<usize> {
    let Sizes { seq_len, batch } = sizes;
    match (unbatched, config.batch_first) {
        (true, _) => vec![seq_len, config.output_size()],
        (false, true) => vec![batch, seq_len, config.output_size()],
        (false, false) => vec![seq_len, batch, config.output_size()],
    }
}

/// Returns a zero state: `[L·D, batch, features]`.
pub(crate) fn zero_state(config: &Config, batch: usize) -> Result<State> {
    let layers = config.num_layers * config.num_directions();
    let zeros = |features| Tensor::zeros([layers, batch, features]);
    let c = (config.kind == Kind::Lstm).then(|| zeros(config.hidden_size)).transpose()?;
    Ok(State { h: zeros(config.state_size())?, c })
}

/// Returns the words of [`Plan::dropout`].
pub(crate) fn dropout_settings(seed: u64, first_step: usize, first_row: usize) -> [f32; 4] {
    [seed as u32, (seed >> 32) as u32, first_step as u32, first_row as u32].map(f32::from_bits)
}

/// The inputs of a forward pass, after the checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// `[T, B, I]` or `[B, T, I]`.
    pub input: &'a Tensor,
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

/// Packs and unpacks one run of a plan.
///
/// Each method that writes packs a buffer's values into `packed` and hands them to `write`. The
/// caller may keep the memory of `packed`.
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
}

impl<'a> Packer<'a> {
    /// A packer for tensors with the plan's sizes.
    pub fn whole(config: &'a Config, plan: &'a Plan) -> Self {
        Self { config, plan, sizes: plan.sizes, rows: 0..plan.sizes.batch }
    }

    /// Writes all host inputs of a run: input, lengths, dropout settings and initial state.
    pub fn write_inputs(
        &self,
        inputs: &Inputs<'_>,
        packed: &mut Vec<f32>,
        mut write: impl FnMut(BufferId, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.write_sequence(inputs, packed, &mut write)?;
        if let (Some(id), Some(seed)) = (self.plan.dropout, inputs.seed) {
            write(id, &dropout_settings(seed, 0, self.rows.start))?;
        }
        self.write_state(inputs.state, packed, write)
    }

    /// Writes the inputs that change in each run of a stream: the input and the lengths.
    pub fn write_sequence(
        &self,
        inputs: &Inputs<'_>,
        packed: &mut Vec<f32>,
        mut write: impl FnMut(BufferId, &[f32]) -> Result<()>,
    ) -> Result<()> {
        for (segment, id) in self.plan.segments.iter().zip(&self.plan.input) {
            self.pack_input(inputs.input.data(), segment.clone(), packed);
            write(*id, packed)?;
        }
        let length = |row: usize| inputs.lengths.map_or(self.sizes.seq_len, |all| all[row]);
        packed.clear();
        // The buffer holds u32; hosts and engines carry every buffer as 32-bit words.
        packed.extend(self.rows.clone().map(|row| f32::from_bits(length(row) as u32)));
        write(self.plan.lengths, packed)
    }

    /// Writes the initial state, or zeros.
    pub fn write_state(
        &self,
        state: Option<&State>,
        packed: &mut Vec<f32>,
        mut write: impl FnMut(BufferId, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let h_0 = state.map(|state| state.h.data());
        let c_0 = state.and_then(|state| state.c.as_ref()).map(Tensor::data);
        for (layer, ids) in self.plan.states.iter().enumerate() {
            self.h(layer).pack(h_0, packed);
            write(ids.h[0], packed)?;
            if let Some(c) = ids.c {
                self.c(layer).pack(c_0, packed);
                write(c, packed)?;
            }
        }
        Ok(())
    }

    /// Reads the state from which the session's next run would start.
    ///
    /// # Errors
    /// The errors of the device.
    pub async fn read_state(&self, session: &Session, waiting: Waiting) -> Result<State> {
        let mut state = zero_state(self.config, self.sizes.batch)?;
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

    /// Packs one segment of the input: `[S, rows, I padded]`.
    fn pack_input(&self, input: &[f32], steps: Range<usize>, packed: &mut Vec<f32>) {
        let width = self.config.input_size;
        packed.clear();
        packed.reserve(steps.len() * self.rows.len() * padded(width));
        for t in steps {
            for b in self.rows.clone() {
                let start = self.position(t, b) * width;
                packed.extend_from_slice(&input[start..start + width]);
                packed.resize(packed.len() + padded(width) - width, 0.0);
            }
        }
    }

    /// Unpacks one segment of the output into PyTorch's layout. The reverse direction's steps are
    /// in reverse order.
    pub fn unpack_output(&self, segment: usize, packed: &[f32], output: &mut [f32]) {
        let (directions, features) = (self.config.num_directions(), self.config.state_size());
        let (width, stride) = (self.config.output_size(), padded(features));
        let mut values = packed.chunks_exact(stride);
        for step in self.plan.segments[segment].clone() {
            for b in self.rows.clone() {
                for (d, from) in (0..directions).zip(&mut values) {
                    let t = if d == 1 { self.plan.sizes.seq_len - 1 - step } else { step };
                    let to = self.position(t, b) * width + d * features;
                    output[to..to + features].copy_from_slice(&from[..features]);
                }
            }
        }
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
    /// Packs the layer's state, or zeros.
    pub fn pack(&self, state: Option<&[f32]>, packed: &mut Vec<f32>) {
        let StateRow { features, stride } = self.row;
        packed.clear();
        packed.reserve(self.layers.len() * self.rows.len() * stride);
        for start in self.starts() {
            let values = state.map_or(&[][..], |state| &state[start..start + features]);
            packed.extend_from_slice(values);
            packed.resize(packed.len() + stride - values.len(), 0.0);
        }
    }

    /// Unpacks the layer's state into PyTorch's layout.
    pub fn unpack(&self, packed: &[f32], state: &mut [f32]) {
        let StateRow { features, stride } = self.row;
        for (start, values) in self.starts().zip(packed.chunks_exact(stride)) {
            state[start..start + features].copy_from_slice(&values[..features]);
        }
    }

    /// Returns the start of each row in the caller's tensor, in the order of the plan's buffer.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let (batch, features) = (self.batch, self.row.features);
        let rows = self.rows.clone();
        self.layers
            .clone()
            .flat_map(move |layer| rows.clone().map(move |b| (layer * batch + b) * features))
    }
}
