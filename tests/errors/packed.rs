//! Rows of different length: where this crate differs from `pack_padded_sequence` on purpose.

use wgpu_rnn::internals::reference;
use wgpu_rnn::{Device, Error, Params, Rnn};

use crate::seeded;
use crate::situations::{INPUT, MODULES, two_layers};

/// Lengths, and what is said to them.
pub struct Difference {
    /// As the conformance data has it, without the module.
    pub what: &'static str,
    /// PyTorch's message; `None` where PyTorch accepts.
    pub pytorch: Option<&'static str>,
    /// Lengths of the kind in question, for an input of 6 steps and 4 rows.
    pub lengths: &'static [usize],
    /// This crate's message; `None` where it computes.
    pub ours: Option<&'static str>,
    /// Why it differs.
    pub why: &'static str,
}

pub const DIFFERENCES: [Difference; 4] = [
    Difference {
        what: "packed length 0",
        pytorch: Some(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' \
             that is <= 0",
        ),
        lengths: &[6, 3, 0, 1],
        ours: None,
        why: "a row without steps keeps its initial state",
    },
    Difference {
        what: "packed unsorted with enforce_sorted",
        pytorch: Some(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. \
             You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to \
             sidestep this requirement if you do not need ONNX exportability.",
        ),
        lengths: &[1, 6, 2, 4],
        ours: None,
        why: "no order is needed",
    },
    Difference {
        what: "packed length > T",
        pytorch: Some("start (12) + length (1) exceeds dimension size (12)."),
        lengths: &[7, 3, 2, 1],
        ours: Some("lengths[0] is 7, but the input has 6 time steps"),
        why: "PyTorch notices by accident, and not always",
    },
    Difference {
        what: "packed wrong number of lengths",
        pytorch: None,
        lengths: &[6, 3, 2],
        ours: Some("Expected `len(lengths)` to be equal to batch_size, but got 3 (batch_size=4)"),
        why: "PyTorch leaves out the rows that have no length",
    },
];

/// What is computed is the definition's.
pub fn lengths_are_taken_as_the_list_of_differences_says() {
    for kind in MODULES {
        let params = Params::init(&two_layers(kind), 0).expect("valid sizes");
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small model");
        let input = seeded::tensor(4, &INPUT, 1.0);
        for Difference { what, lengths, ours, why, .. } in &DIFFERENCES {
            let got: Result<_, Error> = rnn.forward_lengths(&input, lengths, None);
            match (got, ours) {
                (Ok((output, last)), None) => {
                    let want = reference::forward(
                        &params,
                        INPUT[0],
                        INPUT[1],
                        input.data(),
                        None,
                        None,
                        Some(lengths),
                    );
                    for (name, got, want) in
                        [("output", &output, &want.output), ("h_n", &last.h, &want.h_n)]
                    {
                        assert_eq!(got.data().len(), want.len(), "{kind} {what}: {name}");
                        let error =
                            got.data().iter().zip(want).map(|(&g, w)| (f64::from(g) - w).abs());
                        assert!(error.fold(0.0, f64::max) < 2e-6, "{kind} {what} ({why}): {name}");
                    }
                }
                (got, ours) => {
                    let message = got.map(drop).map_err(|error| error.to_string());
                    assert_eq!(
                        message,
                        ours.map_or(Ok(()), |ours| Err(ours.to_owned())),
                        "{kind} {what} ({why})"
                    );
                }
            }
        }
    }
}
