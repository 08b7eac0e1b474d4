//! What must hold of every plan, whatever the order of its steps: buffers, bindings, workgroups.

use wgpu::DeviceType;
use wgpu_rnn::internals::kernel::uniforms::{Dims, LinearDims, SequenceDims, StepDims};
use wgpu_rnn::internals::kernel::{
    Access, LINEAR_SUBGROUP_COLUMNS, LINEAR_TILE, LINEAR_WIDE_TILE, SUBGROUP_WORKGROUP_SIZE,
    override_value,
};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{BufferId, BufferSpec, Dispatch, Role};
use wgpu_rnn::internals::plan::{MAX_SEGMENT_STEPS, Plan, Tuning, WeightLayout, choose, plan};
use wgpu_rnn::{Config, Error, Kind, Schedule};

use crate::wavefront;

/// A plan with all that it was made from, to be checked.
pub struct Checker<'a> {
    pub what: String,
    pub config: &'a Config,
    pub weights: &'a WeightLayout,
    pub limits: &'a Limits,
    pub tuning: Tuning,
    pub plan: Plan,
}

/// What a failed check was about: the plan and, of it, a kernel's dispatch. Written out only then.
#[derive(Clone, Copy)]
pub struct About<'a>(&'a str, &'static str);

impl std::fmt::Display for About<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

/// Plans and checks everything but the order of the steps.
pub fn checked<'a>(
    config: &'a Config,
    weights: &'a WeightLayout,
    sizes: Sizes,
    limits: &'a Limits,
    tuning: Tuning,
    schedule: Schedule,
) -> Result<Checker<'a>, Error> {
    let device_type =
        if tuning.row_per_invocation { DeviceType::Cpu } else { DeviceType::DiscreteGpu };
    let typical = Calibration::typical_of(Some(device_type));
    let choice = choose(schedule, config, weights, sizes.batch, limits, tuning, &typical)?;
    let plan = plan(config, weights, sizes, limits, tuning, &choice)?;
    let checker =
        Checker { what: format!("{config:?}, {sizes:?}"), config, weights, limits, tuning, plan };
    checker.check(weights.buffers(), |what, dispatch| {
        panic!("{what}: {:?} in a forward pass", dispatch.dims)
    });
    Ok(checker)
}

impl Checker<'_> {
    /// Checks everything but the order of the steps. The model's weights are `weights`; what is no part of a recurrent
    /// layer is for `other` to check.
    pub fn check(&self, weights: &[BufferSpec], other: impl Fn(About<'_>, &Dispatch)) {
        self.buffers(weights);
        for command in &self.plan.recording.commands {
            let dispatches =
                (0..command.count().min(2)).flat_map(|index| command.dispatches(index));
            dispatches.for_each(|dispatch| self.dispatch(dispatch, &other));
        }
    }

    /// The values that a buffer holds.
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

    /// The kernels that steps of this network are made of.
    fn step_kernels(&self) -> &'static [&'static str] {
        let schedule = self.plan.schedule.schedule;
        let (sequence, tiled) = (schedule == Schedule::Sequence, schedule == Schedule::StepTiled);
        let wavefront = schedule == Schedule::Wavefront;
        let invocations = self.limits.max_compute_invocations_per_workgroup;
        let units = self.config.hidden_size.next_power_of_two() as u32;
        let held = self.tuning.subgroups && units <= invocations.min(256);
        match (self.config.kind, self.config.proj_size) {
            (Kind::RnnTanh | Kind::RnnRelu, _) if sequence && held => &["sequence_subgroup_rnn"],
            (Kind::Gru, _) if sequence && held => &["sequence_subgroup_gru"],
            (Kind::Lstm, 0) if sequence && held => &["sequence_subgroup_lstm"],
            (Kind::RnnTanh | Kind::RnnRelu, _) if sequence => &["sequence_rnn"],
            (Kind::Gru, _) if sequence => &["sequence_gru"],
            (Kind::Lstm, 0) if sequence => &["sequence_lstm"],
            (Kind::RnnTanh | Kind::RnnRelu, _) if wavefront => &["step_rnn_wave"],
            (Kind::Gru, _) if wavefront => &["step_gru_wave"],
            (Kind::Lstm, _) if wavefront => &["step_lstm_wave"],
            (Kind::RnnTanh | Kind::RnnRelu, _) if tiled => &["step_tiled_rnn"],
            (Kind::Gru, _) if tiled => &["step_tiled_gru"],
            (Kind::Lstm, 0) if tiled => &["step_tiled_lstm"],
            (Kind::RnnTanh | Kind::RnnRelu, _) if self.tuning.subgroups => &["step_subgroup_rnn"],
            (Kind::Gru, _) if self.tuning.subgroups => &["step_subgroup_gru"],
            (Kind::Lstm, 0) if self.tuning.subgroups => &["step_subgroup_lstm"],
            (Kind::RnnTanh | Kind::RnnRelu, _) => &["step_rnn"],
            (Kind::Gru, _) => &["step_gru"],
            (Kind::Lstm, 0) => &["step_lstm"],
            (Kind::Lstm, _) => &["step_lstm_unprojected", "step_projection"],
        }
    }

    fn dispatch(&self, dispatch: &Dispatch, other: &impl Fn(About<'_>, &Dispatch)) {
        let (what, kernel, limits) =
            (About(&self.what, dispatch.kernel.name), dispatch.kernel, self.limits);
        assert_eq!(dispatch.overrides.len(), kernel.overrides.len(), "{what}: overrides");
        for ((name, value), legal) in dispatch.overrides.iter().zip(kernel.overrides) {
            assert_eq!(*name, legal.name, "{what}: the order of overrides");
            assert!(
                legal.values.contains(value),
                "{what}: {name} is {value}, legal are {:?}",
                legal.values
            );
        }
        let needs = (kernel.workgroup)(&dispatch.overrides);
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
        let iterations = (kernel.loop_iterations)(&dispatch.dims, &dispatch.overrides);
        assert!(iterations <= limits.max_loop_iterations, "{what}: {iterations} loop iterations");

        assert_eq!(
            dispatch.bindings.len(),
            kernel.bindings.len(),
            "{what}: a buffer for each binding"
        );
        for (i, (id, binding)) in dispatch.bindings.iter().zip(kernel.bindings).enumerate() {
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
            assert!(
                !step || self.step_kernels().contains(&kernel.name),
                "{what}: not one of this network's"
            );
            return wavefront::check(self, what, dispatch);
        }
        let directions = match &dispatch.dims {
            Dims::Linear(dims) => self.linear(what, dispatch, dims),
            Dims::Step(dims) => {
                assert!(
                    self.step_kernels().contains(&dispatch.kernel.name),
                    "{what}: not one of this network's"
                );
                self.step(what, dispatch, dims)
            }
            Dims::Sequence(dims) => {
                assert!(
                    self.step_kernels().contains(&dispatch.kernel.name),
                    "{what}: not one of this network's"
                );
                self.walked(what, dispatch, dims)
            }
            _ => return other(what, dispatch),
        };
        assert_eq!(
            directions as usize,
            self.config.num_directions(),
            "{what}: all directions at once"
        );
    }

    /// Workgroups on both axes: as many as wanted, none of a whole row for nothing.
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
        let tile = match dispatch.kernel.name {
            "linear_wide" => [LINEAR_WIDE_TILE; 2],
            "linear_subgroup" => {
                [override_value(&dispatch.overrides, "ROWS") as usize, LINEAR_SUBGROUP_COLUMNS]
            }
            _ => [LINEAR_TILE; 2],
        };
        let rows = dims.steps * dims.batch;
        let [row_tiles, column_tiles] =
            [rows.div_ceil(tile[0] as u32), dims.columns.div_ceil(tile[1] as u32)];
        assert_eq!(
            (dims.row_tiles, dims.column_tiles),
            (row_tiles, column_tiles),
            "{what}: tiles of rows and columns"
        );
        let wanted = u64::from(row_tiles) * u64::from(column_tiles) * u64::from(dims.directions);
        self.workgroups(what, dispatch, wanted);
        let features = (dims.parts * dims.part_quads * 4) as usize;
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
            (dims.slot + dims.directions) as usize <= slots,
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
        let of = |name| override_value(&dispatch.overrides, name);
        let tiled = self.plan.schedule.schedule == Schedule::StepTiled;
        let (units, rows) = match dispatch.kernel.needs_subgroups() {
            _ if tiled => (8, 32),
            true => (SUBGROUP_WORKGROUP_SIZE as u32, of("ROWS")),
            false => (of("WORKGROUP_SIZE") / of("LANES"), of("ROWS")),
        };
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
        // What is multiplied, the units that it makes, and their weights' rows.
        let (summed, units, gates) = match dispatch.kernel.name {
            "step_projection" => (hidden, state, 1),
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
            (dims.slot, dims.units as usize * gates * quads(summed)),
            summed,
        );
        dims.directions
    }

    /// Steps that one dispatch walks through: they are in the segment, and short enough for every watchdog.
    fn walked(&self, what: About<'_>, dispatch: &Dispatch, dims: &SequenceDims) -> u32 {
        let of = |name| override_value(&dispatch.overrides, name);
        let (limits, hidden) = (self.limits, self.config.hidden_size);
        assert_eq!(dims.row_tiles, dims.batch.div_ceil(of("ROWS")), "{what}: tiles");
        self.workgroups(what, dispatch, u64::from(dims.row_tiles) * u64::from(dims.directions));
        assert_eq!(dims.hidden_size as usize, hidden, "{what}: units of a direction");
        assert_eq!(dims.state_quads as usize, hidden.div_ceil(4), "{what}: quads of the state");
        let state = 2 * of("ROWS") * dims.state_quads * 4;
        assert!(state <= of("STATE"), "{what}: two states of {state} values in {}", of("STATE"));
        assert!(
            (1..=limits.max_steps_per_dispatch).contains(&dims.steps),
            "{what}: {} steps",
            dims.steps
        );
        let work = dispatch.work() - 1_000_000;
        let most = limits.max_work_per_submission;
        assert!(
            dims.steps == 1 || work <= most,
            "{what}: {work} multiply-adds of {most} in one submission"
        );
        let weight = hidden * self.config.gate_count() * (dims.state_quads * 4) as usize;
        self.sizes(what, dispatch, (dims.slot, weight), hidden);
        dims.directions
    }

    /// The size of every buffer of a step; `weight` values to a direction, which multiply `summed` values.
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
        for (binding, id) in dispatch.kernel.bindings.iter().zip(&dispatch.bindings) {
            let size = self.size_of(*id);
            let want = match binding.name {
                "weight" => slots * weight,
                "h_in" => directions * batch * quads(summed),
                "h_out" | "h_before" => directions * batch * quads(state),
                "m" => directions * batch * quads(hidden),
                "c" => directions * batch * hidden,
                "bias_hn" => slots * hidden,
                "lengths" => batch,
                // Whole steps, those of a segment; the dims do not say how many.
                "y" => self.steps_of(size) * directions * batch * quads(state),
                // As many as the longest segment has.
                "gates_x" => self.longest() * directions * batch * hidden * config.gate_count(),
                other => panic!("{what}: an unknown binding {other}"),
            };
            assert_eq!(size, want, "{what}: size of {}", binding.name);
        }
    }

    /// The steps of a layer output of so many values.
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

/// The buffer that a kernel knows by this name.
pub fn bound(dispatch: &Dispatch, name: &str) -> Option<BufferId> {
    let at = dispatch.kernel.bindings.iter().position(|binding| binding.name == name)?;
    Some(dispatch.bindings[at])
}
