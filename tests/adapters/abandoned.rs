//! Runs that are abandoned: software adapters run workgroups one after the other, so a workgroup
//! that waits for another waits in vain.

use std::thread;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::plan::{Exchange, Resident};
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, LanguageModelConfig};
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::wgpu::Features;
use wgpu_rnn::{
    Config, Device, Error, ForwardOptions, Kind, LoadOptions, Params, Rnn, Schedule, State, Tensor,
};

use crate::bits::{alike, outcomes_alike, states_alike};
use crate::generate::{generated, take};
use crate::language_model::params;
use crate::seeded;
use crate::{Target, ensure};

const STEPS: usize = 7;
const BATCH: usize = 3;
/// Units of two workgroups.
const HIDDEN_SIZE: usize = 100;

/// Opens the target with runs of several dispatches, the first of which has steps to wait for.
fn open(target: &Target) -> Result<Device, Failed> {
    target.open(&OpenOptions::default().limit("max_steps_per_dispatch", 3))
}

/// Makes a device believe that its workgroups run at the same time.
fn believe(device: &Device) {
    let (wgpu, _) = device.wgpu().expect("a device of wgpu");
    let subgroups = wgpu.features().contains(Features::SUBGROUP);
    device.set_exchange(Exchange::Resident(Resident {
        workgroups: 64,
        subgroup_size: if subgroups { wgpu.adapter_info().subgroup_min_size } else { 0 },
        volatile: false,
        spins: 64,
    }));
}

fn persistent() -> LoadOptions {
    LoadOptions::new().schedule(Schedule::Persistent)
}

/// Returns the module by the schedule that `auto` chooses where no workgroup waits.
fn without_waits(target: &Target, params: &Params) -> Result<Rnn, Failed> {
    let device = open(target)?;
    device.set_exchange(Exchange::Refused("this test compares with other schedules"));
    Ok(Rnn::new(&device, params)?)
}

/// Fails unless the module is about to run by workgroups that wait for each other.
fn ensure_waits(rnn: &Rnn) -> Result<(), Failed> {
    let plan = rnn.plan(STEPS, BATCH)?;
    ensure(
        plan.schedule.schedule == Schedule::Persistent && plan.recording.flag.is_some(),
        format!("{}, flag {:?}", plan.schedule.schedule, plan.recording.flag),
    )
}

/// Fails unless the device abandoned `runs` runs, and shows it.
fn ensure_abandoned(rnn: &Rnn, runs: u64) -> Result<(), Failed> {
    let found = rnn.device().abandoned_runs();
    ensure(found == runs, format!("{found} runs were abandoned, want {runs}"))?;
    let explanation = rnn.explain(STEPS, BATCH)?;
    ensure(
        explanation.abandoned_runs == runs
            && explanation.to_string().contains("abandoned on this device")
            && explanation.schedule.schedule != Schedule::Persistent,
        format!("{explanation}"),
    )
}

fn uniform(seed: u64, shape: &[usize]) -> Tensor {
    seeded::tensor(seed, shape, 1.0)
}

fn input(seed: u64, batch_first: bool) -> Tensor {
    let shape = if batch_first { [BATCH, STEPS, 5] } else { [STEPS, BATCH, 5] };
    uniform(seed, &shape)
}

fn lstm() -> Config {
    Config::lstm(5, HIDDEN_SIZE).num_layers(2)
}

/// A call runs again, and so do later calls, by the schedule that `auto` chooses then.
pub fn forward(target: &Target) -> Result<(), Failed> {
    let gru = Config::gru(5, HIDDEN_SIZE).bidirectional(true).batch_first(true);
    for config in [lstm(), gru] {
        let params = Params::init(&config, 31)?;
        let device = open(target)?;
        believe(&device);
        let rnn = Rnn::with_options(&device, &params, &persistent())?;
        ensure_waits(&rnn)?;
        let other = without_waits(target, &params)?;
        let layers = config.num_layers * config.num_directions();
        let state = State {
            h: uniform(32, &[layers, BATCH, HIDDEN_SIZE]),
            c: (config.kind == Kind::Lstm).then(|| uniform(33, &[layers, BATCH, HIDDEN_SIZE])),
        };
        let lengths = [STEPS, 0, 3];
        let options = ForwardOptions::new().state(&state).lengths(&lengths);
        for call in 0..3 {
            let input = input(34 + call, config.batch_first);
            let got = if call == 1 {
                pollster::block_on(rnn.forward_with_async(&input, &options))?
            } else {
                rnn.forward_with(&input, &options)?
            };
            let want = other.forward_with(&input, &options)?;
            ensure(outcomes_alike(&got, &want), format!("{config:?}, call {call}"))?;
            ensure_abandoned(&rnn, 1)?;
        }
        let later = Rnn::new(&device, &params)?.plan(STEPS, BATCH)?.schedule.schedule;
        ensure(later != Schedule::Persistent, "auto chooses the schedule again")?;
        match Rnn::with_options(&device, &params, &persistent()) {
            Err(Error::Unsupported(why)) if why.contains("abandoned a run") => {}
            other => return Err(format!("{other:?}, want a refusal").into()),
        }
    }
    Ok(())
}

/// An asynchronous call runs again too.
pub fn futures(target: &Target) -> Result<(), Failed> {
    let params = Params::init(&Config::lstm(5, HIDDEN_SIZE), 41)?;
    let device = open(target)?;
    believe(&device);
    let rnn = Rnn::with_options(&device, &params, &persistent())?;
    ensure_waits(&rnn)?;
    let input = input(42, false);
    let want = without_waits(target, &params)?.forward(&input, None)?;
    let got = pollster::block_on(rnn.forward_async(&input, None))?;
    ensure(outcomes_alike(&got, &want), "another result")?;
    ensure_abandoned(&rnn, 1)
}

/// The state of a stream survives an abandoned run.
pub fn streams(target: &Target) -> Result<(), Failed> {
    let params = Params::init(&lstm(), 51)?;
    let device = open(target)?;
    let rnn = Rnn::with_options(&device, &params, &persistent())?;
    let other = without_waits(target, &params)?;
    let (mut stream, mut want) = (rnn.stream(BATCH)?, other.stream(BATCH)?);
    // Without waits, `persistent` runs on any software adapter.
    stream.forward(&input(52, false))?;
    want.set_state(&stream.state()?)?;
    believe(&device);
    ensure_waits(&rnn)?;
    for call in 0..3 {
        let input = input(53 + call, false);
        let (got, want) = (stream.forward(&input)?, want.forward(&input)?);
        ensure(alike(&got, &want), format!("call {call}: another output"))?;
        ensure_abandoned(&rnn, 1)?;
    }
    ensure(states_alike(&stream.state()?, &want.state()?), "another state")
}

/// A text goes on by `step` from the state before the abandoned run.
pub fn texts(target: &Target) -> Result<(), Failed> {
    let params = params(&LanguageModelConfig::new(Kind::Lstm, 17, 6, HIDDEN_SIZE, 2))?;
    let device = open(target)?;
    let model = LanguageModel::with_options(&device, &params, &persistent())?;
    let other = LanguageModel::new(&device, &params)?;
    let prompts: [&[u32]; 2] = [&[3, 1, 4], &[1]];
    let options = GenerateOptions::default().seed(9).chunk(8);
    let want = generated(&other, &prompts, &options, 24)?;
    let mut generator = model.generate(&prompts, &options)?;
    // Without waits, one workgroup generates the first chunk.
    let mut texts = take(&mut generator, 8)?;
    believe(&device);
    let mut waiting = model.generate(&prompts, &options)?;
    let flag = model.plan_generation(2, 8)?.layers.recording.flag;
    ensure(flag.is_some(), "workgroups wait")?;
    ensure(take(&mut waiting, 24)? == want, "a text whose first chunk was abandoned")?;
    let runs = device.abandoned_runs();
    ensure(runs == 1, format!("{runs} runs were abandoned"))?;
    let more = take(&mut generator, 16)?;
    texts.iter_mut().zip(more).for_each(|(text, more)| text.extend(more));
    ensure(texts == want, "a text that began before")?;
    let by = model.plan_generation(2, 8)?.layers.schedule.schedule;
    ensure(by == Schedule::Step, format!("the next text runs by {by}"))
}

/// Several threads may meet abandoned runs at the same time.
pub fn threads(target: &Target) -> Result<(), Failed> {
    let params = Params::init(&Config::gru(5, HIDDEN_SIZE), 61)?;
    let device = open(target)?;
    believe(&device);
    let rnn = &Rnn::with_options(&device, &params, &persistent())?;
    ensure_waits(rnn)?;
    let input = &input(62, false);
    let want = &without_waits(target, &params)?.forward(input, None)?;
    thread::scope(|scope| {
        let call = || Ok::<_, Error>(outcomes_alike(&rnn.forward(input, None)?, want));
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(call)).collect();
        calls.into_iter().try_for_each(|call| {
            let same = call.join().map_err(|_| Failed::from("a thread panicked"))??;
            ensure(same, "another result")
        })
    })?;
    let runs = device.abandoned_runs();
    ensure((1..=3).contains(&runs), format!("{runs} runs were abandoned"))?;
    ensure_abandoned(rnn, runs)
}

/// Ticks and recorded passes cannot run again, so they run by `step`, which gives the same bits.
pub fn pools_and_passes(target: &Target) -> Result<(), Failed> {
    let params = Params::init(&Config::lstm(5, HIDDEN_SIZE), 71)?;
    let device = open(target)?;
    believe(&device);
    let rnn = Rnn::with_options(&device, &params, &persistent())?;
    ensure_waits(&rnn)?;
    let options = PoolOptions::new(2).steps(STEPS);
    for (refused, want) in [
        (rnn.pool(&options).map(drop), "'persistent' in a pool; use 'step'"),
        (rnn.recorder(STEPS, BATCH).map(drop), "'persistent' in a recorded pass; use 'step'"),
    ] {
        match refused {
            Err(Error::Unsupported(why)) if why.contains(want) => {}
            other => return Err(format!("{other:?}, want '{want}'").into()),
        }
    }
    let rnn = Rnn::new(&device, &params)?;
    let pool = rnn.pool(&options)?;
    ensure(pool.plan().tick.recording.flag.is_none(), "a pool has a flag")?;
    let recorder = rnn.recorder(STEPS, BATCH)?;
    ensure(recorder.plan().recording.flag.is_none(), "a recorded pass has a flag")?;
    ensure(device.abandoned_runs() == 0, "nothing was abandoned")
}
