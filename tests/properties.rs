//! What holds for every network and input, on the CPU device.
//!
//! Some results must be equal to the last bit, others only as close as f32 allows; which, depends on whether the sums
//! run in the same order. The matrix products of the CPU device choose theirs by the sizes (see [`Order`]), the same
//! every time; activations and cells work element by element.
//!
//! The cases are the same on each run. `PROPTEST_RNG_SEED` chooses others, `PROPTEST_CASES` how many.

mod common {
    pub mod bits;
    pub mod seeded;
}

use std::cell::Cell;
use std::ops::Range;

use common::bits::{assert_same, assert_same_tensor};
use common::seeded;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::params::{DirectionParams, expected_parameters};
use wgpu_rnn::random::Mt19937;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, State, Tensor, oracle};

type Outcome = (Tensor, State);

// --- cases ---------------------------------------------------------------------------------------------------------

/// A network and the sizes of its input; the seed stands for all values.
#[derive(Debug, Clone)]
struct Case {
    config: Config,
    seq_len: usize,
    batch: usize,
    /// Weights are uniform in ±gain/√H; PyTorch's are with a gain of 1.
    gain: f32,
    /// Whether there is an initial state.
    state: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..40_usize, 1..40_usize, 1..13_usize, 1..10_usize, 1..4_usize);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let values = (prop::sample::select(vec![1.0_f32, 0.1, 4.0]), any::<bool>(), any::<u32>());
    (prop::sample::select(Kind::ALL.to_vec()), sizes, flags, values).prop_map(|(kind, sizes, flags, values)| {
        let (input_size, hidden_size, seq_len, batch, num_layers) = sizes;
        let (bidirectional, bias, batch_first) = flags;
        let (gain, state, seed) = values;
        let config = Config::new(kind, input_size, hidden_size)
            .num_layers(num_layers)
            .bidirectional(bidirectional)
            .bias(bias)
            .batch_first(batch_first);
        Case { config, seq_len, batch, gain, state, seed: u64::from(seed) }
    })
}

impl Case {
    /// The same case with another configuration.
    fn with(&self, change: impl FnOnce(Config) -> Config) -> Self {
        Self { config: change(self.config.clone()), ..self.clone() }
    }

    fn params(&self) -> Params {
        let bound = self.gain / (self.config.hidden_size as f32).sqrt();
        let mut generator = Mt19937::new(self.seed);
        Params::from_fn(&self.config, |_, shape| Ok(generator.uniform_vec(shape.iter().product(), -bound, bound)))
            .expect("a valid configuration")
    }

    /// The same values whichever axis comes first.
    fn input(&self) -> Tensor {
        let input = seeded::tensor(self.seed ^ 1, &[self.seq_len, self.batch, self.config.input_size], 2.0);
        if self.config.batch_first { swapped(&input) } else { input }
    }

    fn initial(&self) -> Option<State> {
        let config = &self.config;
        let shape = [config.num_layers * config.num_directions(), self.batch, config.hidden_size];
        self.state.then(|| State {
            h: seeded::tensor(self.seed ^ 2, &shape, 1.0),
            c: (config.kind == Kind::Lstm).then(|| seeded::tensor(self.seed ^ 3, &shape, 2.0)),
        })
    }

    fn forward(&self) -> Outcome {
        forward(&self.params(), &self.input(), self.initial().as_ref())
    }
}

fn forward(params: &Params, input: &Tensor, state: Option<&State>) -> Outcome {
    let rnn = Rnn::new(&Device::cpu(), params).expect("the CPU takes any small network");
    rnn.forward(input, state).expect("shapes that fit")
}

/// Runs a property over many cases.
fn check<S: Strategy>(strategy: S, property: impl Fn(S::Value)) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    let result = TestRunner::new(config).run(&strategy, |case| {
        property(case);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

// --- closeness -----------------------------------------------------------------------------------------------------

/// A tensor of the definition, and how far an f32 implementation may be from it.
struct Reference {
    name: &'static str,
    values: Vec<f64>,
    tolerance: f64,
}

/// What the oracle makes of a case, time first.
///
/// A sum of K products in f32 is the exact sum of operands that are each off by a few ulp, √K being typical. So the
/// tolerance is 16 times what a random ulp in every operand does to the outputs, which grows where a network amplifies
/// its errors; it is never less than 2e-6 of the largest value, about 32 ulp of 1.
fn references(case: &Case) -> Vec<Reference> {
    let case = case.with(|config| config.batch_first(false));
    let (params, input, state) = (case.params(), case.input(), case.initial());
    let run = |params: &Params, input: &Tensor, state: Option<&State>| {
        let h_0 = state.map(|s| s.h.data());
        let c_0 = state.and_then(|s| s.c.as_ref()).map(Tensor::data);
        let outcome = oracle::forward(params, case.seq_len, case.batch, input.data(), h_0, c_0, None);
        [("output", outcome.output), ("h_n", outcome.h_n), ("c_n", outcome.c_n)]
    };
    let exact = run(&params, &input, state.as_ref());
    let mut generator = Mt19937::new(case.seed ^ 4);
    let mut off = |values: &[f32]| -> Vec<f32> {
        values
            .iter()
            .map(|value| if generator.next_u32() & 1 == 0 { value.next_up() } else { value.next_down() })
            .collect()
    };
    let mut noise = [0.0_f64; 3];
    for _ in 0..3 {
        let mut parameters = in_order(&params).into_iter();
        let params = Params::from_fn(&case.config, |_, _| Ok(off(parameters.next().unwrap_or_default())));
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

/// Every parameter, in the order in which [`Params::from_fn`] asks for them.
fn in_order(params: &Params) -> Vec<&[f32]> {
    let config = params.config();
    (0..config.num_layers)
        .flat_map(|layer| (0..config.num_directions()).map(move |direction| params.direction(layer, direction)))
        .flat_map(|DirectionParams { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr }| {
            [weight_ih, weight_hh, bias_ih, bias_hh, weight_hr].map(Vec::as_slice)
        })
        .filter(|values| !values.is_empty())
        .collect()
}

/// Fails where a result is further from the definition than f32 excuses.
fn assert_close(case: &Case, what: &str, got: &Outcome) {
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

// --- parts of tensors ----------------------------------------------------------------------------------------------

/// `[A, B, F]` as `[B, A, F]`.
fn swapped(tensor: &Tensor) -> Tensor {
    let &[a, b, features] = tensor.shape() else { panic!("a tensor of three axes") };
    let rows = (0..b).flat_map(|j| (0..a).map(move |i| i * b + j));
    let data = rows.flat_map(|row| tensor.row(row).iter().copied()).collect();
    Tensor::new([b, a, features], data).expect("the same values")
}

/// Some of the first axis, in the order given.
fn along_first(tensor: &Tensor, indices: impl Iterator<Item = usize>) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let size: usize = shape[1..].iter().product();
    let data: Vec<f32> = indices.flat_map(|i| tensor.data()[i * size..(i + 1) * size].iter().copied()).collect();
    shape[0] = data.len() / size;
    Tensor::new(shape, data).expect("whole slices")
}

/// Some of the second axis, in the order given.
fn along_second(tensor: &Tensor, indices: impl Iterator<Item = usize>) -> Tensor {
    swapped(&along_first(&swapped(tensor), indices))
}

/// Some features, in every row.
fn along_last(tensor: &Tensor, features: Range<usize>) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let rows: usize = shape[..shape.len() - 1].iter().product();
    let data = (0..rows).flat_map(|row| tensor.row(row)[features.clone()].iter().copied()).collect();
    shape[tensor.shape().len() - 1] = features.len();
    Tensor::new(shape, data).expect("whole rows")
}

/// One tensor after the other along the first axis.
fn joined(parts: &[Tensor]) -> Tensor {
    let mut shape = parts[0].shape().to_vec();
    shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
    let data = parts.iter().flat_map(|part| part.data().iter().copied()).collect();
    Tensor::new(shape, data).expect("parts that go together")
}

/// `part` of each tensor of an outcome.
fn outcome_part(outcome: &Outcome, part: impl Fn(&Tensor) -> Tensor) -> Outcome {
    (part(&outcome.0), state_part(&outcome.1, part))
}

/// `part` of each tensor of a state.
fn state_part(state: &State, part: impl Fn(&Tensor) -> Tensor) -> State {
    State { h: part(&state.h), c: state.c.as_ref().map(part) }
}

// --- the order of sums ---------------------------------------------------------------------------------------------

/// How the GEMM crate runs through a sum of up to 512 terms, by the sizes of the product: one way for small results,
/// one for vectors, one for the rest. Within a class, neither the number of rows nor that of columns matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    small: bool,
    vector: bool,
}

impl Order {
    fn of(rows: usize, columns: usize) -> Self {
        Self { small: rows * columns <= 256, vector: rows == 1 || columns == 1 }
    }
}

/// Whether products of `columns` columns and these numbers of rows all sum in the same order.
fn same_order(columns: usize, rows: &[usize]) -> bool {
    rows.iter().all(|&r| Order::of(r, columns) == Order::of(rows[0], columns))
}

// --- properties ----------------------------------------------------------------------------------------------------

#[test]
fn results_are_the_definitions() {
    check(cases(), |case| assert_close(&case, "the CPU", &case.forward()));
}

/// A sequence may arrive in pieces, the state carried from each to the next.
#[test]
fn pieces_with_carried_state_give_what_the_whole_gives() {
    let exact = Cell::new(0);
    check((cases(), prop::collection::vec(1..6_usize, 1..5)), |(case, pieces)| {
        let case = Case { seq_len: pieces.iter().sum(), ..case }.with(|c| c.bidirectional(false).batch_first(false));
        let (params, input, whole) = (case.params(), case.input(), case.forward());
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small network");
        let (mut state, mut outputs, mut start) = (case.initial(), Vec::new(), 0);
        for steps in &pieces {
            let piece = along_first(&input, start..start + steps);
            let (output, last) = rnn.forward(&piece, state.as_ref()).expect("shapes that fit");
            (state, start) = (Some(last), start + steps);
            outputs.push(output);
        }
        let got = (joined(&outputs), state.expect("there was a piece"));
        // The recurrent products have the batch's rows either way; those of the inputs have the rows of all steps.
        let columns = case.config.gate_count() * case.config.hidden_size;
        let rows: Vec<usize> = pieces.iter().chain([&case.seq_len]).map(|steps| steps * case.batch).collect();
        if same_order(columns, &rows) {
            assert_same("pieces", &got, &whole);
            exact.set(exact.get() + 1);
        } else {
            assert_close(&case, "pieces", &got);
        }
    });
    assert!(exact.get() > 20, "bits were compared in {} cases", exact.get());
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

/// Both directions are the forward one, once over the sequence and once, with the reverse weights, over its reversal.
#[test]
fn a_bidirectional_layer_is_two_layers_side_by_side() {
    check(cases(), |case| {
        let case = case.with(|config| config.bidirectional(true).num_layers(1).batch_first(false));
        let (params, input, (output, last)) = (case.params(), case.input(), case.forward());
        let one_way = case.config.clone().bidirectional(false);
        let hidden_size = one_way.hidden_size;
        for direction in 0..2 {
            let single = of_directions(&one_way, &[params.direction(0, direction)]);
            let own = |t: &Tensor| along_first(t, direction..direction + 1);
            let in_time = |t: &Tensor| match direction {
                0 => t.clone(),
                _ => along_first(t, (0..case.seq_len).rev()),
            };
            let state = case.initial().map(|state| state_part(&state, own));
            let got = forward(&single, &in_time(&input), state.as_ref());
            let half = along_last(&output, direction * hidden_size..(direction + 1) * hidden_size);
            assert_same(&format!("direction {direction}"), &got, &(in_time(&half), state_part(&last, own)));
        }
    });
}

/// The parameters of a single layer.
fn of_directions(config: &Config, directions: &[&DirectionParams]) -> Params {
    let mut parts = directions.iter().flat_map(|p| [&p.weight_ih, &p.weight_hh, &p.bias_ih, &p.bias_hh]);
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
        let (params, want, directions) = (case.params(), case.forward(), case.config.num_directions());
        let (mut x, mut states) = (case.input(), Vec::new());
        for layer in 0..case.config.num_layers {
            let mut config = case.config.clone().num_layers(1);
            config.input_size = case.config.layer_input_size(layer);
            let parts: Vec<_> = (0..directions).map(|direction| params.direction(layer, direction)).collect();
            let own = |t: &Tensor| along_first(t, layer * directions..(layer + 1) * directions);
            let state = case.initial().map(|state| state_part(&state, own));
            let (output, last) = forward(&of_directions(&config, &parts), &x, state.as_ref());
            x = output;
            states.push(last);
        }
        let h = joined(&states.iter().map(|state| state.h.clone()).collect::<Vec<_>>());
        let c: Option<Vec<Tensor>> = states.into_iter().map(|state| state.c).collect();
        let got = (x, State { h, c: c.map(|c| joined(&c)) });
        // Inside a stack the two directions' features are padded to quads each, in a layer's input both together.
        let same_padding = directions == 1 || case.config.hidden_size % 4 == 0 || case.config.num_layers == 1;
        if same_padding {
            assert_same("layers", &got, &want);
            exact.set(exact.get() + 1);
        } else {
            assert_close(&case, "layers", &got);
        }
    });
    assert!(exact.get() > 20, "bits were compared in {} cases", exact.get());
}

/// Rows know nothing of each other: in another order, with other neighbours or without some, each gives the same.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let exact = Cell::new(0);
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
        let columns = case.config.gate_count() * case.config.hidden_size;
        let projections = [rows.len() * case.seq_len, batch * case.seq_len];
        if same_order(columns, &projections) && same_order(columns, &[rows.len(), batch]) {
            assert_same("rows by themselves", &got, &outcome_part(&want, part));
            exact.set(exact.get() + usize::from(rows.len() < batch));
        } else {
            let c = want.1.c.as_ref().zip(got.1.c.as_ref()).map(|(want, got)| patched(want, got));
            let whole = (patched(&want.0, &got.0), State { h: patched(&want.1.h, &got.1.h), c });
            assert_close(&case, "rows by themselves", &whole);
        }
    });
    assert!(exact.get() > 20, "bits of rows by themselves were compared in {} cases", exact.get());
}

/// A module keeps plans and buffers between calls, and nothing in them tells one call of another.
#[test]
fn calls_do_not_depend_on_the_calls_before() {
    check((cases(), prop::collection::vec((1..9_usize, 1..6_usize, any::<bool>()), 1..8)), |(case, calls)| {
        let rnn = Rnn::new(&Device::cpu(), &case.params()).expect("a small network");
        for (i, (seq_len, batch, state)) in calls.into_iter().enumerate() {
            // Every other call is of the case's own sizes, so that a plan is met again after others.
            let own = Case { seed: case.seed.wrapping_add(i as u64), ..case.clone() };
            let call = if i % 2 == 0 { own } else { Case { seq_len, batch, state, ..own } };
            let got = rnn.forward(&call.input(), call.initial().as_ref()).expect("shapes that fit");
            let want = forward(&case.params(), &call.input(), call.initial().as_ref());
            assert_same(&format!("call {i}"), &got, &want);
        }
    });
}

#[test]
fn calls_from_several_threads_do_not_mix() {
    let case = Case { config: Config::gru(5, 33).num_layers(2), seq_len: 9, batch: 3, gain: 1.0, state: true, seed: 3 };
    let rnn = Rnn::new(&Device::cpu(), &case.params()).expect("a small network");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (rnn, case) = (&rnn, &case);
            scope.spawn(move || {
                for i in 0..25 {
                    let call = Case { seed: thread * 100 + i, seq_len: 1 + (i as usize % 3) * 4, ..case.clone() };
                    let got = rnn.forward(&call.input(), call.initial().as_ref()).expect("shapes that fit");
                    let want = forward(&case.params(), &call.input(), call.initial().as_ref());
                    assert_same(&format!("thread {thread}, call {i}"), &got, &want);
                }
            });
        }
    });
}

// --- limits --------------------------------------------------------------------------------------------------------

fn lowered(limits: &[(&str, u64)]) -> Device {
    let options = limits.iter().fold(OpenOptions::default(), |options, (name, value)| options.limit(name, *value));
    Device::cpu_with(&options).expect("limits below those of the host")
}

/// Whatever the limits cut up, time, units or rows, the results are those of the whole; or a limit is named.
#[test]
fn lowered_limits_change_nothing_but_how_the_work_is_cut() {
    let limits = (8..15_u32, 13..20_u32, any::<bool>()).prop_map(|(binding, budget, cap)| {
        [
            ("max_storage_buffer_binding_size", 3 << binding),
            ("memory_budget", 3 << budget),
            ("max_work_per_submission", if cap { 5_000 } else { 50_000_000_000 }),
        ]
    });
    let [segments, passes, refusals] = [const { Cell::new(0) }; 3];
    check((cases(), limits), |(case, limits)| {
        let name = format!("{limits:?}");
        let device = lowered(&limits);
        let known = |error: Error| match error {
            Error::Limit { limit, .. } if limits.iter().any(|(name, _)| *name == limit) => {
                refusals.set(refusals.get() + 1)
            }
            other => panic!("{name}: {other}"),
        };
        let rnn = match Rnn::new(&device, &case.params()) {
            Ok(rnn) => rnn,
            Err(error) => return known(error),
        };
        match (rnn.forward(&case.input(), case.initial().as_ref()), rnn.plan(case.seq_len, case.batch)) {
            (Ok(got), Ok(plan)) => {
                assert_close(&case, &name, &got);
                segments.set(segments.get() + usize::from(plan.segments.len() > 1));
                passes.set(passes.get() + usize::from(plan.sizes.batch < case.batch));
            }
            (Err(error), Err(_)) => known(error),
            (got, plan) => panic!("{name}: forward gives {:?}, plan gives {:?}", got.map(drop), plan.map(drop)),
        }
    });
    let counts = [segments.get(), passes.get(), refusals.get()];
    assert!(counts.iter().all(|&count| count > 5), "segments, passes, refusals: {counts:?}");
}

/// Where the parts of a product sum in the same order as the whole, cutting it up changes no bit.
#[test]
fn segments_shards_and_passes_change_no_bit() {
    // 32 units and 8 rows or more: every product has more than 256 results, and sums of less than 512 terms.
    for kind in Kind::ALL {
        let config = Config::new(kind, 24, 96).num_layers(2).bidirectional(true);
        let case = Case { config, seq_len: 23, batch: 24, gain: 1.0, state: true, seed: 11 };
        let (params, want) = (case.params(), case.forward());
        let run = |limits: &[(&str, u64)]| {
            let rnn = Rnn::new(&lowered(limits), &params).expect("the weights fit");
            let got = rnn.forward(&case.input(), case.initial().as_ref()).expect("the work fits");
            let plan = rnn.plan(case.seq_len, case.batch).expect("it was just planned");
            (got, plan)
        };
        let (_, whole) = run(&[]);
        let step = 4 * (case.batch * 2 * 96 * kind.gate_count()) as u64;

        let (got, plan) = run(&[("max_storage_buffer_binding_size", (3 * step).max(1 << 18))]);
        assert!(plan.segments.len() > 1, "{kind}: time is cut");
        assert_same(&format!("{kind} in {} segments", plan.segments.len()), &got, &want);

        // A row of the second layer's weight_ih has 2 · 96 values.
        let three_shards = 4 * (2 * kind.gate_count() * 32 * 2 * 96) as u64;
        let (got, plan) = run(&[("max_storage_buffer_binding_size", three_shards.max(step))]);
        let cut = plan.recording.dispatch_count() > whole.recording.dispatch_count();
        assert!(cut, "{kind}: weights or time are cut");
        assert_same(&format!("{kind} in shards of units"), &got, &want);

        let (got, plan) = run(&[("memory_budget", whole.size() - whole.size() / 4)]);
        assert!(plan.segments.len() > 1 || plan.sizes.batch < case.batch, "{kind}: a budget cuts something");
        assert_same(&format!("{kind} in a budget, {:?}", plan.sizes), &got, &want);
    }
}

// --- closed forms --------------------------------------------------------------------------------------------------

/// With no weights but biases every step is the same: gates are constant, and the state a geometric series.
#[test]
fn without_weights_the_state_is_a_geometric_series() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    check(cases(), |case| {
        let case = Case { state: true, ..case }.with(|config| config.bidirectional(false).batch_first(false));
        let (hidden_size, layers) = (case.config.hidden_size, case.config.num_layers);
        let mut generator = Mt19937::new(case.seed);
        let params = Params::from_fn(&case.config, |name, shape| {
            let count = shape.iter().product();
            let bound = if name.starts_with("bias") { 2.0 } else { 0.0 };
            Ok(generator.uniform_vec(count, -bound, bound))
        })
        .expect("a valid configuration");
        let (_, last) = forward(&params, &case.input(), case.initial().as_ref());
        let initial = case.initial().expect("there is a state");
        let steps = case.seq_len as i32;
        for layer in 0..layers {
            let p = params.direction(layer, 0);
            let bias =
                |gate: usize, j: usize, b: &[f32]| f64::from(b.get(gate * hidden_size + j).copied().unwrap_or(0.0));
            for (row, j) in (0..case.batch).flat_map(|row| (0..hidden_size).map(move |j| (row, j))) {
                let at = (layer * case.batch + row) * hidden_size + j;
                let both = |gate| bias(gate, j, &p.bias_ih) + bias(gate, j, &p.bias_hh);
                let h_0 = f64::from(initial.h.data()[at]);
                let series = |keep: f64, start: f64, add: f64| (0..steps).fold(start, |value, _| keep * value + add);
                let (want, c_n) = match case.config.kind {
                    Kind::RnnTanh => (both(0).tanh(), None),
                    Kind::RnnRelu => (both(0).max(0.0), None),
                    Kind::Gru => {
                        let n = (bias(2, j, &p.bias_ih) + sigmoid(both(0)) * bias(2, j, &p.bias_hh)).tanh();
                        let z = sigmoid(both(1));
                        (series(z, h_0, (1.0 - z) * n), None)
                    }
                    Kind::Lstm => {
                        let c_0 = f64::from(initial.c.as_ref().expect("an LSTM has c").data()[at]);
                        let c = series(sigmoid(both(1)), c_0, sigmoid(both(0)) * both(2).tanh());
                        (sigmoid(both(3)) * c.tanh(), Some(c))
                    }
                };
                let close = |got: f32, want: f64| (f64::from(got) - want).abs() <= 2e-6 * want.abs().max(1.0);
                let got = last.h.data()[at];
                assert!(close(got, want), "h_n of layer {layer}, row {row}, unit {j}: got {got}, want {want}");
                if let (Some(c_n), Some(got)) = (c_n, &last.c) {
                    let got = got.data()[at];
                    assert!(close(got, c_n), "c_n of layer {layer}, row {row}, unit {j}: got {got}, want {c_n}");
                }
            }
        }
    });
}

/// Without biases either, gates are exactly one half, and halving is exact: h for a GRU, c for an LSTM.
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
            Tensor::new(t.shape(), t.data().iter().map(|v| v * half).collect()).expect("as many values")
        };
        match case.config.kind {
            Kind::RnnTanh | Kind::RnnRelu => {
                assert!(last.h.data().iter().all(|&h| h == 0.0), "a plain RNN forgets: {:?}", last.h.data());
            }
            Kind::Gru => assert_same_tensor("h_n", &last.h, &halved(&initial.h)),
            Kind::Lstm => {
                let (got, c_0) = (last.c.as_ref().expect("c_n"), initial.c.as_ref().expect("c_0"));
                assert_same_tensor("c_n", got, &halved(c_0));
                for (h, c) in last.h.data().iter().zip(got.data()) {
                    let want = 0.5 * f64::from(*c).tanh();
                    assert!((f64::from(*h) - want).abs() <= 1e-7, "h_n {h} of c_n {c}, want {want}");
                }
            }
        }
        let parameters = expected_parameters(&case.config).len();
        assert_eq!(in_order(&params).len(), parameters, "all parameters are zero, none is absent");
    });
}
