//! Planning: from configuration, sizes and limits to a recording. Planning is pure arithmetic and
//! needs no device.
//!
//! A plan takes two structs. A [`Request`] holds the forward pass: configuration, weights, sizes. A
//! [`Profile`] holds the device: limits, measured speed, target. [`plan()`] resolves the schedule
//! with its shape once and then records the dispatches.
//!
//! # Segments
//!
//! A sequence lies in **segments**, each a buffer of consecutive steps, so that no buffer exceeds
//! what the device binds. Values are stored in the order in which their direction visits them: for
//! the reverse direction step 0 is the last time step. Segments are cut symmetrically (segment c is
//! as long as segment n−1−c), so that segment c of one direction is segment n−1−c of the other,
//! read from its end. Most sequences have one segment.
//!
//! # Schedules
//!
//! Each schedule lies in one file with three functions: `check` refuses by name what the schedule
//! cannot run, `shape` chooses kernels, override values and tiles, and `record` adds dispatches.

mod beams;
mod contents;
mod decision;
mod exchange;
mod language_model;
mod layers;
pub mod limits;
mod linear;
mod needs;
mod network;
mod pack;
mod persistent;
pub mod recording;
mod rows;
mod same_bits;
mod schedule;
mod second;
mod segments;
mod sequence;
mod shape;
mod shards;
mod slots;
mod state;
mod step;
mod step_tiled;
mod storage;
mod tiles;
mod wavefront;
mod weights;

pub use beams::{BeamPlan, plan_beams};
pub use decision::Decision;
pub use exchange::{Exchange, Resident};
pub use language_model::{
    GenerationLayout, GenerationPlan, LanguageModelLayout, LanguageModelPlan, Wanted,
    plan_generation, plan_generation_at_once, plan_pass, steps_per_pass,
};
pub(crate) use linear::{Product, embed, linear};
pub(crate) use needs::planned;
pub use needs::{Needs, check_kernel};
pub use network::{
    Greedy, NetworkLayout, NetworkPlan, NetworkSizes, StatePart, Value, network_schedules,
    plan_network,
};
pub(crate) use network::{NetworkTensors, network_transfers};
pub(crate) use pack::{Strided, Tensors, Transfer, Transfers, transfers};
pub use schedule::decide;
pub use shape::check;
pub(crate) use shards::{check_binding, cut_shards};
pub use slots::{Class, PoolPlan, TickPlan, largest_tick, plan_pool, plan_ticks};
pub use state::Carried;
pub(crate) use state::StateRow;
pub use storage::Storage;
pub use weights::{LayerShard, ProjectionShard, WeightLayout};

use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::perf::calibration::Calibration;
use crate::tensor::padded;
use layers::{Layers, Segment};
use limits::Limits;
use recording::{Axis, BufferId, BufferSpec, Place, Recording, Role};
use schedule::Resolved;
use segments::Added;
use shape::Shape;

/// Rows of the table of step indices, and so the most steps of one segment.
pub const MAX_SEGMENT_STEPS: usize = 4096;

/// The most steps of a sequence: kernels count them in 32 bits.
pub const MAX_SEQ_LEN: usize = 1 << 30;

/// The most commands of a recording, and so a bound on the time and memory of planning.
const MAX_COMMANDS: usize = 1 << 19;

/// Refuses a recording of `count` commands or more if it is too long to plan.
fn check_commands(count: usize, sizes: Sizes) -> Result<()> {
    if count < MAX_COMMANDS {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "a sequence of {} steps in one call: it takes more than {MAX_COMMANDS} commands; run it \
         in pieces with Rnn::stream",
        sizes.seq_len
    )))
}

/// The forward pass to plan.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The module.
    pub config: &'a Config,
    /// The layout of its weights.
    pub weights: &'a WeightLayout,
    /// T and B.
    pub sizes: Sizes,
    /// Whether dropout between layers takes place, as in `module.train()`.
    pub training: bool,
}

impl Request<'_> {
    /// The same for another number of rows.
    pub(crate) fn with_batch(self, batch: usize) -> Self {
        Self { sizes: Sizes { batch, ..self.sizes }, ..self }
    }

    /// Whether the recording has dropout between layers.
    pub(crate) fn has_dropout(&self) -> bool {
        self.training && self.config.drops_between_layers()
    }
}

/// The device to plan for.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// The limits that the plan obeys.
    pub limits: &'a Limits,
    /// The speed by which schedules are chosen.
    pub calibration: &'a Calibration,
    /// The engine.
    pub target: Target,
    /// How workgroups may exchange the state of a layer.
    pub exchange: Exchange,
}

/// The engine that runs a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The kernels on an adapter. Software adapters run what GPUs run.
    Gpu,
    /// The twins on the CPU.
    Host,
}

/// The state of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerState {
    /// `[D, B, R]`, read and written in turns: the first step reads `h[0]` and writes the other.
    pub h: [BufferId; 2],
    /// `[D, B, H]`, for an LSTM.
    pub c: Option<BufferId>,
}

/// A recording and where its inputs and outputs are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// T and B.
    pub sizes: Sizes,
    /// The schedule and the reason for it.
    pub schedule: Decision,
    /// The buffers and dispatches.
    pub recording: Recording,
    /// The steps of each segment.
    pub segments: Vec<std::ops::Range<usize>>,
    /// The input, one buffer per segment: `[S, B, I]`, I padded to quads.
    pub input: Vec<BufferId>,
    /// Valid steps of each row: `[B]`, u32.
    pub lengths: BufferId,
    /// The counter of dropout, for training: key low, key high, first time step, first row: `[4]`,
    /// u32.
    pub dropout: Option<BufferId>,
    /// Per layer.
    pub states: Vec<LayerState>,
    /// How often the two `h` buffers of a layer change places: at each step, or at each dispatch of
    /// several steps.
    pub turns: usize,
    /// The last layer's output, one buffer per segment: `[S, B, D, R]`, R padded to quads, each
    /// direction in its order.
    pub output: Vec<BufferId>,
}

impl Plan {
    /// Which of a layer's two `h` buffers holds the state after the last step.
    pub fn final_h(&self, layer: usize) -> BufferId {
        self.states[layer].h[self.turns % 2]
    }

    /// Bytes that a forward pass takes on the device, weights included: all buffers, and the copies
    /// through which the output and the last state are read back. The memory budget bounds this.
    ///
    /// Some memory does not grow with the model and is not counted: 256 bytes of uniforms for each
    /// different dispatch, the driver's rounding of a buffer, and a table of 1 MiB for each device.
    /// wgpu keeps a copy of an upload until the device has taken it, and asks the driver for memory
    /// in blocks of many MiB.
    pub fn size(&self) -> u64 {
        run_size(&self.recording, &self.states)
    }
}

/// See [`Plan::size`].
fn run_size(recording: &Recording, states: &[LayerState]) -> u64 {
    let outputs = recording.buffers.iter().filter(|buffer| buffer.role == Role::Output);
    // Only one of the two h of a layer is read back: the one that holds the last state.
    let states = states
        .iter()
        .flat_map(|state| [Some(state.h[0]), state.c])
        .flatten()
        .map(|id| recording.spec(id));
    outputs.chain(states).map(BufferSpec::size).fold(recording.size(), u64::saturating_add)
}

/// Plans a forward pass.
///
/// With [`Schedule::Auto`] the schedule is the one whose step should be the shortest by the
/// profile's calibration. A schedule that gives the same bits replaces it where that saves time:
/// the layers of a stack run side by side, and few steps run without an exchange.
///
/// # Errors
/// [`Error::Limit`] naming the limit that one time step of the whole batch would exceed;
/// [`Error::Shape`] when there is no step or no row; [`Error::Unsupported`] for more than
/// [`MAX_SEQ_LEN`] steps, for a recording of too many commands, and for a schedule that cannot run
/// this module on this device.
pub fn plan(request: &Request<'_>, profile: &Profile<'_>, asked: Schedule) -> Result<Plan> {
    segments::max_steps(request, profile.limits, Added::Nothing)?;
    let resolved = schedule::resolve(asked, request, profile)?;
    let (resolved, longest) = same_bits::with_room(asked, resolved, request, profile)?;
    let resolved = match asked {
        Schedule::Auto => same_bits::for_length(resolved, request, profile),
        _ => resolved,
    };
    record(request, profile, &resolved, longest)
}

/// Plans a forward pass whose layers run one after the other, for callers that hand the states of
/// single layers to kernels of their own. `what` names the caller in a refusal.
///
/// # Errors
/// As [`plan()`]; [`Error::Unsupported`] where the schedule that was asked for is `wavefront` or
/// `persistent`.
pub fn plan_layered(
    request: &Request<'_>,
    profile: &Profile<'_>,
    asked: Schedule,
    what: &str,
) -> Result<Plan> {
    segments::max_steps(request, profile.limits, Added::Nothing)?;
    let resolved = same_bits::resolve_layered(asked, request, profile, what)?;
    let (resolved, longest) = same_bits::with_room(asked, resolved, request, profile)?;
    record(request, profile, &resolved, longest)
}

/// Records a forward pass by a schedule that has been resolved, in segments of at most `longest`
/// steps.
fn record(
    request: &Request<'_>,
    profile: &Profile<'_>,
    resolved: &Resolved,
    longest: usize,
) -> Result<Plan> {
    if let Shape::Wavefront(shape) = resolved.shape {
        return wavefront::record(request, profile, shape, resolved.decision.clone());
    }
    let config = request.config;
    // Each layer has a projection and a recurrence in each segment, at least.
    let segments = request.sizes.seq_len.div_ceil(longest);
    check_commands(segments.saturating_mul(2 * config.num_layers), request.sizes)?;
    let segments = segments::cut(request.sizes.seq_len, longest);
    let mut layers = Layers::new(request, profile);
    let axes = [(Axis::Feature, padded(config.input_size))];
    let input = layers.sequence("input", &segments, &axes, Role::Input);
    let lengths = layers.buffer("lengths", vec![(Axis::Row, request.sizes.batch)], Role::Input);
    let states = layers.states();
    let outputs = layers.outputs(&segments, Role::Output);
    let dropout = request.has_dropout().then(|| layers.dropout_settings());
    let longest = segments.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let exchange = resolved.shape.exchanges().then(|| persistent::exchange_len(request, longest));
    let scratch = layers.scratch(longest, lengths, dropout, exchange);
    for (layer, state) in states.iter().enumerate() {
        let x = if layer == 0 { &input } else { outputs.of(layer - 1) };
        for (c, segment) in segments.iter().enumerate() {
            let place = Place { layer, first_step: segment.start };
            let x = [x[c], x[segments.len() - 1 - c]];
            let buffers = Segment { x, y: outputs.of(layer)[c], state: *state, scratch };
            schedule::record_layer(&mut layers, &resolved.shape, place, segment.len(), buffers)?;
        }
    }
    Ok(Plan {
        sizes: request.sizes,
        schedule: resolved.decision.clone(),
        output: outputs.of(config.num_layers - 1).to_vec(),
        turns: layers.turns,
        recording: layers.recording,
        segments,
        input,
        lengths,
        dropout,
        states,
    })
}

/// The largest number of rows that can run at a time: the whole batch, or as much of it as the
/// limits allow.
///
/// Rows do not depend on each other, so that a batch may run in several passes of this size.
///
/// # Errors
/// [`Error::Limit`] when not even one row fits; for the sizes alone as [`plan()`].
pub fn rows_per_pass(request: &Request<'_>, limits: &Limits) -> Result<usize> {
    let fits = |batch| segments::max_steps(&request.with_batch(batch), limits, Added::Nothing);
    match largest(halvings(request.sizes.batch), |&batch| fits(batch).is_ok()) {
        Some(batch) => Ok(batch),
        None => fits(request.sizes.batch.min(1)),
    }
}

/// The first of `candidates`, which go from large to small, that fits.
fn largest<T>(candidates: impl IntoIterator<Item = T>, fits: impl FnMut(&T) -> bool) -> Option<T> {
    candidates.into_iter().find(fits)
}

/// `most`, half of it, a fourth and so on, rounded up, to 1.
fn halvings(most: usize) -> impl Iterator<Item = usize> {
    let half = |&size: &usize| (size > 1).then(|| size.div_ceil(2));
    std::iter::successors(Some(most).filter(|&most| most > 0), half)
}

/// Refuses weights, or a whole plan, that the memory budget does not hold.
pub(crate) fn check_budget(needed: u64, limits: &Limits) -> Result<()> {
    if needed <= limits.memory_budget {
        return Ok(());
    }
    Err(Error::Limit {
        limit: "memory_budget",
        what: "the model".to_owned(),
        needed,
        allowed: limits.memory_budget,
        advice: "raise the budget, or use a smaller model or batch",
    })
}

#[cfg(test)]
mod tests {
    use super::{halvings, largest};

    #[test]
    fn halvings_end_with_one() {
        for (most, want) in [(0, vec![]), (1, vec![1]), (2, vec![2, 1]), (9, vec![9, 5, 3, 2, 1])] {
            assert_eq!(halvings(most).collect::<Vec<_>>(), want, "of {most}");
        }
        for most in [usize::MAX / 2, usize::MAX] {
            assert_eq!(halvings(most).last(), Some(1));
        }
        assert_eq!(largest(halvings(100), |&n| n < 20), Some(13));
        assert_eq!(largest(halvings(100), |_| false), None);
    }
}
