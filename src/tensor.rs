//! Host tensors: a shape and its `f32` values in row-major order.

#[cfg(feature = "ndarray")]
mod arrays;
mod memory;
mod state;
mod view;

use std::ops::Range;

use crate::error::{Error, Result};

pub use memory::copied;
pub(crate) use memory::{Growth, grow, reserved, room, room_to_parse, zeroed};
pub use state::State;
pub use view::TensorView;

/// A dense row-major tensor of `f32` on the host.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::Tensor;
/// let x = Tensor::new([2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// assert_eq!(x.shape(), [2, 3]);
/// assert_eq!(x.row(1), [3.0, 4.0, 5.0]);
/// assert_eq!(x, Tensor::from_fn([2, 3], |at| (3 * at[0] + at[1]) as f32)?);
/// assert_eq!(x.rows().map(|row| row.iter().sum()).collect::<Vec<f32>>(), [3.0, 12.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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

/// Checks that `found` values fill a shape.
///
/// # Errors
/// [`Error::TensorSize`] when they do not.
fn fill(shape: &[usize], found: usize) -> Result<()> {
    match element_count(shape) {
        Some(expected) if expected == found => Ok(()),
        expected => Err(Error::TensorSize {
            shape: shape.to_vec(),
            expected: expected.unwrap_or(usize::MAX),
            found,
        }),
    }
}

impl Tensor {
    /// Creates a tensor of `shape` over `data`, row-major.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the numbers of elements of `data` and `shape` differ.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        fill(&shape, data.len())?;
        Ok(Self { shape, data })
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

    /// Creates a tensor from a function of each element's index, which has one number an axis. The
    /// last axis is the fastest.
    ///
    /// # Errors
    /// The errors of [`zeros`](Self::zeros).
    pub fn from_fn(
        shape: impl Into<Vec<usize>>,
        mut value: impl FnMut(&[usize]) -> f32,
    ) -> Result<Self> {
        let mut tensor = Self::zeros(shape)?;
        let mut index = vec![0; tensor.shape.len()];
        for element in &mut tensor.data {
            *element = value(&index);
            for (at, &size) in index.iter_mut().zip(&tensor.shape).rev() {
                *at += 1;
                if *at < size {
                    break;
                }
                *at = 0;
            }
        }
        Ok(tensor)
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

    /// Returns the tensor as a borrowed one.
    pub fn view(&self) -> TensorView<'_> {
        TensorView::trusted(&self.shape, &self.data)
    }

    /// Returns row `index`: a run of the last axis, counted over all leading axes.
    ///
    /// # Panics
    /// When `index` is past the last row, as slice indexing does.
    pub fn row(&self, index: usize) -> &[f32] {
        self.view().row(index)
    }

    /// Iterates over the rows: the runs of the last axis, over all leading axes.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[f32]> + ExactSizeIterator {
        self.view().rows()
    }

    /// Returns some rows, counted over all leading axes, each padded with zeros to whole quads for
    /// kernels.
    pub(crate) fn padded_rows(&self, rows: Range<usize>) -> Vec<f32> {
        self.view().padded_rows(rows)
    }

    /// Returns the largest absolute difference of two elements at the same place; 0 for tensors
    /// without elements. Equal infinities have no difference. A NaN in either tensor gives NaN.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes differ.
    pub fn max_abs_diff(&self, other: &Self) -> Result<f32> {
        if self.shape != other.shape {
            return Err(Error::Shape(format!(
                "tensors of the shapes {:?} and {:?} have no difference",
                self.shape, other.shape
            )));
        }
        let differences = self.data.iter().zip(&other.data);
        let differences = differences.map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
        Ok(differences.fold(0.0, |a: f32, b| if a.is_nan() || a > b { a } else { b }))
    }

    /// Returns the same values under another shape.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the element counts differ.
    pub fn reshaped(self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(shape, self.data)
    }
}

/// A vector: one axis over the values.
impl From<Vec<f32>> for Tensor {
    fn from(data: Vec<f32>) -> Self {
        Self { shape: vec![data.len()], data }
    }
}

/// [`Tensor::new`] of a shape and values.
impl<S: Into<Vec<usize>>> TryFrom<(S, Vec<f32>)> for Tensor {
    type Error = Error;

    fn try_from((shape, data): (S, Vec<f32>)) -> Result<Self> {
        Self::new(shape, data)
    }
}

impl AsRef<[f32]> for Tensor {
    fn as_ref(&self) -> &[f32] {
        &self.data
    }
}

/// Returns `size` rounded up to a multiple of 4, a whole number of quads.
pub(crate) const fn padded(size: usize) -> usize {
    size.div_ceil(4) * 4
}

#[cfg(test)]
mod tests {
    use super::{State, Tensor, TensorView};

    fn tensor(values: &[f32]) -> Tensor {
        values.to_vec().into()
    }

    #[test]
    fn no_difference_hides() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        let diff = |a: &[f32], b: &[f32]| tensor(a).max_abs_diff(&tensor(b)).expect("one shape");
        assert_eq!(diff(&[], &[]), 0.0, "no elements");
        assert_eq!(diff(&[1.0, -2.0, 3.0], &[1.5, -2.0, 1.0]), 2.0);
        assert_eq!(diff(&[infinity, 1.0], &[infinity, 1.25]), 0.25, "equal infinities");
        assert_eq!(diff(&[infinity, 1.0], &[-infinity, 1.0]), infinity);
        for (a, b) in [([nan, 9.0], [0.0, 0.0]), ([9.0, nan], [0.0, 0.0]), ([nan; 2], [nan; 2])] {
            assert!(diff(&a, &b).is_nan() && diff(&b, &a).is_nan(), "{a:?} {b:?}");
        }
        let error = tensor(&[0.0; 6]).max_abs_diff(&Tensor::zeros([2, 3]).expect("six values"));
        assert_eq!(
            error.expect_err("other shapes").to_string(),
            "tensors of the shapes [6] and [2, 3] have no difference"
        );
    }

    #[test]
    fn elements_have_their_places() {
        let numbered = Tensor::from_fn([2, 3, 2], |at| (at[0] * 6 + at[1] * 2 + at[2]) as f32);
        let numbered = numbered.expect("twelve values");
        assert_eq!(numbered.data(), (0..12).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(numbered.rows().next_back(), Some(&[10.0, 11.0][..]), "the last row");
        assert_eq!(numbered.rows().len(), 6);
        let scalar = Tensor::from_fn([], |at| at.len() as f32 + 7.0).expect("one value");
        assert_eq!((scalar.data(), scalar.rows().len()), (&[7.0][..], 1), "a scalar");
        for shape in [[3, 0], [0, 3], [usize::MAX, 0]] {
            let none = Tensor::from_fn(shape, |_| unreachable!("no elements")).expect("no values");
            assert_eq!(none.rows().len(), shape[0], "{shape:?}");
            assert!(none.rows().take(2).all(<[f32]>::is_empty) || shape[1] > 0, "{shape:?}");
        }
        Tensor::from_fn([usize::MAX, 2], |_| 0.0).expect_err("too many elements");
    }

    #[test]
    fn conversions_check_sizes() {
        let whole = Tensor::try_from(([2, 2], vec![1.0; 4])).expect("four values");
        assert_eq!((whole.shape(), whole.as_ref()), (&[2, 2][..], &[1.0; 4][..]));
        Tensor::try_from((vec![2, 2], vec![1.0; 3])).expect_err("three values");
        assert_eq!(Tensor::from(vec![1.0, 2.0]).shape(), [2], "a vector");
        let view = TensorView::new(&[2, 2], &[1.0; 4]).expect("four values");
        assert_eq!(view, TensorView::from(&whole));
        TensorView::new(&[2, 2], &[1.0; 5]).expect_err("five values");
        TensorView::new(&[usize::MAX, 2], &[]).expect_err("too many elements");
    }

    #[test]
    fn h_and_c_are_of_one_state() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape).expect("a small shape");
        State::new(zeros(&[2, 3, 4]), Some(zeros(&[2, 3, 5]))).expect("a projected state");
        let wrong = State::new(zeros(&[2, 3, 4]), Some(zeros(&[2, 1, 4]))).expect_err("other rows");
        assert!(wrong.to_string().contains("[2, 3, 4]"), "{wrong}");
        let (h, lstm) =
            (State::from(zeros(&[1, 2])), State::new(zeros(&[1, 2]), Some(zeros(&[1, 2]))));
        let mut lstm = lstm.expect("an LSTM's");
        h.max_abs_diff(&lstm).expect_err("one lacks c");
        assert_eq!(lstm.max_abs_diff(&lstm).expect("itself"), 0.0);
        let before = lstm.clone();
        lstm.c.as_mut().expect("c").data_mut()[1] = f32::NAN;
        assert!(before.max_abs_diff(&lstm).expect("both have c").is_nan(), "c counts");
    }
}
