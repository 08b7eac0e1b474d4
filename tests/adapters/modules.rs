//! Whole networks against the definition in f64, and results that must not change between calls.

use libtest_mimic::Failed;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::reference;
use wgpu_rnn::{Config, Device, Kind, Params, State, Tensor};

use crate::bits::outcomes_alike;
use crate::{Target, ensure, seeded};

/// Compares a forward pass from zero with the definition.
pub fn check(
    target: &Target,
    device: &Device,
    config: &Config,
    seq_len: usize,
    batch: usize,
) -> Result<Comparison, Failed> {
    let params = Params::init(config, 7)?;
    let input = seeded::tensor(8, &[seq_len, batch, config.input_size], 1.0);
    let (output, state) = target.rnn(device, &params)?.forward(&input, None)?;
    let want = reference::forward(&params, seq_len, batch, input.data(), None, None, None);
    let mut comparison = Comparison::default();
    let add = |comparison: &mut Comparison, name: &str, got: &Tensor, want: &[f64]| {
        comparison.add(name, got.shape(), got.data(), want, Tolerance::F32);
    };
    add(&mut comparison, "output", &output, &want.output);
    add(&mut comparison, "h_n", &state.h, &want.h_n);
    if let Some(c) = &state.c {
        add(&mut comparison, "c_n", c, &want.c_n);
    }
    let what = format!("{config:?} T = {seq_len} B = {batch}: {}", comparison.describe());
    ensure(comparison.agrees() && comparison.count > 0, what)?;
    Ok(comparison)
}

/// Input size, hidden size, projection, layers, both directions or one, T and B.
const PROJECTIONS: [(usize, usize, usize, usize, bool, usize, usize); 7] = [
    (1, 2, 1, 1, false, 1, 1),
    (3, 5, 4, 2, true, 7, 2),
    (7, 13, 3, 3, true, 9, 3),
    (64, 64, 32, 1, false, 20, 1),
    (31, 65, 33, 2, true, 11, 17),
    (40, 513, 129, 1, false, 3, 1),
    (5, 130, 129, 2, true, 4, 9),
];

pub fn against_the_definition(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut worst = 0.0_f64;
    for (input_size, hidden_size, proj_size, num_layers, bidirectional, seq_len, batch) in
        PROJECTIONS.into_iter().filter(|_| target.projects())
    {
        let config = Config::lstm(input_size, hidden_size).proj_size(proj_size);
        let config = config.num_layers(num_layers).bidirectional(bidirectional);
        worst = worst.max(check(target, &device, &config, seq_len, batch)?.max_abs);
    }
    if target.projects() {
        println!("{device}: lstm with proj_size: largest error against the definition {worst:.2e}");
    }
    for &kind in Kind::ALL {
        let mut worst = 0.0_f64;
        for (input_size, hidden_size, num_layers, bidirectional, seq_len, batch) in [
            (1, 1, 1, false, 1, 1),
            (3, 2, 3, true, 5, 2),
            (7, 13, 2, true, 9, 3),
            (64, 64, 1, false, 20, 1),
            (31, 65, 2, false, 11, 17),
            (127, 128, 1, true, 12, 4),
            (257, 255, 1, false, 4, 2),
            (40, 513, 1, false, 3, 1),
            // One row, and one unit, before or after whole tiles.
            (5, 15, 1, true, 2, 33),
            (3, 63, 1, false, 2, 81),
        ] {
            let config = Config::new(kind, input_size, hidden_size)
                .num_layers(num_layers)
                .bidirectional(bidirectional);
            let config = target.suited(config);
            worst = worst.max(check(target, &device, &config, seq_len, batch)?.max_abs);
        }
        println!("{device}: {kind}: largest error against the definition {worst:.2e}");
    }
    Ok(())
}

pub fn same_bits(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for (kind, proj_size) in
        Kind::ALL.iter().map(|&kind| (kind, 0)).chain(target.projects().then_some((Kind::Lstm, 35)))
    {
        let config = target.suited(
            Config::new(kind, 19, 37).num_layers(2).bidirectional(true).proj_size(proj_size),
        );
        let params = Params::init(&config, 1)?;
        let rnn = target.rnn(&device, &params)?;
        let input = seeded::tensor(2, &[9, 5, 19], 1.0);
        let first = rnn.forward(&input, None)?;
        for run in 0..20 {
            ensure(
                outcomes_alike(&first, &rnn.forward(&input, None)?),
                format!("{kind}: run {run} gave other bits"),
            )?;
        }
        let again = target.rnn(&target.device()?, &params)?;
        ensure(
            outcomes_alike(&first, &again.forward(&input, None)?),
            format!("{kind}: a new device gave other bits"),
        )?;
    }
    Ok(())
}

/// Calls of changing sizes reuse buffers and give the results of a fresh module.
pub fn calls_are_independent(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for (kind, proj_size) in [(Kind::Lstm, 0), (Kind::Gru, 0), (Kind::Lstm, 6)] {
        if proj_size > 0 && !target.projects() {
            continue;
        }
        let config = target
            .suited(Config::new(kind, 5, 9).num_layers(3).bidirectional(true).proj_size(proj_size));
        let layers = config.num_layers * config.num_directions();
        let params = Params::init(&config, 4)?;
        let rnn = target.rnn(&device, &params)?;
        for (call, (seq_len, batch)) in
            [(7, 3), (1, 1), (7, 3), (2, 8), (12, 1), (1, 1), (7, 3), (2, 8)]
                .into_iter()
                .enumerate()
        {
            let input = seeded::tensor(call as u64, &[seq_len, batch, 5], 1.0);
            // A NaN state in between must leave no trace in reused buffers.
            let nan = |units: usize| {
                Tensor::new([layers, batch, units], vec![f32::NAN; layers * batch * units])
            };
            let c = (kind == Kind::Lstm).then(|| nan(9)).transpose()?;
            let poison = State { h: nan(config.state_size())?, c };
            rnn.forward(&input, Some(&poison))?;
            let got = rnn.forward(&input, None)?;
            let want = target.rnn(&device, &params)?.forward(&input, None)?;
            ensure(
                outcomes_alike(&got, &want),
                format!("{kind}: call {call}, T = {seq_len} B = {batch}, depends on earlier calls"),
            )?;
        }
    }
    Ok(())
}

/// Rows of different length give the results that they give alone. Values past a row's end do not
/// matter, and length 0 keeps the state.
pub fn lengths(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (seq_len, batch, features) = (8, 6, 5);
    let lengths = [3, 7, 0, 1, 7, 5];
    for (kind, proj_size) in
        Kind::ALL.iter().map(|&kind| (kind, 0)).chain(target.projects().then_some((Kind::Lstm, 6)))
    {
        let config = target.suited(
            Config::new(kind, features, 9).num_layers(2).bidirectional(true).proj_size(proj_size),
        );
        let layers = config.num_layers * config.num_directions();
        let params = Params::init(&config, 2)?;
        let rnn = target.rnn(&device, &params)?;
        let mut input = seeded::tensor(5, &[seq_len, batch, features], 1.0);
        for (row, &length) in lengths.iter().enumerate() {
            for t in length..seq_len {
                input.data_mut()[(t * batch + row) * features..][..features].fill(f32::NAN);
            }
        }
        let h = seeded::tensor(6, &[layers, batch, config.state_size()], 1.0);
        let state = State {
            c: (kind == Kind::Lstm).then(|| seeded::tensor(7, &[layers, batch, 9], 1.0)),
            h,
        };
        let (output, last) = rnn.forward_lengths(&input, &lengths, Some(&state))?;
        let c_0 = state.c.as_ref().map(Tensor::data);
        let want = reference::forward(
            &params,
            seq_len,
            batch,
            input.data(),
            Some(state.h.data()),
            c_0,
            Some(&lengths),
        );
        let mut comparison = Comparison::default();
        comparison.add("output", output.shape(), output.data(), &want.output, Tolerance::F32);
        comparison.add("h_n", last.h.shape(), last.h.data(), &want.h_n, Tolerance::F32);
        if let Some(c) = &last.c {
            comparison.add("c_n", c.shape(), c.data(), &want.c_n, Tolerance::F32);
        }
        ensure(comparison.agrees(), format!("{kind}: {}", comparison.describe()))?;
        for (row, &length) in lengths.iter().enumerate() {
            let padding = (length..seq_len).flat_map(|t| output.row(t * batch + row));
            ensure(
                padding.clone().all(|&v| v.to_bits() == 0),
                format!("{kind}: padding of row {row} is not 0"),
            )?;
        }
        for layer in 0..layers {
            let at = layer * batch + 2;
            ensure(
                last.h.row(at) == state.h.row(at),
                format!("{kind}: a row of length 0 keeps its state"),
            )?;
        }
        let none = rnn.forward_lengths(&input, &[0; 6], Some(&state))?;
        ensure(none.1 == state, format!("{kind}: no row has a step"))?;
        for (wrong, text) in [
            (
                vec![1; 5],
                "Expected `len(lengths)` to be equal to batch_size, but got 5 (batch_size=6)",
            ),
            (vec![1, 9, 1, 1, 1, 1], "lengths[1] is 9, but the input has 8 time steps"),
        ] {
            let error =
                rnn.forward_lengths(&input, &wrong, None).map(|_| ()).map_err(|e| e.to_string());
            ensure(error == Err(text.to_owned()), format!("{kind} {wrong:?}: {error:?}"))?;
        }
    }
    Ok(())
}
