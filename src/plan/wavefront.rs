//! The schedule `wavefront`: the layers of a stack run side by side, each a chunk of steps later
//! than the layer below it.
//!
//! Time is cut into chunks of K steps. In wave w layer l is at chunk w − l. A wave is one projection
//! of the input of the layers above the first, and then K dispatches, each a step of every layer.
//! Layer 0's projections are made for the whole segment at once. T·L dispatches that wait for each
//! other become (T/K + L − 1)(K + 1), fewest at K ≈ √(T/(L − 1)). Every sum is that of `step`, in its
//! order, so that the bits are the same.

use std::ops::Range;

use super::layers::Layers;
use super::linear::LinearShape;
use super::schedule::{Decision, Resolved, Shape, refuse};
use super::step::{self, Specialised, Sums};
use super::{LayerState, Plan, Profile, Request, Target, halvings, largest, run_size, segments};
use crate::error::Result;
use crate::kernel::uniforms::{Dims, LinearDims, StepDims};
use crate::kernel::{Family, Schedule};
use crate::params::config::Kind;
use crate::params::validate::Sizes;
use crate::perf::cost;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Place, Role};
use crate::tensor::padded;

/// The kernel of a step of all layers, and how time is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct WavefrontShape {
    step: Specialised,
    /// The most steps of a segment.
    steps: usize,
}

/// Whether the schedule can run a module, whatever the sizes.
///
/// # Errors
/// [`Error::Unsupported`](crate::error::Error::Unsupported) saying why not.
pub(super) fn check(request: &Request<'_>) -> Result<()> {
    let config = request.config;
    let why = if config.proj_size > 0 {
        "has no projection (proj_size)"
    } else if config.bidirectional {
        "runs one direction: a layer's reverse direction begins with the last step of the one below it"
    } else if config.num_layers < 2 {
        "needs at least two layers"
    } else if !request.weights.is_stack() {
        "needs the weights of all layers in one binding, which this device or its limits cut into several"
    } else {
        return Ok(());
    };
    Err(refuse(Schedule::Wavefront, why))
}

/// The kernel and the segments for a request.
///
/// # Errors
/// As [`check`]; [`Error::Unsupported`](crate::Error::Unsupported) also for dropout, and where the
/// limits have no room for one step of all layers;
/// [`Error::Limit`](crate::Error::Limit) as [`plan`](super::plan()).
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<WavefrontShape> {
    check(request)?;
    if request.has_dropout() {
        let why = "has no dropout between layers, which training asks for";
        return Err(refuse(Schedule::Wavefront, why));
    }
    let quads = padded(request.config.hidden_size) / 4;
    let step = step::specialise(Family::StepWave, request, profile, quads);
    let longest = segments::max_steps(request, profile.limits)?;
    let fits =
        |&steps: &usize| Wavefront::new(request, profile, WavefrontShape { step, steps }).fits();
    match largest(halvings(longest), fits) {
        Some(steps) => Ok(WavefrontShape { step, steps }),
        None => {
            let why = "needs room for a step of all layers at once, which this device or its \
                       limits do not have";
            Err(refuse(Schedule::Wavefront, why))
        }
    }
}

/// The wavefront where a stack would otherwise run by `step` and that takes longer by the profile's
/// calibration. Both give the same bits, so that the number of steps may decide.
pub(super) fn preferred(
    resolved: Resolved,
    request: &Request<'_>,
    profile: &Profile<'_>,
) -> Resolved {
    match saves(&resolved.decision, request, profile) {
        None => resolved,
        // Where the limits have no room for all layers at once, they run one after the other.
        Some(decision) => match shape(request, profile) {
            Ok(shape) => Resolved { decision, shape: Shape::Wavefront(shape) },
            Err(_) => resolved,
        },
    }
}

/// The decision for a wavefront, if it saves time.
fn saves(decision: &Decision, request: &Request<'_>, profile: &Profile<'_>) -> Option<Decision> {
    let (config, sizes) = (request.config, request.sizes);
    let by_step = decision.schedule == Schedule::Step && profile.target == Target::Gpu;
    if !by_step || decision.predictions.is_empty() || check(request).is_err() {
        return None;
    }
    let (layers, steps) = (config.num_layers, sizes.seq_len);
    let chunk = chunk(layers, steps)?;
    let stored = request.weights.storage().read_as();
    let calibration = profile.calibration;
    let projected = |rows| cost::projection(calibration, config, 1, rows, stored);
    // The difference: all waiting, and the projections of the layers above the first, in one piece
    // or a chunk at a time.
    let (above, waves) = ((layers - 1) as f64, (steps.div_ceil(chunk) + layers - 1) as f64);
    let wait_us = calibration.dispatch_us;
    let one_by_one =
        (layers * (steps + 1)) as f64 * wait_us + above * projected(steps * sizes.batch)?;
    let side_by_side = dispatches(layers, steps, chunk) as f64 * wait_us
        + waves * above * projected(chunk * sizes.batch)?;
    if side_by_side >= one_by_one {
        return None;
    }
    let reason = format!(
        "{}; layers side by side save {:.0} of {:.0} µs of waiting and projecting",
        decision.reason,
        one_by_one - side_by_side,
        one_by_one
    );
    let predictions = decision.predictions.clone();
    Some(Decision { schedule: Schedule::Wavefront, reason, predictions })
}

/// Records all layers.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) where a dispatch exceeds the limits.
pub(super) fn record(
    request: &Request<'_>,
    profile: &Profile<'_>,
    shape: WavefrontShape,
    decision: Decision,
) -> Result<Plan> {
    let mut wavefront = Wavefront::new(request, profile, shape);
    wavefront.record(&shape.step)?;
    Ok(wavefront.into_plan(decision))
}

/// The chunk with which a wavefront over so many layers and steps makes the fewest dispatches; `None` where it makes no fewer
/// than one layer after the other does.
pub(super) fn chunk(layers: usize, steps: usize) -> Option<usize> {
    // Of several the longest, whose projections read the weights less often.
    let best = (1..=steps).rev().min_by_key(|&chunk| dispatches(layers, steps, chunk))?;
    (dispatches(layers, steps, best) < layers * (steps + 1)).then_some(best)
}

/// Dispatches of a wavefront: the steps of the first layer and those by which the last one is behind, the waves' projections
/// and layer 0's.
fn dispatches(layers: usize, steps: usize, chunk: usize) -> usize {
    steps + (layers - 1) * chunk + steps.div_ceil(chunk) + layers - 1
}

/// A plan in the making.
struct Wavefront<'a> {
    layers: Layers<'a>,
    /// The most steps K of a layer in a wave.
    chunk: usize,
    segments: Vec<Range<usize>>,
    /// `[S, B, I]` for each segment.
    input: Vec<BufferId>,
    /// `[L, S, B, H, G]` for the longest segment.
    gates_x: BufferId,
    /// `[L, B, H]`, read and written in turns.
    h: [BufferId; 2],
    /// `[L, B, H]`, for an LSTM.
    c: Option<BufferId>,
    /// `[L, S, B, H]` for each segment.
    y: Vec<BufferId>,
    /// The last layer's part of `y`: `[S, B, 1, H]`.
    output: Vec<BufferId>,
    /// Each layer's part of `h` and `c`: `[1, B, H]`.
    states: Vec<LayerState>,
    lengths: BufferId,
}

/// A wave: which one of a segment, and where the segment is.
#[derive(Clone, Copy)]
struct Wave {
    index: usize,
    /// The first step of the segment.
    first_step: usize,
    /// Chunks of the segment, and steps K of each.
    chunks: usize,
    chunk: usize,
}

impl Wave {
    /// The layers that are within the segment.
    fn layers(self, num_layers: usize) -> Range<usize> {
        (self.index + 1).saturating_sub(self.chunks)..num_layers.min(self.index + 1)
    }

    /// Steps of the segment, in whole chunks.
    fn steps(self) -> usize {
        self.chunks * self.chunk
    }

    /// Where in the segments of all layers, one after the other, a layer's steps of this wave begin.
    fn start(self, layer: usize) -> usize {
        layer * self.steps() + (self.index - layer) * self.chunk
    }
}

impl<'a> Wavefront<'a> {
    /// The buffers for segments of at most `shape.steps` steps.
    fn new(request: &Request<'a>, profile: &Profile<'a>, shape: WavefrontShape) -> Self {
        let (mut recorder, steps) = (Layers::new(request, profile), shape.steps);
        let (config, Sizes { seq_len, batch }) = (request.config, request.sizes);
        let layers = config.num_layers;
        let chunk = chunk(layers, steps).unwrap_or(1);
        // Whole chunks, but for the last segment.
        let longest = if steps == seq_len { steps } else { steps / chunk * chunk };
        let segments: Vec<_> = (0..seq_len)
            .step_by(longest)
            .map(|start| start..(start + longest).min(seq_len))
            .collect();
        let input = recorder.sequence(
            "input",
            &segments,
            &[(Axis::Feature, padded(config.input_size))],
            Role::Input,
        );
        let lengths = recorder.buffer("lengths", vec![(Axis::Row, batch)], Role::Input);
        let units = padded(config.hidden_size);
        let (of_layers, row) = ((Axis::Layer, layers), (Axis::Row, batch));
        let mut state = |label: &str, units: usize| {
            let whole =
                recorder.buffer(label, vec![of_layers, row, (Axis::Unit, units)], Role::Scratch);
            let part = |layer: usize| {
                let axes = vec![(Axis::Direction, 1), row, (Axis::Unit, units)];
                let spec =
                    BufferSpec { label: format!("layer {layer} {label}"), axes, role: Role::State };
                recorder.recording.part(whole, layer * batch * units, spec)
            };
            (whole, (0..layers).map(part).collect::<Vec<_>>())
        };
        let [even, odd] = ["h, even steps", "h, odd steps"].map(|label| state(label, units));
        let c = (config.kind == Kind::Lstm).then(|| state("c", config.hidden_size));
        let of_layer = |layer: usize| LayerState {
            h: [even.1[layer], odd.1[layer]],
            c: c.as_ref().map(|c| c.1[layer]),
        };
        let states = (0..layers).map(of_layer).collect();
        let (mut y, mut output) = (Vec::new(), Vec::new());
        for segment in &segments {
            let chunk = chunk.min(segment.len());
            let steps = segment.len().div_ceil(chunk) * chunk;
            let axes = vec![of_layers, (Axis::Step, steps), row, (Axis::Unit, units)];
            let whole = recorder.buffer("layer outputs", axes, Role::Scratch);
            let axes =
                vec![(Axis::Step, segment.len()), row, (Axis::Direction, 1), (Axis::Unit, units)];
            let spec = BufferSpec { label: "output".to_owned(), axes, role: Role::Output };
            output.push(recorder.recording.part(whole, (layers - 1) * steps * batch * units, spec));
            y.push(whole);
        }
        let steps = longest.div_ceil(chunk) * chunk;
        let (unit, gate) = ((Axis::Unit, config.hidden_size), (Axis::Gate, config.gate_count()));
        let gates_x = recorder.buffer(
            "gates_x",
            vec![of_layers, (Axis::Step, steps), row, unit, gate],
            Role::Scratch,
        );
        let (h, c) = ([even.0, odd.0], c.map(|c| c.0));
        Self { layers: recorder, chunk, segments, input, gates_x, h, c, y, output, states, lengths }
    }

    /// Whether the limits hold the buffers, and a submission the projection of a wave.
    fn fits(&self) -> bool {
        let Layers { request, profile, recording, .. } = &self.layers;
        let (config, batch, limits) = (request.config, request.sizes.batch, profile.limits);
        let steps = self.segments.first().map_or(0, ExactSizeIterator::len);
        let side_by_side = (config.num_layers - 1).min(steps.div_ceil(self.chunk));
        let rows = side_by_side * self.chunk * batch;
        let columns = (config.hidden_size * config.gate_count()) as u64;
        let work = columns.saturating_mul((rows * padded(config.hidden_size)) as u64);
        recording.buffers.iter().all(|spec| spec.size() <= limits.max_binding())
            && run_size(recording, &self.states) <= limits.memory_budget
            && (steps == 1 || work <= limits.max_work_per_submission)
    }

    /// All commands.
    fn record(&mut self, kernel: &Specialised) -> Result<()> {
        let num_layers = self.layers.request.config.num_layers;
        for (segment, range) in self.segments.clone().into_iter().enumerate() {
            let steps = range.len();
            let place = Place { layer: 0, first_step: range.start };
            let x = [self.input[segment]; 2];
            for projection in self.layers.input_projection(place, steps, x, self.gates_x)? {
                self.layers.push(Command::Dispatch(projection));
            }
            let chunk = self.chunk.min(steps);
            let chunks = steps.div_ceil(chunk);
            let waves = chunks + num_layers - 1;
            for index in 0..waves {
                let wave = Wave { index, first_step: range.start, chunks, chunk };
                if index > 0 {
                    let projection = self.projection(wave, self.y[segment])?;
                    self.layers.push(Command::Dispatch(projection));
                }
                // In the last wave only the last layer is left, with the steps that remain.
                let count = if index + 1 < waves { chunk } else { steps - (chunks - 1) * chunk };
                let by_parity = [
                    vec![self.step(kernel, wave, 0, self.y[segment])?],
                    vec![self.step(kernel, wave, 1, self.y[segment])?],
                ];
                let (count_u32, first_step) = (count as u32, self.layers.turns as u32);
                self.layers.push(Command::Steps { count: count_u32, first_step, by_parity });
                self.layers.turns += count;
            }
        }
        Ok(())
    }

    /// The projection of the input of the layers above the first in a wave: what the layer below
    /// wrote in the wave before.
    fn projection(&self, wave: Wave, y: BufferId) -> Result<Dispatch> {
        let Layers { request, profile, .. } = &self.layers;
        let (config, batch) = (request.config, request.sizes.batch);
        let inside = wave.layers(config.num_layers);
        let layers = inside.start.max(1)..inside.end;
        let columns = config.hidden_size * config.gate_count();
        let rows = wave.chunk * batch;
        let weights = request.weights.storage().read_as();
        let shape = LinearShape::choose([rows, columns, layers.len()], weights, profile.limits);
        // From a layer's steps of this wave to those of the next layer.
        let distance = (wave.steps() - wave.chunk) * batch;
        let [shard] = request.weights.layer(layers.start) else {
            unreachable!("layers of a stack have one shard")
        };
        let dims = LinearDims {
            steps: wave.chunk as u32,
            batch: batch as u32,
            directions: layers.len() as u32,
            columns: columns as u32,
            halves: 1,
            half_quads: (padded(config.hidden_size) / 4) as u32,
            y_row_stride: columns as u32,
            y_direction_stride: (distance * columns) as u32,
            y_offset: (wave.start(layers.start) * batch * columns) as u32,
            row_tiles: rows.div_ceil(shape.rows) as u32,
            column_tiles: columns.div_ceil(shape.columns) as u32,
            weight_base: shard.input_base as u32,
            // The same steps of the layer below.
            x_first_row: ((wave.start(layers.start) - wave.steps()) * batch) as u32,
            x_direction_rows: distance as u32,
            pad: [0; 2],
        };
        let tiles = u64::from(dims.row_tiles) * u64::from(dims.column_tiles);
        self.layers.dispatch(
            shape.kernel,
            Place { layer: layers.start, first_step: wave.first_step },
            shape.overrides,
            Dims::Linear(dims),
            vec![y, y, shard.weight_ih, shard.bias, self.gates_x],
            tiles * layers.len() as u64,
        )
    }

    /// A step of all layers in a wave, where `h` has the given parity.
    fn step(
        &self,
        kernel: &Specialised,
        wave: Wave,
        parity: usize,
        y: BufferId,
    ) -> Result<Dispatch> {
        let Request { config, weights, .. } = self.layers.request;
        let [shard] = weights.layer(0) else { unreachable!("layers of a stack have one shard") };
        let layer = wave.layers(config.num_layers).start;
        let place = Place { layer, first_step: wave.first_step };
        let sums = Sums { over: config.hidden_size, units: config.hidden_size };
        let dims = StepDims {
            directions: config.num_layers as u32,
            first_index: (wave.index * wave.chunk) as u32,
            layer_delay: wave.chunk as u32,
            steps: wave.steps() as u32,
            ..step::step_dims(&self.layers, place, sums, shard.units.clone())
        };
        let (h_in, h_out) = (self.h[parity], self.h[1 - parity]);
        let mut bindings = vec![self.gates_x, shard.weight_hh, h_in, h_out, y, self.lengths];
        bindings.extend(self.c.or(shard.bias_hn));
        step::dispatch(&self.layers, kernel, place, dims, bindings)
    }

    fn into_plan(self, schedule: Decision) -> Plan {
        let Self { layers, segments, input, lengths, states, output, .. } = self;
        let Layers { request, turns, recording, .. } = layers;
        let sizes = request.sizes;
        let dropout = None;
        Plan {
            sizes,
            schedule,
            recording,
            segments,
            input,
            lengths,
            dropout,
            states,
            turns,
            output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{chunk, dispatches};
    use crate::Config;
    use crate::kernel::Schedule;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::Calibration;
    use crate::plan::limits::Limits;
    use crate::plan::{Decision, Profile, Request, Target, WeightLayout, plan};
    use crate::wgpu::DeviceType;

    /// The decision for a stack of LSTMs of 256 units on a discrete GPU, if it is a wavefront.
    fn taken(num_layers: usize, seq_len: usize, dispatch_us: f64) -> Option<Decision> {
        let config = Config::lstm(256, 256).num_layers(num_layers);
        let limits = Limits::of(&wgpu::Limits::defaults(), false);
        let weights = WeightLayout::new(&config, &limits).expect("it fits");
        let typical = Calibration::typical_of(Some(DeviceType::DiscreteGpu));
        let calibration = &Calibration { dispatch_us, ..typical };
        let profile = Profile { limits: &limits, calibration, target: Target::Gpu };
        let sizes = Sizes { seq_len, batch: 1 };
        let request = Request { config: &config, weights: &weights, sizes, training: false };
        let plan = plan(&request, &profile, Schedule::Auto).expect("auto always runs");
        Some(plan.schedule).filter(|decision| decision.schedule == Schedule::Wavefront)
    }

    #[test]
    fn layers_run_side_by_side_where_waiting_is_what_takes_the_time() {
        let waves = taken(3, 100, 2.0).expect("300 steps wait for each other");
        assert_eq!(waves.schedule, Schedule::Wavefront);
        assert!(waves.reason.contains("side by side save"), "{}", waves.reason);
        assert_eq!(
            waves.predictions.first().map(|step| step.schedule),
            Some(Schedule::Step),
            "its steps"
        );
        assert_eq!(
            taken(3, 100, 0.01),
            None,
            "dispatches cost next to nothing, and projections in pieces more"
        );
        assert_eq!(taken(1, 100, 2.0), None, "one layer");
        assert_eq!(taken(3, 1, 2.0), None, "one step");
    }

    #[test]
    fn chunks_make_the_fewest_dispatches_or_there_is_none() {
        for (layers, steps, want) in [
            (2, 1, None),
            (9, 1, None),
            (2, 3, None),
            (2, 4, Some(2)),
            (2, 100, Some(10)),
            (3, 100, Some(8)),
        ] {
            assert_eq!(chunk(layers, steps), want, "{layers} layers, {steps} steps");
        }
        for (layers, steps) in [(2, 57), (3, 100), (5, 1000), (40, 9)] {
            let best = chunk(layers, steps).map(|chunk| dispatches(layers, steps, chunk));
            let least = (1..=steps).map(|chunk| dispatches(layers, steps, chunk)).min();
            assert_eq!(best, least, "{layers} layers, {steps} steps");
        }
        // 3 · 101 otherwise.
        assert_eq!(dispatches(3, 100, 8), 100 + 16 + 13 + 2);
    }
}
