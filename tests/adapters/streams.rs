//! Streams: a sequence in pieces gives the results of the whole, and only its steps change the
//! state.

use std::ops::Range;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::{Config, Error, Kind, Params, Rnn, State, Tensor};

use crate::bits::{alike, bits, states_alike};
use crate::{Target, ensure, seeded};

const SEQ_LEN: usize = 16;

/// The lengths of the pieces.
const CHUNKS: [&[usize]; 6] = [
    &[1; SEQ_LEN],
    &[2; SEQ_LEN / 2],
    &[5, 5, 5, 1],
    // Odd and even lengths, repeated and changing.
    &[3, 3, 2, 2, 1, 1, 4],
    &[1, 7, 1, 7],
    &[SEQ_LEN],
];

/// Returns some steps of `[T, B, features]`, or `[B, T, features]`.
fn piece(tensor: &Tensor, steps: Range<usize>, batch_first: bool) -> Result<Tensor, Failed> {
    let &[outer, inner, features] = tensor.shape() else {
        return Err("not a tensor of three axes".into());
    };
    let (shape, rows) = match batch_first {
        true => (
            [outer, steps.len(), features],
            (0..outer).map(|b| b * inner + steps.start).collect::<Vec<_>>(),
        ),
        false => ([steps.len(), inner, features], vec![steps.start * inner]),
    };
    let count = if batch_first { steps.len() } else { steps.len() * inner };
    let values = rows
        .iter()
        .flat_map(|row| &tensor.data()[row * features..(row + count) * features])
        .copied();
    Ok(Tensor::new(shape, values.collect())?)
}

fn state_of(config: &Config, batch: usize, seed: u64) -> Result<State, Failed> {
    let shape = [config.num_layers, batch, config.hidden_size];
    let c = (config.kind == Kind::Lstm).then(|| seeded::tensor(seed + 1, &shape, 1.0));
    Ok(State { h: seeded::tensor(seed, &shape, 1.0), c })
}

/// The pieces of a stream equal the same steps of one call.
pub fn pieces_are_the_whole(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        for (num_layers, hidden_size, batch, batch_first) in
            [(1, 4, 1, false), (1, 13, 3, true), (2, 16, 2, false), (3, 5, 2, true)]
        {
            let config =
                Config::new(kind, 3, hidden_size).num_layers(num_layers).batch_first(batch_first);
            let config = target.suited(config);
            let rnn = target.rnn(&device, &Params::init(&config, 11)?)?;
            let shape = if batch_first { [batch, SEQ_LEN, 3] } else { [SEQ_LEN, batch, 3] };
            let input = seeded::tensor(12, &shape, 1.0);
            let first = state_of(&config, batch, 13)?;
            for from in [None, Some(&first)] {
                let (output, last) = rnn.forward(&input, from)?;
                for chunks in CHUNKS {
                    let what = format!("{config:?} B={batch} in {chunks:?}");
                    let mut stream = rnn.stream(batch)?;
                    if let Some(from) = from {
                        stream.set_state(from)?;
                        ensure(
                            states_alike(&stream.state()?, from),
                            format!("{what}: the state that was set"),
                        )?;
                    }
                    let mut start = 0;
                    for &count in chunks {
                        let input = piece(&input, start..start + count, batch_first)?;
                        let want = piece(&output, start..start + count, batch_first)?;
                        // Every other call writes into an existing tensor with other contents.
                        let got = if start % 2 == 0 {
                            stream.forward(&input)?
                        } else {
                            let mut got =
                                Tensor::new(want.shape(), vec![f32::NAN; want.data().len()])?;
                            stream.forward_into(&input, &mut got)?;
                            got
                        };
                        ensure(alike(&got, &want), format!("{what}: output from step {start} on"))?;
                        start += count;
                    }
                    ensure(start == SEQ_LEN, format!("{what}: the pieces are the sequence"))?;
                    ensure(
                        states_alike(&stream.state()?, &last),
                        format!("{what}: the last state"),
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// A caller can read the state, give it to another stream and reset it at any time. Streams are
/// independent.
pub fn states(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        let config = Config::new(kind, 3, 6).num_layers(2);
        let rnn = Rnn::new(&device, &Params::init(&config, 1)?)?;
        let mut streams = [rnn.stream(2)?, rnn.stream(2)?];
        let zero = streams[0].state()?;
        ensure(
            zero.h.shape() == [2, 2, 6] && zero.h.data().iter().all(|&v| v == 0.0),
            format!("{kind}: not zeros"),
        )?;
        // Alternating lengths: both streams and forward() use and return the same plans.
        let mut wanted: [Option<State>; 2] = [None, None];
        for (call, lengths) in [[1, 2], [2, 1], [1, 1], [3, 1], [1, 3]].into_iter().enumerate() {
            for (which, steps) in lengths.into_iter().enumerate() {
                let what = format!("{kind}: call {call} of stream {which}");
                let input = seeded::tensor((10 * call + which) as u64, &[steps, 2, 3], 1.0);
                let (output, state) = rnn.forward(&input, wanted[which].as_ref())?;
                ensure(
                    bits(streams[which].forward(&input)?.data()) == bits(output.data()),
                    format!("{what}: output"),
                )?;
                ensure(states_alike(&streams[which].state()?, &state), format!("{what}: state"))?;
                wanted[which] = Some(state);
            }
        }
        let [mut a, mut b] = streams;
        b.set_state(&a.state()?)?;
        let input = seeded::tensor(77, &[2, 2, 3], 1.0);
        ensure(
            bits(a.forward(&input)?.data()) == bits(b.forward(&input)?.data()),
            format!("{kind}: a state put into another stream"),
        )?;
        // A reset removes a NaN state, even if buffers are reused.
        let nan = |shape: &[usize]| Tensor::new(shape, vec![f32::NAN; shape.iter().product()]);
        let poison = State {
            h: nan(zero.h.shape())?,
            c: zero.c.as_ref().map(|c| nan(c.shape())).transpose()?,
        };
        for steps in [2, 1] {
            let input = seeded::tensor(78, &[steps, 2, 3], 1.0);
            a.set_state(&poison)?;
            ensure(
                a.forward(&input)?.data().iter().all(|v| v.is_nan()),
                format!("{kind}: the state was not used"),
            )?;
            a.reset();
            ensure(a.state()? == zero, format!("{kind}: the state after reset"))?;
            let (want, _) = rnn.forward(&input, None)?;
            ensure(
                bits(a.forward(&input)?.data()) == bits(want.data()),
                format!("{kind}: {steps} steps after reset"),
            )?;
        }
        drop((a, b));
        let mut fresh = rnn.stream(2)?;
        ensure(
            bits(fresh.forward(&input)?.data()) == bits(rnn.forward(&input, None)?.0.data()),
            format!("{kind}: a fresh stream"),
        )?;
    }
    Ok(())
}

/// A refusal names its cause and leaves the state. One row may come without its axis, and a batch
/// may be empty.
pub fn refusals(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let both = Rnn::new(&device, &Params::init(&Config::lstm(3, 4).bidirectional(true), 0)?)?;
    let error = both.stream(1).map(|_| ()).map_err(|error| error.to_string());
    let want = "a bidirectional LSTM cannot be streamed";
    let named = matches!(&error, Err(message) if message.starts_with(want));
    ensure(named, format!("{error:?}"))?;

    let params = Params::init(&Config::lstm(3, 4), 0)?;
    let rnn = Rnn::new(&device, &params)?;
    let mut stream = rnn.stream(2)?;
    stream.forward(&seeded::tensor(1, &[3, 2, 3], 1.0))?;
    let before = stream.state()?;
    for (shape, want) in [
        ([1, 3, 3], "Stream: Expected an input of 2 rows, got 3"),
        ([1, 2, 7], "input.size(-1) must be equal to input_size. Expected 3, got 7"),
        ([0, 2, 3], "Expected sequence length to be larger than 0 in RNN"),
    ] {
        let error = stream.forward(&Tensor::zeros(shape)?).map_err(|error| error.to_string());
        ensure(error == Err(want.to_owned()), format!("{shape:?}: {error:?}, want {want}"))?;
    }
    let wrong = State { h: Tensor::zeros([1, 2, 5])?, c: Some(Tensor::zeros([1, 2, 4])?) };
    let error = stream.set_state(&wrong).map_err(|error| error.to_string());
    ensure(
        error == Err("Expected hidden[0] size (1, 2, 4), got [1, 2, 5]".to_owned()),
        format!("{error:?}"),
    )?;
    for shape in [[1, 2, 3], [2, 2, 4], [1, 3, 4]] {
        let error = stream
            .forward_into(&seeded::tensor(9, &[1, 2, 3], 1.0), &mut Tensor::zeros(shape)?)
            .map_err(|e| e.to_string());
        let want = format!("Stream: Expected an output of [1, 2, 4], got {shape:?}");
        ensure(error == Err(want), format!("{error:?}"))?;
    }
    ensure(stream.state()? == before, "what is refused leaves the state")?;

    let mut one = rnn.stream(1)?;
    let input = seeded::tensor(2, &[4, 1, 3], 1.0);
    let flat = one.forward(&input.clone().reshaped([4, 3])?)?;
    ensure(flat.shape() == [4, 4], format!("{:?} of one row without its axis", flat.shape()))?;
    ensure(
        bits(flat.data()) == bits(rnn.forward(&input, None)?.0.data()),
        "one row without its axis",
    )?;
    let mut none = rnn.stream(0)?;
    ensure(none.forward(&Tensor::zeros([4, 0, 3])?)?.shape() == [4, 0, 4], "no rows")?;
    ensure(none.state()?.h.shape() == [1, 0, 4], "the state of no rows")?;

    // The memory of 20 steps of two rows is enough for them and for one step of a few more rows.
    let budget = rnn.plan(20, 2)?.size();
    let small = Rnn::new(&target.open(&OpenOptions::default().memory_budget(budget))?, &params)?;
    let over = |result: Result<(), Error>| {
        matches!(result, Err(Error::Limit { limit: "memory_budget", .. }))
    };
    ensure(over(small.stream(100_000).map(|_| ())), "a batch that does not fit one pass")?;
    let mut stream = small.stream(2)?;
    stream.forward(&seeded::tensor(3, &[20, 2, 3], 1.0))?;
    let before = stream.state()?;
    ensure(over(stream.forward(&Tensor::zeros([20_000, 2, 3])?).map(drop)), "more steps than fit")?;
    ensure(stream.state()? == before, "too many steps leave the state")?;
    stream.forward(&seeded::tensor(4, &[1, 2, 3], 1.0))?;
    Ok(())
}
