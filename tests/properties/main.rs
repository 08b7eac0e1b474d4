//! Properties of every network and input, on the CPU device.
//!
//! Some results must be equal to the last bit, others as close as f32 allows. Sums in the same
//! order give the same bits. The order in a matrix product depends on the number of terms alone;
//! activations and cells work element by element.
//!
//! The cases are the same on each run. `PROPTEST_RNG_SEED` chooses others, and `PROPTEST_CASES`
//! their number.

#[path = "../common/bits.rs"]
mod bits;
mod case;
mod closed_forms;
mod closeness;
mod extremes;
mod limits;
#[path = "../common/parameters.rs"]
mod parameters;
#[path = "../common/parts.rs"]
mod parts;
#[path = "../common/seeded.rs"]
mod seeded;

use std::cell::Cell;

use bits::assert_same;
use case::{Case, cases, check, forward};
use closeness::assert_close;
use parts::{along_first, along_last, along_second, joined, outcome_part, state_part, swapped};
use proptest::prelude::*;
use wgpu_rnn::internals::params::DirectionParams;
use wgpu_rnn::{Config, Device, Params, Rnn, State, Tensor};

#[test]
fn results_are_the_definitions() {
    check(cases(), |case| assert_close(&case, "the CPU", &case.forward()));
}

/// A sequence may arrive in pieces, the state carried from each to the next.
#[test]
fn pieces_with_carried_state_give_what_the_whole_gives() {
    check((cases(), prop::collection::vec(1..6_usize, 1..5)), |(case, pieces)| {
        let case = Case { seq_len: pieces.iter().sum(), ..case }
            .with(|c| c.bidirectional(false).batch_first(false));
        let (params, input, whole) = (case.params(), case.input(), case.forward());
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small network");
        let (mut state, mut outputs, mut start) = (case.initial(), Vec::new(), 0);
        for steps in &pieces {
            let piece = along_first(&input, start..start + steps);
            let (output, last) = rnn.forward(&piece, state.as_ref()).expect("shapes that fit");
            (state, start) = (Some(last), start + steps);
            outputs.push(output);
        }
        assert_same("pieces", &(joined(&outputs), state.expect("there was a piece")), &whole);
    });
}

#[test]
fn batch_first_moves_axes_and_nothing_else() {
    check(cases(), |case| {
        let got = case.with(|config| config.batch_first(true)).forward();
        let want = case.with(|config| config.batch_first(false)).forward();
        assert_same("batch first", &(swapped(&got.0), got.1), &want);
    });
}

#[test]
fn an_unbatched_sequence_is_a_batch_of_one() {
    check(cases(), |case| {
        let case = Case { batch: 1, ..case }.with(|config| config.batch_first(false));
        let without_batch = |t: &Tensor| {
            let shape = [t.shape()[0], t.shape()[2]];
            t.clone().reshaped(shape).expect("one row")
        };
        for batch_first in [false, true] {
            let params = case.with(|config| config.batch_first(batch_first)).params();
            let state = case.initial().map(|state| state_part(&state, without_batch));
            let got = forward(&params, &without_batch(&case.input()), state.as_ref());
            let want = case.forward();
            assert_same("unbatched", &got, &outcome_part(&want, without_batch));
        }
    });
}

/// A bidirectional network is the forward one twice: over the sequence, and over its reversal with
/// the reverse weights.
#[test]
fn a_bidirectional_layer_is_two_layers_side_by_side() {
    check(cases(), |case| {
        let case = case.with(|config| config.bidirectional(true).num_layers(1).batch_first(false));
        let (params, input, (output, last)) = (case.params(), case.input(), case.forward());
        let one_way = case.config.clone().bidirectional(false);
        let width = one_way.state_size();
        for direction in 0..2 {
            let single = of_directions(&one_way, &[params.direction(0, direction)]);
            let own = |t: &Tensor| along_first(t, direction..direction + 1);
            let in_time = |t: &Tensor| match direction {
                0 => t.clone(),
                _ => along_first(t, (0..case.seq_len).rev()),
            };
            let state = case.initial().map(|state| state_part(&state, own));
            let got = forward(&single, &in_time(&input), state.as_ref());
            let half = along_last(&output, direction * width..(direction + 1) * width);
            assert_same(
                &format!("direction {direction}"),
                &got,
                &(in_time(&half), state_part(&last, own)),
            );
        }
    });
}

/// The parameters of a single layer.
fn of_directions(config: &Config, directions: &[&DirectionParams]) -> Params {
    let mut parts = directions
        .iter()
        .flat_map(|p| [&p.weight_ih, &p.weight_hh, &p.bias_ih, &p.bias_hh, &p.weight_hr]);
    Params::from_fn(config, |_, _| {
        let part = parts.by_ref().find(|part| !part.is_empty());
        Ok(part.expect("as many parameters as the layer has").clone())
    })
    .expect("the shapes of the layer")
}

#[test]
fn a_stack_is_its_layers_one_after_the_other() {
    let exact = Cell::new(0);
    check(cases(), |case| {
        let (params, want, directions) =
            (case.params(), case.forward(), case.config.num_directions());
        let (mut x, mut states) = (case.input(), Vec::new());
        for layer in 0..case.config.num_layers {
            let mut config = case.config.clone().num_layers(1);
            config.input_size = case.config.layer_input_size(layer);
            let parts: Vec<_> =
                (0..directions).map(|direction| params.direction(layer, direction)).collect();
            let own = |t: &Tensor| along_first(t, layer * directions..(layer + 1) * directions);
            let state = case.initial().map(|state| state_part(&state, own));
            let (output, last) = forward(&of_directions(&config, &parts), &x, state.as_ref());
            x = output;
            states.push(last);
        }
        let h = joined(&states.iter().map(|state| state.h.clone()).collect::<Vec<_>>());
        let c: Option<Vec<Tensor>> = states.into_iter().map(|state| state.c).collect();
        let got = (x, State { h, c: c.map(|c| joined(&c)) });
        // Inside a stack each direction's features are padded to quads; in a layer's input both are
        // padded together.
        let same_padding =
            directions == 1 || case.config.state_size() % 4 == 0 || case.config.num_layers == 1;
        if same_padding {
            assert_same("layers", &got, &want);
            exact.set(exact.get() + 1);
        } else {
            assert_close(&case, "layers", &got);
        }
    });
    assert!(exact.get() > 20, "bits were compared in {} cases", exact.get());
}

/// Rows are independent: in another order, with other rows or without some, each gives the same
/// result.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let index = any::<prop::sample::Index>;
    check((cases(), index(), index()), |(case, from, count)| {
        let case = case.with(|config| config.batch_first(false));
        let (params, input, batch) = (case.params(), case.input(), case.batch);
        let (want, initial) = (case.forward(), case.initial());
        let from = from.index(batch);
        let turned = |t: &Tensor| along_second(t, (0..batch).map(|row| (row + from) % batch));
        let state = initial.as_ref().map(|state| state_part(state, turned));
        let got = forward(&params, &turned(&input), state.as_ref());
        assert_same("rows in another order", &got, &outcome_part(&want, turned));

        let rows = from..from + 1 + count.index(batch - from);
        let part = |t: &Tensor| along_second(t, rows.clone());
        let patched = |whole: &Tensor, part: &Tensor| {
            let rest = [along_second(whole, 0..rows.start), along_second(whole, rows.end..batch)];
            swapped(&joined(&[swapped(&rest[0]), swapped(part), swapped(&rest[1])]))
        };
        let strangers = patched(&seeded::tensor(case.seed ^ 5, input.shape(), 3.0), &part(&input));
        let got = forward(&params, &strangers, initial.as_ref());
        assert_same("rows among strangers", &outcome_part(&got, part), &outcome_part(&want, part));

        let state = initial.as_ref().map(|state| state_part(state, part));
        let got = forward(&params, &part(&input), state.as_ref());
        assert_same("rows by themselves", &got, &outcome_part(&want, part));
    });
}

/// A module keeps plans and buffers between calls, and nothing in them tells one call of another.
#[test]
fn calls_do_not_depend_on_the_calls_before() {
    check(
        (cases(), prop::collection::vec((1..9_usize, 1..6_usize, any::<bool>()), 1..8)),
        |(case, calls)| {
            let rnn = Rnn::new(&Device::cpu(), &case.params()).expect("a small network");
            for (i, (seq_len, batch, state)) in calls.into_iter().enumerate() {
                // Every other call has the case's sizes, so that a kept plan serves again after
                // others.
                let own = Case { seed: case.seed.wrapping_add(i as u64), ..case.clone() };
                let call = if i % 2 == 0 { own } else { Case { seq_len, batch, state, ..own } };
                let got =
                    rnn.forward(&call.input(), call.initial().as_ref()).expect("shapes that fit");
                let want = forward(&case.params(), &call.input(), call.initial().as_ref());
                assert_same(&format!("call {i}"), &got, &want);
            }
        },
    );
}

#[test]
fn calls_from_several_threads_do_not_mix() {
    let case = Case {
        config: Config::gru(5, 33).num_layers(2),
        seq_len: 9,
        batch: 3,
        gain: 1.0,
        state: true,
        seed: 3,
    };
    let rnn = Rnn::new(&Device::cpu(), &case.params()).expect("a small network");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (rnn, case) = (&rnn, &case);
            scope.spawn(move || {
                for i in 0..25 {
                    let call = Case {
                        seed: thread * 100 + i,
                        seq_len: 1 + (i as usize % 3) * 4,
                        ..case.clone()
                    };
                    let got = rnn
                        .forward(&call.input(), call.initial().as_ref())
                        .expect("shapes that fit");
                    let want = forward(&case.params(), &call.input(), call.initial().as_ref());
                    assert_same(&format!("thread {thread}, call {i}"), &got, &want);
                }
            });
        }
    });
}
