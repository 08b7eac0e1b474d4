//! Padding: sequences of different lengths to one tensor, and back.

use crate::error::{Error, Result};
use crate::params::validate::{self, Checked, Sizes};
use crate::tensor::{Tensor, element_count, reserved};

/// Pads sequences of different lengths with zeros at their ends to one tensor.
///
/// Does what `torch.nn.utils.rnn.pad_sequence` does, and returns each sequence's length too. Each
/// of the B sequences is `[length, ..]`, with the same sizes after the first. The result is
/// `[T, B, ..]`, or `[B, T, ..]` with `batch_first`; T is the greatest length.
/// [`Rnn::forward_lengths`](crate::Rnn::forward_lengths) takes both results, and [`unpad_sequence`]
/// splits its output:
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, Tensor, pad_sequence, unpad_sequence};
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(3, 4).bidirectional(true), 0)?)?;
/// let sequences = [Tensor::zeros([2, 3])?, Tensor::zeros([5, 3])?]; // [length, I]
/// let (input, lengths) = pad_sequence(&sequences, false)?;
/// assert_eq!((input.shape(), lengths.as_slice()), (&[5, 2, 3][..], &[2, 5][..]));
/// let (output, _) = gru.forward_lengths(&input, &lengths, None)?;
/// let outputs = unpad_sequence(&output, &lengths, false)?; // [length, D·H] each
/// assert_eq!(outputs[0].shape(), [2, 8]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] when there are no sequences or their sizes differ beyond the first axis. Unlike
/// in PyTorch, a size of 1 is not broadcast.
pub fn pad_sequence(sequences: &[Tensor], batch_first: bool) -> Result<(Tensor, Vec<usize>)> {
    let refuse = |message: String| Err(Error::Shape(message));
    let Some(first) = sequences.first() else {
        return refuse("received an empty list of sequences".to_owned());
    };
    let mut lengths = reserved(sequences.len(), "lengths")?;
    for (i, sequence) in sequences.iter().enumerate() {
        let (shape, want) = (sequence.shape(), first.shape());
        let Some(&length) = shape.first() else {
            return refuse(format!("sequences[{i}] has no axis of time steps: it is 0D"));
        };
        if shape.len() != want.len() {
            return refuse(format!(
                "sequences[{i}] is {}D, but sequences[0] is {}D",
                shape.len(),
                want.len()
            ));
        }
        // PyTorch compares from the last axis on.
        if let Some(axis) = (1..shape.len()).rev().find(|&axis| shape[axis] != want[axis]) {
            return refuse(format!(
                "The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton \
                 dimension {axis}: sequences[0] is {want:?}, sequences[{i}] is {shape:?}",
                want[axis], shape[axis]
            ));
        }
        lengths.push(length);
    }
    let (seq_len, batch) = (lengths.iter().copied().max().unwrap_or(0), sequences.len());
    let features = &first.shape()[1..];
    let leading = if batch_first { [batch, seq_len] } else { [seq_len, batch] };
    let mut padded = Tensor::zeros([&leading, features].concat())?;
    let width = width(features);
    for (row, (sequence, &length)) in sequences.iter().zip(&lengths).enumerate() {
        for t in 0..with_values(length, width) {
            let to = place(batch_first, (t, seq_len), (row, batch)) * width;
            padded.data_mut()[to..to + width]
                .copy_from_slice(&sequence.data()[t * width..(t + 1) * width]);
        }
    }
    Ok((padded, lengths))
}

/// Splits padded sequences: the reverse of [`pad_sequence`].
///
/// Does what `torch.nn.utils.rnn.unpad_sequence` does. `padded` is `[T, B, ..]`, or `[B, T, ..]`
/// with `batch_first`. Row b becomes a tensor `[lengths[b], ..]`.
///
/// # Errors
/// [`Error::Shape`] when `padded` has fewer than two axes, when the number of lengths differs from
/// the number of rows, or when a length exceeds T. PyTorch drops rows without a length and clips
/// lengths to T instead.
pub fn unpad_sequence(
    padded: &Tensor,
    lengths: &[usize],
    batch_first: bool,
) -> Result<Vec<Tensor>> {
    let &[outer, inner, ref features @ ..] = padded.shape() else {
        return Err(Error::Shape(format!(
            "padded sequences have at least two axes, but got a {}D tensor",
            padded.shape().len()
        )));
    };
    let (seq_len, batch) = if batch_first { (inner, outer) } else { (outer, inner) };
    validate::lengths(lengths, Checked { sizes: Sizes { seq_len, batch }, unbatched: false })?;
    let width = width(features);
    let row = |(row, &length): (usize, &usize)| {
        let steps = 0..with_values(length, width);
        let starts = steps.map(|t| place(batch_first, (t, seq_len), (row, batch)) * width);
        let mut values = reserved(with_values(length, width) * width, "a sequence")?;
        starts.for_each(|start| values.extend_from_slice(&padded.data()[start..start + width]));
        Tensor::new([&[length], features].concat(), values)
    };
    lengths.iter().enumerate().map(row).collect()
}

/// Returns the values of one time step of one row. If their number overflows, the tensor has no
/// steps or no rows.
fn width(features: &[usize]) -> usize {
    element_count(features).unwrap_or(0)
}

/// Returns the number of steps whose values are copied. Steps without values have no bound.
fn with_values(length: usize, width: usize) -> usize {
    if width == 0 { 0 } else { length }
}

/// Returns the index of (t of T, b of B) among all (step, row) pairs.
fn place(batch_first: bool, (t, seq_len): (usize, usize), (row, batch): (usize, usize)) -> usize {
    if batch_first { row * seq_len + t } else { t * batch + row }
}
