//! Devices that are lost at work: another device continues from the saved state, and no result is
//! missing.

use std::pin::pin;

use libtest_mimic::Failed;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, LanguageModelConfig};
use wgpu_rnn::pool::{Pool, PoolOptions, Slot};
use wgpu_rnn::stream::Stream;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, State, Tensor};

use crate::parts::along_first;
use crate::waiting::{block_on, poll_once};
use crate::{Machine, Target, adapters, ensure, language_model, recovery_example, seeded, ticks};

const STEPS: usize = 12;
const ROWS: usize = 3;
const SLOTS: usize = 5;
const FEATURES: usize = 4;
/// The number of steps before the program saves everything.
const SAVED: usize = 5;
/// The number of steps before the device is lost.
const GONE: usize = 8;

/// The weights and the inputs, which a program keeps if it loses its device.
struct Program {
    params: Params,
    /// The stream's input, `[T, B, I]`. The slots use its rows and two more.
    input: Tensor,
}

/// The states that a program saves from time to time.
struct Saved {
    stream: State,
    slots: Vec<Vec<u8>>,
}

/// The stream and the pool of a module, which run the same steps.
struct Running {
    stream: Stream,
    pool: Pool,
    slots: Vec<Slot>,
}

impl Program {
    fn new(config: &Config) -> Result<Self, Failed> {
        Ok(Self {
            params: Params::init(config, 31)?,
            input: seeded::tensor(32, &[STEPS, SLOTS, FEATURES], 1.0),
        })
    }

    fn start(&self, rnn: &Rnn, saved: Option<&Saved>) -> Result<Running, Failed> {
        let (mut stream, pool) = (rnn.stream(ROWS)?, rnn.pool(&PoolOptions::new(SLOTS))?);
        let slots = (0..SLOTS).map(|_| pool.open()).collect::<Result<Vec<_>, _>>()?;
        if let Some(saved) = saved {
            stream.set_state(&saved.stream)?;
            slots
                .iter()
                .zip(&saved.slots)
                .try_for_each(|(slot, saved)| pool.restore(*slot, saved))?;
        }
        Ok(Running { stream, pool, slots })
    }
}

impl Running {
    /// Runs a step of the stream and of every slot. Returns their results, concatenated.
    fn step(&mut self, program: &Program, step: usize) -> wgpu_rnn::Result<Vec<f32>> {
        let input = along_first(&program.input, std::iter::once(step));
        let rows = |count: usize| input.data()[..count * FEATURES].to_vec();
        let mut output =
            self.stream.forward(&Tensor::new([1, ROWS, FEATURES], rows(ROWS))?)?.data().to_vec();
        let inputs = rows(SLOTS);
        let inputs: Vec<_> = self.slots.iter().copied().zip(inputs.chunks(FEATURES)).collect();
        output.extend(ticks::outputs(self.pool.tick(&inputs))?.concat());
        Ok(output)
    }

    fn save(&self) -> wgpu_rnn::Result<Saved> {
        let slots = self
            .slots
            .iter()
            .map(|slot| self.pool.snapshot(*slot))
            .collect::<wgpu_rnn::Result<_>>()?;
        Ok(Saved { stream: self.stream.state()?, slots })
    }
}

/// Checks that an outcome is the loss of a device of this name.
fn names<T>(device: &Device, outcome: wgpu_rnn::Result<T>) -> Result<(), String> {
    match outcome {
        Err(error @ Error::DeviceLost { .. }) if error.to_string().contains(device.name()) => {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("went well".to_owned()),
    }
}

/// The program loses the device between two steps. The rest has the same bits on the same adapter,
/// and the same values within rounding elsewhere. Every call on the lost device reports the loss.
pub fn elsewhere(target: &Target) -> Result<(), Failed> {
    for config in [Config::lstm(FEATURES, 20).num_layers(2), Config::gru(FEATURES, 9)] {
        let program = Program::new(&config)?;
        let device = target.device()?;
        let rnn = target.rnn(&device, &program.params)?;
        let mut whole = program.start(&rnn, None)?;
        let want: Vec<Vec<f32>> =
            (0..STEPS).map(|step| whole.step(&program, step)).collect::<Result<_, _>>()?;
        ensure(!device.is_lost(), "the device is there")?;

        let mut running = program.start(&rnn, None)?;
        (0..SAVED).try_for_each(|step| running.step(&program, step).map(drop))?;
        let saved = running.save()?;
        (SAVED..GONE).try_for_each(|step| running.step(&program, step).map(drop))?;
        device.wgpu().ok_or("an adapter")?.0.destroy();
        let [a, b] = [running.slots[0], running.slots[1]];
        let step = [0.5; FEATURES];
        names(&device, running.stream.forward(&Tensor::zeros([1, ROWS, FEATURES])?))?;
        ensure(
            device.is_lost() && device.clone().is_lost(),
            "the device is gone, for its clones too",
        )?;
        // Call twice: after the first failure has lost states, errors still name the lost device.
        for call in 0..2 {
            let what = |outcome: Result<(), String>, which: &str| {
                outcome.map_err(|found| Failed::from(format!("{which}, call {call}: {found}")))
            };
            what(
                names(&device, running.stream.forward(&Tensor::zeros([1, ROWS, FEATURES])?)),
                "stream",
            )?;
            what(names(&device, running.stream.state()), "a stream's state")?;
            what(names(&device, running.pool.tick(&[(a, &step), (b, &step)])), "tick")?;
            what(names(&device, running.pool.snapshot(a)), "snapshot")?;
            what(names(&device, running.pool.restore(b, &saved.slots[1])), "restore")?;
            what(names(&device, rnn.forward(&Tensor::zeros([2, 1, FEATURES])?, None)), "forward")?;
            what(names(&device, Rnn::new(&device, &program.params)), "a new module")?;
            what(names(&device, rnn.pool(&PoolOptions::new(2))), "a new pool")?;
        }

        let others = adapters::wanted()
            .into_iter()
            .filter_map(|wanted| wanted.entry)
            .map(|entry| Target { machine: Machine::Adapter(Box::new(entry)), ..target.clone() });
        let again = others.chain([Target { machine: Machine::Cpu, ..target.clone() }]);
        let mut same = 0;
        for there in again {
            let new = there.device()?;
            let rnn = there.rnn(&new, &program.params)?;
            let mut running = program.start(&rnn, Some(&saved))?;
            for (step, want) in want.iter().enumerate().skip(SAVED) {
                let got = running.step(&program, step)?;
                let what =
                    format!("{config:?}: step {step}, saved on {device}, carried on on {new}");
                ensure(got.len() == want.len(), what.clone())?;
                if new.to_string() == device.to_string() {
                    same += 1;
                    ensure(got.iter().zip(want).all(|(g, w)| g.to_bits() == w.to_bits()), what)?;
                } else {
                    ensure(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5), what)?;
                }
            }
        }
        ensure(same == STEPS - SAVED, format!("{same} steps on the same adapter"))?;
    }
    Ok(())
}

/// The program loses the device during a step. The step completes or reports the loss, and the
/// saved state continues.
pub fn under_way(target: &Target) -> Result<(), Failed> {
    let params = Params::init(&Config::lstm(16, 100), 33)?;
    let input = seeded::tensor(34, &[200, 8, 16], 1.0);
    let reopened = target.device()?;
    let device = target.device()?;
    let rnn = target.rnn(&device, &params)?;
    let mut stream = rnn.stream(8)?;
    stream.forward(&input)?;
    let saved = stream.state()?;
    {
        let mut step = pin!(stream.forward_async(&input));
        ensure(poll_once(step.as_mut()).is_pending(), "the device is at it")?;
        device.wgpu().ok_or("an adapter")?.0.destroy();
        if let Err(error) = block_on(step) {
            ensure(matches!(error, Error::DeviceLost { .. }), format!("{error}"))?;
        }
    }
    names(&device, stream.forward(&input))?;
    ensure(device.is_lost(), "the device is gone")?;
    // Another device of the adapter still works, and gives the results of one call of all steps.
    ensure(!reopened.is_lost(), "only the one that was destroyed")?;
    let rnn = target.rnn(&reopened, &params)?;
    let mut stream = rnn.stream(8)?;
    stream.set_state(&saved)?;
    let got = stream.forward(&input)?;
    let mut whole = rnn.stream(8)?;
    whole.forward(&input)?;
    ensure(got == whole.forward(&input)?, "the same bits from the state that was saved")
}

/// A lost text continues after its last returned token, with the tokens of an uninterrupted text.
pub fn generation(target: &Target) -> Result<(), Failed> {
    let params = language_model::params(&LanguageModelConfig::new(Kind::Lstm, 17, 5, 12, 2))?;
    let prompts: [&[u32]; 2] = [&[3, 1, 4], &[15]];
    for options in
        [GenerateOptions::default().seed(5).chunk(4), GenerateOptions::default().temperature(0.0)]
    {
        let device = target.device()?;
        let model = LanguageModel::new(&device, &params)?;
        let want = model.generate(&prompts, &options)?.take(12).collect::<Result<Vec<_>, _>>()?;
        let mut generator = model.generate(&prompts, &options)?;
        device.wgpu().ok_or("an adapter")?.0.destroy();
        names(&device, generator.next().ok_or("an endless text")?)?;
        for (came_back, new) in [(5, target.device()?), (7, Device::cpu())] {
            let row = |row: usize| -> Vec<u32> {
                prompts[row]
                    .iter()
                    .copied()
                    .chain(want[..came_back].iter().map(|tokens| tokens[row]))
                    .collect()
            };
            let texts = [row(0), row(1)];
            let model = LanguageModel::new(&new, &params)?;
            let rest = model.generate(&[&texts[0], &texts[1]], &options.position(came_back))?;
            let got = rest.take(12 - came_back).collect::<Result<Vec<_>, _>>()?;
            ensure(
                got == want[came_back..],
                format!("{options:?} on {new}: {got:?}, want {:?}", &want[came_back..]),
            )?;
        }
    }
    Ok(())
}

/// The example works on every adapter.
pub fn example(target: &Target) -> Result<(), Failed> {
    let gone = target.device()?;
    let mut told = Vec::new();
    let got = recovery_example::run(&[gone.clone(), target.device()?, Device::cpu()], |line| {
        told.push(line)
    })?;
    ensure(gone.is_lost(), "the first device was lost")?;
    let named = told.iter().all(|line| line.contains(gone.name()) && line.contains("device lost"));
    ensure(told.len() == 2 && named, format!("the example reports both losses: {told:?}"))?;
    let want = recovery_example::run(&[Device::cpu()], |line| told.push(line))?;
    ensure(told.len() == 2, "nothing happens on the CPU")?;
    ensure(
        got.len() == want.len() && want.len() == 300,
        format!("{} frames, {} without a loss", got.len(), want.len()),
    )?;
    let pairs = got.iter().zip(&want).flat_map(|(a, b)| a.data().iter().zip(b.data()));
    ensure(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "the same within rounding")
}
