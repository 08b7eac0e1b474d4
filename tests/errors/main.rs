//! This crate refuses calls that PyTorch refuses, in PyTorch's words, and accepts the others.
//!
//! The texts are those of PyTorch 2.15.0, numbers included. Each situation has the name that the
//! conformance data gives it, so that a test can compare the table with that record.

#[path = "../common/bits.rs"]
mod bits;
mod cells;
#[path = "../common/conformance.rs"]
mod conformance;
mod embedding;
mod neighbours;
mod packed;
#[path = "../common/seeded.rs"]
mod seeded;
mod situations;
#[path = "../common/ticks.rs"]
mod ticks;
#[path = "../common/trials.rs"]
mod trials;
mod values;
mod variants;
mod warnings;

use libtest_mimic::Arguments;

use packed::DIFFERENCES;
use situations::{INPUT, MODULES, situations, two_layers};
use trials::{trial, trials};
use values::nan_in_row_1_at_step_2;
use wgpu_rnn::internals::params::validate;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn};

fn what_pytorch_refuses_is_refused_in_its_words_and_the_rest_is_accepted() {
    for situation in situations() {
        let got = (situation.call)().map_err(|error| error.to_string());
        let want = situation.refused.map_or(Ok(()), Err);
        assert_eq!(got, want, "{}", situation.name);
    }
}

/// Of two mistakes PyTorch names the one that it checks first. As PyTorch 1.13 answers, too.
fn of_several_mistakes_the_first_in_pytorchs_order_is_named() {
    let rnn_config = two_layers(Kind::RnnTanh);
    let lstm_config = two_layers(Kind::Lstm);
    let proj = two_layers(Kind::Gru).proj_size(9).dropout(3.0);
    assert_eq!(
        message(proj.validate()),
        "proj_size argument is only supported for LSTM, not RNN or GRU",
        "nn.GRU looks for proj_size before anything else"
    );
    assert_eq!(
        message(two_layers(Kind::Lstm).proj_size(7).num_layers(0).dropout(3.0).validate()),
        "dropout should be a number in range [0, 1] representing the probability of an element \
         being zeroed",
        "dropout comes before the sizes"
    );
    type Shapes<'a> = Option<(&'a [usize], Option<&'a [usize]>)>;
    let rows: [(&Config, &[usize], Shapes<'_>, &str); 10] = [
        (
            &rnn_config,
            &[6],
            Some((&[2, 5], None)),
            "RNN: Expected input to be 2D or 3D, got 1D tensor instead",
        ),
        (
            &rnn_config,
            &[6, 4, 7],
            Some((&[2, 5], None)),
            "For batched 3-D input, hx should also be 3-D but got 2-D tensor",
        ),
        (
            &rnn_config,
            &[6, 4, 7],
            Some((&[2, 4, 7], None)),
            "input.size(-1) must be equal to input_size. Expected 3, got 7",
        ),
        (
            &rnn_config,
            &[0, 4, 7],
            None,
            "input.size(-1) must be equal to input_size. Expected 3, got 7",
        ),
        (
            &rnn_config,
            &[0, 4, 3],
            Some((&[2, 4, 7], None)),
            "Expected hidden size (2, 4, 5), got [2, 4, 7]",
        ),
        (&rnn_config, &[0, 0, 3], None, "Expected sequence length to be larger than 0 in RNN"),
        (
            &lstm_config,
            &INPUT,
            Some((&[2, 4, 7], Some(&[2, 4, 6]))),
            "Expected hidden[0] size (2, 4, 5), got [2, 4, 7]",
        ),
        (
            &lstm_config,
            &INPUT,
            Some((&[2, 4, 5], Some(&[2, 4, 6]))),
            "Expected hidden[1] size (2, 4, 5), got [2, 4, 6]",
        ),
        (
            &lstm_config,
            &INPUT,
            Some((&[2, 4, 5], Some(&[2, 5]))),
            "For batched 3-D input, hx and cx should also be 3-D but got (3-D, 2-D) tensors",
        ),
        (
            &lstm_config,
            &[6, 3],
            Some((&[2, 5], Some(&[2, 1, 5]))),
            "For unbatched 2-D input, hx and cx should also be 2-D but got (2-D, 3-D) tensors",
        ),
    ];
    for (config, input, state, want) in rows {
        assert_eq!(
            message(validate::forward(config, input, state)),
            want,
            "{config:?} on {input:?} with {state:?}"
        );
    }
}

/// PyTorch adds the batch axis to an unbatched state before it compares. `batch_first` moves the
/// axes of the input only.
fn shapes_are_compared_as_pytorch_lays_them_out() {
    let unbatched = validate::forward(&two_layers(Kind::Gru), &[6, 3], Some((&[2, 7], None)));
    assert_eq!(message(unbatched), "Expected hidden size (2, 1, 5), got [2, 1, 7]", "a 2-D state");
    let unbatched =
        validate::forward(&two_layers(Kind::Lstm), &[6, 3], Some((&[2, 5], Some(&[1, 5]))));
    assert_eq!(
        message(unbatched),
        "Expected hidden[1] size (2, 1, 5), got [1, 1, 5]",
        "a 2-D cell state"
    );
    let both = two_layers(Kind::RnnRelu).bidirectional(true).batch_first(true);
    let found = validate::forward(&both, &[4, 6, 3], Some((&[4, 6, 5], None)));
    assert_eq!(
        message(found),
        "Expected hidden size (4, 4, 5), got [4, 6, 5]",
        "the batch is the input's first axis"
    );
    let checked = validate::forward(&both, &[4, 6, 3], Some((&[4, 4, 5], None)))
        .expect("the state is never batch first");
    assert_eq!(
        (checked.sizes.seq_len, checked.sizes.batch, checked.unbatched),
        (6, 4, false),
        "T and B"
    );
    let checked =
        validate::forward(&both, &[6, 3], None).expect("batch_first means nothing without a batch");
    assert_eq!(
        (checked.sizes.seq_len, checked.sizes.batch, checked.unbatched),
        (6, 1, true),
        "T and B"
    );
}

/// PyTorch fails by accident here (`tuple index out of range`, `'tuple' object has no attribute
/// 'dim'`).
fn a_state_of_another_module_is_refused_by_name() {
    let shape: &[usize] = &[2, 4, 5];
    let found = validate::forward(&two_layers(Kind::Lstm), &INPUT, Some((shape, None)));
    assert_eq!(
        message(found),
        "LSTM: expected the initial state (h_0, c_0), got h_0 only",
        "an LSTM without c_0"
    );
    for kind in [Kind::RnnTanh, Kind::RnnRelu, Kind::Gru] {
        let found = validate::forward(&two_layers(kind), &INPUT, Some((shape, Some(shape))));
        let want = format!(
            "{}: expected the initial state h_0 only, got (h_0, c_0); only LSTM has a cell state",
            kind.module()
        );
        assert_eq!(message(found), want, "{kind} with c_0");
    }
}

fn nan_stays_in_its_row_in_every_kind_and_direction() {
    for &kind in Kind::ALL {
        for (num_layers, bidirectional) in [(1, false), (1, true), (2, true), (3, false)] {
            let config =
                Config::new(kind, 3, 5).num_layers(num_layers).bidirectional(bidirectional);
            nan_in_row_1_at_step_2(&config).unwrap_or_else(|error| panic!("{config:?}: {error}"));
        }
    }
}

/// PyTorch's relu hands NaN on, where `max(x, 0)` would make it 0.
fn a_nan_weight_is_loaded_computed_with_and_found_on_request() {
    let params = Params::from_fn(&Config::new(Kind::RnnRelu, 3, 5), |name, shape| {
        let mut values = vec![0.25; shape.iter().product()];
        if name == "weight_ih_l0" {
            values[4] = f32::NAN; // of unit 1
        }
        Ok(values)
    })
    .expect("NaN is a value");
    assert_eq!(params.non_finite(), ["weight_ih_l0"], "the tensor is named");
    let input = seeded::tensor(2, &INPUT, 1.0);
    let (output, _) = Rnn::new(&Device::cpu(), &params)
        .and_then(|rnn| rnn.forward(&input, None))
        .expect("a forward pass");
    let first = output.row(0).iter().map(|v| v.is_nan()).collect::<Vec<_>>();
    assert_eq!(first, [false, true, false, false, false], "only unit 1 reads it at the first step");
    assert!(
        output.row(INPUT[1]).iter().all(|v| v.is_nan()),
        "every unit reads unit 1 at the next step"
    );
}

/// The message of what must be an error.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("PyTorch refuses this").to_string()
}

/// Calls that Rust's types rule out: the argument's type, and the call for each module.
const RULED_OUT: [(&str, &str); 2] = [("usize", "proj_size negative"), ("f64", "dropout True")];

/// Calls that PyTorch refuses by accident, and this crate in its own words.
const OWN_WORDS: [&str; 1] = ["LSTM h0 only"];

fn the_table_is_what_pytorch_was_seen_to_do() {
    let path = conformance::part("errors/pytorch_2.15.0_errors.json");
    let text = std::fs::read_to_string(&path).expect("the file can be read");
    let seen: serde_json::Value = serde_json::from_str(&text).expect("the file is JSON");
    let seen = seen.as_array().expect("a list of calls");
    let table = situations();
    let each_module = |what: &str| MODULES.map(|kind| format!("{} {what}", kind.module()));
    let elsewhere: Vec<String> = DIFFERENCES
        .iter()
        .flat_map(|difference| each_module(difference.what))
        .chain(RULED_OUT.iter().flat_map(|(_, what)| each_module(what)))
        .chain(OWN_WORDS.map(str::to_owned))
        .collect();
    let mut problems = Vec::new();
    let mut compared = 0;
    for call in seen {
        let text = |key: &str| call[key].as_str().unwrap_or_default();
        let name = text("case");
        let said = (text("outcome") != "ok").then(|| text("message"));
        let Some(situation) = table.iter().find(|situation| situation.name == name) else {
            let different = DIFFERENCES
                .iter()
                .find(|difference| each_module(difference.what).iter().any(|n| n == name));
            if let Some(different) = different.filter(|different| different.pytorch != said) {
                problems.push(format!(
                    "'{name}': the differences have {:?}, PyTorch said {said:?}",
                    different.pytorch
                ));
            }
            if !elsewhere.iter().any(|known| known == name) {
                problems.push(format!("'{name}' is in no list of this test"));
            }
            continue;
        };
        compared += 1;
        // The data keep the first line of a message, without the sentence that is ours.
        let ours = situation.refused.as_ref().and_then(|message| message.lines().next());
        let ours = ours.and_then(|message| message.split(". Here every model").next());
        if ours != said {
            problems.push(format!("'{name}': the table has {ours:?}, PyTorch said {said:?}"));
        }
    }
    for name in table.iter().map(|situation| &situation.name).chain(&elsewhere) {
        let times = seen.iter().filter(|call| call["case"] == name.as_str()).count();
        if times != 1 {
            problems.push(format!("'{name}' of this test occurs {times} times in the data"));
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {} calls:\n{}",
        problems.len(),
        seen.len(),
        problems.join("\n")
    );
    assert_eq!(compared, table.len(), "every row of the table was held against the data");
}

fn main() {
    let mut trials = trials![
        what_pytorch_refuses_is_refused_in_its_words_and_the_rest_is_accepted,
        of_several_mistakes_the_first_in_pytorchs_order_is_named,
        shapes_are_compared_as_pytorch_lays_them_out,
        a_state_of_another_module_is_refused_by_name,
        nan_stays_in_its_row_in_every_kind_and_direction,
        a_nan_weight_is_loaded_computed_with_and_found_on_request,
        cells::a_cell_names_the_first_mistake,
        cells::a_cell_is_loaded_strictly,
        embedding::padding_idx_names_a_row_from_either_end,
        embedding::a_weight_that_is_no_table_is_refused,
        embedding::an_index_out_of_range_is_named_by_its_place,
        embedding::indices_must_fill_their_shape,
        neighbours::a_state_of_a_neighbour_is_refused,
        neighbours::a_snapshot_of_a_neighbour_is_refused,
        neighbours::weights_with_reversed_shapes_are_refused,
        neighbours::a_state_of_another_cell_is_refused,
        packed::lengths_are_taken_as_the_list_of_differences_says,
        variants::shapes_and_lengths_that_do_not_fit,
        variants::options_and_values_out_of_range_or_contradictory,
        variants::unknown_names,
        variants::full_pools_and_wrong_frames,
        variants::closed_slots,
    ];
    let record =
        trial("the_table_is_what_pytorch_was_seen_to_do", the_table_is_what_pytorch_was_seen_to_do);
    trials.push(record.with_ignored_flag(conformance::is_absent()));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
