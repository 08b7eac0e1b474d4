//! Tanh, sigmoid and relu through the real kernels, at every magnitude.

use libtest_mimic::Failed;
use wgpu_rnn::internals::reference;
use wgpu_rnn::{Config, Device, Kind, Params, Rnn, Tensor};

use crate::{Target, ensure};

/// Returns magnitudes at which drivers' functions fail, and a sweep of all others.
fn sweep() -> Vec<f32> {
    let fine = (0..800).map(|i| i as f32 * 0.025);
    let risky = (4300..4500).chain(8600..9000).map(|i| i as f32 * 0.01);
    let powers = (-38..=38).map(|e| 10.0_f32.powi(e));
    let mut x: Vec<f32> = fine.chain(risky).chain(powers).chain([f32::MAX]).collect();
    x.extend(x.clone().iter().map(|v| -v));
    x
}

/// Returns a module of size 1 whose gates receive the input unchanged.
fn identity(device: &Device, kind: Kind) -> Result<(Rnn, Params), Failed> {
    let params = Params::from_fn(&Config::new(kind, 1, 1).bias(false), |name, shape| {
        let value = if name.starts_with("weight_ih") { 1.0 } else { 0.0 };
        Ok(vec![value; shape.iter().product()])
    })?;
    Ok((Rnn::new(device, &params)?, params))
}

pub fn saturates(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let x = sweep();
    for &kind in Kind::ALL {
        let (rnn, params) = identity(&device, kind)?;
        // Every value is a separate row, so that no state carries over.
        let (output, _) = rnn.forward(&Tensor::new([1, x.len(), 1], x.clone())?, None)?;
        let want = reference::forward(&params, 1, x.len(), &x, None, None, None);
        for ((&x, &got), &want) in x.iter().zip(output.data()).zip(&want.output) {
            // Subnormals may be flushed; relu gives the value itself.
            let allowed = 6e-7 + 1e-6 * if kind == Kind::RnnRelu { want.abs() } else { 0.0 };
            ensure(
                (f64::from(got) - want).abs() <= allowed,
                format!("{kind} of {x}: got {got}, want {want}"),
            )?;
        }
    }
    Ok(())
}

/// A NaN in one row makes that row NaN from its step on. The other rows keep their bits.
pub fn nan_stays_in_its_row(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (seq_len, batch, features) = (5, 4, 3);
    for &kind in Kind::ALL {
        let params = Params::init(&Config::new(kind, features, 6).num_layers(2), 3)?;
        let rnn = target.rnn(&device, &params)?;
        let values: Vec<f32> =
            (0..seq_len * batch * features).map(|i| (i % 11) as f32 * 0.1 - 0.5).collect();
        let (clean, _) =
            rnn.forward(&Tensor::new([seq_len, batch, features], values.clone())?, None)?;
        let mut bad = values;
        bad[(2 * batch + 1) * features] = f32::NAN;
        let (output, _) = rnn.forward(&Tensor::new([seq_len, batch, features], bad)?, None)?;
        for t in 0..seq_len {
            for row in 0..batch {
                let (got, want) = (output.row(t * batch + row), clean.row(t * batch + row));
                let touched = row == 1 && t >= 2;
                let same = got.iter().zip(want).all(|(g, w)| g.to_bits() == w.to_bits());
                ensure(
                    touched || same,
                    format!("{kind}: time {t} row {row} changed: {got:?}, {want:?}"),
                )?;
                let all_nan = got.iter().all(|v| v.is_nan());
                ensure(
                    !touched || all_nan,
                    format!("{kind}: time {t} row {row} is not NaN: {got:?}"),
                )?;
            }
        }
    }
    Ok(())
}
