//! Padding and unpadding of sequences.

use proptest::prelude::*;
use wgpu_rnn::{Config, Device, Params, Rnn, Tensor, pad_sequence, unpad_sequence};

#[path = "common/seeded.rs"]
mod seeded;

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::new(shape, data.to_vec()).expect("as many values as the shape has")
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape).expect("a small shape")
}

#[test]
fn sequences_stand_side_by_side_with_zeros_at_their_ends() {
    let sequences = [
        tensor(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        tensor(&[1, 2], &[7.0, 8.0]),
        zeros(&[0, 2]),
    ];
    let (padded, lengths) = pad_sequence(&sequences, false).expect("sequences of two features");
    assert_eq!(lengths, [3, 1, 0], "lengths in the order of the sequences");
    let want =
        [1.0, 2.0, 7.0, 8.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(padded, tensor(&[3, 3, 2], &want), "[T, B, features]");
    let (padded, _) = pad_sequence(&sequences, true).expect("sequences of two features");
    let want =
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(padded, tensor(&[3, 3, 2], &want), "[B, T, features]");
    let (padded, lengths) =
        pad_sequence(&[zeros(&[0, 2]), zeros(&[0, 2])], false).expect("no steps at all");
    assert_eq!((padded.shape(), lengths), (&[0, 2, 2][..], vec![0, 0]), "no steps at all");
}

#[test]
fn what_cannot_be_padded_is_refused() {
    for (sequences, want) in [
        (vec![], "received an empty list of sequences"),
        (
            vec![zeros(&[2, 3]), zeros(&[4, 3]), zeros(&[3, 4])],
            "The size of tensor a (3) must match the size of tensor b (4) at non-singleton \
             dimension 1: sequences[0] is [2, 3], sequences[2] is [3, 4]",
        ),
        (
            vec![zeros(&[2, 3, 5]), zeros(&[2, 1, 6])],
            "The size of tensor a (5) must match the size of tensor b (6) at non-singleton \
             dimension 2: sequences[0] is [2, 3, 5], sequences[1] is [2, 1, 6]",
        ),
        // PyTorch would repeat the one feature.
        (
            vec![zeros(&[2, 3]), zeros(&[2, 1])],
            "The size of tensor a (3) must match the size of tensor b (1) at non-singleton \
             dimension 1: sequences[0] is [2, 3], sequences[1] is [2, 1]",
        ),
        (vec![zeros(&[2, 3]), zeros(&[2])], "sequences[1] is 1D, but sequences[0] is 2D"),
        (vec![zeros(&[])], "sequences[0] has no axis of time steps: it is 0D"),
        (vec![zeros(&[2]), zeros(&[])], "sequences[1] has no axis of time steps: it is 0D"),
    ] {
        for batch_first in [false, true] {
            let refused = pad_sequence(&sequences, batch_first).map_err(|error| error.to_string());
            assert_eq!(refused, Err(want.to_owned()), "{sequences:?}");
        }
    }
}

#[test]
fn what_cannot_be_taken_apart_is_refused() {
    for (shape, batch_first, lengths, want) in [
        (
            &[3, 2, 4][..],
            false,
            &[1][..],
            "Expected `len(lengths)` to be equal to batch_size, but got 1 (batch_size=2)",
        ),
        (
            &[3, 2, 4],
            false,
            &[1, 2, 3],
            "Expected `len(lengths)` to be equal to batch_size, but got 3 (batch_size=2)",
        ),
        (
            &[3, 2, 4],
            true,
            &[1, 2],
            "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)",
        ),
        (&[3, 2, 4], false, &[3, 4], "lengths[1] is 4, but the input has 3 time steps"),
        (&[3, 2, 4], true, &[2, 3, 1], "lengths[1] is 3, but the input has 2 time steps"),
        (&[3], false, &[1], "padded sequences have at least two axes, but got a 1D tensor"),
        (&[], false, &[], "padded sequences have at least two axes, but got a 0D tensor"),
    ] {
        let refused =
            unpad_sequence(&zeros(shape), lengths, batch_first).map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err(want.to_owned()),
            "{shape:?} with {lengths:?}, batch_first {batch_first}"
        );
    }
}

/// A padded batch, run with its lengths and taken apart, is each sequence run alone.
#[test]
fn a_padded_batch_runs_as_its_sequences_do_alone() {
    for batch_first in [false, true] {
        let config = Config::lstm(3, 5).bidirectional(true).num_layers(2).batch_first(batch_first);
        let rnn = Params::init(&config, 0)
            .and_then(|params| Rnn::new(&Device::cpu(), &params))
            .expect("a model");
        let sequences = [4, 1, 6, 2].map(|length| seeded::tensor(length as u64, &[length, 3], 1.0));
        let (input, lengths) =
            pad_sequence(&sequences, batch_first).expect("sequences of three features");
        let (output, _) = rnn.forward_lengths(&input, &lengths, None).expect("a forward pass");
        let outputs =
            unpad_sequence(&output, &lengths, batch_first).expect("as many lengths as rows");
        assert_eq!(outputs.len(), sequences.len(), "one output for each sequence");
        for (got, sequence) in outputs.iter().zip(&sequences) {
            let (want, _) = rnn.forward(sequence, None).expect("a forward pass of [T, I]");
            assert_eq!(got.shape(), want.shape(), "a sequence of {:?}", sequence.shape());
            let error =
                got.data().iter().zip(want.data()).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
            assert!(error <= 1e-6, "a sequence of {:?} is off by {error:e}", sequence.shape());
        }
    }
}

proptest! {
    #[test]
    fn taking_apart_undoes_padding(
        lengths in prop::collection::vec(0_usize..7, 1..6),
        features in prop::collection::vec(0_usize..4, 0..3),
        batch_first: bool,
        seed: u64,
    ) {
        let sequences: Vec<Tensor> = lengths
            .iter()
            .enumerate()
            .map(|(i, &length)| {
                seeded::tensor(seed ^ i as u64, &[&[length], &features[..]].concat(), 1.0)
            })
            .collect();
        let (padded, found) = pad_sequence(&sequences, batch_first).expect("equal features");
        prop_assert_eq!(&found, &lengths);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let leading = if batch_first { [lengths.len(), longest] } else { [longest, lengths.len()] };
        prop_assert_eq!(padded.shape(), [&leading, &features[..]].concat());
        // What lies beyond the ends is 0, and there is nothing else that the sequences do not have.
        let nonzero = |tensor: &Tensor| tensor.data().iter().filter(|&&v| v != 0.0).count();
        prop_assert_eq!(nonzero(&padded), sequences.iter().map(nonzero).sum::<usize>());
        let apart = unpad_sequence(&padded, &found, batch_first).expect("its own lengths");
        prop_assert_eq!(apart, sequences);
    }
}

/// Large tensors are copied by all cores, small ones by one.
#[test]
fn a_large_batch_is_its_parts() {
    let (seq_len, batch, part) = (70, 300, 75);
    for (input_size, hidden_size, bidirectional, batch_first) in [
        (3, 8, true, false),
        (3, 8, true, true),
        (4, 14, false, false),
        (14, 14, false, true),
        (14, 16, false, false),
    ] {
        let config = Config::lstm(input_size, hidden_size)
            .bidirectional(bidirectional)
            .batch_first(batch_first);
        let params = Params::init(&config, 1).expect("a small network");
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small network");
        let value = |t: usize, b: usize, i: usize| ((t * 31 + b * 7 + i * 3) % 23) as f32 / 23.0;
        let of_rows = |rows: std::ops::Range<usize>| {
            let at = |t, b| (0..input_size).map(move |i| value(t, b, i));
            let (steps, count) = (0..seq_len, rows.len());
            if batch_first {
                let values = rows.flat_map(|b| steps.clone().flat_map(move |t| at(t, b)));
                tensor(&[count, seq_len, input_size], &values.collect::<Vec<_>>())
            } else {
                let values = steps.flat_map(|t| rows.clone().flat_map(move |b| at(t, b)));
                tensor(&[seq_len, count, input_size], &values.collect::<Vec<_>>())
            }
        };
        let width = config.output_size();
        assert!(seq_len * batch * width >= 1 << 18 && seq_len * part * width < 1 << 18, "sizes");
        let (whole, state) = rnn.forward(&of_rows(0..batch), None).expect("it runs");
        for start in (0..batch).step_by(part) {
            let (of_part, part_state) =
                rnn.forward(&of_rows(start..start + part), None).expect("it runs");
            for (t, b) in (0..seq_len).flat_map(|t| (0..part).map(move |b| (t, b))) {
                let place = |batch, b| if batch_first { b * seq_len + t } else { t * batch + b };
                let row =
                    |output: &Tensor, at: usize| output.data()[at * width..][..width].to_vec();
                let got = row(&whole, place(batch, start + b));
                assert_eq!(got, row(&of_part, place(part, b)), "{config:?}: step {t}, row {b}");
            }
            let directions = config.num_directions();
            for (d, b) in (0..directions).flat_map(|d| (0..part).map(move |b| (d, b))) {
                let row =
                    |h: &Tensor, at: usize| h.data()[at * hidden_size..][..hidden_size].to_vec();
                let got = row(&state.h, d * batch + start + b);
                assert_eq!(got, row(&part_state.h, d * part + b), "{config:?}: row {b}");
            }
        }
    }
}
