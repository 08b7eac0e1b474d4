//! Changes that must not change a bit: the cuts of time, the other rows of the batch, the values of
//! the padding, the exchange of both directions.
//!
//! The order of a sum depends only on the number of its terms. Therefore the tests hold exactly on
//! every device. Each comparison must also refuse a wrong result.

use std::collections::HashMap;

use libtest_mimic::Failed;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::{
    Config, ForwardOptions, Kind, LoadOptions, Params, Rnn, Schedule, State, Tensor, WeightType,
};

use crate::bits::assert_same;
use crate::parameters::in_order;
use crate::parts::{
    Outcome, along_first, along_last, along_second, joined, outcome_part, state_part,
};
use crate::{Target, ensure, seeded};

const HIDDEN_SIZES: [usize; 3] = [1, 5, 37];

/// The sizes of a kind. A wide layer costs a software adapter most of the time, so only one kind
/// has it.
fn hidden_sizes(kind: Kind) -> impl Iterator<Item = usize> {
    HIDDEN_SIZES.into_iter().chain((kind == Kind::Lstm).then_some(128))
}

/// Returns an initial state for `batch` rows.
fn initial(config: &Config, batch: usize, seed: u64) -> State {
    let shape = [config.num_layers * config.num_directions(), batch, config.hidden_size];
    State {
        h: seeded::tensor(seed, &shape, 1.0),
        c: (config.kind == Kind::Lstm).then(|| seeded::tensor(seed + 1, &shape, 2.0)),
    }
}

/// Runs the sequence in pieces of at most `steps` steps; `carry` makes the state of the next piece.
fn in_pieces(
    rnn: &Rnn,
    input: &Tensor,
    steps: usize,
    carry: impl Fn(State) -> Option<State>,
) -> Result<Outcome, Failed> {
    let seq_len = input.shape()[0];
    let (mut outputs, mut state, mut last) = (Vec::new(), None, None);
    for start in (0..seq_len).step_by(steps) {
        let piece = along_first(input, start..(start + steps).min(seq_len));
        let (output, end) = rnn.forward(&piece, state.as_ref())?;
        outputs.push(output);
        state = carry(end.clone());
        last = Some(end);
    }
    Ok((joined(&outputs), last.ok_or("there was no piece")?))
}

/// A sequence may arrive in pieces if the caller carries the state from each to the next.
pub fn pieces_of_time(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        for hidden_size in hidden_sizes(kind) {
            let config = Config::new(kind, 7, hidden_size).num_layers(2);
            let rnn = target.rnn(&device, &Params::init(&config, 11)?)?;
            for batch in [1, 3, 9] {
                let input = seeded::tensor(batch as u64, &[21, batch, 7], 2.0);
                let whole = rnn.forward(&input, None)?;
                for steps in [1, 3, 20] {
                    let got = in_pieces(&rnn, &input, steps, Some)?;
                    assert_same(
                        &format!("{kind} H = {hidden_size} B = {batch} by {steps} steps"),
                        &got,
                        &whole,
                    );
                }
                if hidden_size == 37 {
                    let forgetful = in_pieces(&rnn, &input, 20, |_| None)?;
                    ensure(
                        forgetful != whole,
                        format!("{kind}: a state that is not carried must show"),
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// A row gives the same bits alone, among any number of rows, and in the whole batch.
pub fn rows_of_a_batch(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (seq_len, batch, features) = (6, 33, 5);
    let lengths: Vec<usize> = (0..batch).map(|row| (row * 5 + 3) % (seq_len + 1)).collect();
    // By name, the numbers around which kernels change.
    let sizes: &[usize] = match target.schedule {
        Schedule::Auto => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 17],
        _ => &[1, 3, 8, 9, 17],
    };
    let input = seeded::tensor(21, &[seq_len, batch, features], 2.0);
    for &kind in Kind::ALL {
        for (hidden_size, bidirectional) in
            hidden_sizes(kind).flat_map(|size| [(size, false), (size, true)])
        {
            let config =
                Config::new(kind, features, hidden_size).num_layers(2).bidirectional(bidirectional);
            let config = target.suited(config);
            let rnn = target.rnn(&device, &Params::init(&config, 12)?)?;
            let state = initial(&config, batch, 22);
            for lengths in [None, Some(&lengths)] {
                let run =
                    |input: &Tensor, state: &State, rows: std::ops::Range<usize>| match lengths {
                        None => rnn.forward(input, Some(state)),
                        Some(lengths) => rnn.forward_lengths(input, &lengths[rows], Some(state)),
                    };
                let whole = run(&input, &state, 0..batch)?;
                for &size in sizes {
                    // The row's place in the batch varies.
                    let first = (size * 7) % (batch - size + 1);
                    let rows = first..first + size;
                    let part = |t: &Tensor| along_second(t, rows.clone());
                    let got = run(&part(&input), &state_part(&state, part), rows.clone())?;
                    let padded = lengths.is_some();
                    let what = format!(
                        "{kind} H = {hidden_size}, both directions {bidirectional}, lengths \
                         {padded}"
                    );
                    assert_same(
                        &format!("{what}, rows {rows:?}"),
                        &got,
                        &outcome_part(&whole, part),
                    );
                    let next =
                        |t: &Tensor| along_second(t, rows.clone().map(|row| (row + 1) % batch));
                    // A single unit with relu may be 0 in every row.
                    let differ = hidden_size == 1 || got != outcome_part(&whole, next);
                    ensure(differ, format!("{what}: the neighbouring rows must differ"))?;
                }
            }
        }
    }
    Ok(())
}

/// `persistent` and `step` add in the same order, so that `auto` may choose by the number of steps.
pub fn persistent_is_step(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let seq_len = 6;
    for (at, &kind) in Kind::ALL.iter().enumerate() {
        for (hidden_size, batch, bidirectional) in [(5, 3, true), (37, 9, false), (130, 2, false)] {
            let config =
                Config::new(kind, 5, hidden_size).num_layers(2).bidirectional(bidirectional);
            let params = Params::init(&config, 15)?;
            let input = seeded::tensor(51, &[seq_len, batch, 5], 2.0);
            let state = initial(&config, batch, 52);
            let lengths: Vec<usize> =
                (0..batch).map(|row| seq_len - row * 5 % (seq_len + 1)).collect();
            let weights = WeightType::ALL[at % 2];
            let run = |schedule, lengths: Option<&[usize]>| {
                let options = LoadOptions::new().schedule(schedule).weights(weights);
                let rnn = Rnn::with_options(&device, &params, &options)?;
                let mut from = ForwardOptions::new().state(&state);
                from.lengths = lengths;
                Ok::<_, Failed>(rnn.forward_with(&input, &from)?)
            };
            let what = format!("{config:?} B = {batch} {weights:?}");
            let want = run(Schedule::Step, Some(&lengths))?;
            assert_same(&what, &run(Schedule::Persistent, Some(&lengths))?, &want);
            ensure(run(Schedule::Step, None)? != want, format!("{what}: lengths must show"))?;
        }
    }
    Ok(())
}

/// Input values past a row's end do not matter, even if they are NaN.
pub fn padding(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (seq_len, batch, features) = (7, 9, 5);
    // Even the longest row is shorter than the input.
    let lengths: Vec<usize> = (0..batch).map(|row| (row * 5 + 3) % seq_len).collect();
    let input = seeded::tensor(31, &[seq_len, batch, features], 2.0);
    let filled = |value: f32, missing: usize| {
        let mut input = input.clone();
        for (row, length) in lengths.iter().enumerate() {
            for t in length.saturating_sub(missing)..seq_len {
                input.data_mut()[(t * batch + row) * features..][..features].fill(value);
            }
        }
        input
    };
    for &kind in Kind::ALL {
        for (hidden_size, bidirectional) in
            hidden_sizes(kind).flat_map(|size| [(size, false), (size, true)])
        {
            let config =
                Config::new(kind, features, hidden_size).num_layers(2).bidirectional(bidirectional);
            let config = target.suited(config);
            let rnn = target.rnn(&device, &Params::init(&config, 13)?)?;
            let run = |input: &Tensor| {
                rnn.forward_lengths(input, &lengths, Some(&initial(&config, batch, 32)))
            };
            let want = run(&filled(0.0, 0))?;
            let what = format!("{kind} H = {hidden_size}, both directions {bidirectional}");
            for value in [f32::NAN, f32::INFINITY, 1e30] {
                assert_same(
                    &format!("{what}, padding of {value}"),
                    &run(&filled(value, 0))?,
                    &want,
                );
            }
            let finite = want.0.data().iter().all(|value| value.is_finite());
            ensure(finite, format!("{what}: NaN would hide a difference"))?;
            ensure(run(&filled(1e30, 1))? != want, format!("{what}: a row's last step must show"))?;
        }
    }
    Ok(())
}

/// Returns the same network with its directions exchanged. The layers above the first then read the
/// two halves of their features in the other order.
fn directions_swapped(params: &Params) -> Result<Params, Failed> {
    let config = params.config();
    let names = expected_parameters(config).into_iter().map(|(name, _)| name);
    let by_name: HashMap<String, &[f32]> = names.zip(in_order(params)).collect();
    let swapped = Params::from_fn(config, |name, shape| {
        let other =
            name.strip_suffix("_reverse").map_or_else(|| format!("{name}_reverse"), str::to_owned);
        let values = by_name[&other].to_vec();
        if !name.starts_with("weight_ih") || name.starts_with("weight_ih_l0") {
            return Ok(values);
        }
        Ok(halves_exchanged(&Tensor::new(shape, values)?).data().to_vec())
    })?;
    Ok(swapped)
}

/// Swaps the two halves of each row.
fn halves_exchanged(tensor: &Tensor) -> Tensor {
    let features = tensor.shape()[tensor.shape().len() - 1];
    let rows = tensor.data().len() / features;
    let halves = [features / 2..features, 0..features / 2].map(|half| along_last(tensor, half));
    let data = (0..rows)
        .flat_map(|row| halves.iter().flat_map(move |half| half.row(row)).copied())
        .collect();
    Tensor::new(tensor.shape(), data).expect("the same values")
}

/// A network with its directions exchanged gives, on a reversed sequence, its results reversed and
/// exchanged.
pub fn time_reversed(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let (seq_len, batch, features) = (8, 3, 6);
    let backwards = |t: &Tensor| along_first(t, (0..seq_len).rev());
    for &kind in Kind::ALL {
        for (hidden_size, num_layers) in hidden_sizes(kind).flat_map(|size| [(size, 1), (size, 2)])
        {
            let config =
                Config::new(kind, features, hidden_size).num_layers(num_layers).bidirectional(true);
            let params = Params::init(&config, 14)?;
            let input = seeded::tensor(41, &[seq_len, batch, features], 2.0);
            let state = initial(&config, batch, 42);
            // States have the index layer · 2 + direction.
            let exchanged = |t: &Tensor| along_first(t, (0..2 * num_layers).map(|at| at ^ 1));
            let forwards = target.rnn(&device, &params)?.forward(&input, Some(&state))?;
            let want =
                (halves_exchanged(&backwards(&forwards.0)), state_part(&forwards.1, exchanged));
            let run = |params: &Params| {
                let rnn = target.rnn(&device, params)?;
                Ok::<_, Failed>(
                    rnn.forward(&backwards(&input), Some(&state_part(&state, exchanged)))?,
                )
            };
            let got = run(&directions_swapped(&params)?)?;
            let what = format!("{kind} H = {hidden_size} L = {num_layers}");
            if num_layers == 1 {
                assert_same(&what, &got, &want);
                ensure(
                    run(&params)? != want,
                    format!("{what}: weights that are not exchanged must show"),
                )?;
                continue;
            }
            // The second layer adds the products of its two halves of features in the other order.
            // The states of the first layer are exact.
            let first_layer = |(_, state): &Outcome| state_part(state, |t| along_first(t, 0..2));
            ensure(
                first_layer(&got) == first_layer(&want),
                format!("{what}: the states of the first layer"),
            )?;
            close(&what, &got, &want)?;
            let wrong = close(&what, &run(&params)?, &want);
            ensure(wrong.is_err(), format!("{what}: weights that are not exchanged must show"))?;
        }
    }
    Ok(())
}

/// Fails unless two results are equal up to rounding by another order of summation.
fn close(what: &str, got: &Outcome, want: &Outcome) -> Result<(), Failed> {
    let mut comparison = Comparison::default();
    let mut add = |name: &str, got: &Tensor, want: &Tensor| {
        let wide: Vec<f64> = want.data().iter().map(|&value| f64::from(value)).collect();
        comparison.add_tensor(name, got, (want.shape(), &wide), Tolerance::new(2e-6, 2e-6));
    };
    add("output", &got.0, &want.0);
    add("h_n", &got.1.h, &want.1.h);
    if let (Some(got), Some(want)) = (&got.1.c, &want.1.c) {
        add("c_n", got, want);
    }
    ensure(comparison.agrees(), format!("{what}: {}", comparison.describe()))
}
