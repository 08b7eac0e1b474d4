//! Networks with a solution in closed form.

use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::{Kind, Params, Tensor};

use crate::bits::assert_same_tensor;
use crate::case::{Case, cases, check, forward};
use crate::parameters::in_order;

/// With biases alone every step is the same: gates are constant, and the state is a geometric
/// series.
#[test]
fn without_weights_the_state_is_a_geometric_series() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    check(cases(), |case| {
        let case = Case { state: true, ..case }
            .with(|config| config.bidirectional(false).batch_first(false));
        let (hidden_size, layers) = (case.config.hidden_size, case.config.num_layers);
        let mut generator = Mt19937::new(case.seed);
        let params = Params::from_fn(&case.config, |name, shape| {
            let count = shape.iter().product();
            let bound = match name {
                bias if bias.starts_with("bias") => 2.0,
                projection if projection.starts_with("weight_hr") => 0.5,
                _ => 0.0,
            };
            Ok(generator.uniform_vec(count, -bound, bound))
        })
        .expect("a valid configuration");
        let (_, last) = forward(&params, &case.input(), case.initial().as_ref());
        let initial = case.initial().expect("there is a state");
        let steps = case.seq_len as i32;
        for layer in 0..layers {
            let p = params.direction(layer, 0);
            let bias = |gate: usize, j: usize, b: &[f32]| {
                f64::from(b.get(gate * hidden_size + j).copied().unwrap_or(0.0))
            };
            for row in 0..case.batch {
                let at = (layer * case.batch + row) * hidden_size;
                // h, or with a projection what it is made of, and c of one unit.
                let unit = |j: usize| {
                    let both = |gate| bias(gate, j, &p.bias_ih) + bias(gate, j, &p.bias_hh);
                    let series = |keep: f64, start: f64, add: f64| {
                        (0..steps).fold(start, |value, _| keep * value + add)
                    };
                    match case.config.kind {
                        Kind::RnnTanh => (both(0).tanh(), None),
                        Kind::RnnRelu => (both(0).max(0.0), None),
                        Kind::Gru => {
                            let n = (bias(2, j, &p.bias_ih)
                                + sigmoid(both(0)) * bias(2, j, &p.bias_hh))
                            .tanh();
                            let z = sigmoid(both(1));
                            (series(z, f64::from(initial.h.data()[at + j]), (1.0 - z) * n), None)
                        }
                        Kind::Lstm => {
                            let c_0 = f64::from(
                                initial.c.as_ref().expect("an LSTM has c").data()[at + j],
                            );
                            let c =
                                series(sigmoid(both(1)), c_0, sigmoid(both(0)) * both(2).tanh());
                            (sigmoid(both(3)) * c.tanh(), Some(c))
                        }
                        kind => unreachable!("{kind} has no closed form here"),
                    }
                };
                let (h, c): (Vec<f64>, Vec<Option<f64>>) = (0..hidden_size).map(unit).unzip();
                let h = match case.config.proj_size {
                    0 => h,
                    _ => {
                        let terms = |weights: &[f32]| {
                            weights.iter().zip(&h).map(|(w, m)| f64::from(*w) * m).sum()
                        };
                        p.weight_hr.chunks(hidden_size).map(terms).collect()
                    }
                };
                let close = |got: f32, want: f64| {
                    (f64::from(got) - want).abs() <= 2e-6 * want.abs().max(1.0)
                };
                let got = last.h.row(layer * case.batch + row);
                for (j, (&got, want)) in got.iter().zip(h).enumerate() {
                    assert!(
                        close(got, want),
                        "h_n of layer {layer}, row {row}, unit {j}: got {got}, want {want}"
                    );
                }
                for (j, want) in c.into_iter().enumerate() {
                    let (Some(want), Some(got)) = (want, &last.c) else { continue };
                    let got = got.data()[at + j];
                    assert!(
                        close(got, want),
                        "c_n of layer {layer}, row {row}, unit {j}: got {got}, want {want}"
                    );
                }
            }
        }
    });
}

/// Without weights and biases every gate is one half, and halving is exact: h for a GRU, c for an
/// LSTM.
#[test]
fn without_any_parameters_the_state_halves_exactly() {
    check(cases(), |case| {
        let case = Case { state: true, ..case }.with(|config| config.num_layers(1));
        let zeros = |_: &str, shape: &[usize]| Ok(vec![0.0; shape.iter().product()]);
        let params = Params::from_fn(&case.config, zeros).expect("a valid configuration");
        let initial = case.initial().expect("there is a state");
        let (_, last) = forward(&params, &case.input(), Some(&initial));
        let halved = |t: &Tensor| {
            let half = 0.5_f32.powi(case.seq_len as i32);
            Tensor::new(t.shape(), t.data().iter().map(|v| v * half).collect())
                .expect("as many values")
        };
        match case.config.kind {
            Kind::RnnTanh | Kind::RnnRelu => {
                assert!(
                    last.h.data().iter().all(|&h| h == 0.0),
                    "a plain RNN forgets: {:?}",
                    last.h.data()
                );
            }
            Kind::Gru => assert_same_tensor("h_n", &last.h, &halved(&initial.h)),
            Kind::Lstm => {
                let (got, c_0) = (last.c.as_ref().expect("c_n"), initial.c.as_ref().expect("c_0"));
                assert_same_tensor("c_n", got, &halved(c_0));
                if case.config.proj_size > 0 {
                    assert!(
                        last.h.data().iter().all(|&h| h == 0.0),
                        "projected by zeros: {:?}",
                        last.h.data()
                    );
                    return;
                }
                for (h, c) in last.h.data().iter().zip(got.data()) {
                    let want = 0.5 * f64::from(*c).tanh();
                    assert!(
                        (f64::from(*h) - want).abs() <= 1e-7,
                        "h_n {h} of c_n {c}, want {want}"
                    );
                }
            }
            kind => unreachable!("{kind} has no closed form here"),
        }
        let parameters = expected_parameters(&case.config).len();
        assert_eq!(in_order(&params).len(), parameters, "all parameters are zero, none is absent");
    });
}
