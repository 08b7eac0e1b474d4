//! Between PyTorch's tensors and the buffers of a plan: padding, time order and batch order.

use std::ops::Range;

use crate::error::Result;
use crate::params::config::Config;
use crate::params::validate::{Checked, Sizes};
use crate::plan::Plan;
use crate::plan::recording::BufferId;
use crate::tensor::State;
use crate::tensor::Tensor;
use crate::tensor::padded;

/// Where element (t, b, ·) of `input` or `output` starts, whichever axis comes first.
fn row_start(
    config: &Config,
    seq_len: usize,
    batch: usize,
    t: usize,
    b: usize,
    width: usize,
) -> usize {
    (if config.batch_first { b * seq_len + t } else { t * batch + b }) * width
}

/// The shape of `output`, laid out as the input is.
pub(crate) fn output_shape(config: &Config, Checked { sizes, unbatched }: Checked) -> Vec<usize> {
    let Sizes { seq_len, batch } = sizes;
    match (unbatched, config.batch_first) {
        (true, _) => vec![seq_len, config.output_size()],
        (false, true) => vec![batch, seq_len, config.output_size()],
        (false, false) => vec![seq_len, batch, config.output_size()],
    }
}

/// What a forward pass is given, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// `[T, B, I]` or `[B, T, I]`.
    pub input: &'a Tensor,
    /// Valid steps of each row; all are valid without them.
    pub lengths: Option<&'a [usize]>,
    /// The initial state.
    pub state: Option<&'a State>,
    /// What dropout between layers draws by, while training.
    pub seed: Option<u64>,
    /// T and B of the input.
    pub sizes: Sizes,
}

impl Given<'_> {
    /// The steps that the longest row has: nothing needs to run beyond.
    pub(crate) fn live_steps(&self) -> usize {
        self.lengths
            .map_or(self.sizes.seq_len, |lengths| lengths.iter().copied().max().unwrap_or(0))
    }
}

/// Writes everything that a run of `plan` reads from the host: the input, the lengths and the initial state of `rows`. What
/// is written is first put into `packed`, whose memory the caller may keep.
pub(crate) fn write_inputs(
    plan: &Plan,
    config: &Config,
    given: Given<'_>,
    rows: &Range<usize>,
    packed: &mut Vec<f32>,
    mut write: impl FnMut(BufferId, &[f32]) -> Result<()>,
) -> Result<()> {
    write_sequence(plan, config, given, rows, packed, &mut write)?;
    if let (Some(id), Some(seed)) = (plan.dropout, given.seed) {
        write(id, &dropout_settings(seed, 0, rows.start))?;
    }
    write_state(plan, config, (given.state, given.sizes.batch), rows, packed, write)
}

/// What [`Plan::dropout`] holds, as words.
pub(crate) fn dropout_settings(seed: u64, first_step: usize, first_row: usize) -> [f32; 4] {
    [seed as u32, (seed >> 32) as u32, first_step as u32, first_row as u32].map(f32::from_bits)
}

/// Writes the part of [`write_inputs`] that is new in each run of a stream: the input and the lengths.
pub(crate) fn write_sequence(
    plan: &Plan,
    config: &Config,
    given: Given<'_>,
    rows: &Range<usize>,
    packed: &mut Vec<f32>,
    mut write: impl FnMut(BufferId, &[f32]) -> Result<()>,
) -> Result<()> {
    let Given { input, lengths, sizes: Sizes { seq_len, batch }, .. } = given;
    for (segment, id) in plan.segments.iter().zip(&plan.input) {
        pack_input(packed, config, input.data(), (seq_len, batch), segment.clone(), rows.clone());
        write(*id, packed)?;
    }
    let length = |row: usize| lengths.map_or(seq_len, |lengths| lengths[row]);
    // The buffer is one of u32; hosts and engines carry all buffers as 32-bit words.
    packed.clear();
    packed.extend(rows.clone().map(|row| f32::from_bits(length(row) as u32)));
    write(plan.lengths, packed)
}

/// Writes the other part, the initial state of `rows` of a batch: zeros without one.
pub(crate) fn write_state(
    plan: &Plan,
    config: &Config,
    (state, batch): (Option<&State>, usize),
    rows: &Range<usize>,
    packed: &mut Vec<f32>,
    mut write: impl FnMut(BufferId, &[f32]) -> Result<()>,
) -> Result<()> {
    let h_0 = state.map(|s| s.h.data());
    let c_0 = state.and_then(|s| s.c.as_ref()).map(Tensor::data);
    for (layer, ids) in plan.states.iter().enumerate() {
        pack_state(packed, h_0, config, batch, layer, rows.clone(), h_features(config));
        write(ids.h[0], packed)?;
        if let Some(c) = ids.c {
            pack_state(packed, c_0, config, batch, layer, rows.clone(), c_features(config));
            write(c, packed)?;
        }
    }
    Ok(())
}

/// Features of h and their distance from row to row.
pub(crate) const fn h_features(config: &Config) -> (usize, usize) {
    (config.state_size(), padded(config.state_size()))
}

/// Features of c and their distance from row to row.
pub(crate) const fn c_features(config: &Config) -> (usize, usize) {
    (config.hidden_size, config.hidden_size)
}

/// One segment of the input for `rows` of the batch: `[S, rows, I padded]`.
fn pack_input(
    packed: &mut Vec<f32>,
    config: &Config,
    input: &[f32],
    (seq_len, batch): (usize, usize),
    steps: Range<usize>,
    rows: Range<usize>,
) {
    let width = config.input_size;
    packed.clear();
    packed.reserve(steps.len() * rows.len() * padded(width));
    for t in steps {
        for b in rows.clone() {
            let start = row_start(config, seq_len, batch, t, b, width);
            packed.extend_from_slice(&input[start..start + width]);
            packed.resize(packed.len() + padded(width) - width, 0.0);
        }
    }
}

/// One layer's state for `rows` of the batch, from `[L·D, B, features]` to `[D, rows, stride]`; zeros without one.
fn pack_state(
    packed: &mut Vec<f32>,
    state: Option<&[f32]>,
    config: &Config,
    batch: usize,
    layer: usize,
    rows: Range<usize>,
    (features, stride): (usize, usize),
) {
    let directions = config.num_directions();
    packed.clear();
    packed.reserve(directions * rows.len() * stride);
    for d in 0..directions {
        for b in rows.clone() {
            if let Some(state) = state {
                let start = ((layer * directions + d) * batch + b) * features;
                packed.extend_from_slice(&state[start..start + features]);
            }
            packed.resize((d * rows.len() + b - rows.start + 1) * stride, 0.0);
        }
    }
}

/// The reverse of [`pack_state`].
pub(crate) fn unpack_state(
    packed: &[f32],
    state: &mut [f32],
    config: &Config,
    batch: usize,
    layer: usize,
    rows: Range<usize>,
    (features, stride): (usize, usize),
) {
    let directions = config.num_directions();
    for d in 0..directions {
        for (i, b) in rows.clone().enumerate() {
            let from = (d * rows.len() + i) * stride;
            let to = ((layer * directions + d) * batch + b) * features;
            state[to..to + features].copy_from_slice(&packed[from..from + features]);
        }
    }
}

/// Puts one segment of the output, each direction in its own order of steps, where PyTorch has it.
pub(crate) fn unpack_output(
    packed: &[f32],
    output: &mut [f32],
    config: &Config,
    plan: &Plan,
    sizes: Sizes,
    steps: Range<usize>,
    rows: Range<usize>,
) {
    let (directions, features) = (config.num_directions(), config.state_size());
    let (width, stride) = (config.output_size(), padded(config.state_size()));
    for (s, step) in steps.enumerate() {
        for (i, b) in rows.clone().enumerate() {
            for d in 0..directions {
                let t = if d == 1 { plan.sizes.seq_len - 1 - step } else { step };
                let from = ((s * rows.len() + i) * directions + d) * stride;
                let to = row_start(config, sizes.seq_len, sizes.batch, t, b, width) + d * features;
                output[to..to + features].copy_from_slice(&packed[from..from + features]);
            }
        }
    }
}
