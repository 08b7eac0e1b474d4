//! Pools: every slot gives the results of a stream, whatever other slots the tick has.

use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Failed;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::pool::{Pool, PoolOptions, Slot};
use wgpu_rnn::stream::Stream;
use wgpu_rnn::{Config, Error, Kind, Params, Rnn, Schedule, State, Tensor};

use crate::bits::{alike, bits};
use crate::{Target, ensure, seeded, ticks};

/// A sequence in a slot, and a stream that must give the same results.
struct Session {
    slot: Slot,
    stream: Stream,
}

impl Session {
    fn expect(&mut self, input: &[f32], got: &[f32], what: &str) -> Result<(), Failed> {
        let features = self.stream.rnn().config().input_size;
        let steps = input.len() / features;
        let want = if steps == 0 {
            Vec::new()
        } else {
            let input = Tensor::new([steps, 1, features], input.to_vec())?;
            let input = if self.stream.rnn().config().batch_first {
                input.reshaped([1, steps, features])?
            } else {
                input
            };
            self.stream.forward(&input)?.data().to_vec()
        };
        ensure(bits(got) == bits(&want), format!("{what}: {got:?}, the stream gives {want:?}"))
    }
}

/// Numbers below a bound, and values in ±1.
struct Dice(Mt19937);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        self.0.uniform_vec(count, -1.0, 1.0)
    }
}

/// Opens, closes, resets, snapshots and ticks at random: every slot gives what its own stream
/// gives.
fn play(rnn: &Rnn, options: &PoolOptions, ticks: usize, seed: u64) -> Result<(), Failed> {
    let pool = rnn.pool(options)?;
    let mut dice = Dice(Mt19937::new(seed));
    let mut sessions: Vec<Session> = Vec::new();
    let what = format!("{:?}, {options:?}", rnn.config());
    for tick in 0..ticks {
        if sessions.len() < options.slots && dice.below(3) > 0 {
            sessions.push(Session { slot: pool.open()?, stream: rnn.stream(1)? });
        }
        if !sessions.is_empty() {
            let at = dice.below(sessions.len());
            match dice.below(8) {
                0 => pool.close(sessions.swap_remove(at).slot)?,
                1 => {
                    pool.reset(sessions[at].slot)?;
                    sessions[at].stream.reset();
                }
                2 => {
                    // Saving and restoring changes nothing.
                    let snapshot = pool.snapshot(sessions[at].slot)?;
                    pool.reset(sessions[at].slot)?;
                    pool.restore(sessions[at].slot, &snapshot)?;
                }
                _ => {}
            }
        }
        let mut inputs = Vec::new();
        for (at, session) in sessions.iter().enumerate() {
            if dice.below(3) > 0 {
                let steps = dice.below(options.steps + 1);
                inputs.push((at, session.slot, dice.values(steps * rnn.config().input_size)));
            }
        }
        // The caller chooses the order of a tick.
        if dice.below(2) == 0 {
            inputs.reverse();
        }
        let given: Vec<(Slot, &[f32])> =
            inputs.iter().map(|(_, slot, input)| (*slot, input.as_slice())).collect();
        let outputs = ticks::outputs(pool.tick(&given))?;
        ensure(outputs.len() == given.len(), format!("{what}: an output for each slot"))?;
        for ((at, _, input), output) in inputs.iter().zip(&outputs) {
            sessions[*at].expect(input, output, &format!("{what}, tick {tick}, session {at}"))?;
        }
    }
    ensure(pool.open_count() == sessions.len(), format!("{what}: the slots that are open"))
}

pub fn slots_are_streams(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    if matches!(target.schedule, Schedule::Wavefront | Schedule::Persistent) {
        let rnn = target.rnn(&device, &Params::init(&Config::gru(3, 4).num_layers(2), 0)?)?;
        let want = format!("the schedule '{}' in a pool; use 'step'", target.schedule);
        return refused("ticks", rnn.pool(&PoolOptions::new(1)), &want);
    }
    for (kind, layers, hidden_size, options) in [
        (Kind::Lstm, 2, 5, PoolOptions::new(7).steps(3)),
        (Kind::Gru, 1, 8, PoolOptions::new(5)),
        (Kind::RnnTanh, 3, 6, PoolOptions::new(9).rows(2).steps(2)),
        (Kind::Lstm, 1, 33, PoolOptions::new(12).rows(5)),
        (Kind::RnnRelu, 1, 3, PoolOptions::new(1).steps(4)),
    ] {
        for batch_first in [false, true] {
            let config =
                Config::new(kind, 3, hidden_size).num_layers(layers).batch_first(batch_first);
            play(&target.rnn(&device, &Params::init(&config, 21)?)?, &options, 25, 22)?;
        }
    }
    if target.projects() {
        let config = Config::lstm(3, 9).num_layers(2).proj_size(5);
        play(
            &target.rnn(&device, &Params::init(&config, 23)?)?,
            &PoolOptions::new(6).steps(2),
            25,
            24,
        )?;
    }
    Ok(())
}

/// Several threads tick their own slots of one pool.
pub fn threads(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let config = Config::gru(4, 10);
    let rnn = target.rnn(&device, &Params::init(&config, 25)?)?;
    let pool = rnn.pool(&PoolOptions::new(16))?;
    let ticks = AtomicUsize::new(0);
    let work = |seed: u64| -> Result<(), Failed> {
        let mut dice = Dice(Mt19937::new(seed));
        let mut own = vec![Session { slot: pool.open()?, stream: rnn.stream(1)? }];
        own.push(Session { slot: pool.open()?, stream: rnn.stream(1)? });
        for _ in 0..10 {
            let inputs: Vec<Vec<f32>> = own.iter().map(|_| dice.values(4)).collect();
            let given: Vec<_> =
                own.iter().zip(&inputs).map(|(s, input)| (s.slot, input.as_slice())).collect();
            let outputs = ticks::outputs(pool.tick(&given))?;
            for ((session, input), output) in own.iter_mut().zip(&inputs).zip(&outputs) {
                session.expect(input, output, &format!("thread {seed}"))?;
            }
            ticks.fetch_add(1, Ordering::Relaxed);
        }
        own.into_iter().try_for_each(|session| Ok(pool.close(session.slot)?))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || work(seed))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(Failed::from("a thread panicked")))
        })
    })?;
    ensure(ticks.into_inner() == 80 && pool.open_count() == 0, "every thread ended")
}

/// A snapshot continues on another device. Restoring other bytes fails and changes nothing.
pub fn snapshots(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for config in [Config::lstm(3, 5).num_layers(2), Config::gru(3, 6)] {
        let params = Params::init(&config, 26)?;
        let rnn = target.rnn(&device, &params)?;
        let pool = rnn.pool(&PoolOptions::new(2).steps(4))?;
        let (one, other) = (pool.open()?, pool.open()?);
        let input = seeded::tensor(27, &[4, 1, 3], 1.0);
        ticks::outputs(pool.tick(&[(one, input.data())]))?;
        let snapshot = pool.snapshot(one)?;
        pool.restore(other, &snapshot)?;
        let both = [(one, input.data()), (other, input.data())];
        let outputs = ticks::outputs(pool.tick(&both))?;
        ensure(bits(&outputs[0]) == bits(&outputs[1]), format!("{config:?}: both go on alike"))?;
        // A present state is the layer's.
        let (_, want) = rnn.forward(&input, None)?;
        let twice = rnn.forward(&input, Some(&want))?.1;
        let State { h, .. } = pool.state(one)?;
        ensure(
            bits(h.data()) == bits(twice.h.data()),
            format!("{config:?}: the state after eight steps"),
        )?;

        let cpu =
            Rnn::new(&wgpu_rnn::Device::cpu(), &params)?.pool(&PoolOptions::new(1).steps(4))?;
        let there = cpu.open()?;
        cpu.restore(there, &snapshot)?;
        let elsewhere = ticks::outputs(cpu.tick(&[(there, input.data())]))?;
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        ensure(
            elsewhere[0].iter().zip(&outputs[0]).all(close),
            format!("{config:?}: the CPU goes on"),
        )?;

        let before = pool.state(one)?;
        let foreign = Rnn::new(&wgpu_rnn::Device::cpu(), &Params::init(&Config::lstm(3, 7), 0)?)?;
        let foreign = foreign.pool(&PoolOptions::new(1))?;
        let foreign = foreign.snapshot(foreign.open()?)?;
        let shape = |error: &Error| matches!(error, Error::Shape(_));
        let option = |error: &Error| matches!(error, Error::Option(_));
        let is_lstm = config.kind == Kind::Lstm;
        for (bytes, variant) in [
            (&[][..], &option as &dyn Fn(&Error) -> bool),
            (b"not safetensors", &option),
            (&snapshot[..snapshot.len() - 1], &option),
            // The foreign LSTM has other sizes, the foreign GRU another kind.
            (&foreign, if is_lstm { &shape } else { &option }),
        ] {
            let refused = pool.restore(one, bytes).is_err_and(|error| variant(&error));
            ensure(refused, format!("{config:?}: {} bytes are restored", bytes.len()))?;
        }
        ensure(
            bits(pool.state(one)?.h.data()) == bits(before.h.data()),
            format!("{config:?}: nothing changed"),
        )?;
    }
    Ok(())
}

fn refused<T>(what: &str, result: wgpu_rnn::Result<T>, want: &str) -> Result<(), Failed> {
    match result {
        Ok(_) => Err(format!("{what}: accepted").into()),
        Err(error) => ensure(error.to_string().contains(want), format!("{what}: {error}")),
    }
}

pub fn refusals(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let rnn = target.rnn(&device, &Params::init(&Config::gru(3, 4), 28)?)?;
    let pool: Pool = rnn.pool(&PoolOptions::new(2).steps(2))?;
    let (a, b) = (pool.open()?, pool.open()?);
    let step = [0.5; 3];
    let tick = |inputs: &[(Slot, &[f32])]| ticks::outputs(pool.tick(inputs));
    let first = tick(&[(a, &step), (b, &step)])?;
    refused("a third", pool.open(), "all 2 slots of the pool are open")?;
    refused("half a step", tick(&[(a, &[0.5; 4])]), "at most 2 steps of 3 values, got 4 values")?;
    refused("three steps", tick(&[(a, &[0.5; 9])]), "at most 2 steps of 3 values, got 9 values")?;
    let state = State { h: Tensor::zeros([1, 5])?, c: None };
    refused(
        "a wrong state",
        pool.set_state(a, &state),
        "Expected hidden size (1, 1, 4), got [1, 1, 5]",
    )?;
    pool.close(b)?;
    refused("a closed slot", tick(&[(b, &step)]), "slot 1 of the pool is not open")?;
    refused("closing twice", pool.close(b), "not open")?;
    // No refusal has changed the state.
    let b = pool.open()?;
    ensure(bits(&tick(&[(b, &step)])?[0]) == bits(&first[1]), "a slot begins with zeros")?;
    let stream = &mut rnn.stream(1)?;
    stream.forward(&Tensor::new([1, 1, 3], step.to_vec())?)?;
    let want = stream.forward(&Tensor::new([1, 1, 3], step.to_vec())?)?;
    let got = Tensor::new([1, 1, 4], tick(&[(a, &step)])?.concat())?;
    ensure(alike(&got, &want), "the slot went on from its first step")?;
    ensure(
        tick(&[])?.is_empty() && tick(&[(a, &[])])? == [Vec::<f32>::new()],
        "nothing to do is done",
    )?;

    refusals_of_slots(&rnn)?;
    let both = target.rnn(&device, &Params::init(&Config::gru(3, 4).bidirectional(true), 0)?)?;
    refused("two directions", both.pool(&PoolOptions::new(1)), "a bidirectional GRU has no pool")?;
    refused("no slots", rnn.pool(&PoolOptions::new(0)), "at least one slot")?;
    refused(
        "no steps",
        rnn.pool(&PoolOptions::new(1).steps(0)),
        "sequence length to be larger than 0",
    )?;
    refused("no rows", rnn.pool(&PoolOptions::new(1).rows(0)), "row")
}

/// Refused slots keep their states, and the others of their tick run with the bits of a stream.
fn refusals_of_slots(rnn: &Rnn) -> Result<(), Failed> {
    // Submissions of two rows: a tick of four good slots takes two.
    let pool = rnn.pool(&PoolOptions::new(6).steps(2).rows(2))?;
    let other = rnn.pool(&PoolOptions::new(1))?;
    let foreign = other.open()?;
    let slots = (0..6).map(|_| pool.open()).collect::<Result<Vec<_>, _>>()?;
    let mut streams = (0..4).map(|_| rnn.stream(1)).collect::<Result<Vec<_>, _>>()?;
    let (bad, closed) = (slots[4], slots[5]);
    pool.close(closed)?;
    let input = seeded::tensor(31, &[4, 3], 1.0);
    let untouched = pool.state(bad)?;
    for round in 0..3 {
        let frame = |at: usize| &input.data()[at * 3..][..3];
        let inputs: [(Slot, &[f32]); 9] = [
            (bad, &[0.5; 4]),
            (slots[0], frame(0)),
            (closed, frame(0)),
            (slots[1], frame(1)),
            (slots[1], frame(3)),
            (foreign, frame(0)),
            (slots[2], frame(2)),
            (slots[3], frame(3)),
            (bad, &[0.5; 9]),
        ];
        let mut good = streams.iter_mut();
        for (at, result) in pool.tick(&inputs)?.into_iter().enumerate() {
            let what = format!("round {round}, input {at}: {result:?}");
            let as_wanted = match (at, result) {
                (0 | 8, Err(Error::FrameSize(_))) | (2, Err(Error::SlotClosed(_))) => true,
                (4, Err(Error::Option(text))) => text.contains("slot 1 is twice in a tick"),
                (5, Err(Error::Option(text))) => text.contains("of another pool"),
                (1 | 3 | 6 | 7, Ok(got)) => {
                    let step = Tensor::new([1, 1, 3], inputs[at].1.to_vec())?;
                    let want = good.next().ok_or("a fifth good slot")?.forward(&step)?;
                    bits(&got) == bits(want.data())
                }
                _ => false,
            };
            ensure(as_wanted, what)?;
        }
    }
    ensure(alike(&pool.state(bad)?.h, &untouched.h), "a refused slot keeps its state")
}

/// A read-back buffer of a small read is large enough for a later tick.
pub fn sizes_in_turns(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let rnn = target.rnn(&device, &Params::init(&Config::gru(3, 4), 29)?)?;
    let pool = rnn.pool(&PoolOptions::new(6).steps(5))?;
    let slots = (0..6).map(|_| pool.open()).collect::<Result<Vec<_>, _>>()?;
    let input = seeded::tensor(30, &[5, 1, 3], 1.0);
    let (want, last) = rnn.forward(&input, None)?;
    for count in [1, 6, 2, 5] {
        ensure(pool.state(slots[0])?.h.data().iter().all(|&h| h == 0.0), "a small read")?;
        let inputs: Vec<_> = slots[..count].iter().map(|&slot| (slot, input.data())).collect();
        for output in ticks::outputs(pool.tick(&inputs))? {
            ensure(bits(&output) == bits(want.data()), format!("a tick of {count} slots"))?;
        }
        ensure(bits(pool.state(slots[0])?.h.data()) == bits(last.h.data()), "the state")?;
        slots[..count].iter().try_for_each(|&slot| pool.reset(slot))?;
    }
    Ok(())
}

/// No slot of a lost device opens, and none stays open by the attempt. A slot of another pool is
/// refused.
pub fn lost(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let rnn = target.rnn(&device, &Params::init(&Config::gru(3, 4), 29)?)?;
    let pool = rnn.pool(&PoolOptions::new(2))?;
    let other = rnn.pool(&PoolOptions::new(2))?;
    let (slot, foreign) = (pool.open()?, other.open()?);
    let state = pool.state(slot)?;
    let results = ticks::outputs(pool.tick(&[(foreign, &[0.5; 3])]));
    refused("a foreign slot", results, "slot 0 is of another pool")?;
    refused("a foreign slot", pool.reset(foreign), "slot 0 is of another pool")?;
    device.wgpu().ok_or("an adapter")?.0.destroy();
    for call in 0..2 {
        let opened = pool.open();
        let is_lost = matches!(opened, Err(Error::DeviceLost { .. }));
        ensure(is_lost, format!("call {call}: {opened:?}"))?;
        for written in [pool.reset(slot), pool.set_state(slot, &state)] {
            let is_lost = matches!(written, Err(Error::DeviceLost { .. }));
            ensure(is_lost, format!("call {call}: {written:?}"))?;
        }
    }
    ensure(pool.open_count() == 1, "the slot that was open before")
}
