//! Planning: configuration + sizes + limits → recording. Pure arithmetic, no device needed.
//!
//! A sequence lives in **segments**, each a buffer of consecutive steps, so that no buffer exceeds what the device
//! binds. Values are kept in the order in which their direction visits them: for the reverse direction step 0 is the
//! last time step. Segments are cut symmetrically (segment c is as long as segment n−1−c), so that what one direction
//! calls segment c the other calls segment n−1−c, read from its end. Most sequences have one segment.

mod language_model;
mod layers;
pub mod limits;
mod linear;
mod pack;
pub mod recording;
mod schedule;
mod segments;
mod sequence;
mod slots;
mod step_tiled;
mod subgroup;
mod wavefront;
mod weights;

pub use language_model::{
    GenerationPlan, LanguageModelLayout, LanguageModelPlan, Wanted, plan_generation, plan_pass,
    steps_per_pass,
};
pub(crate) use linear::{embed, linear};
pub(crate) use pack::{Strided, Tensors, Transfer, transfers};
pub use schedule::{Choice, check as check_schedule, choose};
pub(crate) use sequence::holds_weights;
pub use slots::{Class, PoolPlan, plan_pool};
pub use wavefront::side_by_side;
pub use weights::{LayerShard, ProjectionShard, Storage, WeightLayout};

use crate::error::{Error, Result};
use crate::kernel::uniforms::Dims;
use crate::kernel::{Kernel, Schedule};
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Dispatch, Place, Recording, Role};
use crate::tensor::padded;
use layers::Planner;

/// Rows of the table of step indices, and so the most steps of one segment.
pub const MAX_SEGMENT_STEPS: usize = 4096;

/// The most steps of a sequence: kernels count them in 32 bits.
pub const MAX_SEQ_LEN: usize = 1 << 30;

/// What planning knows of the device beside its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Whether one invocation should sum a whole row by itself, which software adapters and CPUs prefer.
    pub row_per_invocation: bool,
    /// Whether the invocations of a subgroup should pass values round: software adapters whose vectors have 8 lanes or
    /// more load them one lane after the other.
    pub subgroups: bool,
    /// Whether it is the host, whose engine is the twins.
    pub host: bool,
}

impl Tuning {
    /// Of real GPUs.
    pub const GPU: Self = Self { row_per_invocation: false, subgroups: false, host: false };
}

/// The state of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerState {
    /// `[D, B, R]`, read and written in turns: the first to compute steps reads `h[0]` and writes the other.
    pub h: [BufferId; 2],
    /// `[D, B, H]`, for an LSTM.
    pub c: Option<BufferId>,
}

/// A recording and where its inputs and outputs are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// T and B.
    pub sizes: Sizes,
    /// How the recurrence is laid on the machine, and why so.
    pub schedule: Choice,
    /// What to execute.
    pub recording: Recording,
    /// The steps of each segment.
    pub segments: Vec<std::ops::Range<usize>>,
    /// The input, one buffer per segment: `[S, B, I]`, I padded to quads.
    pub input: Vec<BufferId>,
    /// Valid steps of each row: `[B]`, u32.
    pub lengths: BufferId,
    /// What dropout draws by, for training: key low, key high, first time step, first row: `[4]`, u32.
    pub dropout: Option<BufferId>,
    /// Per layer.
    pub states: Vec<LayerState>,
    /// How often the two `h` buffers of a layer change places: at each step, or at each dispatch of several.
    pub turns: usize,
    /// The last layer's output, one buffer per segment: `[S, B, D, R]`, R padded to quads, each direction in its order.
    pub output: Vec<BufferId>,
}

impl Plan {
    /// Which of a layer's two `h` buffers holds the state after the last step.
    pub fn final_h(&self, layer: usize) -> BufferId {
        self.states[layer].h[self.turns % 2]
    }

    /// Bytes that a forward pass takes on the device, weights included: all buffers, and the copies through which the output
    /// and the last state are read back. This is what the memory budget bounds.
    ///
    /// Not among them is what does not grow with the model: 256 bytes of uniforms for each dispatch that is unlike the
    /// others, what the driver rounds a buffer up by, and a table of 1 MiB for each device. wgpu has a copy of what is
    /// uploaded until the device has taken it, and asks the driver for memory in blocks of many MiB.
    pub fn size(&self) -> u64 {
        run_size(&self.recording, &self.states)
    }
}

/// See [`Plan::size`].
fn run_size(recording: &Recording, states: &[LayerState]) -> u64 {
    let outputs = recording.buffers.iter().filter(|buffer| buffer.role == Role::Output);
    // Of the two h of a layer only the one that holds the last state is read back.
    let states = states
        .iter()
        .flat_map(|state| [Some(state.h[0]), state.c])
        .flatten()
        .map(|id| recording.spec(id));
    recording.size() + outputs.chain(states).map(BufferSpec::size).sum::<u64>()
}

/// Plans the forward pass of `config` for `sizes`, as `module.eval()` computes it.
///
/// # Errors
/// [`Error::Limit`] naming the limit that one time step of the whole batch would exceed; [`Error::Argument`] when there
/// is no step or no row, [`Error::Unsupported`] for more than [`MAX_SEQ_LEN`] steps and for a schedule that cannot run this
/// module on this device.
pub fn plan(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
    tuning: Tuning,
    schedule: &Choice,
) -> Result<Plan> {
    layers(&Config { dropout: 0.0, ..config.clone() }, weights, sizes, limits, tuning, schedule)
}

/// Plans the forward pass of `config` for `sizes` with dropout between layers, as `module.train()` computes it.
///
/// # Errors
/// As [`plan()`].
pub fn plan_training(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
    tuning: Tuning,
    schedule: &Choice,
) -> Result<Plan> {
    layers(config, weights, sizes, limits, tuning, schedule)
}

/// Plans all layers, with the dropout of `config`.
fn layers(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
    tuning: Tuning,
    schedule: &Choice,
) -> Result<Plan> {
    let steps = segments::max_steps(config, weights, sizes, limits)?;
    let segments = segments::cut(sizes.seq_len, steps);
    if schedule.schedule == Schedule::Wavefront {
        return wavefront::plan(config, weights, sizes, limits, tuning, schedule.clone());
    }
    let mut planner = Planner::new(config, weights, sizes, limits, tuning);
    planner.set_schedule(schedule.schedule)?;
    let input = planner.sequence(
        "input",
        &segments,
        &[(Axis::Feature, padded(config.input_size))],
        Role::Input,
    );
    let lengths = planner.buffer("lengths", vec![(Axis::Row, sizes.batch)], Role::Input);
    let states = planner.states();
    let outputs = planner.outputs(&segments, Role::Output);
    let dropout = config.drops_between_layers().then(|| planner.dropout_settings());
    let longest = segments.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let scratch = planner.scratch(longest, lengths, dropout);
    for (layer, state) in states.iter().enumerate() {
        let x = if layer == 0 { &input } else { outputs.of(layer - 1) };
        for (c, segment) in segments.iter().enumerate() {
            let place = Place { layer, first_step: segment.start };
            let x = [x[c], x[segments.len() - 1 - c]];
            planner.layer(place, segment.len(), x, outputs.of(layer)[c], *state, scratch)?;
        }
    }
    let output = outputs.of(config.num_layers - 1).to_vec();
    let turns = planner.turns;
    let schedule = schedule.clone();
    Ok(Plan {
        sizes,
        schedule,
        recording: planner.recording,
        segments,
        input,
        lengths,
        dropout,
        states,
        turns,
        output,
    })
}

/// The largest number of rows that can run at a time: the whole batch, or so much of it that the limits hold.
///
/// Rows do not depend on each other, so that a batch may run in several passes of this size.
///
/// # Errors
/// [`Error::Limit`] when not even one row fits; for the sizes alone as [`plan`].
pub fn rows_per_pass(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
) -> Result<usize> {
    let mut passes = 1;
    loop {
        let batch = sizes.batch.div_ceil(passes);
        match segments::max_steps(config, weights, Sizes { batch, ..sizes }, limits) {
            Ok(_) => return Ok(batch),
            Err(error) if batch <= 1 => return Err(error),
            Err(_) => passes *= 2,
        }
    }
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

/// A dispatch of `workgroups` workgroups, after the checks that wgpu leaves to its callers.
pub(crate) fn planned(
    kernel: &'static Kernel,
    overrides: Vec<(&'static str, u32)>,
    dims: Dims,
    bindings: Vec<BufferId>,
    workgroups: u64,
    limits: &Limits,
) -> Result<Dispatch> {
    check_kernel(kernel, &overrides, &dims, limits)?;
    let workgroups = limits.fold_workgroups(kernel.name, workgroups)?;
    Ok(Dispatch {
        kernel,
        place: Place::default(),
        overrides,
        dims,
        bindings,
        workgroups,
        in_place: false,
    })
}

/// Checks a specialised kernel against the limits: wgpu validates neither workgroup sizes that come from overrides nor
/// workgroup memory, and nobody tells of lavapipe's bound on loop iterations.
///
/// # Errors
/// [`Error::Limit`].
pub fn check_kernel(
    kernel: &Kernel,
    overrides: &[(&'static str, u32)],
    dims: &Dims,
    limits: &Limits,
) -> Result<()> {
    let needs = (kernel.workgroup)(overrides);
    let checks = [
        (
            "max_compute_invocations_per_workgroup",
            u64::from(needs.size.iter().product::<u32>()),
            u64::from(limits.max_compute_invocations_per_workgroup),
        ),
        (
            "max_compute_workgroup_size_x",
            u64::from(needs.size[0]),
            u64::from(limits.max_compute_workgroup_size_x),
        ),
        (
            "max_compute_workgroup_storage_size",
            u64::from(needs.storage),
            u64::from(limits.max_compute_workgroup_storage_size),
        ),
        (
            "max_storage_buffers_per_shader_stage",
            kernel.bindings.len() as u64,
            u64::from(limits.max_storage_buffers_per_shader_stage),
        ),
        (
            "max_loop_iterations",
            (kernel.loop_iterations)(dims, overrides),
            limits.max_loop_iterations,
        ),
    ];
    for (limit, needed, allowed) in checks {
        if needed > allowed {
            return Err(Error::Limit {
                limit,
                what: format!("the kernel {}", kernel.name),
                needed,
                allowed,
                advice: if limit == "max_loop_iterations" {
                    "use a GPU or the CPU for a layer that wide"
                } else {
                    "use another device or the CPU"
                },
            });
        }
    }
    Ok(())
}
