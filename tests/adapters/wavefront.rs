//! The schedule `wavefront` gives the bits of `step` or of `step_tiled` in fewer dispatches.

use std::sync::Arc;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::session::{Session, Weights};
use wgpu_rnn::internals::kernel::Family;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::rates::KernelClass;
use wgpu_rnn::internals::plan::{Plan, Request, Storage, WeightLayout, plan};
use wgpu_rnn::{
    Config, Device, Error, ForwardOptions, Kind, LoadOptions, Params, Rnn, Schedule, State, Tensor,
    WeightType,
};

use crate::bits::{assert_same, assert_same_tensor};
use crate::recordings::fastest;
use crate::{Target, ensure, seeded};

/// Layers, T, B, input and hidden size. Some chunks divide T, some do not. Some sequences have one
/// step, or fewer steps than layers.
const SHAPES: [(usize, usize, usize, usize, usize); 9] = [
    (2, 1, 1, 3, 5),
    (2, 3, 2, 7, 16),
    (2, 4, 1, 1, 1),
    (6, 2, 3, 4, 9),
    (3, 13, 1, 32, 32),
    (3, 41, 5, 9, 37),
    (4, 100, 1, 3, 8),
    (5, 7, 9, 13, 13),
    (2, 40, 17, 12, 65),
];

fn module(
    device: &Device,
    params: &Params,
    schedule: Schedule,
    weights: WeightType,
) -> Result<Rnn, Failed> {
    Ok(Rnn::with_options(device, params, &LoadOptions::new().schedule(schedule).weights(weights))?)
}

fn state_of(config: &Config, batch: usize) -> Result<State, Failed> {
    let shape = [config.num_layers, batch, config.hidden_size];
    Ok(State {
        h: seeded::tensor(5, &shape, 1.0),
        c: (config.kind == Kind::Lstm).then(|| seeded::tensor(6, &shape, 1.0)),
    })
}

/// The options of such a device.
fn options(class: KernelClass) -> OpenOptions {
    OpenOptions::default().calibration(fastest(class))
}

/// Waves of `step`.
pub fn is_step(target: &Target) -> Result<(), Failed> {
    is_waves_of(target, Schedule::Step, Family::StepWave, KernelClass::Step, &SHAPES)
}

/// Waves of `step_tiled`.
pub fn is_step_tiled(target: &Target) -> Result<(), Failed> {
    let (schedule, class) = (Schedule::StepTiled, KernelClass::StepTiled);
    // Few units, since software adapters compute whole tiles of 32 rows.
    let shapes = [(3, 5, 2, 4, 9), (2, 3, 2, 4, 9), (2, 40, 34, 3, 5), (2, 41, 33, 4, 5)];
    is_waves_of(target, schedule, Family::StepTiledWave, class, &shapes)
}

/// Covers rows of equal and of different length, zero and given states, both weight types, short
/// submissions and several segments.
fn is_waves_of(
    target: &Target,
    schedule: Schedule,
    family: Family,
    class: KernelClass,
    shapes: &[(usize, usize, usize, usize, usize)],
) -> Result<(), Failed> {
    let device = target.open(&options(class))?;
    let submissions = target.open(&options(class).limit("max_work_per_submission", 9_000_000))?;
    for (at, &kind) in Kind::ALL.iter().enumerate() {
        // Each kind takes every second shape.
        for &(num_layers, seq_len, batch, input_size, hidden_size) in
            shapes.iter().skip(at % 2).step_by(2)
        {
            let config = Config::new(kind, input_size, hidden_size).num_layers(num_layers);
            let params = Params::init(&config, 3)?;
            let input = seeded::tensor(4, &[seq_len, batch, input_size], 1.0);
            let state = state_of(&config, batch)?;
            let lengths: Vec<usize> =
                (0..batch).map(|row| seq_len - row * 5 % (seq_len + 1)).collect();
            let cut = segmented(target, &device, (family, class), &params, seq_len, batch)?;
            let from = ForwardOptions::new().state(&state);
            let shorter = from.lengths(&lengths);
            for (weights, options) in [
                (WeightType::F32, ForwardOptions::default()),
                (WeightType::F32, from),
                (WeightType::F32, shorter),
                (WeightType::F16, shorter),
            ] {
                let want =
                    module(&device, &params, schedule, weights)?.forward_with(&input, &options)?;
                // Rows of different length meet every boundary.
                let every = options.lengths.is_some() && weights == WeightType::F32;
                let others = [Some(&submissions), cut.as_ref()].into_iter().filter(|_| every);
                let devices = std::iter::once(&device).chain(others.flatten());
                for (which, device) in devices.enumerate() {
                    let rnn = module(device, &params, Schedule::Wavefront, weights)?;
                    let what =
                        format!("{config:?} T = {seq_len} B = {batch} {weights:?}, device {which}");
                    assert_same(&what, &rnn.forward_with(&input, &options)?, &want);
                    if options.state.is_none() {
                        ensure(
                            rnn.forward(&input, Some(&state))? != want,
                            format!("{what}: a state must show"),
                        )?;
                        assert_same(&format!("{what}, again"), &rnn.forward(&input, None)?, &want);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Returns a device with so little memory that a wavefront has several segments. Returns `None` for
/// sizes that always have one segment.
fn segmented(
    target: &Target,
    device: &Device,
    (family, class): (Family, KernelClass),
    params: &Params,
    seq_len: usize,
    batch: usize,
) -> Result<Option<Device>, Failed> {
    let plan =
        module(device, params, Schedule::Wavefront, WeightType::F32)?.plan(seq_len, batch)?;
    let dispatches = || plan.recording.commands.iter().flat_map(|command| command.dispatches(0));
    ensure(
        dispatches().any(|dispatch| dispatch.kernel.family == family),
        "the waves' kernels run",
    )?;
    ensure(
        plan.schedule.schedule == Schedule::Wavefront && plan.segments.len() == 1,
        format!("{:?}", plan.schedule),
    )?;
    if seq_len < 40 {
        return Ok(None);
    }
    let gates_x = plan.recording.buffers.iter().find(|buffer| buffer.label == "gates_x");
    let budget = plan.size() - gates_x.ok_or("there is no gates_x")?.size() / 3;
    let small = target.open(&options(class).memory_budget(budget))?;
    let segments = module(&small, params, Schedule::Wavefront, WeightType::F32)?
        .plan(seq_len, batch)?
        .segments
        .len();
    ensure(segments > 1, format!("{segments} segments in {budget} bytes"))?;
    Ok(Some(small))
}

/// A state moves between plans of both schedules, in a stream whose calls vary in length.
pub fn between_schedules(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (batch, input_size) = (3, 8);
    for &kind in Kind::ALL {
        let config = Config::new(kind, input_size, 5).num_layers(3);
        let params = Params::init(&config, 8)?;
        let layout = WeightLayout::stored(&config, Storage::default(), device.limits())?;
        let weights =
            Weights::load(device.engine(), layout.buffers(), |index| layout.pack(index, &params))?;
        let input = seeded::tensor(9, &[21, batch, input_size], 1.0);
        let (output, last) =
            module(&device, &params, Schedule::Step, WeightType::F32)?.forward(&input, None)?;
        for schedules in
            [[Schedule::Step, Schedule::Wavefront], [Schedule::Wavefront, Schedule::Step]]
        {
            let mut before: Option<(Plan, Session)> = None;
            for (schedule, steps) in schedules.into_iter().zip([0..12, 12..21]) {
                let sizes = Sizes { seq_len: steps.len(), batch };
                let (config, weights_layout) = (&config, &layout);
                let request = Request { config, weights: weights_layout, sizes, training: false };
                let plan = plan(&request, &device.profile(), schedule)?;
                let mut session = Session::new(Arc::new(plan.recording.clone()), &weights)?;
                session.write(
                    plan.input[0],
                    &input.data()[steps.start * batch * input_size..]
                        [..steps.len() * batch * input_size],
                )?;
                session.write(plan.lengths, &[f32::from_bits(steps.len() as u32); 3])?;
                if let Some((from, session_before)) = &before {
                    let states = from.states.iter().zip(&plan.states).enumerate();
                    let pairs = states.flat_map(|(layer, (from_state, to))| {
                        std::iter::once((from.final_h(layer), to.h[0]))
                            .chain(from_state.c.zip(to.c))
                    });
                    session.carry_from(session_before, &pairs.collect::<Vec<_>>())?;
                }
                let what = format!("{kind} {schedule} of steps {steps:?}");
                let packed = session.run(&plan.output, &[])?.remove(0);
                let rows: Vec<f32> = packed.chunks(8).flat_map(|row| row[..5].to_vec()).collect();
                let want =
                    output.data()[steps.start * batch * 5..][..steps.len() * batch * 5].to_vec();
                let shape = [steps.len(), batch, 5];
                assert_same_tensor(&what, &Tensor::new(shape, rows)?, &Tensor::new(shape, want)?);
                before = Some((plan, session));
            }
            let Some((plan, session)) = before else { return Err("there were two".into()) };
            for layer in 0..3 {
                let h: Vec<f32> = session
                    .read(plan.final_h(layer))?
                    .chunks(8)
                    .flat_map(|row| row[..5].to_vec())
                    .collect();
                let want = Tensor::new(
                    [batch, 5],
                    last.h.data()[layer * batch * 5..][..batch * 5].to_vec(),
                )?;
                assert_same_tensor(
                    &format!("{kind} {schedules:?}: h of layer {layer}"),
                    &Tensor::new([batch, 5], h)?,
                    &want,
                );
                if let (Some(id), Some(c)) = (plan.states[layer].c, &last.c) {
                    let want = Tensor::new(
                        [batch, 5],
                        c.data()[layer * batch * 5..][..batch * 5].to_vec(),
                    )?;
                    let got = Tensor::new([batch, 5], session.read(id)?)?;
                    assert_same_tensor(
                        &format!("{kind} {schedules:?}: c of layer {layer}"),
                        &got,
                        &want,
                    );
                }
            }
        }
    }
    Ok(())
}

/// Creating a module fails for networks that a wavefront cannot run. A call in training fails.
pub fn refusals(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let stack = Config::gru(4, 8).num_layers(2).dropout(0.5);
    for (config, why) in [
        (stack.clone().num_layers(1).dropout(0.0), "needs at least two layers"),
        (stack.clone().bidirectional(true), "runs one direction"),
        (Config::lstm(4, 8).num_layers(2).proj_size(3), "has no projection"),
    ] {
        let options = LoadOptions::new().schedule(Schedule::Wavefront);
        let refused = Rnn::with_options(&device, &Params::init(&config, 0)?, &options);
        let want = format!("the schedule 'wavefront' {why}");
        let named = matches!(&refused, Err(Error::Unsupported(told)) if told.starts_with(&want));
        ensure(named, format!("{config:?}: {refused:?}"))?;
    }
    let rnn = module(&device, &Params::init(&stack, 0)?, Schedule::Wavefront, WeightType::F32)?;
    let input = seeded::tensor(1, &[5, 2, 4], 1.0);
    rnn.forward(&input, None)?;
    let trained = rnn.forward_with(&input, &ForwardOptions::new().training(1));
    let want = "has no dropout between layers";
    let named = matches!(&trained, Err(Error::Unsupported(why)) if why.contains(want));
    ensure(named, format!("{trained:?}"))
}
