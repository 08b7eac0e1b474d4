//! Plans of language models: passes and generation.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use wgpu_rnn::internals::kernel::families::COPIES_PER_WORKGROUP;
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Access, Family};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{BufferId, Command, Dispatch, Recording, Role};
use wgpu_rnn::internals::plan::{
    Exchange, GenerationPlan, LanguageModelLayout, LanguageModelPlan, MAX_SEGMENT_STEPS, Profile,
    Target, Wanted, WeightLayout, plan_generation, plan_pass, steps_per_pass,
};
use wgpu_rnn::language_model::{LanguageModel, LanguageModelConfig, LanguageModelParams};
use wgpu_rnn::{Device, Error, Kind};

use crate::soundness::{About, Checker, bound};
use crate::walk::Walk;
use crate::{assert_names_a_limit, webgpu, with};

// --- what must hold ------------------------------------------------------------------------------

fn padded(features: usize) -> usize {
    features.next_multiple_of(4)
}

/// Checks a dispatch outside the layers. Its buffers have the size that its dims state, and its
/// workgroups cover them.
fn around(
    checker: &Checker<'_>,
    config: &LanguageModelConfig,
    what: About<'_>,
    dispatch: &Dispatch,
) {
    let size = |name| {
        checker.size_of(bound(dispatch, name).unwrap_or_else(|| panic!("{what}: {name} is bound")))
    };
    let wanted = match &dispatch.dims {
        Dims::Embed(dims) => {
            let (rows, width) = (dims.rows as usize, dims.quads as usize * 4);
            assert_eq!(width, padded(config.ninp), "{what}: quads");
            assert_eq!(
                (size("tokens"), size("y")),
                (rows, rows * width),
                "{what}: a row for each token"
            );
            assert_eq!(size("weight"), dims.tokens as usize * width, "{what}: its shard");
            assert!(
                (dims.first_token + dims.tokens) as usize <= config.ntoken,
                "{what}: tokens of the vocabulary"
            );
            (rows * width / 4).div_ceil(COPIES_PER_WORKGROUP) as u64
        }
        Dims::Dropout(dims) => {
            let values = (dims.steps * dims.batch * dims.directions * dims.quads) as usize * 4;
            assert_eq!((size("settings"), size("y")), (4, values), "{what}: sizes");
            (values / 4).div_ceil(COPIES_PER_WORKGROUP) as u64
        }
        Dims::Nll(dims) => {
            let (rows, columns) = (dims.rows as usize, dims.columns as usize);
            assert_eq!(columns, config.ntoken, "{what}: columns");
            let sizes = (size("logits"), size("targets"), size("loss"));
            assert_eq!(sizes, (rows * columns, rows, rows), "{what}: sizes");
            rows as u64
        }
        Dims::Sample(dims) => {
            let (batch, columns) = (dims.batch as usize, dims.columns as usize);
            assert_eq!(
                (columns, batch),
                (config.ntoken, checker.plan.sizes.batch),
                "{what}: rows and columns"
            );
            let sizes = (size("logits"), size("settings"), size("token"));
            assert_eq!(sizes, (batch * columns, 8, batch), "{what}: sizes");
            batch as u64
        }
        other => panic!("{what}: {other:?} in a language model"),
    };
    checker.workgroups(what, dispatch, wanted);
}

/// Asserts that commands only read values that are inputs or that earlier commands wrote.
fn assert_written_before_read(what: &str, recording: &Recording) {
    let given = |id: &BufferId| {
        matches!(recording.spec(*id).role, Role::Weight | Role::Input | Role::State)
    };
    let mut written: HashSet<BufferId> =
        (0..recording.buffers.len()).map(BufferId).filter(given).collect();
    for command in &recording.commands {
        for dispatch in (0..command.count().min(2)).flat_map(|index| command.dispatches(index)) {
            let name = dispatch.kernel.name();
            let in_place = matches!(dispatch.dims, Dims::Dropout(_));
            for (binding, id) in dispatch.kernel.bindings().zip(&dispatch.bindings) {
                let reads = binding.access == Access::Read || in_place;
                assert!(
                    !reads || written.contains(id),
                    "{what}: {name} reads {} before it is there",
                    binding.name
                );
            }
            written.extend(&dispatch.bindings);
        }
    }
}

/// Asserts that consecutive ranges cover 0 to `end`.
fn assert_covers(what: &str, ranges: impl Iterator<Item = Range<usize>>, end: usize) {
    let last = ranges.fold(0, |next, range| {
        assert!(range.start == next && !range.is_empty(), "{what}: {range:?} after {next}");
        range.end
    });
    assert_eq!(last, end, "{what}: all of them");
}

/// Asserts that the shards of both tables cover the vocabulary, each token once, among the
/// dispatches of one step or pass.
fn assert_tables(what: &str, dispatches: &[&Dispatch], logits: Option<BufferId>, ntoken: usize) {
    let shards = dispatches.iter().filter_map(|dispatch| match &dispatch.dims {
        Dims::Embed(dims) => {
            Some(dims.first_token as usize..(dims.first_token + dims.tokens) as usize)
        }
        _ => None,
    });
    assert_covers(&format!("{what}: encoder"), shards, ntoken);
    let Some(logits) = logits else { return };
    let shards = dispatches.iter().filter_map(|dispatch| match &dispatch.dims {
        Dims::Linear(dims) if bound(dispatch, "y") == Some(logits) => {
            assert_eq!(dims.y_row_stride as usize, ntoken, "{what}: rows of logits");
            Some(dims.y_offset as usize..(dims.y_offset + dims.columns) as usize)
        }
        _ => None,
    });
    assert_covers(&format!("{what}: decoder"), shards, ntoken);
}

/// Returns a GPU of typical speed with these limits.
fn profile(limits: &Limits) -> Profile<'_> {
    static TYPICAL: LazyLock<Calibration> =
        LazyLock::new(|| Calibration::typical_of(Some(wgpu::DeviceType::DiscreteGpu)));
    Profile { limits, calibration: &TYPICAL, target: Target::Gpu, exchange: Exchange::OneStep }
}

/// A model and the limits of its plans.
struct Planned<'a> {
    config: &'a LanguageModelConfig,
    layout: LanguageModelLayout,
    limits: &'a Limits,
}

impl<'a> Planned<'a> {
    fn new(config: &'a LanguageModelConfig, limits: &'a Limits) -> Result<Self, Error> {
        Ok(Self { config, layout: LanguageModelLayout::new(config, limits)?, limits })
    }

    /// Plans the longest pass that fits, checks it and returns its steps.
    fn check_pass(&self, sizes: Sizes, wanted: Wanted, training: bool) -> Result<usize, Error> {
        let Self { config, ref layout, limits } = *self;
        let what = format!("{config:?}, {sizes:?}, {wanted:?}, training {training}");
        let steps = steps_per_pass(layout, sizes, wanted, training, &profile(limits))?;
        assert!(
            (1..=sizes.seq_len.min(MAX_SEGMENT_STEPS)).contains(&steps),
            "{what}: {steps} steps to a pass"
        );
        let sizes = Sizes { seq_len: steps, ..sizes };
        let LanguageModelPlan { layers, result, .. } =
            plan_pass(layout, sizes, wanted, training, &profile(limits))?;
        assert_written_before_read(&what, &layers.recording);
        let dispatches: Vec<&Dispatch> =
            layers.recording.commands.iter().flat_map(|c| c.dispatches(0)).collect();
        let score = dispatches.iter().find(|dispatch| dispatch.kernel.family == Family::Nll);
        assert_eq!(score.is_some(), wanted == Wanted::Losses, "{what}: losses");
        let logits = score.and_then(|score| bound(score, "logits")).or(result);
        assert_tables(&what, &dispatches, logits, config.ntoken);
        let dropped =
            dispatches.iter().filter(|dispatch| dispatch.kernel.family == Family::Dropout).count();
        // The embedding's output, the outputs between layers, and the decoder's input.
        let sites = config.nlayers + usize::from(wanted != Wanted::State);
        let drops = training && config.dropout > 0.0;
        assert_eq!(dropped, if drops { sites } else { 0 }, "{what}: sites of dropout");
        for dispatch in &dispatches {
            let (work, most) = (dispatch.work() - 1_000_000, limits.max_work_per_submission);
            let cut = matches!(dispatch.dims, Dims::Linear(_)) && steps > 1;
            assert!(!cut || work <= most, "{what}: {work} of {most} in one dispatch");
        }

        let rnn = config.rnn();
        let weights = WeightLayout::new(&rnn, limits)?;
        let exchange = Exchange::OneStep;
        let mut checker =
            Checker { what, config: &rnn, weights: &weights, limits, exchange, plan: layers };
        checker.check(layout.buffers(), |what, dispatch| around(&checker, config, what, dispatch));
        // The layers alone form a forward pass whose input is the embedding.
        let of_layers = |command: &Command| match command {
            Command::Dispatch(dispatch) => match bound(dispatch, "weight") {
                Some(weight) => {
                    matches!(dispatch.dims, Dims::Linear(_)) && weight.0 < weights.buffers().len()
                }
                None => false,
            },
            Command::Steps { .. } | Command::Clear { .. } => true,
        };
        checker.plan.recording.commands.retain(of_layers);
        if config.nlayers * steps * weights.layer(0).len() <= 60_000 {
            Walk::start(&checker).run();
        }
        Ok(steps)
    }

    /// Plans generation and checks it.
    fn check_generation(&self, batch: usize, steps: usize) -> Result<(), Error> {
        let Self { config, ref layout, limits } = *self;
        let what = format!("{config:?}, generation of {steps} x {batch}");
        let plan = plan_generation(layout, batch, steps, &profile(limits))?;
        let GenerationPlan { layers, token, tokens, .. } = plan;
        assert_eq!(
            layers.recording.spec(tokens).len(),
            steps * batch,
            "{what}: a token for each step and row"
        );
        assert_written_before_read(&what, &layers.recording);
        let [Command::Steps { count, first_step: 0, by_parity }] =
            layers.recording.commands.as_slice()
        else {
            panic!("{what}: one command of steps");
        };
        assert_eq!(*count as usize, steps, "{what}: steps");
        for (parity, step) in by_parity.iter().enumerate() {
            let all: Vec<&Dispatch> = step.iter().collect();
            let last = all.last().unwrap_or_else(|| panic!("{what}: a step does something"));
            assert_eq!(last.kernel.family, Family::Sample, "{what}: a step ends with its token");
            assert_eq!(
                bound(last, "token"),
                bound(all[0], "tokens"),
                "{what}: which the next one begins with"
            );
            assert_eq!(
                (bound(last, "token"), bound(last, "tokens")),
                (Some(token), Some(tokens)),
                "{what}: tokens"
            );
            // Only the tokens have one entry for each step.
            assert!(
                all.iter().all(|dispatch| {
                    dispatch.in_place != (dispatch.kernel.family == Family::Sample)
                }),
                "{what}"
            );
            assert_tables(&what, &all, bound(last, "logits"), config.ntoken);
            for state in &layers.states {
                let steps =
                    all.iter().filter(|dispatch| bound(dispatch, "h_in") == Some(state.h[parity]));
                let turned = steps
                    .filter(|dispatch| bound(dispatch, "h_out") == Some(state.h[1 - parity]))
                    .count();
                assert!(
                    turned > 0,
                    "{what}: h of every layer goes from {parity} to {}",
                    1 - parity
                );
            }
        }
        let rnn = config.rnn();
        let weights = WeightLayout::new(&rnn, limits)?;
        let exchange = Exchange::OneStep;
        let checker =
            Checker { what, config: &rnn, weights: &weights, limits, exchange, plan: layers };
        checker.check(layout.buffers(), |what, dispatch| around(&checker, config, what, dispatch));
        Ok(())
    }
}

// --- sizes ---------------------------------------------------------------------------------------

#[test]
fn rows_of_many_logits_fit_small_workgroups() {
    let config = LanguageModelConfig::new(Kind::Gru, 3000, 4, 8, 1);
    let limits = with("max_compute_invocations_per_workgroup", 128);
    let sizes = Sizes { seq_len: 3, batch: 2 };
    Planned::new(&config, &limits)
        .and_then(|model| model.check_pass(sizes, Wanted::Losses, false))
        .expect("workgroups of 128 invocations");
}

#[test]
fn plans_of_language_models_are_sound_or_refused_by_the_name_of_a_limit() {
    let limits = [
        webgpu(),
        Limits::host(),
        Limits::of(&wgpu::Limits::downlevel_defaults(), true),
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
    let mut random = Mt19937::new(2);
    let mut pick = |from: &[usize]| from[random.next_u32() as usize % from.len()];
    let (mut planned, mut cut, mut generated, mut refused) = (0, 0, 0, 0);
    for round in 0..3000 {
        let limits = &limits[round % limits.len()];
        let kind = Kind::ALL[pick(&[0, 1, 2, 3])];
        let (ntoken, ninp) = (pick(&[1, 2, 17, 65, 1000, 33_000]), pick(&[1, 3, 8, 65, 200]));
        let tied = pick(&[0, 1]) == 1;
        let nhid = if tied { ninp } else { pick(&[1, 2, 5, 32, 129]) };
        let config = LanguageModelConfig::new(kind, ntoken, ninp, nhid, pick(&[1, 1, 2, 3]))
            .tie_weights(tied);
        let config = config.dropout([0.0, 0.5][pick(&[0, 1])]);
        let sizes = Sizes {
            seq_len: pick(&[1, 2, 7, 101, 5000]),
            batch: pick(&[1, 2, 8, 9, 65, 257, 4096]),
        };
        let wanted = [Wanted::State, Wanted::Logits, Wanted::Losses][pick(&[0, 1, 2])];
        let (training, steps) = (pick(&[0, 1]) == 1, pick(&[2, 32, 4096]));
        let pass = Planned::new(&config, limits)
            .and_then(|model| model.check_pass(sizes, wanted, training));
        let generation = Planned::new(&config, limits)
            .and_then(|model| model.check_generation(sizes.batch, steps));
        match pass {
            Ok(steps) => {
                planned += 1;
                cut += usize::from(steps < sizes.seq_len);
            }
            Err(error) => {
                refused += 1;
                assert_names_a_limit(&format!("{config:?}, {sizes:?}, {wanted:?}"), &error);
            }
        }
        match generation {
            Ok(()) => generated += 1,
            Err(error) => {
                assert_names_a_limit(&format!("{config:?}, {steps} x {}", sizes.batch), &error)
            }
        }
    }
    let counts =
        format!("{planned} planned, {cut} of them cut, {generated} to generate, {refused} refused");
    assert!(
        planned > 1000 && cut > 300 && generated > 800 && refused > 300,
        "all of it happens: {counts}"
    );
}

/// The binding, the work of a submission and the table of steps limit the length of passes.
#[test]
fn passes_end_where_a_limit_does() {
    // Each step and row has 64 logits or, without logits, 24 gates: sums of 8 products.
    let config = LanguageModelConfig::new(Kind::Gru, 64, 8, 8, 1);
    let sizes = Sizes { seq_len: 6000, batch: 4 };
    for (limits, logits, state) in [
        (webgpu(), MAX_SEGMENT_STEPS, MAX_SEGMENT_STEPS),
        (with("max_storage_buffer_binding_size", 10 * 4 * 256 + 255), 10, 27),
        (with("max_work_per_submission", 10 * 4 * 64 * 8 + 7), 10, 26),
        (with("max_work_per_submission", 1), 1, 1),
    ] {
        let model = Planned::new(&config, &limits).expect("small weights");
        for (wanted, want) in
            [(Wanted::Logits, logits), (Wanted::Losses, logits), (Wanted::State, state)]
        {
            let steps = model.check_pass(sizes, wanted, false).expect("one step fits");
            assert_eq!(steps, want, "{wanted:?}: steps of a pass");
        }
    }
    // A pass has at most 64 MiB of logits, or one step if a step has more.
    for (ntoken, batch, want) in
        [(1 << 20, 1, 16), (1 << 20, 2, 8), (1 << 24, 1, 1), (1 << 24, 2, 1)]
    {
        let wide = LanguageModelConfig::new(Kind::Gru, ntoken, 1, 1, 1);
        let steps = LanguageModelLayout::new(&wide, &webgpu()).and_then(|layout| {
            steps_per_pass(
                &layout,
                Sizes { seq_len: 100, batch },
                Wanted::Logits,
                false,
                &profile(&webgpu()),
            )
        });
        assert_eq!(steps.ok(), Some(want), "{ntoken} tokens, {batch} rows");
    }
}

/// A smaller budget gives a shorter pass, until not even one step fits.
#[test]
fn a_memory_budget_is_met_by_shorter_passes() {
    let config = LanguageModelConfig::new(Kind::Lstm, 300, 16, 32, 2).dropout(0.2);
    let sizes = Sizes { seq_len: 64, batch: 4 };
    for (wanted, training) in
        [(Wanted::Logits, true), (Wanted::Losses, false), (Wanted::State, false)]
    {
        let layout = LanguageModelLayout::new(&config, &webgpu()).expect("small weights");
        let size = |seq_len| {
            let sizes = Sizes { seq_len, ..sizes };
            plan_pass(&layout, sizes, wanted, training, &profile(&webgpu()))
                .expect("no budget")
                .layers
                .size()
        };
        for (budget, want) in [
            (size(64), Some(64)),
            (size(64) - 1, Some(32)),
            (size(8), Some(8)),
            (size(1), Some(1)),
            (size(1) - 1, None),
        ] {
            let limits = with("memory_budget", budget);
            let steps = Planned::new(&config, &limits)
                .and_then(|model| model.check_pass(sizes, wanted, training));
            match (steps, want) {
                (Ok(steps), Some(want)) => {
                    assert_eq!(steps, want, "{wanted:?}: steps within {budget} bytes")
                }
                (Err(error), None) => {
                    assert_names_a_limit(&format!("{budget} bytes"), &error);
                    assert!(error.to_string().contains("memory_budget"), "{error}");
                }
                (steps, want) => {
                    panic!("{wanted:?}: {steps:?} within {budget} bytes, want {want:?}")
                }
            }
        }
    }
    let layout = LanguageModelLayout::new(&config, &webgpu()).expect("small weights");
    let needed =
        plan_generation(&layout, 4, 32, &profile(&webgpu())).expect("no budget").layers.size();
    for (budget, enough) in [(needed, true), (needed - 1, false)] {
        let plan = plan_generation(&layout, 4, 32, &profile(&with("memory_budget", budget)));
        assert_eq!(plan.is_ok(), enough, "generation needs {needed} bytes and may take {budget}");
    }
}

// --- before it runs ------------------------------------------------------------------------------

/// The steps that a call makes at once, and the bytes that it takes, as users query them.
#[test]
fn a_model_tells_what_it_will_take() {
    let params = LanguageModelParams::init(&LanguageModelConfig::new(Kind::Lstm, 65, 8, 16, 2), 0);
    let model =
        LanguageModel::new(&Device::cpu(), &params.expect("valid sizes")).expect("a small model");
    let plan = model.plan(50, 3).expect("a small plan");
    assert_eq!(plan.layers.sizes, Sizes { seq_len: 50, batch: 3 }, "all in one pass");
    let logits = plan.result.map(|logits| plan.layers.recording.spec(logits).len());
    assert_eq!(logits, Some(50 * 3 * 65), "its logits");
    assert!(
        plan.layers.size() > model.plan(20, 3).expect("a smaller one").layers.size(),
        "more steps take more"
    );
    let generation = model.plan_generation(3, 7).expect("a small plan");
    assert_eq!(
        generation.layers.recording.spec(generation.tokens).len(),
        8 * 3,
        "an even number of steps"
    );
    for (seq_len, batch) in [(0, 1), (1, 0), (0, 0)] {
        let message = model.plan(seq_len, batch).expect_err("nothing to plan").to_string();
        let want = "a plan is made for at least one row and for 1 to 4096 steps, but got";
        assert!(message.starts_with(want), "T = {seq_len}, B = {batch}: {message}");
    }
    model.plan_generation(0, 2).expect_err("no row");
    model.plan_generation(1, 0).expect_err("no step");
    model.plan_generation(1, 4097).expect_err("more steps than the table has");
    for (seq_len, batch) in [(usize::MAX, usize::MAX), (1, usize::MAX), (2, usize::MAX / 2)] {
        let error = model.plan(seq_len, batch).expect_err("beyond all memory");
        assert_names_a_limit(&format!("T = {seq_len}, B = {batch}"), &error);
    }
    assert_eq!(
        model.plan(usize::MAX, 1).expect("in passes").layers.sizes.seq_len,
        MAX_SEGMENT_STEPS,
        "endless text"
    );
}
