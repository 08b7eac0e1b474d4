//! Host tensors: a shape and its `f32` values in row-major order.

use std::fmt::Display;
use std::ops::Range;

use bytemuck::Zeroable;

use crate::error::{Error, Result};

/// A dense row-major tensor of `f32` on the host.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// let x = wgpu_rnn::Tensor::new([2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// assert_eq!(x.shape(), [2, 3]);
/// assert_eq!(x.row(1), [3.0, 4.0, 5.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// Returns the number of elements of a shape, or `None` where the product overflows. A size of 0
/// leaves no elements, however large the other sizes are.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
}

/// The size in bytes from which an allocation is large. Smaller ones are in the allocator's own
/// memory, or follow from no input.
const LARGE: usize = 1 << 20;

/// The bytes that a large allocation leaves free. Small allocations abort the process when they
/// fail, so the large ones fail first.
const SPARE: usize = 8 << 20;

/// Returns whether the host's memory still holds [`SPARE`] bytes after `count` more values.
fn leaves_spare<T>(count: usize) -> bool {
    count.saturating_mul(size_of::<T>()) < LARGE
        || Vec::<u8>::new().try_reserve_exact(SPARE).is_ok()
}

/// Returns an empty vector with room for `count` values. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn reserved<T>(count: usize, what: impl Display) -> Result<Vec<T>> {
    let mut values = Vec::new();
    if values.try_reserve_exact(count).is_err() || !leaves_spare::<T>(count) {
        return Err(exhausted::<T>(count, what));
    }
    Ok(values)
}

/// Makes room for `count` more values, and for later ones. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn grow<T>(values: &mut Vec<T>, count: usize, what: impl Display) -> Result<()> {
    let before = values.capacity();
    let grown = values.try_reserve(count).is_ok();
    if grown && (values.capacity() == before || leaves_spare::<T>(values.capacity())) {
        return Ok(());
    }
    Err(exhausted::<T>(values.len().saturating_add(count), what))
}

/// Returns `count` zeros. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn zeroed<T: Zeroable>(count: usize, what: impl Display) -> Result<Vec<T>> {
    match bytemuck::allocation::try_zeroed_vec(count) {
        Ok(values) if leaves_spare::<T>(count) => Ok(values),
        _ => Err(exhausted::<T>(count, what)),
    }
}

/// Returns a copy of values. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub fn copied<T: Copy>(values: &[T], what: impl Display) -> Result<Vec<T>> {
    let mut copy = reserved(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Checks that the host's memory holds `count` more values, before work that allocates as many at
/// most. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn room(count: usize, what: impl Display) -> Result<()> {
    if count < LARGE / size_of::<f32>() {
        return Ok(());
    }
    reserved::<f32>(count, what).map(drop)
}

/// Checks that the host's memory holds the values that a text of many names is parsed to: JSON, or
/// a token on each line. Each of them has its own small allocations. `what` names the text.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn room_to_parse(text: &[u8], what: impl Display) -> Result<()> {
    // Maps and lists hold up to 256 bytes for each name, besides four copies of its text. A tensor
    // has four names in a header, and takes up to 1,200 bytes.
    let count = |separator| text.iter().filter(|&&byte| byte == separator).count();
    let names = [b':', b',', b'\n'].map(count).into_iter().max().unwrap_or(0);
    room(names.saturating_mul(64).saturating_add(text.len()), what)
}

/// The memory of work that allocates little by little.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// The bytes up to which there is room.
    checked: usize,
}

impl Growth {
    /// Says that the work has taken `bytes` bytes at most. Whenever they have doubled, it checks
    /// that the host's memory holds as many again. `what` names them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the host's memory does not hold them.
    pub fn reaches(&mut self, bytes: usize, what: impl Display) -> Result<()> {
        if bytes <= self.checked {
            return Ok(());
        }
        self.checked = bytes.saturating_mul(2);
        room(bytes / size_of::<f32>(), what)
    }
}

fn exhausted<T>(count: usize, what: impl Display) -> Error {
    let bytes = count.saturating_mul(size_of::<T>());
    Error::OutOfMemory {
        adapter: "host".to_owned(),
        doing: format!("allocating {bytes} bytes for {what}"),
    }
}

impl Tensor {
    /// Creates a tensor of `shape` over `data`, row-major.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the numbers of elements of `data` and `shape` differ.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        match element_count(&shape) {
            Some(expected) if expected == data.len() => Ok(Self { shape, data }),
            expected => Err(Error::TensorSize {
                shape,
                expected: expected.unwrap_or(usize::MAX),
                found: data.len(),
            }),
        }
    }

    /// Creates a tensor of zeros.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the product of the sizes overflows; [`Error::OutOfMemory`] when
    /// the host's memory does not hold the values.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        match element_count(&shape) {
            Some(count) => Ok(Self { data: zeroed(count, "a tensor")?, shape }),
            None => Err(Error::TensorSize { shape, expected: usize::MAX, found: 0 }),
        }
    }

    /// Creates a tensor without checks, for a shape that the crate computed and data that fill it.
    pub(crate) fn trusted(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        debug_assert_eq!(element_count(&shape), Some(data.len()), "shape and data disagree");
        Self { shape, data }
    }

    /// Returns the size of each axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the values, last axis fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Returns the values, mutable.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Returns the values and consumes the tensor.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Returns row `index`: a run of the last axis, counted over all leading axes.
    ///
    /// # Panics
    /// When `index` is past the last row, as slice indexing does.
    pub fn row(&self, index: usize) -> &[f32] {
        let width = self.shape.last().copied().unwrap_or(1);
        &self.data[index * width..(index + 1) * width]
    }

    /// Returns some rows, counted over all leading axes, each padded with zeros to whole quads for
    /// kernels.
    pub(crate) fn padded_rows(&self, rows: Range<usize>) -> Vec<f32> {
        let width = self.shape.last().copied().unwrap_or(1);
        let mut packed = Vec::with_capacity(rows.len() * padded(width));
        for row in rows {
            packed.extend_from_slice(self.row(row));
            packed.resize(packed.len() + padded(width) - width, 0.0);
        }
        packed
    }

    /// Returns the same values under another shape.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the element counts differ.
    pub fn reshaped(self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(shape, self.data)
    }
}

/// The state of a module: `h`, and `c` for an LSTM.
///
/// Shapes are PyTorch's: `[num_layers·D, B, features]`, never batch first, and without the batch
/// axis for a 2-D input. The first axis has the index `layer · D + direction`.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Hidden state.
    pub h: Tensor,
    /// Cell state of an LSTM.
    pub c: Option<Tensor>,
}

/// Returns `size` rounded up to a multiple of 4, a whole number of quads.
pub(crate) const fn padded(size: usize) -> usize {
    size.div_ceil(4) * 4
}
