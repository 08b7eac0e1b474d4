//! Planning: configuration + sizes + limits → recording. Pure arithmetic, no device needed.
//!
//! A sequence lives in **segments**, each a buffer of consecutive steps, so that no buffer exceeds what the device
//! binds. Values are kept in the order in which their direction visits them: for the reverse direction step 0 is the
//! last time step. Segments are cut symmetrically (segment c is as long as segment n−1−c), so that what one direction
//! calls segment c the other calls segment n−1−c, read from its end. Most sequences have one segment.

mod segments;
mod weights;

pub use weights::{LayerShard, WeightLayout};

use crate::check::Sizes;
use crate::config::{Config, Kind};
use crate::dims::{Dims, LinearDims, StepDims};
use crate::error::{Error, Result};
use crate::kernel::{self, Kernel, LINEAR_TILE, STEP_MAX_ROWS, activation};
use crate::limits::Limits;
use crate::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role};

/// Rows of the table of step indices, and so the most steps of one segment.
pub const MAX_SEGMENT_STEPS: usize = 4096;

/// The most steps of a sequence: kernels count them in 32 bits.
pub const MAX_SEQ_LEN: usize = 1 << 30;

/// What planning knows of the device beside its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Whether one invocation should sum a whole row by itself, which software adapters and CPUs prefer.
    pub row_per_invocation: bool,
}

/// The state of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerState {
    /// `[D, B, R]`, read and written in turns: step s reads `h[s % 2]` and writes the other.
    pub h: [BufferId; 2],
    /// `[D, B, H]`, for an LSTM.
    pub c: Option<BufferId>,
}

/// A recording and where its inputs and outputs are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// T and B.
    pub sizes: Sizes,
    /// What to execute.
    pub recording: Recording,
    /// The steps of each segment.
    pub segments: Vec<std::ops::Range<usize>>,
    /// The input, one buffer per segment: `[S, B, I]`, I padded to quads.
    pub input: Vec<BufferId>,
    /// Valid steps of each row: `[B]`, u32.
    pub lengths: BufferId,
    /// Per layer.
    pub states: Vec<LayerState>,
    /// The last layer's output, one buffer per segment: `[S, B, D, R]`, R padded to quads, each direction in its order.
    pub output: Vec<BufferId>,
}

impl Plan {
    /// Which of a layer's two `h` buffers holds the state after the last step.
    pub fn final_h(&self, layer: usize) -> BufferId {
        self.states[layer].h[self.sizes.seq_len % 2]
    }

    /// Bytes that a run takes on the device: all buffers, and the copies through which results are read back.
    pub fn size(&self) -> u64 {
        let read_back = self.recording.buffers.iter().filter(|b| matches!(b.role, Role::Output | Role::State));
        self.recording.size() + read_back.map(BufferSpec::size).sum::<u64>()
    }
}

/// `size` rounded up to whole quads.
pub(crate) const fn padded(size: usize) -> usize {
    size.div_ceil(4) * 4
}

/// Plans the forward pass of `config` for `sizes`.
///
/// # Errors
/// [`Error::Limit`] naming the limit that one time step of the whole batch would exceed; [`Error::Argument`] when there
/// is no step or no row, [`Error::Unsupported`] for more than [`MAX_SEQ_LEN`] steps.
pub fn plan(config: &Config, weights: &WeightLayout, sizes: Sizes, limits: &Limits, tuning: Tuning) -> Result<Plan> {
    let steps = segments::max_steps(config, weights, sizes, limits)?;
    let segments = segments::cut(sizes.seq_len, steps);
    let mut planner = Planner {
        config,
        limits,
        tuning,
        sizes,
        recording: Recording { buffers: weights.buffers().to_vec(), commands: Vec::new() },
    };
    let input = planner.sequence("input", &segments, &[(Axis::Feature, padded(config.input_size))], Role::Input);
    let lengths = planner.buffer("lengths", vec![(Axis::Row, sizes.batch)], Role::Input);
    let states: Vec<LayerState> = (0..config.num_layers).map(|layer| planner.state(layer)).collect();
    let y_axes = [(Axis::Direction, config.num_directions()), (Axis::Unit, padded(config.state_size()))];
    // Layers write to two sets of buffers in turns; the last layer's set is the output.
    let sets: Vec<Vec<BufferId>> = (0..config.num_layers.min(2))
        .map(|set| {
            let last = (config.num_layers - 1) % 2 == set;
            let (label, role) = if last { ("output", Role::Output) } else { ("layer output", Role::Scratch) };
            planner.sequence(label, &segments, &y_axes, role)
        })
        .collect();
    let gates_x = planner.buffer(
        "gates_x",
        vec![
            (Axis::Step, segments.iter().map(ExactSizeIterator::len).max().unwrap_or(0)),
            (Axis::Row, sizes.batch),
            (Axis::Direction, config.num_directions()),
            (Axis::Unit, config.hidden_size),
            (Axis::Gate, config.gate_count()),
        ],
        Role::Scratch,
    );
    for layer in 0..config.num_layers {
        let x = if layer == 0 { &input } else { &sets[(layer - 1) % 2] };
        let y = &sets[layer % 2];
        for (c, segment) in segments.iter().enumerate() {
            let place = Place { layer, first_step: segment.start };
            for shard in weights.layer(layer) {
                let x = [x[c], x[segments.len() - 1 - c]];
                planner.input_projection(place, segment.len(), shard, x, gates_x)?;
            }
            let by_parity = [0, 1].map(|parity| {
                let h = states[layer].h;
                let buffers = StepBuffers {
                    gates_x,
                    h_in: h[parity],
                    h_out: h[1 - parity],
                    y: y[c],
                    lengths,
                    c: states[layer].c,
                };
                weights.layer(layer).iter().map(|shard| planner.step(place, shard, &buffers)).collect()
            });
            let [even, odd]: [Result<Vec<Dispatch>>; 2] = by_parity;
            planner.recording.commands.push(Command::Steps {
                count: segment.len() as u32,
                first_step: segment.start as u32,
                by_parity: [even?, odd?],
            });
        }
    }
    let output = sets[(config.num_layers - 1) % 2].clone();
    Ok(Plan { sizes, recording: planner.recording, segments, input, lengths, states, output })
}

/// The largest number of rows that can run at a time: the whole batch, or so much of it that the limits hold.
///
/// Rows do not depend on each other, so that a batch may run in several passes of this size.
///
/// # Errors
/// [`Error::Limit`] when not even one row fits; for the sizes alone as [`plan`].
pub fn rows_per_pass(config: &Config, weights: &WeightLayout, sizes: Sizes, limits: &Limits) -> Result<usize> {
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

/// The buffers of one step.
struct StepBuffers {
    gates_x: BufferId,
    h_in: BufferId,
    h_out: BufferId,
    y: BufferId,
    lengths: BufferId,
    c: Option<BufferId>,
}

struct Planner<'a> {
    config: &'a Config,
    limits: &'a Limits,
    tuning: Tuning,
    sizes: Sizes,
    recording: Recording,
}

impl Planner<'_> {
    fn buffer(&mut self, label: &str, axes: Vec<(Axis, usize)>, role: Role) -> BufferId {
        self.recording.buffer(BufferSpec { label: label.to_owned(), axes, role })
    }

    /// One buffer per segment of something that every (step, row) has.
    fn sequence(
        &mut self,
        label: &str,
        segments: &[std::ops::Range<usize>],
        axes: &[(Axis, usize)],
        role: Role,
    ) -> Vec<BufferId> {
        segments
            .iter()
            .map(|segment| {
                let mut all = vec![(Axis::Step, segment.len()), (Axis::Row, self.sizes.batch)];
                all.extend_from_slice(axes);
                self.buffer(label, all, role)
            })
            .collect()
    }

    fn state(&mut self, layer: usize) -> LayerState {
        let axes = |features| {
            vec![(Axis::Direction, self.config.num_directions()), (Axis::Row, self.sizes.batch), (Axis::Unit, features)]
        };
        let (h, c) = (axes(padded(self.config.state_size())), axes(self.config.hidden_size));
        LayerState {
            h: ["even", "odd"]
                .map(|turn| self.buffer(&format!("layer {layer} h, {turn} steps"), h.clone(), Role::State)),
            c: (self.config.kind == Kind::Lstm).then(|| self.buffer(&format!("layer {layer} c"), c, Role::State)),
        }
    }

    /// Projects a segment's input for the units of one shard, all directions at once.
    fn input_projection(
        &mut self,
        place: Place,
        steps: usize,
        shard: &LayerShard,
        [x_same, x_mirrored]: [BufferId; 2],
        gates_x: BufferId,
    ) -> Result<()> {
        let config = self.config;
        let (gates, directions) = (config.gate_count(), config.num_directions());
        let columns = shard.units.len() * gates;
        let (parts, part) = if place.layer == 0 { (1, config.input_size) } else { (directions, config.state_size()) };
        let dims = LinearDims {
            steps: steps as u32,
            batch: self.sizes.batch as u32,
            directions: directions as u32,
            columns: columns as u32,
            parts: parts as u32,
            part_quads: (padded(part) / 4) as u32,
            y_row_stride: (directions * config.hidden_size * gates) as u32,
            y_direction_stride: (config.hidden_size * gates) as u32,
            y_offset: (shard.units.start * gates) as u32,
            row_tiles: (steps * self.sizes.batch).div_ceil(LINEAR_TILE) as u32,
            column_tiles: columns.div_ceil(LINEAR_TILE) as u32,
            pad: 0,
        };
        let dispatch = self.dispatch(
            &kernel::LINEAR,
            place,
            vec![("ACTIVATION", activation::NONE)],
            Dims::Linear(dims),
            vec![x_same, x_mirrored, shard.weight_ih, shard.bias, gates_x],
            u64::from(dims.row_tiles) * u64::from(dims.column_tiles) * directions as u64,
        )?;
        self.recording.commands.push(Command::Dispatch(dispatch));
        Ok(())
    }

    /// One step of one shard.
    fn step(&self, place: Place, shard: &LayerShard, buffers: &StepBuffers) -> Result<Dispatch> {
        let config = self.config;
        let (kernel, own) = match config.kind {
            Kind::RnnTanh | Kind::RnnRelu => (&kernel::STEP_RNN, None),
            Kind::Lstm => (&kernel::STEP_LSTM, buffers.c),
            Kind::Gru => (&kernel::STEP_GRU, shard.bias_hn),
        };
        let state_quads = padded(config.state_size()) / 4;
        let overrides = self.step_overrides(kernel, state_quads);
        let units_per_workgroup = (overrides[0].1 / overrides[1].1) as usize;
        let rows = overrides[2].1 as usize;
        let unit_tiles = shard.units.len().div_ceil(units_per_workgroup);
        let row_tiles = self.sizes.batch.div_ceil(rows);
        let directions = config.num_directions();
        let dims = StepDims {
            seq_len: self.sizes.seq_len as u32,
            first_step: place.first_step as u32,
            batch: self.sizes.batch as u32,
            directions: directions as u32,
            hidden_size: config.hidden_size as u32,
            state_quads: state_quads as u32,
            units: shard.units.len() as u32,
            unit_offset: shard.units.start as u32,
            unit_tiles: unit_tiles as u32,
            row_tiles: row_tiles as u32,
            pad: [0; 2],
        };
        let mut bindings =
            vec![buffers.gates_x, shard.weight_hh, buffers.h_in, buffers.h_out, buffers.y, buffers.lengths];
        bindings.extend(own);
        let workgroups = unit_tiles as u64 * row_tiles as u64 * directions as u64;
        self.dispatch(kernel, place, overrides, Dims::Step(dims), bindings, workgroups)
    }

    /// WORKGROUP_SIZE, LANES, ROWS and, for a plain RNN, RELU.
    ///
    /// LANES decides the order of the sums, so that it depends on the state's size and the adapter, never on the batch.
    fn step_overrides(&self, kernel: &Kernel, state_quads: usize) -> Vec<(&'static str, u32)> {
        let invocations =
            self.limits.max_compute_invocations_per_workgroup.min(self.limits.max_compute_workgroup_size_x);
        let workgroup_size = if invocations < 64 || self.tuning.row_per_invocation { 32 } else { 64 };
        // At least two quads for each lane: shorter sums cost more to join than they save.
        let lanes = match (self.tuning.row_per_invocation, state_quads / 2) {
            (true, _) | (false, 0) => 1,
            (false, pairs) => 1 << pairs.ilog2().min(5),
        };
        let wanted = self.sizes.batch.next_power_of_two().min(STEP_MAX_ROWS as usize) as u32;
        let mut overrides = vec![("WORKGROUP_SIZE", workgroup_size), ("LANES", lanes), ("ROWS", wanted)];
        if self.config.gate_count() == 1 {
            overrides.push(("RELU", u32::from(self.config.kind == Kind::RnnRelu)));
        }
        while overrides[2].1 > 1
            && (kernel.workgroup)(&overrides).storage > self.limits.max_compute_workgroup_storage_size
        {
            overrides[2].1 /= 2;
        }
        overrides
    }

    /// A dispatch of `workgroups` workgroups, after the checks that wgpu leaves to its callers.
    fn dispatch(
        &self,
        kernel: &'static Kernel,
        place: Place,
        overrides: Vec<(&'static str, u32)>,
        dims: Dims,
        bindings: Vec<BufferId>,
        workgroups: u64,
    ) -> Result<Dispatch> {
        check_kernel(kernel, &overrides, &dims, self.limits)?;
        let workgroups = self.limits.fold_workgroups(kernel.name, workgroups)?;
        Ok(Dispatch { kernel, place, overrides, dims, bindings, workgroups })
    }
}

/// Checks a specialised kernel against the limits: wgpu validates neither workgroup sizes that come from overrides nor
/// workgroup memory, and nobody tells of lavapipe's bound on loop iterations.
///
/// # Errors
/// [`Error::Limit`].
pub fn check_kernel(kernel: &Kernel, overrides: &[(&'static str, u32)], dims: &Dims, limits: &Limits) -> Result<()> {
    let needs = (kernel.workgroup)(overrides);
    let checks = [
        (
            "max_compute_invocations_per_workgroup",
            u64::from(needs.size.iter().product::<u32>()),
            u64::from(limits.max_compute_invocations_per_workgroup),
        ),
        ("max_compute_workgroup_size_x", u64::from(needs.size[0]), u64::from(limits.max_compute_workgroup_size_x)),
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
        ("max_loop_iterations", (kernel.loop_iterations)(dims, overrides), limits.max_loop_iterations),
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
