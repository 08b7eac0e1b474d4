//! Conversions from and to the arrays of the crate `ndarray`.

use ndarray::{Array, ArrayBase, ArrayD, ArrayViewD, Data, Dimension, IxDyn, ShapeError};

use super::{Tensor, TensorView};
use crate::error::{Error, Result};

/// A tensor of an array's values. It copies an array that is not row-major, and no other.
impl<D: Dimension> From<Array<f32, D>> for Tensor {
    fn from(array: Array<f32, D>) -> Self {
        let array = if array.is_standard_layout() {
            array
        } else {
            array.as_standard_layout().into_owned()
        };
        let (shape, count) = (array.shape().to_vec(), array.len());
        // The array may be a part of its vector.
        let (mut data, start) = array.into_raw_vec_and_offset();
        data.truncate(start.unwrap_or(0) + count);
        data.drain(..start.unwrap_or(0));
        Self::trusted(shape, data)
    }
}

/// The values of an array without a copy, which must be row-major.
impl<'a, S: Data<Elem = f32>, D: Dimension> TryFrom<&'a ArrayBase<S, D>> for TensorView<'a> {
    type Error = Error;

    fn try_from(array: &'a ArrayBase<S, D>) -> Result<Self> {
        let data = array.as_slice().ok_or_else(|| {
            Error::Shape(format!(
                "an array of shape {:?} is not row-major; use as_standard_layout()",
                array.shape()
            ))
        })?;
        Ok(Self::trusted(array.shape(), data))
    }
}

/// An array of a tensor's values without a copy. It fails for sizes that only a tensor without
/// elements has, such as `[usize::MAX, 0]`.
impl TryFrom<Tensor> for ArrayD<f32> {
    type Error = Error;

    fn try_from(Tensor { shape, data }: Tensor) -> Result<Self> {
        Self::from_shape_vec(IxDyn(&shape), data).map_err(|error| too_large(&shape, &error))
    }
}

/// A view of a tensor's values. It fails as the conversion of a [`Tensor`] does.
impl<'a> TryFrom<TensorView<'a>> for ArrayViewD<'a, f32> {
    type Error = Error;

    fn try_from(view: TensorView<'a>) -> Result<Self> {
        let shape = view.shape();
        Self::from_shape(IxDyn(shape), view.data()).map_err(|error| too_large(shape, &error))
    }
}

fn too_large(shape: &[usize], error: &ShapeError) -> Error {
    Error::Shape(format!("no array has the shape {shape:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, ArrayD, ArrayViewD, Axis, s};

    use crate::{Tensor, TensorView};

    #[test]
    fn arrays_come_back_as_they_were() {
        let whole = Array3::from_shape_fn((2, 3, 4), |(a, b, c)| (a * 12 + b * 4 + c) as f32);
        let inner = whole.clone().slice_move(s![1.., 1..3, ..]);
        let strided = whole.clone().slice_move(s![.., .., ..;2]);
        let empty = whole.clone().slice_move(s![.., 3.., ..]);
        for array in [whole.clone(), inner, strided, empty, whole.clone().reversed_axes()] {
            let values: Vec<f32> = array.iter().copied().collect();
            let tensor = Tensor::from(array.clone());
            assert_eq!((tensor.shape(), tensor.data()), (array.shape(), values.as_slice()));
            let view = ArrayViewD::try_from(tensor.view()).expect("a small shape");
            assert_eq!(view, array.view().into_dyn());
            assert_eq!(ArrayD::try_from(tensor).expect("a small shape"), array.into_dyn());
        }
    }

    #[test]
    fn views_are_row_major() {
        let array = Array2::from_shape_fn((2, 3), |(a, b)| (a * 3 + b) as f32);
        let view = TensorView::try_from(&array).expect("row-major");
        assert_eq!((view.shape(), view.row(1)), (&[2, 3][..], &[3.0, 4.0, 5.0][..]));
        let row = array.index_axis(Axis(0), 1);
        assert_eq!(TensorView::try_from(&row).expect("one row").data(), [3.0, 4.0, 5.0]);
        let error = TensorView::try_from(&array.t()).expect_err("column-major").to_string();
        assert!(error.contains("as_standard_layout"), "{error}");
    }

    #[test]
    fn sizes_beyond_arrays_are_refused() {
        let none = Tensor::zeros([usize::MAX, 0]).expect("no elements");
        ArrayViewD::try_from(none.view()).expect_err("too large for an array");
        ArrayD::try_from(none).expect_err("too large for an array");
    }
}
