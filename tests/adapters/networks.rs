//! Whole networks against the definition in f64, and what holds from call to call.

use libtest_mimic::Failed;
use wgpu_rnn::compare::{Comparison, Tolerance};
use wgpu_rnn::random::Mt19937;
use wgpu_rnn::{Config, Device, Kind, Params, Rnn, State, Tensor, oracle};

use crate::{Target, ensure};

pub fn random(shape: [usize; 3], seed: u64) -> Result<Tensor, Failed> {
    Ok(Tensor::new(shape, Mt19937::new(seed).uniform_vec(shape.iter().product(), -1.0, 1.0))?)
}

/// Compares a forward pass from zero with the definition.
pub fn check(device: &Device, config: &Config, seq_len: usize, batch: usize) -> Result<Comparison, Failed> {
    let params = Params::init(config, 7)?;
    let input = random([seq_len, batch, config.input_size], 8)?;
    let (output, state) = Rnn::new(device, &params)?.forward(&input, None)?;
    let want = oracle::forward(&params, seq_len, batch, input.data(), None, None, None);
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

pub fn against_the_definition(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for kind in Kind::ALL {
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
        ] {
            let config = Config::new(kind, input_size, hidden_size).num_layers(num_layers).bidirectional(bidirectional);
            worst = worst.max(check(&device, &config, seq_len, batch)?.max_abs);
        }
        println!("{device}: {kind}: largest error against the definition {worst:.2e}");
    }
    Ok(())
}

fn same(a: &(Tensor, State), b: &(Tensor, State)) -> bool {
    let bits = |t: &Tensor| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    bits(&a.0) == bits(&b.0) && bits(&a.1.h) == bits(&b.1.h) && a.1.c.as_ref().map(bits) == b.1.c.as_ref().map(bits)
}

pub fn same_bits(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for kind in Kind::ALL {
        let params = Params::init(&Config::new(kind, 19, 37).num_layers(2).bidirectional(true), 1)?;
        let rnn = Rnn::new(&device, &params)?;
        let input = random([9, 5, 19], 2)?;
        let first = rnn.forward(&input, None)?;
        for run in 0..20 {
            ensure(same(&first, &rnn.forward(&input, None)?), format!("{kind}: run {run} gave other bits"))?;
        }
        let again = Rnn::new(&target.device()?, &params)?;
        ensure(same(&first, &again.forward(&input, None)?), format!("{kind}: a new device gave other bits"))?;
    }
    Ok(())
}

/// Calls of changing sizes, on kept buffers, give what a fresh module gives.
pub fn calls_are_independent(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for kind in [Kind::Lstm, Kind::Gru] {
        let params = Params::init(&Config::new(kind, 5, 9).num_layers(3).bidirectional(true), 4)?;
        let rnn = Rnn::new(&device, &params)?;
        for (call, (seq_len, batch)) in
            [(7, 3), (1, 1), (7, 3), (2, 8), (12, 1), (1, 1), (7, 3), (2, 8)].into_iter().enumerate()
        {
            let input = random([seq_len, batch, 5], call as u64)?;
            // A state of NaN in between must leave no trace in buffers that are used again.
            let nan = Tensor::new([6, batch, 9], vec![f32::NAN; 6 * batch * 9])?;
            let poison = State { c: (kind == Kind::Lstm).then(|| nan.clone()), h: nan };
            rnn.forward(&input, Some(&poison))?;
            let got = rnn.forward(&input, None)?;
            let want = Rnn::new(&device, &params)?.forward(&input, None)?;
            ensure(
                same(&got, &want),
                format!("{kind}: call {call}, T = {seq_len} B = {batch}, depends on earlier calls"),
            )?;
        }
    }
    Ok(())
}
