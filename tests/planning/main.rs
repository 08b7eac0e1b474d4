//! Plans without a device, for sizes that no test can run. Every buffer is within the limits, every
//! unit has each step exactly once, and every value is written before it is read. An error names
//! the limit that forbids a plan.

mod at_once;
mod choices;
mod language_model;
mod persistent;
mod soundness;
mod walk;
mod wavefront;

use soundness::checked;
use walk::Walk;
use wgpu_rnn::internals::kernel::uniforms::{Dims, PersistentDims, SequenceDims};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::{
    Exchange, MAX_SEGMENT_STEPS, MAX_SEQ_LEN, Plan, Profile, Request, Resident, Target,
    WeightLayout, plan, rows_per_pass,
};
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, Schedule};

use wgpu::DeviceType;

/// The device types whose typical speeds decide the schedule.
const GPU: DeviceType = DeviceType::DiscreteGpu;
const SOFTWARE: DeviceType = DeviceType::Cpu;

/// Plans a forward pass in evaluation mode for a device of this type.
fn planned(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
    device_type: DeviceType,
    schedule: Schedule,
) -> Result<Plan, Error> {
    let request = Request { config, weights, sizes, training: false };
    let calibration = &Calibration::typical_of(Some(device_type));
    let exchange = exchange_of(device_type);
    plan(&request, &Profile { limits, calibration, target: Target::Gpu, exchange }, schedule)
}

/// Returns the exchange of a device of this type: a GPU's workgroups wait for each other.
fn exchange_of(device_type: DeviceType) -> Exchange {
    if device_type == SOFTWARE {
        return Exchange::OneStep;
    }
    Exchange::Resident(Resident {
        workgroups: 132,
        subgroup_size: 32,
        volatile: true,
        spins: 1 << 17,
    })
}

/// Returns the rows of a pass.
fn rows(
    config: &Config,
    weights: &WeightLayout,
    sizes: Sizes,
    limits: &Limits,
) -> Result<usize, Error> {
    rows_per_pass(&Request { config, weights, sizes, training: false }, limits)
}

/// Returns WebGPU's default limits: 128 MiB a binding, 65,535 workgroups along an axis.
fn webgpu() -> Limits {
    Limits::of(&wgpu::Limits::defaults(), false)
}

/// Returns WebGPU's default limits with one of them lowered.
fn with(name: &str, value: u64) -> Limits {
    let mut limits = webgpu();
    limits.set(name, value).unwrap_or_else(|error| panic!("{error}"));
    limits
}

/// Asserts that a refusal names a limit and states a need above it.
fn assert_names_a_limit(what: &str, error: &Error) {
    let Error::Limit { limit, needed, allowed, .. } = error else { panic!("{what}: {error}") };
    assert!(Limits::NAMES.contains(limit), "{what}: '{limit}' is no limit's name: {error}");
    assert!(needed > allowed, "{what}: refused for no reason: {error}");
    assert!(error.to_string().contains(limit), "{what}: the message lacks '{limit}': {error}");
}

// --- sizes ---------------------------------------------------------------------------------------

/// Plans the whole batch, or the largest part of it that fits, and checks the plan. Returns the
/// rows of a pass.
fn check_sizes(
    config: &Config,
    sizes: Sizes,
    limits: &Limits,
    device_type: DeviceType,
    schedule: Schedule,
) -> Result<usize, Error> {
    let weights = WeightLayout::new(config, limits)?;
    let rows = rows(config, &weights, sizes, limits)?;
    let what = format!("{config:?}, {sizes:?}");
    assert!((1..=sizes.batch).contains(&rows), "{what}: {rows} rows to a pass");
    if rows < sizes.batch {
        let refused = planned(config, &weights, sizes, limits, device_type, schedule)
            .expect_err("passes are for what does not fit");
        assert_names_a_limit(&what, &refused);
    }
    let checker =
        checked(config, &weights, Sizes { batch: rows, ..sizes }, limits, device_type, schedule)?;
    let (steps, shards) = (sizes.seq_len, weights.layer(0).len());
    if config.num_layers * steps * shards <= 60_000 {
        if checker.plan.schedule.schedule == Schedule::Wavefront {
            wavefront::walk(&checker);
        } else {
            Walk::start(&checker).run();
        }
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
            &wgpu::Limits {
                max_storage_buffer_binding_size: i32::MAX as u64,
                ..wgpu::Limits::defaults()
            },
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
        with("max_steps_per_dispatch", 3),
    ];
    let mut random = Mt19937::new(1);
    let mut pick = |from: &[usize]| from[random.next_u32() as usize % from.len()];
    let (mut planned, mut projected, mut refused) = (0, 0, 0);
    let mut by_schedule = std::collections::BTreeMap::<_, usize>::new();
    for round in 0..5000 {
        let limits = &limits[round % limits.len()];
        let kind = Kind::ALL[pick(&[0, 1, 2, 3])];
        let config =
            Config::new(kind, pick(&[1, 3, 4, 17, 64, 513]), pick(&[1, 2, 5, 31, 64, 129, 512]))
                .num_layers(pick(&[1, 1, 2, 3, 4]))
                .bidirectional(pick(&[0, 1]) == 1)
                .bias(pick(&[0, 1, 1]) == 1);
        let proj_size = if kind == Kind::Lstm { pick(&[0, 1, 4, 30, 127, 511]) } else { 0 };
        let proj_size = proj_size.min(config.hidden_size - 1);
        let config = config.proj_size(proj_size);
        let sizes = Sizes {
            seq_len: pick(&[1, 2, 3, 7, 16, 101, 300]),
            batch: pick(&[1, 2, 3, 8, 9, 33, 64, 257, 4096]),
        };
        let schedule = Schedule::ALL[pick(&[0, 1, 2, 3, 4, 5])];
        match check_sizes(&config, sizes, limits, [GPU, SOFTWARE][pick(&[0, 1])], schedule) {
            Ok(_) => {
                planned += 1;
                projected += usize::from(proj_size > 0);
                *by_schedule.entry(schedule.name()).or_default() += 1;
            }
            Err(Error::Unsupported(why)) => {
                assert!(
                    why.starts_with(&format!("the schedule '{schedule}' ")),
                    "{config:?}, {sizes:?}: {why}"
                );
                assert!(
                    !matches!(schedule, Schedule::Auto | Schedule::Step),
                    "{config:?}, {sizes:?}: {why}"
                );
            }
            Err(error) => {
                refused += 1;
                assert_names_a_limit(&format!("{config:?}, {sizes:?}"), &error);
            }
        }
    }
    assert!(
        by_schedule.len() == Schedule::ALL.len() && by_schedule.values().all(|&n| n > 100),
        "planned: {by_schedule:?}"
    );
    assert!(planned > 1000 && refused > 300, "both happen: {planned} planned, {refused} refused");
    assert!(projected > 200, "{projected} plans with a projection");
}

/// Returns the steps of a recurrence in one dispatch, and the sizes of one step more.
fn one_step_more(dims: &Dims) -> Option<(u32, Dims)> {
    match *dims {
        Dims::Sequence(dims) => {
            Some((dims.steps, Dims::Sequence(SequenceDims { steps: dims.steps + 1, ..dims })))
        }
        Dims::Persistent(dims) => {
            Some((dims.steps, Dims::Persistent(PersistentDims { steps: dims.steps + 1, ..dims })))
        }
        _ => None,
    }
}

#[test]
fn dispatches_have_as_many_steps_as_loops_allow() {
    let config = Config::lstm(16, 128);
    let weights = WeightLayout::new(&config, &webgpu()).expect("a small layer");
    let sizes = Sizes { seq_len: 100, batch: 2 };
    for schedule in [Schedule::Sequence, Schedule::Persistent] {
        let (mut planned_before, mut several) = (false, 0);
        for most in (4..30).map(|power| 3_u64 << power) {
            let limits = with("max_loop_iterations", most);
            let Ok(plan) = planned(&config, &weights, sizes, &limits, GPU, schedule) else {
                assert!(!planned_before, "{schedule}: refused {most} iterations, took fewer");
                continue;
            };
            planned_before = true;
            let mut all = plan.recording.commands.iter().flat_map(|one| one.dispatches(0));
            let first = all.find_map(|one| Some((one, one_step_more(&one.dims)?)));
            let (first, (steps, longer)) = first.expect("a recurrence");
            let of = |dims| first.kernel.loop_iterations(dims, &first.overrides);
            let (found, more) = (of(&first.dims), of(&longer));
            assert!(found <= most, "{schedule}: {found} iterations of {most}");
            let all = limits.max_steps_per_dispatch.min(100);
            assert!(steps == all || most < more, "{schedule}: {steps} steps, {more} of {most}");
            several += usize::from((2..all).contains(&steps));
        }
        assert!(several > 0, "{schedule}: no plan has dispatches of several steps");
    }
}

/// Sizes that reach the limits of watchdogs, workgroup counts and bindings.
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
        (lstm(80, 1024).proj_size(512).bidirectional(true).num_layers(2), 20_000, 1, 1),
        (lstm(64, 65_536).proj_size(1000), 2, 1, 1),
    ] {
        let software = Limits::of(&wgpu::Limits::defaults(), true);
        for (limits, device_type) in [(webgpu(), GPU), (software, SOFTWARE)] {
            let sizes = Sizes { seq_len, batch };
            let rows = check_sizes(&config, sizes, &limits, device_type, Schedule::Auto)
                .unwrap_or_else(|e| panic!("{config:?}, {sizes:?}: {e}"));
            assert_eq!(batch.div_ceil(rows), passes, "{config:?}, {sizes:?}: passes");
        }
    }
    let weights =
        WeightLayout::new(&lstm(4096, 4096), &webgpu()).expect("half a gigabyte in shards");
    assert!(weights.layer(0).len() >= 2, "a matrix of 256 MiB takes several bindings of 128 MiB");
    assert!(weights.size() >= 512 << 20, "both matrices: {} bytes", weights.size());
}

/// No segment has more steps than the table of step indices has rows.
#[test]
fn a_segment_has_at_most_as_many_steps_as_the_table() {
    let (config, limits) = (Config::rnn(1, 1), webgpu());
    let weights = WeightLayout::new(&config, &limits).expect("one unit fits");
    for (seq_len, segments) in
        [(MAX_SEGMENT_STEPS, 1), (MAX_SEGMENT_STEPS + 1, 3), (2 * MAX_SEGMENT_STEPS, 2)]
    {
        let checker =
            checked(&config, &weights, Sizes { seq_len, batch: 1 }, &limits, GPU, Schedule::Step)
                .expect("small steps");
        assert_eq!(checker.plan.segments.len(), segments, "segments of {seq_len} steps");
        Walk::start(&checker).run();
    }
}

/// The shards hold each unit once, in order.
#[test]
fn shards_divide_the_units() {
    for binding in [1 << 12, 1 << 14, 1 << 20] {
        for config in [
            Config::lstm(7, 30).bidirectional(true).num_layers(2),
            Config::gru(3, 64),
            Config::rnn(50, 129),
            Config::lstm(5, 99).proj_size(59).bidirectional(true).num_layers(2),
        ] {
            let limits = with("max_storage_buffer_binding_size", binding);
            let weights = WeightLayout::new(&config, &limits).expect("one unit fits");
            for layer in 0..config.num_layers {
                let mut next = 0;
                for shard in weights.layer(layer) {
                    assert_eq!(
                        shard.units.start, next,
                        "{config:?}: units of layer {layer} without gap or overlap"
                    );
                    assert!(
                        !shard.units.is_empty(),
                        "{config:?}: shards of layer {layer} have units"
                    );
                    next = shard.units.end;
                }
                assert_eq!(next, config.hidden_size, "{config:?}: all units of layer {layer}");
                let mut next = 0;
                for shard in weights.projection(layer) {
                    assert_eq!(
                        shard.units.start, next,
                        "{config:?}: projected units of layer {layer} in order"
                    );
                    assert!(
                        !shard.units.is_empty(),
                        "{config:?}: projections of layer {layer} have units"
                    );
                    next = shard.units.end;
                }
                assert_eq!(
                    next, config.proj_size,
                    "{config:?}: all projected units of layer {layer}"
                );
            }
        }
    }
}

/// Plans cut time if one buffer would exceed the binding, into as few segments as possible. The
/// parity of the state buffers continues across the cut.
#[test]
fn time_is_cut_where_a_binding_ends() {
    let config = Config::lstm(8, 16); // 64 gates: 256 bytes for each row and step
    for (steps, segments) in
        [(7, 1), (8, 1), (9, 3), (10, 2), (15, 3), (16, 2), (17, 3), (24, 3), (25, 5)]
    {
        let limits = with("max_storage_buffer_binding_size", 8 * 4 * 256);
        let weights = WeightLayout::new(&config, &limits).expect("one unit fits");
        let sizes = Sizes { seq_len: steps, batch: 4 };
        let checker = checked(&config, &weights, sizes, &limits, GPU, Schedule::Step)
            .unwrap_or_else(|error| panic!("{sizes:?}: {error}"));
        // An odd number of steps does not divide into an even number of equal segments.
        assert_eq!(checker.plan.segments.len(), segments, "{steps} steps in segments of at most 8");
        Walk::start(&checker).run();
        let shards = weights.layer(0).len() as u64;
        let want = shards * (segments + steps) as u64;
        assert_eq!(
            checker.plan.recording.dispatch_count(),
            want,
            "a projection per segment, a dispatch per step"
        );
    }
}

// --- refusals ------------------------------------------------------------------------------------

/// Returns the name of the limit that refuses a plan for this configuration.
fn refusal(config: &Config, sizes: Sizes, limits: &Limits) -> &'static str {
    let error = WeightLayout::new(config, limits)
        .and_then(|weights| {
            rows(config, &weights, sizes, limits).and_then(|batch| {
                let sizes = Sizes { batch, ..sizes };
                planned(config, &weights, sizes, limits, SOFTWARE, Schedule::Step)
            })
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
        // The weights of one unit are 4 gates of two quads of 16 bytes.
        ("max_storage_buffer_binding_size", 127),
        ("max_buffer_size", 127),
        ("memory_budget", 1500),
        ("max_compute_invocations_per_workgroup", 31),
        ("max_compute_workgroup_size_x", 7),
        ("max_compute_workgroup_storage_size", 511),
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
    // The weights of a unit, 4 gates of 4 values, are small; a row of the projection is not.
    let projected = Config::lstm(3, 5000).proj_size(2);
    assert_eq!(
        refusal(&projected, sizes, &with("max_storage_buffer_binding_size", 19_999)),
        "max_storage_buffer_binding_size"
    );
    let many = Sizes { seq_len: 64, batch: 64 };
    let few = with("max_compute_workgroups_per_dimension", 4);
    assert_eq!(
        refusal(&Config::rnn(3, 64), many, &few),
        "max_compute_workgroups_per_dimension",
        "256 tiles of 32 x 32"
    );
    let software = Limits::of(
        &wgpu::Limits {
            max_buffer_size: 1 << 40,
            max_storage_buffer_binding_size: 1 << 40,
            ..wgpu::Limits::defaults()
        },
        true,
    );
    assert_eq!(
        refusal(&Config::rnn(1 << 22, 1), sizes, &software),
        "max_loop_iterations",
        "sums of 4,194,304 terms"
    );
    let endless = Sizes { seq_len: 1 << 20, batch: 1 };
    assert_eq!(
        refusal(&small, endless, &with("memory_budget", 1 << 20)),
        "memory_budget",
        "a long sequence"
    );
}

/// Sizes that a forward call refuses, or answers without a plan.
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
        (
            usize::MAX,
            1,
            "unsupported: a sequence of 18446744073709551615 steps: the most is 1073741824",
        ),
    ] {
        let message = rnn.plan(seq_len, batch).expect_err("no such plan").to_string();
        assert_eq!(message, want, "T = {seq_len}, B = {batch}");
    }
    // Passes of a batch beyond all memory fit one by one.
    let plan = rnn.plan(2, usize::MAX).expect("a pass fits");
    assert!(plan.sizes.batch < 1 << 30, "{} rows to a pass", plan.sizes.batch);
    let plan = rnn.plan(7, 2).expect("a small plan");
    assert_eq!(
        (plan.sizes.seq_len, plan.sizes.batch, plan.segments.len()),
        (7, 2, 1),
        "the sizes asked for"
    );
}

/// The memory budget counts everything. A plan's stated need is at most the budget, and smaller
/// plans fit smaller budgets.
#[test]
fn a_memory_budget_is_met_by_shorter_segments_and_then_by_fewer_rows() {
    let plain = Config::lstm(16, 32).num_layers(3).bidirectional(true);
    for config in [plain.clone().proj_size(31), plain] {
        let sizes = Sizes { seq_len: 50, batch: 12 };
        let free = WeightLayout::new(&config, &webgpu()).expect("small weights");
        let whole = planned(&config, &free, sizes, &webgpu(), GPU, Schedule::Step)
            .expect("no budget")
            .size();
        let (mut last, mut seen) = ((1, sizes.batch), Vec::new());
        // The exact need, one byte less, and then less and less.
        for budget in [whole, whole - 1].into_iter().chain((1..40).rev().map(|i| whole * i / 40)) {
            let limits = with("memory_budget", budget);
            match check_sizes(&config, sizes, &limits, GPU, Schedule::Step) {
                Err(error) => assert_names_a_limit(&format!("{budget} of {whole} bytes"), &error),
                Ok(rows) => {
                    let sizes = Sizes { batch: rows, ..sizes };
                    let plan = planned(&config, &free, sizes, &limits, GPU, Schedule::Step)
                        .expect("rows that fit");
                    assert!(
                        rows <= last.1,
                        "a smaller budget takes no more rows: {rows} after {}",
                        last.1
                    );
                    last = (plan.segments.len(), rows);
                    seen.push(last);
                }
            }
        }
        assert_eq!(seen.first(), Some(&(1, 12)), "the whole plan fits the budget that it needs");
        assert!(
            seen.iter().any(|&(segments, rows)| segments > 1 && rows == 12),
            "first time is cut: {seen:?}"
        );
        assert!(seen.iter().any(|&(_, rows)| rows < 12), "then the batch: {seen:?}");
    }
}
