//! The schedule `wavefront`: the layers of a stack work side by side, each a chunk of steps behind the one below it.
//!
//! In wave w layer l is at chunk w − l. A wave is one projection of what the layers above the first read in it, and then
//! one dispatch per step for all layers; layer 0's projections are made for the whole segment at once. T·L dispatches that
//! wait for each other become about T + (L − 1)·K + T / K, and nothing else changes: every sum is that of `step`, in its
//! order.

use std::ops::Range;

use super::layers::{Planner, Width};
use super::linear::LinearShape;
use super::schedule::{Choice, refuse};
use super::{LayerState, Plan, Tuning, WeightLayout, run_size, segments};
use crate::error::Result;
use crate::kernel::Schedule;
use crate::kernel::uniforms::{Dims, LinearDims, StepDims};
use crate::kernel::{self, activation};
use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;
use crate::perf::calibration::Calibration;
use crate::perf::cost;
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Place, Role};
use crate::tensor::padded;

/// Whether the schedule can run a module, whatever the sizes.
///
/// # Errors
/// [`Error::Unsupported`](crate::error::Error::Unsupported) saying why not.
pub(super) fn check(config: &Config, weights: &WeightLayout) -> Result<()> {
    let why = if config.proj_size > 0 {
        "has no projection (proj_size)"
    } else if config.bidirectional {
        "runs one direction: a layer's reverse direction begins with the last step of the one below it"
    } else if config.num_layers < 2 {
        "needs at least two layers"
    } else if !weights.is_stack() {
        "needs the weights of all layers in one binding, which this device or its limits cut into several"
    } else {
        return Ok(());
    };
    Err(refuse(Schedule::Wavefront, why))
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

/// The wavefront in the place of one layer after the other, where that was chosen by `choice` and takes longer by what is known
/// of the device. Both give the same bits, so that the number of steps may decide.
pub fn side_by_side(
    choice: &Choice,
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    calibration: &Calibration,
) -> Option<Choice> {
    let step = choice.predictions.first().filter(|_| choice.schedule == Schedule::Step)?;
    let (layers, steps) = (config.num_layers, sizes.seq_len);
    let chunk = chunk(layers, steps).filter(|_| check(config, weights).is_ok())?;
    let stored = weights.storage().read_as();
    let projected = |rows| cost::projection(calibration, config, 1, rows, stored);
    // What differs: all that waits, and the projections of the layers above the first, in one piece or a chunk at a time.
    let (above, waves) = ((layers - 1) as f64, (steps.div_ceil(chunk) + layers - 1) as f64);
    let wait_us = calibration.dispatch_us;
    let one_by_one =
        (layers * (steps + 1)) as f64 * wait_us + above * projected(steps * sizes.batch)?;
    let beside = dispatches(layers, steps, chunk) as f64 * wait_us
        + waves * above * projected(chunk * sizes.batch)?;
    if beside >= one_by_one {
        return None;
    }
    let reason = format!(
        "{}; layers side by side save {:.0} of {:.0} µs of waiting and projecting",
        choice.reason,
        one_by_one - beside,
        one_by_one
    );
    let predictions =
        std::iter::once(*step).chain(choice.predictions[1..].iter().copied()).collect();
    Some(Choice { schedule: Schedule::Wavefront, reason, predictions })
}

/// Plans all layers.
///
/// # Errors
/// As [`check`]; [`Error::Unsupported`](crate::error::Error::Unsupported) also for dropout, and where the limits have no
/// room for one step of all layers; [`Error::Limit`](crate::error::Error::Limit) as [`plan`](super::plan()).
pub(super) fn plan(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
    tuning: Tuning,
    schedule: Choice,
) -> Result<Plan> {
    check(config, weights)?;
    if config.drops_between_layers() {
        return Err(refuse(
            Schedule::Wavefront,
            "has no dropout between layers, which training asks for",
        ));
    }
    let mut steps = segments::max_steps(config, weights, sizes, limits)?;
    loop {
        let planner = Planner::new(config, weights, sizes, limits, tuning);
        let mut wavefront = Wavefront::new(planner, steps);
        if wavefront.fits(limits) {
            wavefront.record()?;
            return Ok(wavefront.into_plan(schedule));
        }
        steps /= 2;
        if steps == 0 {
            let why = "needs room for a step of all layers at once, which this device or its limits do not have";
            return Err(refuse(Schedule::Wavefront, why));
        }
    }
}

/// A plan in the making.
struct Wavefront<'a> {
    planner: Planner<'a>,
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
    /// The buffers for segments of at most so many steps.
    fn new(mut planner: Planner<'a>, steps: usize) -> Self {
        let (config, Sizes { seq_len, batch }) = (planner.config, planner.sizes);
        let layers = config.num_layers;
        let chunk = chunk(layers, steps).unwrap_or(1);
        // Whole chunks, but for the last segment.
        let longest = if steps == seq_len { steps } else { steps / chunk * chunk };
        let segments: Vec<_> = (0..seq_len)
            .step_by(longest)
            .map(|start| start..(start + longest).min(seq_len))
            .collect();
        let input = planner.sequence(
            "input",
            &segments,
            &[(Axis::Feature, padded(config.input_size))],
            Role::Input,
        );
        let lengths = planner.buffer("lengths", vec![(Axis::Row, batch)], Role::Input);
        let units = padded(config.hidden_size);
        let (of_layers, row) = ((Axis::Layer, layers), (Axis::Row, batch));
        let mut state = |label: &str, units: usize| {
            let whole =
                planner.buffer(label, vec![of_layers, row, (Axis::Unit, units)], Role::Scratch);
            let part = |layer: usize| {
                let axes = vec![(Axis::Direction, 1), row, (Axis::Unit, units)];
                let spec =
                    BufferSpec { label: format!("layer {layer} {label}"), axes, role: Role::State };
                planner.recording.part(whole, layer * batch * units, spec)
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
            let whole = planner.buffer("layer outputs", axes, Role::Scratch);
            let axes =
                vec![(Axis::Step, segment.len()), row, (Axis::Direction, 1), (Axis::Unit, units)];
            let spec = BufferSpec { label: "output".to_owned(), axes, role: Role::Output };
            output.push(planner.recording.part(whole, (layers - 1) * steps * batch * units, spec));
            y.push(whole);
        }
        let steps = longest.div_ceil(chunk) * chunk;
        let (unit, gate) = ((Axis::Unit, config.hidden_size), (Axis::Gate, config.gate_count()));
        let gates_x = planner.buffer(
            "gates_x",
            vec![of_layers, (Axis::Step, steps), row, unit, gate],
            Role::Scratch,
        );
        let (h, c) = ([even.0, odd.0], c.map(|c| c.0));
        Self { planner, chunk, segments, input, gates_x, h, c, y, output, states, lengths }
    }

    /// Whether the limits hold the buffers, and a submission the projection of a wave.
    fn fits(&self, limits: &Limits) -> bool {
        let Planner { config, sizes, recording, .. } = &self.planner;
        let steps = self.segments.first().map_or(0, ExactSizeIterator::len);
        let rows =
            (config.num_layers - 1).min(steps.div_ceil(self.chunk)) * self.chunk * sizes.batch;
        let columns = (config.hidden_size * config.gate_count()) as u64;
        let work = columns.saturating_mul((rows * padded(config.hidden_size)) as u64);
        recording.buffers.iter().all(|spec| spec.size() <= limits.max_binding())
            && run_size(recording, &self.states) <= limits.memory_budget
            && (steps == 1 || work <= limits.max_work_per_submission)
    }

    /// All commands.
    fn record(&mut self) -> Result<()> {
        for (segment, range) in self.segments.clone().into_iter().enumerate() {
            let steps = range.len();
            let place = Place { layer: 0, first_step: range.start };
            for projection in self.planner.input_projection(
                place,
                steps,
                [self.input[segment]; 2],
                self.gates_x,
            )? {
                self.push(Command::Dispatch(projection));
            }
            let chunk = self.chunk.min(steps);
            let chunks = steps.div_ceil(chunk);
            let waves = chunks + self.planner.config.num_layers - 1;
            for index in 0..waves {
                let wave = Wave { index, first_step: range.start, chunks, chunk };
                if index > 0 {
                    let projection = self.projection(wave, self.y[segment])?;
                    self.push(Command::Dispatch(projection));
                }
                // In the last wave there is no layer but the last one, and of its steps what the others left.
                let count = if index + 1 < waves { chunk } else { steps - (chunks - 1) * chunk };
                let by_parity = [0, 1].map(|parity| self.step(wave, parity, self.y[segment]));
                let [even, odd] = by_parity;
                let by_parity = [vec![even?], vec![odd?]];
                self.push(Command::Steps {
                    count: count as u32,
                    first_step: self.planner.turns as u32,
                    by_parity,
                });
                self.planner.turns += count;
            }
        }
        Ok(())
    }

    fn push(&mut self, command: Command) {
        self.planner.recording.commands.push(command);
    }

    /// The projection of what the layers above the first read in a wave: what the one below wrote in the wave before.
    fn projection(&self, wave: Wave, y: BufferId) -> Result<Dispatch> {
        let Planner { config, weights, sizes, limits, tuning, .. } = self.planner;
        let within = wave.layers(config.num_layers);
        let layers = within.start.max(1)..within.end;
        let (batch, columns) = (sizes.batch, config.hidden_size * config.gate_count());
        let rows = wave.chunk * batch;
        let quads = padded(config.hidden_size) / 4;
        let (shape, overrides) =
            LinearShape::of([rows, columns, layers.len()], quads, activation::NONE, limits, tuning);
        // From a layer's steps of this wave to those of the next layer.
        let distance = (wave.steps() - wave.chunk) * batch;
        let [shard] = weights.layer(layers.start) else {
            unreachable!("layers of a stack have one shard")
        };
        let dims = LinearDims {
            steps: wave.chunk as u32,
            batch: batch as u32,
            directions: layers.len() as u32,
            columns: columns as u32,
            parts: 1,
            part_quads: quads as u32,
            y_row_stride: columns as u32,
            y_direction_stride: (distance * columns) as u32,
            y_offset: (wave.start(layers.start) * batch * columns) as u32,
            row_tiles: rows.div_ceil(shape.rows) as u32,
            column_tiles: columns.div_ceil(shape.columns) as u32,
            slot: shard.input_slot as u32,
            // The same steps of the layer below.
            x_first_row: ((wave.start(layers.start) - wave.steps()) * batch) as u32,
            x_direction_rows: distance as u32,
            pad: [0; 2],
        };
        self.planner.dispatch(
            shape.kernel,
            Place { layer: layers.start, first_step: wave.first_step },
            overrides,
            Dims::Linear(dims),
            vec![y, y, shard.weight_ih, shard.bias, self.gates_x],
            u64::from(dims.row_tiles) * u64::from(dims.column_tiles) * layers.len() as u64,
        )
    }

    /// A step of all layers in a wave, as it is where `h` has the given parity.
    fn step(&self, wave: Wave, parity: usize, y: BufferId) -> Result<Dispatch> {
        let Planner { config, weights, .. } = self.planner;
        let kernel = match config.kind {
            Kind::RnnTanh | Kind::RnnRelu => &kernel::STEP_RNN_WAVE,
            Kind::Gru => &kernel::STEP_GRU_WAVE,
            Kind::Lstm => &kernel::STEP_LSTM_WAVE,
        };
        let [shard] = weights.layer(0) else { unreachable!("layers of a stack have one shard") };
        let place =
            Place { layer: wave.layers(config.num_layers).start, first_step: wave.first_step };
        let width = Width {
            state_quads: padded(config.hidden_size) / 4,
            hidden_size: config.hidden_size,
            slot: 0,
        };
        let dims = StepDims {
            directions: config.num_layers as u32,
            first_index: (wave.index * wave.chunk) as u32,
            lag: wave.chunk as u32,
            steps: wave.steps() as u32,
            ..self.planner.step_dims(place, width, shard.units.clone())
        };
        let mut bindings = vec![
            self.gates_x,
            shard.weight_hh,
            self.h[parity],
            self.h[1 - parity],
            y,
            self.lengths,
        ];
        bindings.extend(self.c.or(shard.bias_hn));
        self.planner.unit_dispatch(kernel, place, dims, bindings)
    }

    fn into_plan(self, schedule: Choice) -> Plan {
        let Self { planner, segments, input, lengths, states, output, .. } = self;
        let Planner { sizes, turns, recording, .. } = planner;
        Plan {
            sizes,
            schedule,
            recording,
            segments,
            input,
            lengths,
            dropout: None,
            states,
            turns,
            output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{chunk, dispatches, side_by_side};
    use crate::Config;
    use crate::kernel::Schedule;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::Calibration;
    use crate::plan::limits::Limits;
    use crate::plan::{Choice, Tuning, WeightLayout, choose};
    use crate::wgpu::DeviceType;

    /// What runs a stack of LSTMs of 256 units on a discrete GPU.
    fn taken(num_layers: usize, seq_len: usize, dispatch_us: f64) -> Option<Choice> {
        let config = Config::lstm(256, 256).num_layers(num_layers);
        let limits = Limits::of(&wgpu::Limits::defaults(), false);
        let weights = WeightLayout::new(&config, &limits).expect("it fits");
        let calibration =
            Calibration { dispatch_us, ..Calibration::typical_of(Some(DeviceType::DiscreteGpu)) };
        let choice =
            choose(Schedule::Auto, &config, &weights, 1, &limits, Tuning::default(), &calibration);
        let sizes = Sizes { seq_len, batch: 1 };
        side_by_side(&choice.expect("auto always runs"), &config, &weights, sizes, &calibration)
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
