//! The buffers of a stack, and the waves of its dispatches.

use std::ops::Range;

use super::{WavefrontShape, chunk};
use crate::error::Result;
use crate::kernel::uniforms::{Dims, LinearDims, StepDims};
use crate::params::config::Kind;
use crate::params::validate::Sizes;
use crate::plan::layers::Layers;
use crate::plan::linear::LinearShape;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Place, Role};
use crate::plan::step::{self, Specialised, Sums};
use crate::plan::{Decision, LayerState, Plan, Profile, Request, check_commands, run_size};
use crate::tensor::padded;

/// A wavefront plan under construction.
pub(super) struct Wavefront<'a> {
    layers: Layers<'a>,
    /// The most steps K of a layer in a wave.
    chunk: usize,
    segments: Vec<Range<usize>>,
    /// `[S, B, I]` for each segment.
    input: Vec<BufferId>,
    /// `[L, S, B, H, G]` for the longest segment.
    gates_x: BufferId,
    /// `[L, B, H]`, read and written alternately.
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

/// A wave: its index in a segment, and the segment's position.
#[derive(Clone, Copy)]
struct Wave {
    index: usize,
    /// The first step of the segment.
    first_step: usize,
    /// Chunks of the segment, and the steps K of each chunk.
    chunks: usize,
    chunk: usize,
}

impl Wave {
    /// Returns the layers that have a chunk in this wave.
    fn layers(self, num_layers: usize) -> Range<usize> {
        (self.index + 1).saturating_sub(self.chunks)..num_layers.min(self.index + 1)
    }

    /// Returns the steps of the segment, rounded up to whole chunks.
    fn steps(self) -> usize {
        self.chunks * self.chunk
    }

    /// Returns the index of a layer's first step in this wave, in a buffer with the segments of all
    /// layers one after another.
    fn start(self, layer: usize) -> usize {
        layer * self.steps() + (self.index - layer) * self.chunk
    }
}

impl<'a> Wavefront<'a> {
    /// Adds the buffers for segments of at most `shape.steps` steps.
    pub(super) fn new(request: &Request<'a>, profile: &Profile<'a>, shape: WavefrontShape) -> Self {
        let (mut recorder, steps) = (Layers::new(request, profile), shape.steps);
        let (config, Sizes { seq_len, batch }) = (request.config, request.sizes);
        let layers = config.num_layers;
        let chunk = chunk(layers, steps).unwrap_or(1);
        // Every segment except the last is a whole number of chunks.
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

    /// Returns whether the buffers fit the limits, and the projection of a wave fits one
    /// submission.
    pub(super) fn fits(&self) -> bool {
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

    /// Records all commands.
    pub(super) fn record(&mut self, kernel: &Specialised) -> Result<()> {
        let num_layers = self.layers.request.config.num_layers;
        // Each wave has a projection and its steps.
        let sizes = self.layers.request.sizes;
        check_commands(sizes.seq_len.div_ceil(self.chunk).saturating_mul(2), sizes)?;
        for (segment, range) in self.segments.clone().into_iter().enumerate() {
            let steps = range.len();
            let place = Place { layer: 0, first_step: range.start };
            let x = [self.input[segment]; 2];
            for projection in self.layers.input_projection(place, steps, x, self.gates_x)? {
                self.layers.push(Command::Dispatch(projection))?;
            }
            let chunk = self.chunk.min(steps);
            let chunks = steps.div_ceil(chunk);
            let waves = chunks + num_layers - 1;
            for index in 0..waves {
                let wave = Wave { index, first_step: range.start, chunks, chunk };
                if index > 0 {
                    let projection = self.projection(wave, self.y[segment])?;
                    self.layers.push(Command::Dispatch(projection))?;
                }
                // The last wave has only the last layer, with the remaining steps.
                let count = if index + 1 < waves { chunk } else { steps - (chunks - 1) * chunk };
                let by_parity = [
                    vec![self.step(kernel, wave, 0, self.y[segment])?],
                    vec![self.step(kernel, wave, 1, self.y[segment])?],
                ];
                let (count_u32, first_step) = (count as u32, self.layers.turns as u32);
                self.layers.push(Command::Steps { count: count_u32, first_step, by_parity })?;
                self.layers.turns += count;
            }
        }
        Ok(())
    }

    /// Returns the projection of a wave, for the layers above the first. Its input is the output of
    /// the layer below in the previous wave.
    fn projection(&self, wave: Wave, y: BufferId) -> Result<Dispatch> {
        let Layers { request, profile, .. } = &self.layers;
        let (config, batch) = (request.config, request.sizes.batch);
        let inside = wave.layers(config.num_layers);
        let layers = inside.start.max(1)..inside.end;
        let columns = config.hidden_size * config.gate_count();
        let rows = wave.chunk * batch;
        let weights = request.weights.storage().read_as();
        let shape = LinearShape::choose([rows, columns, layers.len()], weights, profile.limits);
        // The distance from a layer's steps in this wave to those of the next layer.
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

    /// Returns a step of all layers in a wave, for the given parity of `h`.
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
        bindings.extend(shard.own(self.c));
        step::dispatch(&self.layers, kernel, place, dims, bindings)
    }

    pub(super) fn into_plan(self, schedule: Decision) -> Plan {
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
