//! The buffers and dispatches of recurrent layers.

use std::ops::Range;

use super::linear::LinearShape;
use super::sequence::SequenceShape;
use super::{LayerShard, LayerState, Tuning, WeightLayout, planned, step_tiled, subgroup};
use crate::error::Result;
use crate::kernel::Schedule;
use crate::kernel::uniforms::{Dims, DropoutDims, LinearDims, SequenceDims, StepDims};
use crate::kernel::{
    self, Kernel, QUADS_PER_WORKGROUP, STEP_MAX_ROWS, STEP_TILE_ROWS, STEP_TILE_UNITS,
    SUBGROUP_WORKGROUP_SIZE, activation,
};
use crate::params::config::{Config, Kind};
use crate::params::random::dropout_constants;
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};
use crate::tensor::padded;

/// What all layers use in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scratch {
    /// `[S, B, D, H, G]`: the input projections of one segment.
    pub(super) gates_x: BufferId,
    /// `[D, B, H]`, for an LSTM with projection: what a step hands to it.
    m: Option<BufferId>,
    /// `[B]`.
    lengths: BufferId,
    /// `[4]`, while training.
    dropout: Option<BufferId>,
}

/// Two sets of buffers, one for each segment, that layers write to in turns.
pub(super) struct Outputs(Vec<Vec<BufferId>>);

impl Outputs {
    /// What a layer writes.
    pub(super) fn of(&self, layer: usize) -> &[BufferId] {
        &self.0[layer % 2]
    }
}

/// Adds to a recording what recurrent layers need.
pub(super) struct Planner<'a> {
    pub(super) config: &'a Config,
    pub(super) weights: &'a WeightLayout,
    pub(super) limits: &'a Limits,
    pub(super) tuning: Tuning,
    pub(super) sizes: Sizes,
    /// Where `sequence` is the schedule.
    sequence: Option<SequenceShape>,
    /// The kernel of a step, where `step_tiled` is the schedule.
    tiled: Option<&'static Kernel>,
    /// See [`Plan::turns`](super::Plan::turns): so far, in the layer that is being planned.
    pub(super) turns: usize,
    pub(super) recording: Recording,
}

impl<'a> Planner<'a> {
    /// A planner whose recording has the buffers of `weights` and no commands yet.
    pub(super) fn new(
        config: &'a Config,
        weights: &'a WeightLayout,
        sizes: Sizes,
        limits: &'a Limits,
        tuning: Tuning,
    ) -> Self {
        let recording = Recording { buffers: weights.buffers().to_vec(), ..Recording::default() };
        Self {
            config,
            weights,
            limits,
            tuning,
            sizes,
            sequence: None,
            tiled: None,
            turns: 0,
            recording,
        }
    }

    /// Replaces the schedule `step`.
    pub(super) fn set_schedule(&mut self, schedule: Schedule) -> Result<()> {
        match schedule {
            // A wavefront's steps are those of `step`.
            Schedule::Auto | Schedule::Step | Schedule::Wavefront => {}
            Schedule::StepTiled => self.tiled = Some(step_tiled::kernel(self.config, self.limits)?),
            Schedule::Sequence => {
                let shape = SequenceShape::of(
                    self.config,
                    self.weights,
                    self.sizes,
                    self.limits,
                    self.tuning,
                )?;
                self.sequence = Some(shape);
            }
        }
        Ok(())
    }

    pub(super) fn buffer(&mut self, label: &str, axes: Vec<(Axis, usize)>, role: Role) -> BufferId {
        self.recording.buffer(BufferSpec { label: label.to_owned(), axes, role })
    }

    /// One buffer per segment of something that every (step, row) has.
    pub(super) fn sequence(
        &mut self,
        label: &str,
        segments: &[Range<usize>],
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

    /// The state of a layer.
    pub(super) fn state(&mut self, layer: usize) -> LayerState {
        let (h, c) =
            (self.per_row(padded(self.config.state_size())), self.per_row(self.config.hidden_size));
        LayerState {
            h: ["even", "odd"].map(|turn| {
                self.buffer(&format!("layer {layer} h, {turn} steps"), h.clone(), Role::State)
            }),
            c: (self.config.kind == Kind::Lstm)
                .then(|| self.buffer(&format!("layer {layer} c"), c, Role::State)),
        }
    }

    /// What layers use in turn, for segments of at most `steps`.
    pub(super) fn scratch(
        &mut self,
        steps: usize,
        lengths: BufferId,
        dropout: Option<BufferId>,
    ) -> Scratch {
        let config = self.config;
        let gates_x = vec![
            (Axis::Step, steps),
            (Axis::Row, self.sizes.batch),
            (Axis::Direction, config.num_directions()),
            (Axis::Unit, config.hidden_size),
            (Axis::Gate, config.gate_count()),
        ];
        let m = self.per_row(padded(config.hidden_size));
        Scratch {
            gates_x: self.buffer("gates_x", gates_x, Role::Scratch),
            m: (config.proj_size > 0).then(|| self.buffer("unprojected h", m, Role::Scratch)),
            lengths,
            dropout,
        }
    }

    fn per_row(&self, features: usize) -> Vec<(Axis, usize)> {
        vec![
            (Axis::Direction, self.config.num_directions()),
            (Axis::Row, self.sizes.batch),
            (Axis::Unit, features),
        ]
    }

    /// The state of every layer.
    pub(super) fn states(&mut self) -> Vec<LayerState> {
        (0..self.config.num_layers).map(|layer| self.state(layer)).collect()
    }

    /// Where layers write to: two sets of buffers, one per segment, in turns. The last layer's set is the output, with
    /// `role`.
    pub(super) fn outputs(&mut self, segments: &[Range<usize>], role: Role) -> Outputs {
        let config = self.config;
        let axes =
            [(Axis::Direction, config.num_directions()), (Axis::Unit, padded(config.state_size()))];
        let sets = (0..config.num_layers.min(2)).map(|set| {
            let last = (config.num_layers - 1) % 2 == set;
            let (label, role) =
                if last { ("output", role) } else { ("layer output", Role::Scratch) };
            self.sequence(label, segments, &axes, role)
        });
        Outputs(sets.collect())
    }

    /// The commands of one layer for one segment: projection, steps, and between layers dropout.
    pub(super) fn layer(
        &mut self,
        place: Place,
        steps: usize,
        x: [BufferId; 2],
        y: BufferId,
        state: LayerState,
        scratch: Scratch,
    ) -> Result<()> {
        for projection in self.input_projection(place, steps, x, scratch.gates_x)? {
            self.recording.commands.push(Command::Dispatch(projection));
        }
        if place.first_step == 0 {
            self.turns = 0;
        }
        if let Some(shape) = self.sequence.take() {
            for first_index in (0..steps).step_by(shape.steps) {
                let steps = shape.steps.min(steps - first_index);
                let dims = SequenceDims {
                    first_step: place.first_step as u32,
                    first_index: first_index as u32,
                    steps: steps as u32,
                    ..shape.dims
                };
                let dispatch = self.sequence_dispatch(&shape, place, dims, state, y, scratch)?;
                self.recording.commands.push(Command::Dispatch(dispatch));
                self.turns += 1;
            }
            self.sequence = Some(shape);
        } else {
            let steps_of = Command::Steps {
                count: steps as u32,
                first_step: place.first_step as u32,
                by_parity: [
                    self.step(place, state, 0, y, scratch)?,
                    self.step(place, state, 1, y, scratch)?,
                ],
            };
            self.recording.commands.push(steps_of);
            self.turns += steps;
        }
        if let Some(settings) = scratch.dropout.filter(|_| place.layer + 1 < self.config.num_layers)
        {
            let site = 2 * place.layer as u32;
            let dropout = self.dropout(place, steps, site, settings, y)?;
            self.recording.commands.push(Command::Dispatch(dropout));
        }
        Ok(())
    }

    /// The projection of a segment's input, all directions at once; one dispatch for each shard.
    pub(super) fn input_projection(
        &self,
        place: Place,
        steps: usize,
        x: [BufferId; 2],
        gates_x: BufferId,
    ) -> Result<Vec<Dispatch>> {
        let shards = self.weights.layer(place.layer).iter();
        shards.map(|shard| self.shard_projection(place, steps, shard, x, gates_x)).collect()
    }

    fn shard_projection(
        &self,
        place: Place,
        steps: usize,
        shard: &LayerShard,
        [x_same, x_mirrored]: [BufferId; 2],
        gates_x: BufferId,
    ) -> Result<Dispatch> {
        let config = self.config;
        let (gates, directions) = (config.gate_count(), config.num_directions());
        let columns = shard.units.len() * gates;
        let (parts, part) = if place.layer == 0 {
            (1, config.input_size)
        } else {
            (directions, config.state_size())
        };
        let rows = steps * self.sizes.batch;
        let quads = parts * padded(part) / 4;
        let (shape, overrides) = LinearShape::of(
            [rows, columns, directions],
            quads,
            activation::NONE,
            self.limits,
            self.tuning,
        );
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
            row_tiles: rows.div_ceil(shape.rows) as u32,
            column_tiles: columns.div_ceil(shape.columns) as u32,
            slot: shard.input_slot as u32,
            x_first_row: 0,
            x_direction_rows: 0,
            pad: [0; 2],
        };
        self.dispatch(
            shape.kernel,
            place,
            overrides,
            Dims::Linear(dims),
            vec![x_same, x_mirrored, shard.weight_ih, shard.bias, gates_x],
            u64::from(dims.row_tiles) * u64::from(dims.column_tiles) * directions as u64,
        )
    }

    /// Some steps of a layer by the schedule `sequence`, which leave the state in the buffer that they do not find it in.
    fn sequence_dispatch(
        &self,
        shape: &SequenceShape,
        place: Place,
        dims: SequenceDims,
        state: LayerState,
        y: BufferId,
        Scratch { gates_x, lengths, .. }: Scratch,
    ) -> Result<Dispatch> {
        let [shard] = self.weights.layer(place.layer) else {
            unreachable!("sequence runs layers of one shard")
        };
        let dims = SequenceDims { slot: shard.state_slot as u32, ..dims };
        let (h_in, h_out) = (state.h[self.turns % 2], state.h[1 - self.turns % 2]);
        let mut bindings = vec![gates_x, shard.weight_hh, h_in, h_out, y, lengths];
        bindings.extend(state.c.or(shard.bias_hn));
        self.dispatch(
            shape.kernel,
            place,
            shape.overrides.clone(),
            Dims::Sequence(dims),
            bindings,
            shape.workgroups(),
        )
    }

    /// One step of a layer whose index has the given parity: a dispatch for each shard, and with a projection one for
    /// each of its shards.
    pub(super) fn step(
        &self,
        place: Place,
        state: LayerState,
        parity: usize,
        y: BufferId,
        Scratch { gates_x, m, lengths, .. }: Scratch,
    ) -> Result<Vec<Dispatch>> {
        let config = self.config;
        let (h_in, h_out) = (state.h[parity], state.h[1 - parity]);
        let passing_round = || subgroup::step_kernel(config).filter(|_| self.tuning.subgroups);
        let kernel = self.tiled.or_else(passing_round).unwrap_or(match (config.kind, m) {
            (Kind::RnnTanh | Kind::RnnRelu, _) => &kernel::STEP_RNN,
            (Kind::Gru, _) => &kernel::STEP_GRU,
            (Kind::Lstm, None) => &kernel::STEP_LSTM,
            (Kind::Lstm, Some(_)) => &kernel::STEP_LSTM_UNPROJECTED,
        });
        let state_quads = padded(config.state_size()) / 4;
        let mut dispatches = Vec::new();
        for shard in self.weights.layer(place.layer) {
            let mut bindings = vec![gates_x, shard.weight_hh, h_in];
            bindings.extend_from_slice(&m.map_or(vec![h_out, y, lengths], |m| vec![m, lengths]));
            bindings.extend(state.c.or(shard.bias_hn));
            let width =
                Width { state_quads, hidden_size: config.hidden_size, slot: shard.state_slot };
            let dims = self.step_dims(place, width, shard.units.clone());
            dispatches.push(self.unit_dispatch(kernel, place, dims, bindings)?);
        }
        for shard in self.weights.projection(place.layer) {
            let bindings =
                [Some(shard.weight_hr), m, Some(h_out), Some(y), Some(lengths), Some(h_in)];
            let width = Width {
                state_quads: padded(config.hidden_size) / 4,
                hidden_size: config.state_size(),
                slot: 0,
            };
            let bindings = bindings.into_iter().flatten().collect();
            let dims = self.step_dims(place, width, shard.units.clone());
            dispatches.push(self.unit_dispatch(&kernel::STEP_PROJECTION, place, dims, bindings)?);
        }
        Ok(dispatches)
    }

    /// The buffer of [`Plan::dropout`](super::Plan::dropout).
    pub(super) fn dropout_settings(&mut self) -> BufferId {
        self.buffer("dropout settings", vec![(Axis::Word, 4)], Role::Input)
    }

    /// Dropout of a segment of what each direction has for each step, in place; the reverse direction's site is the next.
    pub(super) fn dropout(
        &self,
        place: Place,
        steps: usize,
        site: u32,
        settings: BufferId,
        y: BufferId,
    ) -> Result<Dispatch> {
        let directions = self.config.num_directions();
        let quads = self.recording.spec(y).len() / (steps * self.sizes.batch * directions * 4);
        let (threshold, scale) = dropout_constants(self.config.dropout);
        let dims = DropoutDims {
            steps: steps as u32,
            first_step: place.first_step as u32,
            seq_len: self.sizes.seq_len as u32,
            batch: self.sizes.batch as u32,
            directions: directions as u32,
            quads: quads as u32,
            site,
            threshold,
            scale,
            pad: [0; 3],
        };
        let workgroups =
            (steps * self.sizes.batch * directions * quads).div_ceil(QUADS_PER_WORKGROUP) as u64;
        self.dispatch(
            &kernel::DROPOUT,
            place,
            Vec::new(),
            Dims::Dropout(dims),
            vec![settings, y],
            workgroups,
        )
    }

    /// The sizes of a step of some units but for its tiles.
    pub(super) fn step_dims(
        &self,
        place: Place,
        Width { state_quads, hidden_size, slot }: Width,
        units: Range<usize>,
    ) -> StepDims {
        StepDims {
            seq_len: self.sizes.seq_len as u32,
            first_step: place.first_step as u32,
            batch: self.sizes.batch as u32,
            directions: self.config.num_directions() as u32,
            hidden_size: hidden_size as u32,
            state_quads: state_quads as u32,
            units: units.len() as u32,
            unit_offset: units.start as u32,
            unit_tiles: 0,
            row_tiles: 0,
            slot: slot as u32,
            first_index: 0,
            lag: 0,
            steps: 0,
            pad: [0; 2],
        }
    }

    /// A dispatch of a kernel of the schedules `step`, `step_tiled` and `wavefront`, whose tiles are still to be counted.
    pub(super) fn unit_dispatch(
        &self,
        kernel: &'static Kernel,
        place: Place,
        dims: StepDims,
        bindings: Vec<BufferId>,
    ) -> Result<Dispatch> {
        let (overrides, units, rows) = if self.tiled.is_some() {
            (self.relu().into_iter().collect(), STEP_TILE_UNITS, STEP_TILE_ROWS)
        } else if kernel.needs_subgroups() {
            // If not even one row is allowed, the checks of the dispatch say why.
            let rows = subgroup::rows(kernel, self.sizes.batch, &Dims::Step(dims), self.limits)
                .unwrap_or(1);
            let rows_and_relu = [("ROWS", rows as u32)].into_iter().chain(self.relu());
            (rows_and_relu.collect(), SUBGROUP_WORKGROUP_SIZE, rows)
        } else {
            let overrides = self.step_overrides(kernel, dims.state_quads as usize);
            let (units, rows) =
                ((overrides[0].1 / overrides[1].1) as usize, overrides[2].1 as usize);
            (overrides, units, rows)
        };
        let (unit_tiles, row_tiles) =
            (dims.units.div_ceil(units as u32), dims.batch.div_ceil(rows as u32));
        let dims = StepDims { unit_tiles, row_tiles, ..dims };
        let workgroups = u64::from(unit_tiles) * u64::from(row_tiles) * u64::from(dims.directions);
        self.dispatch(kernel, place, overrides, Dims::Step(dims), bindings, workgroups)
    }

    /// RELU, which a plain RNN has.
    fn relu(&self) -> Option<(&'static str, u32)> {
        (self.config.gate_count() == 1)
            .then(|| ("RELU", u32::from(self.config.kind == Kind::RnnRelu)))
    }

    /// WORKGROUP_SIZE, LANES, ROWS and, for a plain RNN, RELU.
    ///
    /// LANES decides the order of the sums, so that it depends on the state's size and the adapter, never on the batch.
    fn step_overrides(&self, kernel: &Kernel, state_quads: usize) -> Vec<(&'static str, u32)> {
        let invocations = self
            .limits
            .max_compute_invocations_per_workgroup
            .min(self.limits.max_compute_workgroup_size_x);
        let workgroup_size =
            if invocations < 64 || self.tuning.row_per_invocation { 32 } else { 64 };
        // At least two quads for each lane: shorter sums cost more to join than they save.
        let lanes = match (self.tuning.row_per_invocation, state_quads / 2) {
            (true, _) | (false, 0) => 1,
            (false, pairs) => 1 << pairs.ilog2().min(5),
        };
        let wanted = self.sizes.batch.next_power_of_two().min(STEP_MAX_ROWS as usize) as u32;
        let mut overrides =
            vec![("WORKGROUP_SIZE", workgroup_size), ("LANES", lanes), ("ROWS", wanted)];
        overrides.extend(self.relu());
        while overrides[2].1 > 1
            && (kernel.workgroup)(&overrides).storage
                > self.limits.max_compute_workgroup_storage_size
        {
            overrides[2].1 /= 2;
        }
        overrides
    }

    /// A dispatch of `workgroups` workgroups, after the checks that wgpu leaves to its callers.
    pub(super) fn dispatch(
        &self,
        kernel: &'static Kernel,
        place: Place,
        overrides: Vec<(&'static str, u32)>,
        dims: Dims,
        bindings: Vec<BufferId>,
        workgroups: u64,
    ) -> Result<Dispatch> {
        let kernel = kernel.stored_as(self.weights.storage().read_as());
        let dispatch = planned(kernel, overrides, dims, bindings, workgroups, self.limits)?;
        Ok(Dispatch { place, ..dispatch })
    }
}

/// What a kernel of the schedule `step` sums over, and what it computes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width {
    /// Quads of the vector that is multiplied.
    pub(super) state_quads: usize,
    /// Units of one direction.
    pub(super) hidden_size: usize,
    /// Of the first direction among the weights.
    pub(super) slot: usize,
}
