//! Checks of every plan that do not depend on the order of steps: buffers, bindings, workgroups.

use wgpu::DeviceType;
use wgpu_rnn::internals::kernel::families::MATVEC_GROUPS;
use wgpu_rnn::internals::kernel::persistent::{EXCHANGE_START, Persistent};
use wgpu_rnn::internals::kernel::tiles::Tile;
use wgpu_rnn::internals::kernel::uniforms::{
    Dims, LinearDims, PersistentDims, SequenceDims, StepDims,
};
use wgpu_rnn::internals::kernel::{Access, Cell, Family, Kernel};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{BufferId, BufferSpec, Dispatch, Role};
use wgpu_rnn::internals::plan::{Exchange, MAX_SEGMENT_STEPS, Plan, WeightLayout};
use wgpu_rnn::{Config, Error, Schedule};

use crate::{exchange_of, planned, wavefront};

/// A plan to check, with the inputs of planning.
pub struct Checker<'a> {
    pub what: String,
    pub config: &'a Config,
    pub weights: &'a WeightLayout,
    pub limits: &'a Limits,
    pub exchange: Exchange,
    pub plan: Plan,
}

/// The subject of a check: a plan and a kernel dispatched in it. Formatted only on failure.
#[derive(Clone, Copy)]
pub struct About<'a>(&'a str, Kernel);

impl std::fmt::Display for About<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0, self.1.name())
    }
}

/// Plans, and checks everything except the order of the steps.
pub fn checked<'a>(
    config: &'a Config,
    weights: &'a WeightLayout,
    sizes: Sizes,
    limits: &'a Limits,
    device_type: DeviceType,
    schedule: Schedule,
) -> Result<Checker<'a>, Error> {
    let plan = planned(config, weights, sizes, limits, device_type, schedule)?;
    let (what, exchange) = (format!("{config:?}, {sizes:?}"), exchange_of(device_type));
    let checker = Checker { what, config, weights, limits, exchange, plan };
    checker.check(weights.buffers(), |what, dispatch| {
        panic!("{what}: {:?} in a forward pass", dispatch.dims)
    });
    Ok(checker)
}

impl Checker<'_> {
    /// Checks everything except the order of the steps. `weights` are the model's weights. `other`
    /// checks dispatches that are not part of a recurrent layer.
    pub fn check(&self, weights: &[BufferSpec], other: impl Fn(About<'_>, &Dispatch)) {
        self.buffers(weights);
        for command in &self.plan.recording.commands {
            let dispatches =
                (0..command.count().min(2)).flat_map(|index| command.dispatches(index));
            dispatches.for_each(|dispatch| self.dispatch(dispatch, &other));
        }
    }

    /// Returns the number of values in a buffer.
    pub fn size_of(&self, id: BufferId) -> usize {
        self.plan.recording.spec(id).len()
    }

    fn buffers(&self, model: &[BufferSpec]) {
        let (what, plan, buffers) = (&self.what, &self.plan, &self.plan.recording.buffers);
        for spec in buffers {
            assert!(!spec.is_empty(), "{what}: {} is empty", spec.label);
            let most = self.limits.max_binding();
            assert!(
                spec.size() <= most,
                "{what}: {} takes {} bytes of {most}",
                spec.label,
                spec.size()
            );
        }
        let (weights, own) = buffers.split_at(model.len());
        assert_eq!(weights, model, "{what}: the weights come first");
        assert!(own.iter().all(|spec| spec.role != Role::Weight), "{what}: no other weights");
        let (size, budget) = (plan.size(), self.limits.memory_budget);
        assert!(size <= budget, "{what}: {size} bytes of {budget}");
        let mut next = 0;
        for segment in &plan.segments {
            assert!(
                !segment.is_empty() && segment.len() <= MAX_SEGMENT_STEPS,
                "{what}: segment {segment:?}"
            );
            assert_eq!(segment.start, next, "{what}: segments without gap or overlap");
            next = segment.end;
        }
        assert_eq!(next, plan.sizes.seq_len, "{what}: segments cover the sequence");
        for ids in [&plan.input, &plan.output] {
            assert_eq!(ids.len(), plan.segments.len(), "{what}: a buffer for each segment");
        }
    }

    /// Returns whether steps of this network use the kernel.
    fn is_step_kernel(&self, kernel: Kernel) -> bool {
        let families: &[Family] = match self.plan.schedule.schedule {
            Schedule::Sequence => &[Family::Sequence],
            Schedule::Persistent => &[Family::Persistent],
            Schedule::Wavefront => &[Family::StepWave, Family::StepTiledWave],
            Schedule::StepTiled if self.config.proj_size > 0 => {
                &[Family::StepTiledUnprojected, Family::StepTiledProjection]
            }
            Schedule::StepTiled => &[Family::StepTiled],
            _ if self.config.proj_size > 0 => &[Family::StepUnprojected, Family::StepProjection],
            _ => &[Family::Step],
        };
        let projection =
            matches!(kernel.family, Family::StepProjection | Family::StepTiledProjection);
        let cell = (!projection).then_some(Cell::from(self.config.kind));
        families.contains(&kernel.family) && kernel.cell == cell
    }

    fn dispatch(&self, dispatch: &Dispatch, other: &impl Fn(About<'_>, &Dispatch)) {
        let (what, kernel, limits) =
            (About(&self.what, dispatch.kernel), dispatch.kernel, self.limits);
        for entry in kernel.overrides() {
            let (name, value) = (entry.name, (entry.get)(&dispatch.overrides));
            let legal = entry.values;
            assert!(legal.contains(&value), "{what}: {name} is {value}, legal are {legal:?}");
        }
        let tiled = matches!(
            kernel.family,
            Family::Tile
                | Family::StepTiled
                | Family::StepTiledUnprojected
                | Family::StepTiledProjection
                | Family::StepTiledWave
        );
        let tile = Tile::of(&dispatch.overrides);
        assert!(!tiled || tile.is_legal(), "{what}: {tile:?}");
        let held = Persistent::of(&dispatch.overrides);
        assert!(kernel.family != Family::Persistent || held.is_legal(), "{what}: {held:?}");
        let needs = kernel.workgroup(&dispatch.overrides);
        let invocations = needs.size.iter().product::<u32>();
        assert!(
            invocations <= limits.max_compute_invocations_per_workgroup,
            "{what}: {invocations} invocations"
        );
        assert!(
            needs.storage <= limits.max_compute_workgroup_storage_size,
            "{what}: {} bytes",
            needs.storage
        );
        let iterations = kernel.loop_iterations(&dispatch.dims, &dispatch.overrides);
        assert!(iterations <= limits.max_loop_iterations, "{what}: {iterations} loop iterations");

        assert_eq!(
            dispatch.bindings.len(),
            kernel.bindings().count(),
            "{what}: a buffer for each binding"
        );
        for (i, (id, binding)) in dispatch.bindings.iter().zip(kernel.bindings()).enumerate() {
            if binding.access == Access::ReadWrite {
                let elsewhere =
                    dispatch.bindings.iter().enumerate().any(|(j, other)| j != i && other == id);
                assert!(!elsewhere, "{what}: what {} writes is bound twice", binding.name);
                let role = self.plan.recording.spec(*id).role;
                assert!(
                    !matches!(role, Role::Weight | Role::Input),
                    "{what}: {} writes to {role:?}",
                    binding.name
                );
            }
        }
        if self.plan.schedule.schedule == Schedule::Wavefront {
            let step = matches!(dispatch.dims, Dims::Step(_));
            assert!(!step || self.is_step_kernel(kernel), "{what}: not one of this network's");
            return wavefront::check(self, what, dispatch);
        }
        let directions = match &dispatch.dims {
            Dims::Linear(dims) => self.linear(what, dispatch, dims),
            Dims::Step(dims) => {
                assert!(self.is_step_kernel(kernel), "{what}: not one of this network's");
                self.step(what, dispatch, dims)
            }
            Dims::Sequence(dims) => {
                assert!(self.is_step_kernel(kernel), "{what}: not one of this network's");
                self.walked(what, dispatch, dims)
            }
            Dims::Persistent(dims) => {
                assert!(self.is_step_kernel(kernel), "{what}: not one of this network's");
                self.held(what, dispatch, dims)
            }
            _ => return other(what, dispatch),
        };
        assert_eq!(
            directions as usize,
            self.config.num_directions(),
            "{what}: all directions at once"
        );
    }

    /// Checks the workgroups on both axes: they cover `wanted`, without a whole idle row.
    pub fn workgroups(&self, what: About<'_>, dispatch: &Dispatch, wanted: u64) {
        let max = self.limits.max_compute_workgroups_per_dimension;
        assert!(
            dispatch.workgroups.iter().all(|&n| 0 < n && n <= max),
            "{what}: {:?} of {max}",
            dispatch.workgroups
        );
        let made = dispatch.workgroups.iter().map(|&n| u64::from(n)).product::<u64>();
        let spare = made
            .checked_sub(wanted)
            .unwrap_or_else(|| panic!("{what}: {made} workgroups for {wanted} tiles"));
        assert!(spare < u64::from(dispatch.workgroups[1]), "{what}: {spare} workgroups too many");
    }

    fn linear(&self, what: About<'_>, dispatch: &Dispatch, dims: &LinearDims) -> u32 {
        let overrides = &dispatch.overrides;
        let (tile_rows, tile_columns) = match dispatch.kernel.family {
            Family::Matvec => (overrides.rows, overrides.columns * MATVEC_GROUPS as u32),
            _ => (overrides.tile_rows, overrides.tile_columns),
        };
        let rows = dims.steps * dims.batch;
        let (row_tiles, column_tiles) =
            (rows.div_ceil(tile_rows), dims.columns.div_ceil(tile_columns));
        assert_eq!(
            (dims.row_tiles, dims.column_tiles),
            (row_tiles, column_tiles),
            "{what}: tiles of rows and columns"
        );
        let wanted = u64::from(row_tiles) * u64::from(column_tiles) * u64::from(dims.directions);
        self.workgroups(what, dispatch, wanted);
        let features = (dims.halves * dims.half_quads * 4) as usize;
        let [x_same, x_mirrored, weight, bias, y] = *dispatch.bindings else {
            panic!("{what}: bindings")
        };
        assert_eq!(
            self.size_of(x_same),
            rows as usize * features,
            "{what}: x is what the dims say"
        );
        assert_eq!(
            self.size_of(x_mirrored),
            rows as usize * features,
            "{what}: mirrored segments are as long"
        );
        let shared = self.weights.is_stack() && dispatch.place.layer > 0;
        let slots = if shared { self.config.num_layers - 1 } else { dims.directions as usize };
        let columns = slots * dims.columns as usize;
        assert_eq!(
            (self.size_of(weight), self.size_of(bias)),
            (columns * features, columns),
            "{what}: weight, bias"
        );
        assert!(
            (dims.weight_base + dims.directions) as usize <= slots,
            "{what}: its weights are among them"
        );
        let last = (rows - 1) * dims.y_row_stride + (dims.directions - 1) * dims.y_direction_stride;
        assert!(
            (last + dims.y_offset + dims.columns) as usize <= self.size_of(y),
            "{what}: y holds the last column"
        );
        let work = dispatch.work() - 1_000_000;
        let most = self.limits.max_work_per_submission;
        assert!(
            dims.steps == 1 || work <= most,
            "{what}: {work} multiply-adds of {most} in one submission"
        );
        dims.directions
    }

    fn step(&self, what: About<'_>, dispatch: &Dispatch, dims: &StepDims) -> u32 {
        let (units, rows) = extent(dispatch);
        let (unit_tiles, row_tiles) = (dims.units.div_ceil(units), dims.batch.div_ceil(rows));
        assert_eq!((dims.unit_tiles, dims.row_tiles), (unit_tiles, row_tiles), "{what}: tiles");
        self.workgroups(
            what,
            dispatch,
            u64::from(unit_tiles) * u64::from(row_tiles) * u64::from(dims.directions),
        );

        let config = self.config;
        let quads = |size: usize| size.next_multiple_of(4);
        let (hidden, state) = (config.hidden_size, config.state_size());
        // The size of the multiplied vector, the units of the result, and their rows of weights.
        let (summed, units, gates) = match dispatch.kernel.family {
            Family::StepProjection | Family::StepTiledProjection => (hidden, state, 1),
            _ => (state, hidden, config.gate_count()),
        };
        assert_eq!(dims.state_quads as usize * 4, quads(summed), "{what}: quads of what is summed");
        assert_eq!(dims.hidden_size as usize, units, "{what}: units of a direction");
        assert!(
            (dims.unit_offset + dims.units) as usize <= units,
            "{what}: its units are among them"
        );
        self.sizes(
            what,
            dispatch,
            (dims.weight_base, dims.units as usize * gates * quads(summed)),
            summed,
        );
        dims.directions
    }

    /// Checks the steps that one dispatch iterates over: they are in the segment and short enough
    /// for every watchdog.
    fn walked(&self, what: About<'_>, dispatch: &Dispatch, dims: &SequenceDims) -> u32 {
        let overrides = &dispatch.overrides;
        let hidden = self.config.hidden_size;
        assert_eq!(dims.row_tiles, dims.batch.div_ceil(overrides.rows), "{what}: tiles");
        self.workgroups(what, dispatch, u64::from(dims.row_tiles) * u64::from(dims.directions));
        assert_eq!(dims.hidden_size as usize, hidden, "{what}: units of a direction");
        assert_eq!(dims.state_quads as usize, hidden.div_ceil(4), "{what}: quads of the state");
        let state = 2 * overrides.rows * dims.state_quads * 4;
        assert!(
            state <= overrides.state,
            "{what}: two states of {state} values in {}",
            overrides.state
        );
        self.several(what, dispatch, dims.steps, dims.state_quads, dims.weight_base);
        dims.directions
    }

    /// Checks the steps of a dispatch whose workgroups hold their weights. Its workgroups own every
    /// unit of every row, and a dispatch of several steps runs on workgroups that may wait.
    fn held(&self, what: About<'_>, dispatch: &Dispatch, dims: &PersistentDims) -> u32 {
        let shape = Persistent::of(&dispatch.overrides);
        let hidden = self.config.hidden_size;
        assert_eq!(dims.hidden_size as usize, hidden, "{what}: units of a direction");
        assert_eq!(dims.state_quads as usize, hidden.div_ceil(4), "{what}: quads of the state");
        assert!(shape.lanes * shape.quads >= dims.state_quads, "{what}: lanes hold every quad");
        let tiles = (dims.hidden_size.div_ceil(shape.tile()), dims.batch.div_ceil(shape.rows));
        assert_eq!((dims.unit_tiles, dims.row_tiles), tiles, "{what}: tiles");
        let workgroups = u64::from(tiles.0 * tiles.1 * dims.directions);
        self.workgroups(what, dispatch, workgroups);
        assert!(!shape.alone || tiles.0 == 1, "{what}: alone with every unit");
        let waits = dims.steps > 1 && !shape.alone;
        match self.exchange {
            Exchange::Resident(resident) => {
                assert!(!waits || workgroups <= u64::from(resident.workgroups), "{what}: too many");
                assert!(!waits || self.plan.recording.flag.is_some(), "{what}: a flag");
                assert_eq!(dims.spins, resident.spins, "{what}: patience");
            }
            _ => assert!(!waits && self.plan.recording.flag.is_none(), "{what}: nobody waits"),
        }
        self.several(what, dispatch, dims.steps, dims.state_quads, dims.weight_base);
        dims.directions
    }

    /// Checks the steps and the buffers of a dispatch of several steps.
    fn several(
        &self,
        what: About<'_>,
        dispatch: &Dispatch,
        steps: u32,
        state_quads: u32,
        weight_base: u32,
    ) {
        let (limits, hidden) = (self.limits, self.config.hidden_size);
        let most = limits.max_steps_per_dispatch;
        assert!((1..=most).contains(&steps), "{what}: {steps} steps");
        let work = dispatch.work() - 1_000_000;
        let most = limits.max_work_per_submission;
        assert!(
            steps == 1 || work <= most,
            "{what}: {work} multiply-adds of {most} in one submission"
        );
        let weight = hidden * self.config.gate_count() * (state_quads * 4) as usize;
        self.sizes(what, dispatch, (weight_base, weight), hidden);
    }

    /// Checks the size of every buffer of a step. A direction has `weight` weights, which multiply
    /// `summed` values.
    fn sizes(
        &self,
        what: About<'_>,
        dispatch: &Dispatch,
        (slot, weight): (u32, usize),
        summed: usize,
    ) {
        let config = self.config;
        let quads = |size: usize| size.next_multiple_of(4);
        let (hidden, state) = (config.hidden_size, config.state_size());
        let (directions, batch) = (config.num_directions(), self.plan.sizes.batch);
        let slots = if self.weights.is_stack() { config.num_layers } else { directions };
        assert!(slot as usize + directions <= slots, "{what}: its weights are among them");
        for (binding, id) in dispatch.kernel.bindings().zip(&dispatch.bindings) {
            let size = self.size_of(*id);
            let want = match binding.name {
                "weight" => slots * weight,
                "h_in" => directions * batch * quads(summed),
                "h_out" | "h_before" => directions * batch * quads(state),
                "m" => directions * batch * quads(hidden),
                "c" => directions * batch * hidden,
                "bias_hn" => slots * hidden,
                "lengths" => batch,
                // Whole steps of a segment. The dims do not state their number.
                "y" => self.steps_of(size) * directions * batch * quads(state),
                // The steps of the longest segment.
                "gates_x" => self.longest() * directions * batch * hidden * config.gate_count(),
                "exchange" => EXCHANGE_START + self.longest() * directions * batch * quads(state),
                other => panic!("{what}: an unknown binding {other}"),
            };
            assert_eq!(size, want, "{what}: size of {}", binding.name);
        }
    }

    /// Returns the steps of a layer output with this number of values.
    fn steps_of(&self, size: usize) -> usize {
        let state = self.config.state_size().next_multiple_of(4);
        let steps = size / (self.config.num_directions() * self.plan.sizes.batch * state);
        let segments = &self.plan.segments;
        assert!(
            segments.iter().any(|s| s.len() == steps),
            "{}: y has {steps} steps of {segments:?}",
            self.what
        );
        steps
    }

    fn longest(&self) -> usize {
        self.plan.segments.iter().map(ExactSizeIterator::len).max().unwrap_or(0)
    }
}

/// Returns the buffer that the kernel binds under this name.
pub fn bound(dispatch: &Dispatch, name: &str) -> Option<BufferId> {
    let at = dispatch.kernel.bindings().position(|binding| binding.name == name)?;
    Some(dispatch.bindings[at])
}

/// Returns the units and the rows of a workgroup of a time step.
pub fn extent(dispatch: &Dispatch) -> (u32, u32) {
    let overrides = &dispatch.overrides;
    match (overrides.tile_columns, overrides.tile_rows) {
        (0, _) => (overrides.workgroup_size / overrides.lanes, overrides.rows),
        (columns, rows) if dispatch.kernel.cell.map_or(1, Cell::gates) == 1 => (columns, rows),
        (columns, rows) => (columns / 4, rows),
    }
}
