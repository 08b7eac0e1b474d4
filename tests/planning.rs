//! Plans, made without a device, for sizes that no test could run: every buffer inside the limits, every step of every
//! unit exactly once, every value read after it was written. What cannot be planned is refused by the limit's name.

use std::collections::HashMap;
use std::ops::Range;

use wgpu_rnn::check::Sizes;
use wgpu_rnn::dims::{Dims, LinearDims, StepDims};
use wgpu_rnn::kernel::{Access, LINEAR_TILE, override_value};
use wgpu_rnn::limits::Limits;
use wgpu_rnn::plan::{MAX_SEGMENT_STEPS, MAX_SEQ_LEN, Plan, Tuning, WeightLayout, plan, rows_per_pass};
use wgpu_rnn::random::Mt19937;
use wgpu_rnn::recording::{BufferId, Command, Dispatch, Role};
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn};

const GPU: Tuning = Tuning { row_per_invocation: false };
const CPU: Tuning = Tuning { row_per_invocation: true };

/// WebGPU's default limits: 128 MiB to a binding, 65,535 workgroups along an axis.
fn webgpu() -> Limits {
    Limits::of(&wgpu::Limits::defaults(), false)
}

/// WebGPU's limits with one of them lowered.
fn with(name: &str, value: u64) -> Limits {
    let mut limits = webgpu();
    limits.set(name, value).unwrap_or_else(|error| panic!("{error}"));
    limits
}

// --- what must hold of every plan ----------------------------------------------------------------------------------

/// A plan with all that it was made from, to be checked.
struct Checker<'a> {
    what: String,
    config: &'a Config,
    weights: &'a WeightLayout,
    limits: &'a Limits,
    plan: Plan,
}

/// What a failed check was about: the plan and, of it, a kernel's dispatch. Written out only then.
#[derive(Clone, Copy)]
struct About<'a>(&'a str, &'static str);

impl std::fmt::Display for About<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

/// Plans and checks everything but the order of the steps.
fn checked<'a>(
    config: &'a Config,
    weights: &'a WeightLayout,
    sizes: Sizes,
    limits: &'a Limits,
    tuning: Tuning,
) -> Result<Checker<'a>, Error> {
    let plan = plan(config, weights, sizes, limits, tuning)?;
    let checker = Checker { what: format!("{config:?}, {sizes:?}"), config, weights, limits, plan };
    checker.buffers();
    for command in &checker.plan.recording.commands {
        (0..command.count().min(2)).flat_map(|index| command.dispatches(index)).for_each(|d| checker.dispatch(d));
    }
    Ok(checker)
}

impl Checker<'_> {
    fn size_of(&self, id: BufferId) -> usize {
        self.plan.recording.spec(id).len()
    }

    fn buffers(&self) {
        let (what, plan, buffers) = (&self.what, &self.plan, &self.plan.recording.buffers);
        for spec in buffers {
            assert!(!spec.is_empty(), "{what}: {} is empty", spec.label);
            let most = self.limits.max_binding();
            assert!(spec.size() <= most, "{what}: {} takes {} bytes of {most}", spec.label, spec.size());
        }
        let (weights, own) = buffers.split_at(self.weights.buffers().len());
        assert_eq!(weights, self.weights.buffers(), "{what}: the weights come first");
        assert!(own.iter().all(|spec| spec.role != Role::Weight), "{what}: no other weights");
        let (size, budget) = (plan.size(), self.limits.memory_budget);
        assert!(size <= budget, "{what}: {size} bytes of {budget}");
        let mut next = 0;
        for segment in &plan.segments {
            assert!(!segment.is_empty() && segment.len() <= MAX_SEGMENT_STEPS, "{what}: segment {segment:?}");
            assert_eq!(segment.start, next, "{what}: segments without gap or overlap");
            next = segment.end;
        }
        assert_eq!(next, plan.sizes.seq_len, "{what}: segments cover the sequence");
        for ids in [&plan.input, &plan.output] {
            assert_eq!(ids.len(), plan.segments.len(), "{what}: a buffer for each segment");
        }
    }

    fn dispatch(&self, dispatch: &Dispatch) {
        let (what, kernel, limits) = (About(&self.what, dispatch.kernel.name), dispatch.kernel, self.limits);
        assert_eq!(dispatch.overrides.len(), kernel.overrides.len(), "{what}: overrides");
        for ((name, value), legal) in dispatch.overrides.iter().zip(kernel.overrides) {
            assert_eq!(*name, legal.name, "{what}: the order of overrides");
            assert!(legal.values.contains(value), "{what}: {name} is {value}, legal are {:?}", legal.values);
        }
        let needs = (kernel.workgroup)(&dispatch.overrides);
        let invocations = needs.size.iter().product::<u32>();
        assert!(invocations <= limits.max_compute_invocations_per_workgroup, "{what}: {invocations} invocations");
        assert!(needs.storage <= limits.max_compute_workgroup_storage_size, "{what}: {} bytes", needs.storage);
        let iterations = (kernel.loop_iterations)(&dispatch.dims, &dispatch.overrides);
        assert!(iterations <= limits.max_loop_iterations, "{what}: {iterations} loop iterations");

        assert_eq!(dispatch.bindings.len(), kernel.bindings.len(), "{what}: a buffer for each binding");
        for (i, (id, binding)) in dispatch.bindings.iter().zip(kernel.bindings).enumerate() {
            if binding.access == Access::ReadWrite {
                let elsewhere = dispatch.bindings.iter().enumerate().any(|(j, other)| j != i && other == id);
                assert!(!elsewhere, "{what}: what {} writes is bound twice", binding.name);
                let role = self.plan.recording.spec(*id).role;
                assert!(!matches!(role, Role::Weight | Role::Input), "{what}: {} writes to {role:?}", binding.name);
            }
        }
        let directions = match &dispatch.dims {
            Dims::Linear(dims) => self.linear(what, dispatch, dims),
            Dims::Step(dims) => self.step(what, dispatch, dims),
        };
        assert_eq!(directions as usize, self.config.num_directions(), "{what}: all directions at once");
    }

    /// Workgroups on both axes: as many as wanted, none of a whole row for nothing.
    fn workgroups(&self, what: About<'_>, dispatch: &Dispatch, wanted: u64) {
        let max = self.limits.max_compute_workgroups_per_dimension;
        assert!(dispatch.workgroups.iter().all(|&n| 0 < n && n <= max), "{what}: {:?} of {max}", dispatch.workgroups);
        let made = dispatch.workgroups.iter().map(|&n| u64::from(n)).product::<u64>();
        let spare = made.checked_sub(wanted).unwrap_or_else(|| panic!("{what}: {made} workgroups for {wanted} tiles"));
        assert!(spare < u64::from(dispatch.workgroups[1]), "{what}: {spare} workgroups too many");
    }

    fn linear(&self, what: About<'_>, dispatch: &Dispatch, dims: &LinearDims) -> u32 {
        let tiles = |extent: u32| u64::from(extent).div_ceil(LINEAR_TILE as u64);
        let rows = dims.steps * dims.batch;
        assert_eq!(u64::from(dims.row_tiles), tiles(rows), "{what}: tiles of rows");
        assert_eq!(u64::from(dims.column_tiles), tiles(dims.columns), "{what}: tiles of columns");
        let wanted = tiles(rows) * tiles(dims.columns) * u64::from(dims.directions);
        self.workgroups(what, dispatch, wanted);
        let features = (dims.parts * dims.part_quads * 4) as usize;
        let [x_same, x_mirrored, weight, bias, y] = *dispatch.bindings else { panic!("{what}: bindings") };
        assert_eq!(self.size_of(x_same), rows as usize * features, "{what}: x is what the dims say");
        assert_eq!(self.size_of(x_mirrored), rows as usize * features, "{what}: mirrored segments are as long");
        let columns = (dims.directions * dims.columns) as usize;
        assert_eq!((self.size_of(weight), self.size_of(bias)), (columns * features, columns), "{what}: weight, bias");
        let last = (rows - 1) * dims.y_row_stride + (dims.directions - 1) * dims.y_direction_stride;
        assert!((last + dims.y_offset + dims.columns) as usize <= self.size_of(y), "{what}: y holds the last column");
        let work = dispatch.work() - 1_000_000;
        let most = self.limits.max_work_per_submission;
        assert!(dims.steps == 1 || work <= most, "{what}: {work} multiply-adds of {most} in one submission");
        dims.directions
    }

    fn step(&self, what: About<'_>, dispatch: &Dispatch, dims: &StepDims) -> u32 {
        let of = |name| override_value(&dispatch.overrides, name);
        let unit_tiles = dims.units.div_ceil(of("WORKGROUP_SIZE") / of("LANES"));
        let row_tiles = dims.batch.div_ceil(of("ROWS"));
        assert_eq!((dims.unit_tiles, dims.row_tiles), (unit_tiles, row_tiles), "{what}: tiles");
        self.workgroups(what, dispatch, u64::from(unit_tiles) * u64::from(row_tiles) * u64::from(dims.directions));
        let [gates_x, weight, h_in, h_out, y, lengths, own @ ..] = dispatch.bindings.as_slice() else {
            panic!("{what}: bindings")
        };
        let (directions, batch) = (dims.directions as usize, dims.batch as usize);
        let (state, gates) = (dims.state_quads as usize * 4, self.config.gate_count());
        let weights = directions * dims.units as usize * gates * state;
        assert_eq!(self.size_of(*weight), weights, "{what}: the weights of its units");
        let states = directions * batch * state;
        assert_eq!([h_in, h_out].map(|id| self.size_of(*id)), [states; 2], "{what}: h");
        assert_eq!(self.size_of(*lengths), batch, "{what}: lengths");
        let steps = self.size_of(*y) / states;
        assert_eq!(self.size_of(*y), steps * states, "{what}: y holds whole steps");
        let gate_values = steps * directions * batch * self.config.hidden_size * gates;
        assert!(self.size_of(*gates_x) >= gate_values, "{what}: gates_x holds all of y's steps");
        let per_direction = directions * self.config.hidden_size;
        match (self.config.kind, own) {
            (Kind::Lstm, [c]) => assert_eq!(self.size_of(*c), per_direction * batch, "{what}: c"),
            (Kind::Gru, [bias_hn]) => assert_eq!(self.size_of(*bias_hn), per_direction, "{what}: bias_hn"),
            (Kind::RnnTanh | Kind::RnnRelu, []) => {}
            (kind, own) => panic!("{what}: a {kind} has the buffers {own:?} of its own"),
        }
        dims.directions
    }
}

// --- the order of the steps ----------------------------------------------------------------------------------------

/// What a buffer holds while a recording is walked: the value of a layer after so many steps, for the units so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holds {
    layer: usize,
    steps: usize,
    units: usize,
}

/// A recording as it runs, every value replaced by what it stands for.
struct Walk<'a> {
    checker: &'a Checker<'a>,
    /// Layer and units of each weight.
    shards: HashMap<BufferId, (usize, Range<usize>)>,
    /// `h` buffers and, for an LSTM, `c`.
    states: HashMap<BufferId, Holds>,
    /// `gates_x`: the layer and the steps that it was projected for, and how many units.
    gates_x: Option<(usize, Range<usize>, usize)>,
    /// Inputs and outputs of layers: which layer reads them, and the steps that are complete.
    sequences: HashMap<BufferId, (usize, Range<usize>)>,
}

impl<'a> Walk<'a> {
    fn start(checker: &'a Checker<'a>) -> Self {
        let (plan, hidden_size) = (&checker.plan, checker.config.hidden_size);
        let mut states = HashMap::new();
        for (layer, ids) in plan.states.iter().enumerate() {
            let before = Holds { layer, steps: 0, units: hidden_size };
            states.insert(ids.h[0], before);
            states.extend(ids.c.map(|c| (c, before)));
        }
        let mut shards = HashMap::new();
        for layer in 0..checker.config.num_layers {
            for shard in checker.weights.layer(layer) {
                for weight in [shard.weight_ih, shard.weight_hh] {
                    let other = shards.insert(weight, (layer, shard.units.clone()));
                    assert!(other.is_none(), "{}: {weight:?} is the weight of one shard", checker.what);
                }
            }
        }
        let inputs = plan.input.iter().zip(&plan.segments).map(|(id, segment)| (*id, (0, segment.clone())));
        Self { checker, shards, states, gates_x: None, sequences: inputs.collect() }
    }

    fn run(mut self) {
        let Checker { what, config, plan, .. } = self.checker;
        for command in &plan.recording.commands {
            match command {
                Command::Dispatch(dispatch) => self.project(dispatch),
                Command::Steps { count, first_step, .. } => {
                    let first = *first_step as usize;
                    let segment = first..first + *count as usize;
                    assert!(plan.segments.contains(&segment), "{what}: steps {segment:?} are a segment");
                    for index in 0..*count {
                        for dispatch in command.dispatches(index) {
                            self.step(dispatch, first + index as usize, &segment);
                        }
                    }
                }
            }
        }
        let after = |layer| Holds { layer, steps: plan.sizes.seq_len, units: config.hidden_size };
        for (layer, ids) in plan.states.iter().enumerate() {
            assert_eq!(self.states[&plan.final_h(layer)], after(layer), "{what}: h_n of layer {layer}");
            assert_eq!(ids.c.map(|c| self.states[&c]), ids.c.map(|_| after(layer)), "{what}: c_n of layer {layer}");
        }
        for (id, segment) in plan.output.iter().zip(&plan.segments) {
            assert_eq!(self.sequences[id], (config.num_layers, segment.clone()), "{what}: output of {segment:?}");
        }
    }

    /// A projection reads a segment and its mirror image, both complete, and adds its units to `gates_x`.
    fn project(&mut self, dispatch: &Dispatch) {
        let (what, segments) = (&self.checker.what, &self.checker.plan.segments);
        let Dims::Linear(dims) = &dispatch.dims else { panic!("{what}: only projections are outside of steps") };
        let (layer, units) = self.shards[&dispatch.bindings[2]].clone();
        let (same, mirrored) = (&self.sequences[&dispatch.bindings[0]], &self.sequences[&dispatch.bindings[1]]);
        assert_eq!((same.0, mirrored.0), (layer, layer), "{what}: layer {layer} reads what is there for it");
        let c = segments.iter().position(|s| *s == same.1).unwrap_or_else(|| panic!("{what}: {:?} is whole", same.1));
        assert_eq!(mirrored.1, segments[segments.len() - 1 - c], "{what}: the mirror image of segment {c}");
        assert_eq!(dims.steps as usize, same.1.len(), "{what}: all steps of the segment");
        let gates = self.checker.config.gate_count();
        assert_eq!(dims.y_offset as usize, units.start * gates, "{what}: its units' place in gates_x");
        assert_eq!(dims.columns as usize, units.len() * gates, "{what}: its units' gates");
        let done = match &self.gates_x {
            Some((l, segment, done)) if *l == layer && *segment == same.1 => *done,
            _ => 0,
        };
        assert_eq!(done, units.start, "{what}: shards of layer {layer} in turn");
        self.gates_x = Some((layer, same.1.clone(), units.end));
    }

    /// Step `s` reads the state after s steps of every unit, and writes that after s + 1 of its own.
    fn step(&mut self, dispatch: &Dispatch, s: usize, segment: &Range<usize>) {
        let Checker { what, config, plan, .. } = self.checker;
        let Dims::Step(dims) = &dispatch.dims else { panic!("{what}: steps are made of steps") };
        let hidden_size = config.hidden_size;
        let [_, weight, h_in, h_out, y, lengths, own @ ..] = dispatch.bindings.as_slice() else {
            panic!("{what}: bindings")
        };
        let (layer, units) = self.shards[weight].clone();
        assert_eq!(dims.unit_offset as usize..(dims.unit_offset + dims.units) as usize, units, "{what}: units");
        assert_eq!(dims.first_step as usize, segment.start, "{what}: the first step of the segment");
        assert_eq!(dims.seq_len as usize, plan.sizes.seq_len, "{what}: T");
        assert_eq!(*lengths, plan.lengths, "{what}: lengths");
        assert_eq!(
            self.gates_x,
            Some((layer, segment.clone(), hidden_size)),
            "{what}: step {s} of layer {layer} reads the projection of {segment:?}"
        );
        let before = Holds { layer, steps: s, units: hidden_size };
        assert_eq!(self.states.get(h_in), Some(&before), "{what}: h that step {s} of layer {layer} reads");
        // A first shard overwrites what the buffer held, the others add to it.
        let started = Holds { layer, steps: s + 1, units: units.start };
        assert!(units.start == 0 || self.states.get(h_out) == Some(&started), "{what}: shards of step {s} in turn");
        self.states.insert(*h_out, Holds { units: units.end, ..started });
        if let (Kind::Lstm, [c]) = (config.kind, own) {
            // In place: units before this shard's are a step ahead.
            let held = self.states[c];
            let want = if units.start == 0 { before } else { started };
            assert_eq!(held, want, "{what}: c that step {s} of layer {layer} updates");
            self.states.insert(*c, Holds { units: units.end, ..started });
        }
        if units.end == hidden_size {
            let first = s == segment.start;
            let so_far = if first { s..s } else { self.sequences[y].1.clone() };
            assert!(first || self.sequences[y].0 == layer + 1, "{what}: y of step {s} of layer {layer}");
            assert_eq!(so_far, segment.start..s, "{what}: y has every step before {s}");
            self.sequences.insert(*y, (layer + 1, so_far.start..s + 1));
        }
    }
}

/// What a refusal must say: a limit by its name, and more needed than allowed.
fn assert_names_a_limit(what: &str, error: &Error) {
    let Error::Limit { limit, needed, allowed, .. } = error else { panic!("{what}: {error}") };
    assert!(Limits::NAMES.contains(limit), "{what}: '{limit}' is no limit's name: {error}");
    assert!(needed > allowed, "{what}: refused for no reason: {error}");
    assert!(error.to_string().contains(limit), "{what}: the message lacks '{limit}': {error}");
}

// --- sizes ---------------------------------------------------------------------------------------------------------

/// Plans the whole batch or, where that is refused, the largest part of it that is not, and checks what comes out.
/// Returns the rows of a pass.
fn check_sizes(config: &Config, sizes: Sizes, limits: &Limits, tuning: Tuning) -> Result<usize, Error> {
    let weights = WeightLayout::new(config, limits)?;
    let rows = rows_per_pass(config, &weights, sizes, limits)?;
    let what = format!("{config:?}, {sizes:?}");
    assert!((1..=sizes.batch).contains(&rows), "{what}: {rows} rows to a pass");
    if rows < sizes.batch {
        let refused = plan(config, &weights, sizes, limits, tuning).expect_err("passes are for what does not fit");
        assert_names_a_limit(&what, &refused);
    }
    let checker = checked(config, &weights, Sizes { batch: rows, ..sizes }, limits, tuning)?;
    let (steps, shards) = (sizes.seq_len, weights.layer(0).len());
    if config.num_layers * steps * shards <= 60_000 {
        Walk::start(&checker).run();
    }
    Ok(rows)
}

#[test]
fn plans_of_every_size_are_sound_or_refused_by_the_name_of_a_limit() {
    let limits = [
        webgpu(),
        Limits::host(),
        Limits::of(&wgpu::Limits::downlevel_defaults(), true),
        Limits::of(
            &wgpu::Limits { max_storage_buffer_binding_size: i32::MAX as u64, ..wgpu::Limits::defaults() },
            false,
        ),
        with("max_storage_buffer_binding_size", 1 << 16),
        with("max_storage_buffer_binding_size", 5000),
        with("max_buffer_size", 1021),
        with("memory_budget", 3_000_000),
        with("memory_budget", 70_000),
        with("max_compute_workgroups_per_dimension", 7),
        with("max_compute_invocations_per_workgroup", 33),
        with("max_compute_workgroup_storage_size", 6000),
        with("max_loop_iterations", 300),
        with("max_work_per_submission", 10_000),
        with("max_storage_buffers_per_shader_stage", 6),
    ];
    let mut random = Mt19937::new(1);
    let mut pick = |from: &[usize]| from[random.next_u32() as usize % from.len()];
    let (mut planned, mut refused) = (0, 0);
    for round in 0..3000 {
        let limits = &limits[round % limits.len()];
        let kind = Kind::ALL[pick(&[0, 1, 2, 3])];
        let config = Config::new(kind, pick(&[1, 3, 4, 17, 64, 513]), pick(&[1, 2, 5, 31, 64, 129, 512]))
            .num_layers(pick(&[1, 1, 2, 3, 4]))
            .bidirectional(pick(&[0, 1]) == 1)
            .bias(pick(&[0, 1, 1]) == 1);
        let sizes =
            Sizes { seq_len: pick(&[1, 2, 3, 7, 16, 101, 300]), batch: pick(&[1, 2, 3, 8, 9, 33, 64, 257, 4096]) };
        match check_sizes(&config, sizes, limits, if pick(&[0, 1]) == 1 { GPU } else { CPU }) {
            Ok(_) => planned += 1,
            Err(error) => {
                refused += 1;
                assert_names_a_limit(&format!("{config:?}, {sizes:?}"), &error);
            }
        }
    }
    assert!(planned > 1000 && refused > 300, "both happen: {planned} planned, {refused} refused");
}

/// Sizes that reach what small ones do not: watchdogs, workgroup counts, bindings.
#[test]
fn large_sizes_are_planned_within_webgpus_default_limits() {
    let lstm = |input_size, hidden_size| Config::lstm(input_size, hidden_size);
    for (config, seq_len, batch, passes) in [
        (lstm(80, 256).num_layers(2).bidirectional(true), 20_000, 1, 1),
        (Config::gru(1, 1), 20_001, 3, 1),
        (Config::rnn(4, 16), 10, 70_000, 1),
        (lstm(4, 16), 2, 70_000, 1),
        (lstm(4096, 4096).num_layers(2), 3, 1, 1),
        (Config::gru(4096, 4096).bidirectional(true), 2, 5, 1),
        (lstm(4096, 4096), 10, 70_000, 64),
        (lstm(512, 512).bidirectional(true).num_layers(3), 20_000, 70_000, 16),
    ] {
        for (limits, tuning) in [(webgpu(), GPU), (Limits::of(&wgpu::Limits::defaults(), true), CPU)] {
            let sizes = Sizes { seq_len, batch };
            let rows =
                check_sizes(&config, sizes, &limits, tuning).unwrap_or_else(|e| panic!("{config:?}, {sizes:?}: {e}"));
            assert_eq!(batch.div_ceil(rows), passes, "{config:?}, {sizes:?}: passes");
        }
    }
    let weights = WeightLayout::new(&lstm(4096, 4096), &webgpu()).expect("half a gigabyte in shards");
    assert!(weights.layer(0).len() >= 2, "a matrix of 256 MiB takes several bindings of 128 MiB");
    assert!(weights.size() >= 512 << 20, "both matrices: {} bytes", weights.size());
}

/// The table of step indices has so many rows and no more.
#[test]
fn a_segment_has_at_most_as_many_steps_as_the_table() {
    let (config, limits) = (Config::rnn(1, 1), webgpu());
    let weights = WeightLayout::new(&config, &limits).expect("one unit fits");
    for (seq_len, segments) in [(MAX_SEGMENT_STEPS, 1), (MAX_SEGMENT_STEPS + 1, 3), (2 * MAX_SEGMENT_STEPS, 2)] {
        let checker = checked(&config, &weights, Sizes { seq_len, batch: 1 }, &limits, GPU).expect("small steps");
        assert_eq!(checker.plan.segments.len(), segments, "segments of {seq_len} steps");
        Walk::start(&checker).run();
    }
}

/// Units of all shards: each once, in order.
#[test]
fn shards_divide_the_units() {
    for binding in [1 << 12, 1 << 14, 1 << 20] {
        for config in [Config::lstm(7, 30).bidirectional(true).num_layers(2), Config::gru(3, 64), Config::rnn(50, 129)]
        {
            let limits = with("max_storage_buffer_binding_size", binding);
            let weights = WeightLayout::new(&config, &limits).expect("one unit fits");
            for layer in 0..config.num_layers {
                let mut next = 0;
                for shard in weights.layer(layer) {
                    assert_eq!(shard.units.start, next, "{config:?}: units of layer {layer} without gap or overlap");
                    assert!(!shard.units.is_empty(), "{config:?}: shards of layer {layer} have units");
                    next = shard.units.end;
                }
                assert_eq!(next, config.hidden_size, "{config:?}: all units of layer {layer}");
            }
        }
    }
}

/// Time is cut where one buffer would exceed the binding, no finer than need be, and the parity goes on across the cut.
#[test]
fn time_is_cut_where_a_binding_ends() {
    let config = Config::lstm(8, 16); // 64 gates: 256 bytes for each row and step
    for (steps, segments) in [(7, 1), (8, 1), (9, 3), (10, 2), (15, 3), (16, 2), (17, 3), (24, 3), (25, 5)] {
        let limits = with("max_storage_buffer_binding_size", 8 * 4 * 256);
        let weights = WeightLayout::new(&config, &limits).expect("one unit fits");
        let sizes = Sizes { seq_len: steps, batch: 4 };
        let checker =
            checked(&config, &weights, sizes, &limits, GPU).unwrap_or_else(|error| panic!("{sizes:?}: {error}"));
        // An even number of segments cannot halve an odd number of steps.
        assert_eq!(checker.plan.segments.len(), segments, "{steps} steps in segments of at most 8");
        Walk::start(&checker).run();
        let shards = weights.layer(0).len() as u64;
        let want = shards * (segments + steps) as u64;
        assert_eq!(checker.plan.recording.dispatch_count(), want, "a projection per segment, a dispatch per step");
    }
}

// --- refusals ------------------------------------------------------------------------------------------------------

/// The refusal of a plan for this configuration, as a limit's name.
fn refusal(config: &Config, sizes: Sizes, limits: &Limits) -> &'static str {
    let error = WeightLayout::new(config, limits)
        .and_then(|weights| {
            rows_per_pass(config, &weights, sizes, limits)
                .and_then(|batch| plan(config, &weights, Sizes { batch, ..sizes }, limits, CPU))
        })
        .expect_err("this cannot be planned");
    assert_names_a_limit(&format!("{config:?}, {sizes:?}"), &error);
    match error {
        Error::Limit { limit, .. } => limit,
        other => panic!("{other}"),
    }
}

#[test]
fn what_cannot_be_planned_is_refused_by_the_name_of_its_limit() {
    let small = Config::lstm(3, 5);
    let sizes = Sizes { seq_len: 4, batch: 3 };
    for (name, value) in [
        // One unit's weights are 4 gates of two quads of 16 bytes.
        ("max_storage_buffer_binding_size", 127),
        ("max_buffer_size", 127),
        ("memory_budget", 1500),
        ("max_compute_invocations_per_workgroup", 31),
        ("max_compute_workgroup_size_x", 7),
        ("max_compute_workgroup_storage_size", 5119),
        ("max_storage_buffers_per_shader_stage", 6),
        ("max_loop_iterations", 8),
    ] {
        assert_eq!(refusal(&small, sizes, &with(name, value)), name, "{name} of {value}");
    }
    let wide = Config::lstm(2000, 5);
    assert_eq!(
        refusal(&wide, sizes, &with("max_storage_buffer_binding_size", 20_000)),
        "max_storage_buffer_binding_size"
    );
    let many = Sizes { seq_len: 64, batch: 64 };
    let few = with("max_compute_workgroups_per_dimension", 4);
    assert_eq!(
        refusal(&Config::rnn(3, 64), many, &few),
        "max_compute_workgroups_per_dimension",
        "128 tiles of 32 x 32"
    );
    let software = Limits::of(
        &wgpu::Limits {
            max_buffer_size: 1 << 40,
            max_storage_buffer_binding_size: 1 << 40,
            ..wgpu::Limits::defaults()
        },
        true,
    );
    assert_eq!(refusal(&Config::rnn(1, 1 << 17), sizes, &software), "max_loop_iterations", "sums of 131,072 terms");
    let endless = Sizes { seq_len: 1 << 20, batch: 1 };
    assert_eq!(refusal(&small, endless, &with("memory_budget", 1 << 20)), "memory_budget", "a long sequence");
}

/// Sizes that a forward call refuses or answers without a plan.
#[test]
fn a_plan_needs_steps_and_rows_that_kernels_can_count() {
    let config = Config::gru(3, 5);
    let params = Params::init(&config, 0).expect("a valid configuration");
    let rnn = Rnn::new(&Device::cpu(), &params).expect("a small model");
    for (seq_len, batch, want) in [
        (0, 1, "Expected sequence length to be larger than 0 in RNN"),
        (0, 0, "Expected sequence length to be larger than 0 in RNN"),
        (3, 0, "a batch of 0 rows has nothing to plan: its results are empty"),
        (MAX_SEQ_LEN + 1, 1, "unsupported: a sequence of 1073741825 steps: the most is 1073741824"),
        (usize::MAX, 1, "unsupported: a sequence of 18446744073709551615 steps: the most is 1073741824"),
    ] {
        let message = rnn.plan(seq_len, batch).expect_err("no such plan").to_string();
        assert_eq!(message, want, "T = {seq_len}, B = {batch}");
    }
    // A batch beyond all memory is cut into passes, each of which fits.
    let plan = rnn.plan(2, usize::MAX).expect("a pass fits");
    assert!(plan.sizes.batch < 1 << 30, "{} rows to a pass", plan.sizes.batch);
    let plan = rnn.plan(7, 2).expect("a small plan");
    assert_eq!((plan.sizes.seq_len, plan.sizes.batch, plan.segments.len()), (7, 2, 1), "the sizes asked for");
}

/// The budget counts everything: what a plan says it takes is at most what was allowed, and less is enough for less.
#[test]
fn a_memory_budget_is_met_by_shorter_segments_and_then_by_fewer_rows() {
    let config = Config::lstm(16, 32).num_layers(3).bidirectional(true);
    let sizes = Sizes { seq_len: 50, batch: 12 };
    let free = WeightLayout::new(&config, &webgpu()).expect("small weights");
    let whole = plan(&config, &free, sizes, &webgpu(), GPU).expect("no budget").size();
    let (mut last, mut seen) = ((1, sizes.batch), Vec::new());
    for budget in (0..=40).rev().map(|i| whole * i / 40) {
        if budget == 0 {
            continue;
        }
        let limits = with("memory_budget", budget);
        match check_sizes(&config, sizes, &limits, GPU) {
            Err(error) => assert_names_a_limit(&format!("{budget} of {whole} bytes"), &error),
            Ok(rows) => {
                let plan = plan(&config, &free, Sizes { batch: rows, ..sizes }, &limits, GPU).expect("rows that fit");
                assert!(rows <= last.1, "a smaller budget takes no more rows: {rows} after {}", last.1);
                last = (plan.segments.len(), rows);
                seen.push(last);
            }
        }
    }
    assert_eq!(seen.first(), Some(&(1, 12)), "the whole plan fits the budget that it needs");
    assert!(seen.iter().any(|&(segments, rows)| segments > 1 && rows == 12), "first time is cut: {seen:?}");
    assert!(seen.iter().any(|&(_, rows)| rows < 12), "then the batch: {seen:?}");
}
