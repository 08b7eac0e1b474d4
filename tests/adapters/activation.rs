//! Tanh, sigmoid and relu through the real kernels, at every magnitude.

use libtest_mimic::Failed;
use wgpu_rnn::internals::reference;
use wgpu_rnn::{Config, Device, Kind, Params, Rnn, State, Tensor};

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

/// Magnitudes of every binade, dense where tanh and sigmoid are neither x nor 1 nor 0.
fn binades() -> Vec<f32> {
    let of_binade = |e: i32| {
        let steps = if (-8..6).contains(&e) { 256 } else { 8 };
        (0..steps).map(move |i| (1.0 + i as f32 / steps as f32) * 2.0_f32.powi(e))
    };
    (-120..=100).flat_map(of_binade).flat_map(|x| [x, -x]).collect()
}

/// The error of tanh or sigmoid of x in units in the last place, if it is too large.
///
/// Near 0 tanh is a polynomial. Elsewhere both have one exponential, to which WGSL allows an error
/// of 3 + 2·|argument| ulp, and a division, to which it allows 2.5 ulp.
fn excess(function: &str, x: f32, got: f32) -> Option<f64> {
    let x = f64::from(x);
    let (want, allowed) = if function == "tanh" {
        let e = (-2.0 * x.abs()).exp();
        // The change of (1 − e) / (1 + e) by a relative error of e; two ulps of e may be one of it.
        let of_exponential = 4.0 * e / (1.0 - e * e) * (3.0 + 4.0 * x.abs());
        (x.tanh(), if x.abs() < 0.625 { 1.0 } else { 4.0 + of_exponential })
    } else {
        let e = (-x).exp();
        (1.0 / (1.0 + e), 5.0 + 2.0 * (3.0 + 2.0 * x.abs()) * e.min(1.0))
    };
    let error = (f64::from(got) - want).abs();
    // Drivers may flush values this small, which are their own error at most.
    if want.abs() < 1e-37 && error <= want.abs() {
        return None;
    }
    let ulps = error / (want.abs().log2().floor() - 23.0).exp2();
    (ulps.is_nan() || ulps > allowed).then_some(ulps)
}

/// A result that is off by a few units in the last place is refused.
fn excess_is_found() -> Result<(), Failed> {
    for (function, x, right, off) in [
        ("tanh", 0.62, 0.551_128_03, 2),
        ("tanh", 1e-3, 9.999_997e-4, 2),
        ("tanh", 3.0, 0.995_054_7, 6),
        ("sigmoid", 3.0, 0.952_574_1_f32, 12),
    ] {
        let near = |ulps: u32| f32::from_bits(right.to_bits() + ulps);
        ensure(excess(function, x, near(0)).is_none(), format!("{function}({x}) is {right}"))?;
        ensure(excess(function, x, near(off)).is_some(), format!("{function}({x}) is off"))?;
    }
    ensure(excess("sigmoid", 1.0, f32::NAN).is_some(), "NaN is wrong")
}

/// Tanh and sigmoid over their whole range, in units in the last place of the definition in f64.
pub fn are_precise(target: &Target) -> Result<(), Failed> {
    excess_is_found()?;
    let device = target.device()?;
    let x = binades();
    let input = Tensor::new([1, x.len(), 1], x.clone())?;
    // A plain RNN without a state gives tanh(x). A GRU whose update gate alone sees the input gives
    // z·h + (1 − z)·tanh(0), which is sigmoid(x) for the state 1.
    let gru = Params::from_fn(&Config::new(Kind::Gru, 1, 1).bias(false), |name, _| {
        Ok(if name.starts_with("weight_ih") { vec![0.0, 1.0, 0.0] } else { vec![0.0; 3] })
    })?;
    let (rnn, _) = identity(&device, Kind::RnnTanh)?;
    let (tanh, _) = rnn.forward(&input, None)?;
    let ones = State { h: Tensor::new([1, x.len(), 1], vec![1.0; x.len()])?, c: None };
    let (sigmoid, _) = Rnn::new(&device, &gru)?.forward(&input, Some(&ones))?;
    for (function, output) in [("tanh", tanh), ("sigmoid", sigmoid)] {
        for (&x, &got) in x.iter().zip(output.data()) {
            let error = excess(function, x, got);
            let off = error.unwrap_or_default();
            ensure(error.is_none(), format!("{function}({x:e}) is {got:e}, off by {off:.1} ulp"))?;
        }
    }
    Ok(())
}

/// A NaN in one row makes that row NaN from its step on. The other rows keep their bits. The rows
/// and units are more than one workgroup has, and no multiple of its tile.
pub fn nan_stays_in_its_row(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    // The first row of the second workgroup, if it has 8 rows.
    let (seq_len, batch, features, spoilt) = (5, 19, 3, 8);
    for &kind in Kind::ALL {
        let params = Params::init(&Config::new(kind, features, 9).num_layers(2), 3)?;
        let rnn = target.rnn(&device, &params)?;
        let values: Vec<f32> =
            (0..seq_len * batch * features).map(|i| (i % 11) as f32 * 0.1 - 0.5).collect();
        let (clean, _) =
            rnn.forward(&Tensor::new([seq_len, batch, features], values.clone())?, None)?;
        let mut bad = values;
        bad[(2 * batch + spoilt) * features] = f32::NAN;
        let (output, _) = rnn.forward(&Tensor::new([seq_len, batch, features], bad)?, None)?;
        for t in 0..seq_len {
            for row in 0..batch {
                let (got, want) = (output.row(t * batch + row), clean.row(t * batch + row));
                let touched = row == spoilt && t >= 2;
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
