//! Generation in one dispatch against generation by `step`, forward passes, and the twin.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::plan::Exchange;
use wgpu_rnn::language_model::{
    GenerateOptions, LanguageModel, LanguageModelConfig, LanguageModelParams,
};
use wgpu_rnn::{Device, Error, Kind, LoadOptions, Schedule, State, WeightType};

use crate::by_hand::close;
use crate::generate::{ensure_drawn, generated, take};
use crate::language_model::params;
use crate::{Target, ensure};

const NTOKEN: usize = 17;

fn model(
    device: &Device,
    params: &LanguageModelParams,
    weights: WeightType,
    schedule: Schedule,
) -> Result<LanguageModel, Failed> {
    let options = LoadOptions::new().weights(weights).schedule(schedule);
    Ok(LanguageModel::with_options(device, params, &options)?)
}

fn ensure_close(what: &str, got: &State, want: &State) -> Result<(), Failed> {
    let pairs = [(Some(&got.h), Some(&want.h)), (got.c.as_ref(), want.c.as_ref())];
    for (got, want) in pairs.into_iter().filter_map(|(got, want)| got.zip(want)) {
        let want: Vec<f64> = want.data().iter().map(|&value| value.into()).collect();
        close(what, got.data(), &want, 1e-5)?;
    }
    ensure(got.c.is_some() == want.c.is_some(), format!("{what}: c"))
}

/// Texts and states are those of the definition, of the twin, of `step`, of a row by itself and of
/// chunks of any length.
pub fn texts(target: &Target) -> Result<(), Failed> {
    // Chunks of several dispatches.
    let device = target.open(&OpenOptions::default().limit("max_steps_per_dispatch", 3))?;
    let prompts: [&[u32]; 3] = [&[3, 1, 4], &[1], &[16, 0, 2, 9, 8, 5]];
    let options = GenerateOptions::default().seed(5).chunk(8);
    let halves = device.storage(WeightType::F16).is_ok();
    let of_lstm = if halves { WeightType::F16 } else { WeightType::F32 };
    for (kind, weights, layers) in [
        (Kind::RnnRelu, WeightType::F32, 3),
        (Kind::Gru, WeightType::F32, 2),
        (Kind::Lstm, of_lstm, 2),
    ] {
        let params = params(&LanguageModelConfig::new(kind, NTOKEN, 6, 10, layers))?;
        let of = |device: &Device, schedule| model(device, &params, weights, schedule);
        let (once, step) = (of(&device, Schedule::Persistent)?, of(&device, Schedule::Step)?);
        let plan = once.plan_generation(3, 8)?;
        ensure(
            plan.layers.schedule.schedule == Schedule::Persistent
                && plan.layers.recording.dispatch_count() == 3,
            format!("{kind}: {:?}", plan.layers.schedule),
        )?;
        for options in [options.temperature(0.6).top_k(4), options.temperature(0.0)] {
            let what = format!("{kind}, {weights:?}, {options:?}");
            let mut generator = once.generate(&prompts, &options)?;
            let texts = take(&mut generator, 16)?;
            let defined = if options.temperature == 0.0 {
                options.temperature(1.0).top_k(1)
            } else {
                options
            };
            for (row, (prompt, text)) in prompts.iter().zip(&texts).enumerate() {
                ensure_drawn(&what, &step, &defined, (prompt, text, row))?;
            }
            let mut by_step = step.generate(&prompts, &options)?;
            ensure(take(&mut by_step, 16)? == texts, format!("{what}: by step"))?;
            ensure_close(&what, &generator.state()?, &by_step.state()?)?;
            if options.top_k == 0 {
                continue;
            }
            let twin = of(&Device::cpu(), Schedule::Persistent)?;
            let mut twin = twin.generate(&prompts, &options)?;
            ensure(take(&mut twin, 16)? == texts, format!("{what}: the twin"))?;
            ensure_close(&what, &generator.state()?, &twin.state()?)?;
            let alone = generated(&once, &prompts[..1], &options, 16)?;
            ensure(alone[..] == texts[..1], format!("{what}: {alone:?}, {texts:?} with others"))?;
            for chunk in [1, 16] {
                let again = generated(&once, &prompts, &options.chunk(chunk), 16)?;
                ensure(again == texts, format!("{what}: in chunks of {chunk}"))?;
            }
        }
    }
    Ok(())
}

/// `auto` takes the dispatch for many tokens where workgroups wait for each other. A caller who
/// asks for it gets the reason of a refusal.
pub fn choices(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let params = params(&LanguageModelConfig::new(Kind::Gru, NTOKEN, 6, 10, 2))?;
    let of = |schedule| model(&device, &params, WeightType::F32, schedule);
    let by = |model: &LanguageModel, batch| -> Result<Schedule, Failed> {
        Ok(model.plan_generation(batch, 8)?.layers.schedule.schedule)
    };
    let software = device.is_software_adapter();
    let auto = of(Schedule::Auto)?;
    ensure(!software || by(&auto, 1)? == Schedule::Step, "software adapters do not wait")?;
    ensure(by(&auto, 40)? == Schedule::Step, "auto takes what fits")?;
    let once = of(Schedule::Persistent)?;
    match once.plan_generation(17, 8) {
        Err(Error::Unsupported(why)) if why.contains("at most 16 rows, got 17") => {}
        other => return Err(format!("{other:?}, want a refusal").into()),
    }
    device.set_exchange(Exchange::Refused("this test says so"));
    ensure(by(&auto, 1)? == Schedule::Step && by(&once, 1)? == Schedule::Step, "no trust")?;
    for (schedule, want) in [
        (Schedule::Persistent, "this test says so"),
        (Schedule::Sequence, "do not run by the schedule 'sequence'"),
    ] {
        let options = LoadOptions::new().schedule(schedule);
        match LanguageModel::with_options(&device, &params, &options) {
            Err(Error::Unsupported(why)) if why.contains(want) => {}
            other => return Err(format!("{other:?}, want a refusal with '{want}'").into()),
        }
    }
    Ok(())
}
