//! NaN, infinities and very large values: PyTorch computes with them, and so does this crate.

use wgpu_rnn::internals::reference;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, Tensor};

use crate::bits::assert_same;
use crate::seeded;
use crate::situations::{INPUT, rnn, two_layers};

/// An input of `value` everywhere gives outputs for which `are` holds, and the reference's values:
/// NaN exactly where the reference has NaN.
pub fn same_as_the_definition(kind: Kind, value: f32, are: fn(f32) -> bool) -> Result<(), Error> {
    let config = two_layers(kind);
    let params = Params::init(&config, 0)?;
    let input = Tensor::new(INPUT, vec![value; INPUT.iter().product()])?;
    let (output, last) = Rnn::new(&Device::cpu(), &params)?.forward(&input, None)?;
    let want = reference::forward(&params, INPUT[0], INPUT[1], input.data(), None, None, None);
    for (name, got, want) in [("output", &output, &want.output), ("h_n", &last.h, &want.h_n)] {
        assert_eq!(got.data().len(), want.len(), "{kind} on {value}: {name}");
        for (at, (&got, &want)) in got.data().iter().zip(want).enumerate() {
            let close = (f64::from(got) - want).abs() <= 2e-6 || (got.is_nan() && want.is_nan());
            assert!(close, "{kind} on {value}: {name} at offset {at} is {got}, want {want}");
        }
    }
    let odd = output.data().iter().filter(|value| !are(**value)).count();
    assert_eq!(odd, 0, "{kind} on {value}: outputs that are not as PyTorch's");
    Ok(())
}

/// NaN stays in its row, and there in the steps that the direction visits after it.
pub fn nan_in_row_1_at_step_2(config: &Config) -> Result<(), Error> {
    let rnn = rnn(config)?;
    let (clean_input, what) = (seeded::tensor(3, &INPUT, 1.0), format!("{config:?}"));
    let clean = rnn.forward(&clean_input, None)?;
    let mut input = clean_input.clone();
    let [seq_len, batch, features] = INPUT;
    input.data_mut()[(2 * batch + 1) * features + 1] = f32::NAN;
    let (output, last) = rnn.forward(&input, None)?;
    let width = config.hidden_size;
    for t in 0..seq_len {
        for b in 0..batch {
            for d in 0..config.num_directions() {
                let steps_after = if d == 0 { t >= 2 } else { t <= 2 };
                // A layer above both directions of another reads NaN at every step.
                let reached =
                    b == 1 && (steps_after || (config.bidirectional && config.num_layers > 1));
                let columns = d * width..(d + 1) * width;
                let (got, want) = (
                    &output.row(t * batch + b)[columns.clone()],
                    &clean.0.row(t * batch + b)[columns],
                );
                if reached {
                    assert!(
                        got.iter().all(|v| v.is_nan()),
                        "{what}: NaN expected at t={t}, b={b}, d={d}: {got:?}"
                    );
                } else {
                    let same = got.iter().zip(want).all(|(g, w)| g.to_bits() == w.to_bits());
                    assert!(
                        same,
                        "{what}: t={t}, b={b}, d={d} differs: got {got:?}, want {want:?}"
                    );
                }
            }
        }
    }
    for layer in 0..config.num_layers * config.num_directions() {
        for b in 0..batch {
            let (got, want) = (last.h.row(layer * batch + b), clean.1.h.row(layer * batch + b));
            if b == 1 {
                assert!(got.iter().all(|v| v.is_nan()), "{what}: h_n of row 1 is NaN, got {got:?}");
            } else {
                assert_eq!(got, want, "{what}: h_n of row {b}");
            }
        }
    }
    assert_same(
        &format!("{what}: a clean call after one with NaN"),
        &rnn.forward(&clean_input, None)?,
        &clean,
    );
    Ok(())
}
