//! Plans of generation in one dispatch: shapes, steps, exchanges, and refusals.

use wgpu_rnn::internals::kernel::generate::{GENERATE_ROWS, Generate};
use wgpu_rnn::internals::kernel::persistent::EXCHANGE_START;
use wgpu_rnn::internals::kernel::uniforms::{Dims, GenerateDims};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{BufferId, Command, Dispatch, Role};
use wgpu_rnn::internals::plan::{
    Exchange, GenerationLayout, GenerationPlan, LanguageModelLayout, Profile, Resident, Target,
    plan_generation_at_once,
};
use wgpu_rnn::language_model::{LanguageModelConfig, LanguageModelParams};
use wgpu_rnn::{Error, Kind, Schedule};

use crate::soundness::bound;
use crate::{GPU, assert_names_a_limit, webgpu, with};

fn resident(workgroups: u32, subgroup_size: u32) -> Exchange {
    Exchange::Resident(Resident { workgroups, subgroup_size, volatile: false, spins: 1 << 17 })
}

fn planned(
    config: &LanguageModelConfig,
    (batch, steps): (usize, usize),
    limits: &Limits,
    exchange: Exchange,
) -> Result<(GenerationLayout, GenerationPlan), Error> {
    let calibration = &Calibration::typical_of(Some(GPU));
    let profile = Profile { limits, calibration, target: Target::Gpu, exchange };
    let layout = GenerationLayout::new(&LanguageModelLayout::new(config, limits)?, limits)?;
    let plan = plan_generation_at_once(&layout, batch, steps, &profile)?;
    Ok((layout, plan))
}

/// The dispatches of a plan, each with its sizes and with the values that were cleared before it.
fn dispatches(plan: &GenerationPlan) -> Vec<(&Dispatch, GenerateDims, std::ops::Range<usize>)> {
    let pairs = plan.layers.recording.commands.chunks(2).map(|pair| match pair {
        [Command::Clear { buffer, start, len }, Command::Dispatch(dispatch)] => {
            let Dims::Generate(dims) = dispatch.dims else { panic!("{:?}", dispatch.dims) };
            assert_eq!(bound(dispatch, "exchange"), Some(*buffer), "its exchange is cleared");
            (dispatch, dims, *start..start + len)
        }
        other => panic!("a clear and a dispatch, got {other:?}"),
    });
    pairs.collect()
}

/// Checks a plan against its request.
fn check(
    what: &str,
    config: &LanguageModelConfig,
    (batch, steps): (usize, usize),
    (limits, exchange): (&Limits, Exchange),
    (layout, plan): &(GenerationLayout, GenerationPlan),
) {
    let recording = &plan.layers.recording;
    let size = |id: BufferId| recording.spec(id).len();
    assert_eq!(plan.layers.schedule.schedule, Schedule::Persistent, "{what}");
    let reason = &plan.layers.schedule.reason;
    assert!(reason.starts_with("one dispatch generates up to"), "{what}: {reason}");
    assert_eq!(recording.buffers[..layout.buffers().len()], *layout.buffers(), "{what}: weights");
    for spec in &recording.buffers {
        assert!(!spec.is_empty() && spec.size() <= limits.max_binding(), "{what}: {}", spec.label);
    }
    let (width, gates) = (config.nhid.next_multiple_of(4), config.rnn().gate_count());
    let words = batch * (config.nlayers * config.nhid + config.ntoken);
    let state = batch * (1 + config.nlayers * width);
    let (mut next, mut at) = (0, None);
    for (dispatch, dims, cleared) in dispatches(plan) {
        let named = |name| bound(dispatch, name).unwrap_or_else(|| panic!("{what}: {name}"));
        let held = Generate::of(&dispatch.overrides);
        let kernel = dispatch.kernel;
        let needs = kernel.workgroup(&dispatch.overrides);
        assert!(needs.storage <= limits.max_compute_workgroup_storage_size, "{what}: {needs:?}");
        let iterations = kernel.loop_iterations(&dispatch.dims, &dispatch.overrides);
        assert!(iterations <= limits.max_loop_iterations, "{what}: {iterations} iterations");
        for entry in kernel.overrides() {
            let value = (entry.get)(&dispatch.overrides);
            assert!(entry.values.contains(&value), "{what}: {} is {value}", entry.name);
        }

        // The workgroup's copy holds the states and the logits.
        let kept = ((config.nlayers + 1) * width + config.ntoken) * batch;
        assert!(kept <= held.state as usize && batch <= GENERATE_ROWS as usize, "{what}: {kept}");
        // All workgroups run at the same time, and none has nothing to do.
        let [workgroups, 1, 1] = dispatch.workgroups else { panic!("{what}: {dispatch:?}") };
        assert_eq!(workgroups, dims.workgroups, "{what}: workgroups");
        let items = batch * config.nhid.max(config.ntoken.div_ceil(gates));
        assert!((workgroups - 1) * held.groups() < items as u32, "{what}: {workgroups} workgroups");
        let (most, spins) = match exchange {
            Exchange::Resident(resident) => (resident.workgroups, resident.spins),
            _ => (1, 0),
        };
        assert!(workgroups <= most, "{what}: {workgroups} workgroups of {most}");
        let waits = workgroups > 1;
        assert_eq!(held.alone, !waits, "{what}: {workgroups} workgroups, {held:?}");
        assert_eq!(dims.spins, if waits { spins } else { 0 }, "{what}: spins");
        let flag = waits.then_some(named("exchange"));
        assert_eq!(recording.flag, flag, "{what}: the flag of {workgroups} workgroups");

        // Steps follow each other, and each has words that were cleared before.
        assert_eq!(dims.first_step as usize, next, "{what}: no gap");
        let long = dims.steps > 1 && dispatch.work() > limits.max_work_per_submission + 1_000_000;
        assert!(dims.steps >= 1 && dims.steps <= limits.max_steps_per_dispatch && !long, "{what}");
        let start = if next == 0 { 0 } else { EXCHANGE_START };
        assert_eq!(cleared.start, start, "{what}: the flag is cleared once");
        assert!(EXCHANGE_START + words * dims.steps as usize <= cleared.end, "{what}: cleared");
        assert_eq!(cleared.end, size(named("exchange")), "{what}: the exchange ends there");
        next += dims.steps as usize;

        // A dispatch reads what the one before it wrote.
        assert_eq!([size(named("state_in")), size(named("state_out"))], [state; 2], "{what}");
        assert_ne!(named("state_in"), named("state_out"), "{what}: two states");
        let before = at.replace(named("state_out")).unwrap_or(recording.whole(plan.token).0);
        assert_eq!(named("state_in"), before, "{what}: the state");
        assert_eq!(named("tokens"), plan.tokens, "{what}: tokens");
        assert_eq!(named("settings"), plan.settings, "{what}: settings");

        // The weights are those of the sizes.
        assert_eq!(dims.state_quads as usize * 4, width, "{what}: quads");
        let input = config.ninp.next_multiple_of(4);
        assert_eq!(dims.input_quads as usize * 4, input, "{what}: quads of the embedding");
        let rows = config.ntoken.next_multiple_of(gates);
        let units = config.nhid * gates;
        let layers = units * (input + width + (config.nlayers - 1) * 2 * width);
        let decoder = if config.tie_weights { 0 } else { rows * input + layers };
        assert_eq!(dims.decoder as usize * 4, decoder, "{what}: the decoder");
        let whole = rows * input + layers + if config.tie_weights { 0 } else { rows * width };
        assert_eq!(size(named("weight")), whole, "{what}: weights");
        assert_eq!(size(named("bias")), config.nlayers * units + rows, "{what}: biases");
    }
    assert_eq!(next, steps, "{what}: every step");
    assert_eq!(size(plan.tokens), steps * batch, "{what}: a token for each step and row");
    // The next run starts from the last state.
    let carried = (at.expect("a dispatch"), recording.whole(plan.token).0);
    assert_eq!(plan.carried[0], carried, "{what}: the state goes on");
    for state in &plan.layers.states {
        let parts = [Some(state.h[0]), state.c].into_iter().flatten().map(|id| recording.whole(id));
        for (whole, _) in parts {
            let kept = plan.carried.iter().any(|&(_, to)| to == whole);
            assert!(kept, "{what}: an abandoned run leaves the state as it was");
            assert_eq!(recording.spec(whole).role, Role::State, "{what}");
        }
    }
}

/// Random models, sizes, limits and devices: a plan is sound, or refused by a name.
#[test]
fn plans_are_sound_or_refused_by_a_name() {
    let limits = [
        webgpu(),
        Limits::of(&wgpu::Limits::defaults(), true),
        with("max_storage_buffer_binding_size", 1 << 16),
        with("max_compute_workgroups_per_dimension", 3),
        with("max_compute_invocations_per_workgroup", 255),
        with("max_compute_workgroup_storage_size", 9000),
        with("max_work_per_submission", 1_000_000),
        with("max_steps_per_dispatch", 5),
        with("max_storage_buffers_per_shader_stage", 7),
        with("memory_budget", 1_000_000),
    ];
    let exchanges = [
        Exchange::OneStep,
        resident(132, 32),
        resident(5, 8),
        resident(64, 0),
        Exchange::Refused("a test says so"),
    ];
    let mut random = Mt19937::new(5);
    let mut pick = |from: &[usize]| from[random.next_u32() as usize % from.len()];
    let (mut sound, mut several, mut waiting) = (0, 0, 0);
    let mut refused = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..4000 {
        let limits = &limits[round % limits.len()];
        let exchange = exchanges[pick(&[0, 0, 1, 1, 1, 2, 3, 4])];
        let kind = Kind::ALL[pick(&[0, 1, 2, 3])];
        let tied = pick(&[0, 1]) == 1;
        let nhid = pick(&[1, 3, 10, 64, 130, 320]);
        let ninp = if tied { nhid } else { pick(&[1, 6, 64]) };
        let ntoken = pick(&[1, 2, 17, 65, 257, 9000]);
        let config = LanguageModelConfig::new(kind, ntoken, ninp, nhid, pick(&[1, 2, 3]));
        let config = config.tie_weights(tied);
        let sizes = (pick(&[1, 1, 2, 5, 16, 17]), pick(&[2, 8, 32, 1000]));
        let what = format!("{config:?}, {sizes:?}, {exchange:?}");
        match planned(&config, sizes, limits, exchange) {
            Ok(plan) => {
                check(&what, &config, sizes, (limits, exchange), &plan);
                sound += 1;
                several += usize::from(plan.1.layers.recording.commands.len() > 2);
                waiting += usize::from(plan.1.layers.recording.flag.is_some());
            }
            Err(Error::Unsupported(why)) => {
                let words = why.split(' ').take(6).collect::<Vec<_>>().join(" ");
                *refused.entry(words).or_default() += 1;
            }
            Err(error) => {
                assert_names_a_limit(&what, &error);
                let Error::Limit { limit, .. } = error else { unreachable!("checked") };
                *refused.entry(limit.to_owned()).or_default() += 1;
            }
        }
    }
    let counts =
        format!("{sound} sound, {several} of several dispatches, {waiting} wait, {refused:?}");
    assert!(sound > 1000 && several > 200 && waiting > 300, "{counts}");
    for reason in [
        "the schedule 'persistent' needs a device",
        "the schedule 'persistent' generates for at",
        "the schedule 'persistent' keeps the state",
        "max_storage_buffer_binding_size",
        "max_compute_invocations_per_workgroup",
        "max_storage_buffers_per_shader_stage",
        "memory_budget",
    ] {
        assert!(refused.keys().any(|why| why.starts_with(reason)), "{reason}: {counts}");
    }
}

/// The shipped model on the H200: lanes, workgroups and steps.
#[test]
fn the_shipped_model_fits() {
    let config = LanguageModelConfig::new(Kind::Lstm, 65, 64, 320, 2);
    let limits =
        wgpu::Limits { max_compute_workgroup_storage_size: 49_152, ..wgpu::Limits::defaults() };
    let limits = &Limits::of(&limits, false);
    for (batch, want) in [(1, 80), (2, 132), (4, 132)] {
        let (_, plan) = planned(&config, (batch, 32), limits, resident(132, 32)).expect("it fits");
        let [(dispatch, dims, _)] = &dispatches(&plan)[..] else { panic!("one dispatch") };
        assert_eq!((dims.workgroups, dims.steps), (want, 32), "{batch} rows");
        let held = Generate::of(&dispatch.overrides);
        assert_eq!((held.lanes, held.invocations), (32, 128), "{batch} rows");
    }
    let (_, plan) = planned(&config, (1, 32), limits, Exchange::OneStep).expect("it fits");
    assert!(plan.layers.recording.flag.is_none(), "one workgroup waits for nobody");
}

/// Every parameter has its place among the weights of the whole model.
#[test]
fn the_weights_are_laid_out_as_the_kernel_reads_them() {
    for (kind, tied) in [(Kind::Gru, false), (Kind::Lstm, true), (Kind::RnnTanh, false)] {
        let (ntoken, ninp, nhid) = (7, if tied { 5 } else { 3 }, 5);
        let config = LanguageModelConfig::new(kind, ntoken, ninp, nhid, 2).tie_weights(tied);
        let mut next = 0.0_f32;
        let params = LanguageModelParams::from_fn(&config, |_, shape| {
            let mut value = || {
                next += 1.0;
                next
            };
            Ok((0..shape.iter().product()).map(|_| value()).collect())
        })
        .expect("valid sizes");
        let limits = &webgpu();
        let base = LanguageModelLayout::new(&config, limits).expect("small");
        let layout = GenerationLayout::new(&base, limits).expect("small");
        let [weight, bias] = [0, 1].map(|index| layout.pack(index, &params));
        for (index, spec) in layout.buffers().iter().enumerate() {
            assert_eq!(layout.pack(index, &params).len(), spec.len(), "{kind}: {}", spec.label);
        }
        let (gates, width) = (config.rnn().gate_count(), nhid.next_multiple_of(4));
        let (input, rows) = (ninp.next_multiple_of(4), ntoken.next_multiple_of(gates));
        for (token, row) in weight.chunks_exact(input).take(ntoken).enumerate() {
            assert_eq!(row[..ninp], *params.encoder_weight().row(token), "{kind}: token {token}");
        }
        let mut at = rows * input;
        for layer in 0..2 {
            let (width_in, direction) =
                (if layer == 0 { ninp } else { nhid }, params.rnn().direction(layer, 0));
            let padded_in = width_in.next_multiple_of(4);
            for (unit, gate) in (0..nhid).flat_map(|unit| (0..gates).map(move |gate| (unit, gate)))
            {
                let what = format!("{kind}: layer {layer}, unit {unit}, gate {gate}");
                let row = gate * nhid + unit;
                let ih = &direction.weight_ih[row * width_in..][..width_in];
                let hh = &direction.weight_hh[row * nhid..][..nhid];
                assert_eq!(weight[at..][..width_in], *ih, "{what}");
                assert_eq!(weight[at + padded_in..][..nhid], *hh, "{what}");
                at += padded_in + width;
                let of_n = kind == Kind::Gru && gate == 2;
                let of_h = if of_n { 0.0 } else { direction.bias_hh[row] };
                let got = bias[(layer * nhid + unit) * gates + gate];
                assert_eq!(got, direction.bias_ih[row] + of_h, "{what}");
                if of_n {
                    let own = layout.pack(2, &params)[layer * nhid + unit];
                    assert_eq!(own, direction.bias_hh[row], "{what}");
                }
            }
        }
        let decoder = &weight[if tied { 0 } else { at }..];
        for (token, row) in decoder.chunks_exact(width).take(ntoken).enumerate() {
            assert_eq!(row[..nhid], *params.decoder_weight().row(token), "{kind}: token {token}");
        }
        assert_eq!(bias[2 * nhid * gates..][..ntoken], *params.decoder_bias(), "{kind}");
    }
}
