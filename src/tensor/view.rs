//! Borrowed tensors.

use std::ops::Range;

use super::{Tensor, element_count, fill, padded};
use crate::error::Result;

/// A tensor over values of the caller, row-major. Every forward call takes one without a copy.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, TensorView};
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(2, 4), 0)?)?;
/// let samples = [0.0_f32, 0.1, 0.2, 0.3, 0.4, 0.5]; // of a microphone
/// let (output, _) = gru.forward(TensorView::new(&[3, 1, 2], &samples)?, None)?;
/// assert_eq!(output.shape(), [3, 1, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorView<'a> {
    shape: &'a [usize],
    data: &'a [f32],
}

impl<'a> TensorView<'a> {
    /// Creates a tensor of `shape` over `data`, row-major.
    ///
    /// # Errors
    /// [`Error::TensorSize`](crate::Error::TensorSize) when the numbers of elements of `data` and
    /// `shape` differ.
    pub fn new(shape: &'a [usize], data: &'a [f32]) -> Result<Self> {
        fill(shape, data.len())?;
        Ok(Self { shape, data })
    }

    /// Creates a tensor without checks, for a shape that the crate computed and data that fill it.
    pub(crate) fn trusted(shape: &'a [usize], data: &'a [f32]) -> Self {
        debug_assert_eq!(element_count(shape), Some(data.len()), "shape and data disagree");
        Self { shape, data }
    }

    /// Returns the size of each axis, outermost first.
    pub fn shape(self) -> &'a [usize] {
        self.shape
    }

    /// Returns the values, last axis fastest.
    pub fn data(self) -> &'a [f32] {
        self.data
    }

    /// Returns the values of each row.
    fn width(self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Returns row `index`: a run of the last axis, counted over all leading axes.
    ///
    /// # Panics
    /// When `index` is past the last row, as slice indexing does.
    pub fn row(self, index: usize) -> &'a [f32] {
        let width = self.width();
        &self.data[index * width..(index + 1) * width]
    }

    /// Iterates over the rows: the runs of the last axis, over all leading axes.
    pub fn rows(self) -> impl DoubleEndedIterator<Item = &'a [f32]> + ExactSizeIterator {
        let leading = self.shape.split_last().map_or(&[][..], |(_, leading)| leading);
        (0..element_count(leading).unwrap_or(usize::MAX)).map(move |index| self.row(index))
    }

    /// Returns some rows, counted over all leading axes, each padded with zeros to whole quads for
    /// kernels.
    pub(crate) fn padded_rows(self, rows: Range<usize>) -> Vec<f32> {
        let width = self.width();
        let mut packed = Vec::with_capacity(rows.len() * padded(width));
        for row in rows {
            packed.extend_from_slice(self.row(row));
            packed.resize(packed.len() + padded(width) - width, 0.0);
        }
        packed
    }
}

impl<'a> From<&'a Tensor> for TensorView<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        tensor.view()
    }
}
