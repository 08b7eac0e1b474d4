//! The buffers and dispatches of recurrent layers that run one after another.

use std::ops::Range;

use super::linear::LinearShape;
use super::second::second_product;
use super::{LayerShard, LayerState, Profile, Request, check_commands, planned};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::families::COPIES_PER_WORKGROUP;
use crate::kernel::uniforms::{Dims, DropoutDims, LinearDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::params::config::Kind;
use crate::params::random::dropout_constants;
use crate::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};
use crate::tensor::padded;

/// The scratch buffers that layers share, one layer after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scratch {
    /// `[S, B, D, H, G]`: the input projections of one segment.
    pub(super) gates_x: BufferId,
    /// The vector of the second product of a step: `[D, B, H]`; only for steps that have one.
    pub(super) m: Option<BufferId>,
    /// The rows' lengths: `[B]`.
    pub(super) lengths: BufferId,
    /// The settings of dropout: `[4]`; only in training.
    pub(super) dropout: Option<BufferId>,
    /// The words that workgroups exchange: `[64 + S·D·B·R]`; only by `persistent`.
    pub(super) exchange: Option<BufferId>,
}

/// The buffers of one layer for one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// The input of the segment and of the mirrored segment.
    pub(super) x: [BufferId; 2],
    /// The output.
    pub(super) y: BufferId,
    pub(super) state: LayerState,
    pub(super) scratch: Scratch,
}

/// Two sets of buffers that layers write alternately; each set has one buffer per segment.
pub(super) struct Outputs(Vec<Vec<BufferId>>);

impl Outputs {
    /// Returns the buffers that a layer writes.
    pub(super) fn of(&self, layer: usize) -> &[BufferId] {
        &self.0[layer % 2]
    }
}

/// Records the buffers and dispatches of recurrent layers.
pub(super) struct Layers<'a> {
    pub(super) request: Request<'a>,
    pub(super) profile: Profile<'a>,
    /// The turns of the current layer; see [`Plan::turns`](super::Plan::turns).
    pub(super) turns: usize,
    pub(super) recording: Recording,
}

impl<'a> Layers<'a> {
    /// Starts a recording with the weight buffers and no commands.
    pub(super) fn new(request: &Request<'a>, profile: &Profile<'a>) -> Self {
        Self::over(request, profile, request.weights.buffers().to_vec())
    }

    /// Starts a recording with these buffers. The layers' weights come first.
    pub(super) fn over(
        request: &Request<'a>,
        profile: &Profile<'a>,
        buffers: Vec<BufferSpec>,
    ) -> Self {
        let recording = Recording { buffers, ..Recording::default() };
        Self { request: *request, profile: *profile, turns: 0, recording }
    }

    /// Appends a command.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if there are too many.
    pub(super) fn push(&mut self, command: Command) -> Result<()> {
        check_commands(self.recording.commands.len(), self.request.sizes)?;
        self.recording.commands.push(command);
        Ok(())
    }

    pub(super) fn buffer(&mut self, label: &str, axes: Vec<(Axis, usize)>, role: Role) -> BufferId {
        self.recording.buffer(BufferSpec { label: label.to_owned(), axes, role })
    }

    /// Adds one buffer per segment, with `axes` for every (step, row) pair.
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
                let mut all =
                    vec![(Axis::Step, segment.len()), (Axis::Row, self.request.sizes.batch)];
                all.extend_from_slice(axes);
                self.buffer(label, all, role)
            })
            .collect()
    }

    /// Adds the state of a layer.
    pub(super) fn state(&mut self, layer: usize) -> LayerState {
        let (h, c) = (
            self.per_row(padded(self.request.config.state_size())),
            self.per_row(self.request.config.hidden_size),
        );
        LayerState {
            h: ["even", "odd"].map(|turn| {
                self.buffer(&format!("layer {layer} h, {turn} steps"), h.clone(), Role::State)
            }),
            c: (self.request.config.kind == Kind::Lstm)
                .then(|| self.buffer(&format!("layer {layer} c"), c, Role::State)),
        }
    }

    /// Adds the buffers that layers share one after another, for segments of at most `steps` steps.
    /// `exchange` is the number of words that workgroups exchange, if they do.
    pub(super) fn scratch(
        &mut self,
        steps: usize,
        lengths: BufferId,
        dropout: Option<BufferId>,
        exchange: Option<usize>,
    ) -> Scratch {
        let config = self.request.config;
        let gates_x = vec![
            (Axis::Step, steps),
            (Axis::Row, self.request.sizes.batch),
            (Axis::Direction, config.num_directions()),
            (Axis::Unit, config.hidden_size),
            (Axis::Gate, config.gate_count()),
        ];
        let m = self.per_row(padded(config.hidden_size));
        Scratch {
            gates_x: self.buffer("gates_x", gates_x, Role::Scratch),
            m: second_product(config).map(|_| self.buffer("m", m, Role::Scratch)),
            lengths,
            dropout,
            exchange: exchange
                .map(|words| self.buffer("exchange", vec![(Axis::Word, words)], Role::Scratch)),
        }
    }

    fn per_row(&self, features: usize) -> Vec<(Axis, usize)> {
        vec![
            (Axis::Direction, self.request.config.num_directions()),
            (Axis::Row, self.request.sizes.batch),
            (Axis::Unit, features),
        ]
    }

    /// Adds the state of every layer.
    pub(super) fn states(&mut self) -> Vec<LayerState> {
        (0..self.request.config.num_layers).map(|layer| self.state(layer)).collect()
    }

    /// Adds the buffers that layers write: two sets, used alternately, with one buffer per segment.
    /// The last layer's set is the output and has the role `role`.
    pub(super) fn outputs(&mut self, segments: &[Range<usize>], role: Role) -> Outputs {
        let config = self.request.config;
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

    /// Returns the dispatches of a segment's input projection, one for each shard. Each computes
    /// all directions.
    pub(super) fn input_projection(
        &self,
        place: Place,
        steps: usize,
        x: [BufferId; 2],
        gates_x: BufferId,
    ) -> Result<Vec<Dispatch>> {
        let shards = self.request.weights.layer(place.layer).iter();
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
        let config = self.request.config;
        let (gates, directions) = (config.gate_count(), config.num_directions());
        let columns = shard.units.len() * gates;
        let (halves, half) = match place.layer {
            0 => (1, config.input_size),
            _ => (directions, config.state_size()),
        };
        let rows = steps * self.request.sizes.batch;
        let weights = self.request.weights.storage().read_as();
        let shape = LinearShape::choose([rows, columns, directions], weights, self.profile.limits);
        let dims = LinearDims {
            steps: steps as u32,
            batch: self.request.sizes.batch as u32,
            directions: directions as u32,
            columns: columns as u32,
            halves: halves as u32,
            half_quads: (padded(half) / 4) as u32,
            y_row_stride: (directions * config.hidden_size * gates) as u32,
            y_direction_stride: (config.hidden_size * gates) as u32,
            y_offset: (shard.units.start * gates) as u32,
            row_tiles: rows.div_ceil(shape.rows) as u32,
            column_tiles: columns.div_ceil(shape.columns) as u32,
            weight_base: shard.input_base as u32,
            x_first_row: 0,
            x_direction_rows: 0,
            pad: [0; 2],
        };
        self.dispatch(
            shape.kernel,
            place,
            shape.overrides,
            Dims::Linear(dims),
            vec![x_same, x_mirrored, shard.weight_ih, shard.bias, gates_x],
            u64::from(dims.row_tiles) * u64::from(dims.column_tiles) * directions as u64,
        )
    }

    /// Adds the buffer of [`Plan::dropout`](super::Plan::dropout).
    pub(super) fn dropout_settings(&mut self) -> BufferId {
        self.buffer("dropout settings", vec![(Axis::Word, 4)], Role::Input)
    }

    /// Returns the dispatch of dropout over a segment of `y`, in place. The reverse direction uses
    /// the site after `site`.
    pub(super) fn dropout(
        &self,
        place: Place,
        steps: usize,
        site: u32,
        settings: BufferId,
        y: BufferId,
    ) -> Result<Dispatch> {
        let directions = self.request.config.num_directions();
        let quads =
            self.recording.spec(y).len() / (steps * self.request.sizes.batch * directions * 4);
        let (threshold, scale) = dropout_constants(self.request.config.dropout);
        let dims = DropoutDims {
            steps: steps as u32,
            first_step: place.first_step as u32,
            seq_len: self.request.sizes.seq_len as u32,
            batch: self.request.sizes.batch as u32,
            directions: directions as u32,
            quads: quads as u32,
            site,
            threshold,
            scale,
            pad: [0; 3],
        };
        let workgroups = (steps * self.request.sizes.batch * directions * quads)
            .div_ceil(COPIES_PER_WORKGROUP) as u64;
        self.dispatch(
            Kernel::new(Family::Dropout, WeightType::F32),
            place,
            Overrides::default(),
            Dims::Dropout(dims),
            vec![settings, y],
            workgroups,
        )
    }

    /// Adds dispatches of at most `most` steps each. `of` returns a dispatch from its first step in
    /// the segment and its number of steps. It reads the first of two states and leaves the second.
    pub(super) fn dispatches_of_several(
        &mut self,
        steps: usize,
        most: usize,
        state: LayerState,
        of: impl Fn(&Self, u32, u32, [BufferId; 2]) -> Result<Dispatch>,
    ) -> Result<()> {
        for first_index in (0..steps).step_by(most) {
            let h = [state.h[self.turns % 2], state.h[1 - self.turns % 2]];
            let steps = most.min(steps - first_index);
            let dispatch = of(self, first_index as u32, steps as u32, h)?;
            self.push(Command::Dispatch(dispatch))?;
            self.turns += 1;
        }
        Ok(())
    }

    /// Returns a dispatch of `workgroups` workgroups, after the checks that wgpu leaves to its
    /// callers.
    pub(super) fn dispatch(
        &self,
        kernel: Kernel,
        place: Place,
        overrides: Overrides,
        dims: Dims,
        bindings: Vec<BufferId>,
        workgroups: u64,
    ) -> Result<Dispatch> {
        let limits = self.profile.limits;
        let dispatch = planned(kernel, overrides, dims, bindings, workgroups, limits)?;
        Ok(Dispatch { place, ..dispatch })
    }
}
