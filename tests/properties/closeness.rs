//! How far f32 may be from the definition.

use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::reference;
use wgpu_rnn::{Params, State, Tensor};

use crate::case::Case;
use crate::parameters::in_order;
use crate::parts::{Outcome, swapped};

/// A tensor of the definition, and how far an f32 implementation may be from it.
struct Reference {
    name: &'static str,
    values: Vec<f64>,
    tolerance: f64,
}

/// The reference's results for a case, time first.
///
/// A sum of K products in f32 is the exact sum of operands that are each off by a few ulp, √K being
/// typical. So the tolerance is 16 times the change of the outputs that a random ulp in every
/// operand causes; it grows where a network amplifies errors. It is never less than 2e-6 of the
/// largest value, about 32 ulp of 1.
fn references(case: &Case) -> Vec<Reference> {
    let case = case.with(|config| config.batch_first(false));
    let (params, input, state) = (case.params(), case.input(), case.initial());
    let run = |params: &Params, input: &Tensor, state: Option<&State>| {
        let h_0 = state.map(|s| s.h.data());
        let c_0 = state.and_then(|s| s.c.as_ref()).map(Tensor::data);
        let outcome =
            reference::forward(params, case.seq_len, case.batch, input.data(), h_0, c_0, None);
        [("output", outcome.output), ("h_n", outcome.h_n), ("c_n", outcome.c_n)]
    };
    let exact = run(&params, &input, state.as_ref());
    let mut generator = Mt19937::new(case.seed ^ 4);
    let mut off =
        |values: &[f32]| -> Vec<f32> {
            values
                .iter()
                .map(|value| {
                    if generator.next_u32() & 1 == 0 { value.next_up() } else { value.next_down() }
                })
                .collect()
        };
    let mut noise = [0.0_f64; 3];
    for _ in 0..3 {
        let mut parameters = in_order(&params).into_iter();
        let params =
            Params::from_fn(&case.config, |_, _| Ok(off(parameters.next().unwrap_or_default())));
        let mut near = |t: &Tensor| Tensor::new(t.shape(), off(t.data())).expect("as many values");
        let input = near(&input);
        let state = state.as_ref().map(|s| State { h: near(&s.h), c: s.c.as_ref().map(&mut near) });
        let perturbed = run(&params.expect("the same shapes"), &input, state.as_ref());
        for ((noise, exact), perturbed) in noise.iter_mut().zip(&exact).zip(&perturbed) {
            let apart = exact.1.iter().zip(&perturbed.1).map(|(a, b)| (a - b).abs());
            *noise = apart.fold(*noise, f64::max);
        }
    }
    let reference = |((name, values), noise): ((&'static str, Vec<f64>), f64)| {
        let scale = values.iter().fold(1.0_f64, |scale, value| scale.max(value.abs()));
        Reference { name, tolerance: (2e-6 * scale).max(16.0 * noise), values }
    };
    exact.into_iter().zip(noise).map(reference).collect()
}

/// Fails where a result is further from the definition than f32 excuses.
pub fn assert_close(case: &Case, what: &str, got: &Outcome) {
    let output = if case.config.batch_first { swapped(&got.0) } else { got.0.clone() };
    let empty = Tensor::zeros([0]).expect("no values");
    let c_n = got.1.c.as_ref().unwrap_or(&empty);
    for (reference, got) in references(case).iter().zip([&output, &got.1.h, c_n]) {
        let Reference { name, values, tolerance } = reference;
        assert_eq!(got.data().len(), values.len(), "{what}: {name}: number of values");
        for (at, (&got, want)) in got.data().iter().zip(values).enumerate() {
            let apart = (f64::from(got) - want).abs();
            assert!(
                apart <= *tolerance,
                "{what}: {name} at {at}: got {got}, want {want}, off by {apart:e} > {tolerance:e}"
            );
        }
    }
}
