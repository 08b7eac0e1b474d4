//! One tensor of a file.

use std::borrow::Cow;
use std::ops::Range;

use safetensors::Dtype;

use super::bytes::Bytes;
use crate::tensor::element_count;

/// One tensor of a file: shape, element type, and the place of its bytes.
#[derive(Debug, Clone)]
pub struct Entry {
    shape: Vec<usize>,
    dtype: Dtype,
    /// The file that holds it, of those that were read together.
    pub(super) file: usize,
    /// The range of its bytes in the file, from its first element to its last.
    bytes: Range<usize>,
    /// The distance between two neighbours on each axis, in elements; `None` in row-major order.
    strides: Option<Vec<usize>>,
}

impl Entry {
    /// Creates a tensor whose elements are in row-major order.
    pub(super) fn dense(shape: Vec<usize>, dtype: Dtype, bytes: Range<usize>) -> Self {
        Self { shape, dtype, file: 0, bytes, strides: None }
    }

    /// Creates a view of a storage, given as a range of the file.
    ///
    /// # Errors
    /// A message when an element is outside of the storage, or when the view has more elements than
    /// the storage.
    pub(super) fn view(
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        dtype: Dtype,
        storage: &Range<usize>,
    ) -> Result<Self, String> {
        let size = dtype.bitsize() / 8;
        let held = storage.len() / size;
        let outside = || {
            format!(
                "a tensor of shape {shape:?}, strides {strides:?} and offset {offset} does not fit \
                 in its storage of {held} elements"
            )
        };
        if shape.len() != strides.len() {
            return Err(outside());
        }
        let count = element_count(&shape).ok_or_else(outside)?;
        if count == 0 {
            return Ok(Self::dense(shape, dtype, storage.start..storage.start));
        }
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (size, stride)| {
            last.checked_add((size - 1).checked_mul(*stride)?)
        });
        let last = last.filter(|&last| last < held).ok_or_else(outside)?;
        if count > held {
            return Err(format!(
                "a tensor of shape {shape:?} repeats the {held} elements of its storage; save \
                 tensor.contiguous()"
            ));
        }
        let bytes = storage.start + offset * size..storage.start + (last + 1) * size;
        // An axis of one element is never stepped along.
        let mut width = 1;
        let dense = shape.iter().zip(&strides).rev().all(|(&size, &stride)| {
            let next = size == 1 || stride == width;
            width *= size;
            next
        });
        Ok(Self { shape, dtype, file: 0, bytes, strides: (!dense).then_some(strides) })
    }

    /// Returns the size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the element type, as safetensors names it.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns whether the values can be widened to `f32` without loss.
    pub fn is_loadable(&self) -> bool {
        matches!(self.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
    }

    /// Returns the bytes of the elements in row-major order, or `None` where the files end before.
    pub fn bytes<'a>(&self, files: &'a [Bytes]) -> Option<Cow<'a, [u8]>> {
        let bytes = files.get(self.file)?.get(self.bytes.clone())?;
        let Some(strides) = &self.strides else { return Some(Cow::Borrowed(bytes)) };
        let size = self.dtype.bitsize() / 8;
        let count: usize = self.shape.iter().product();
        let mut gathered = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..count {
            gathered.extend_from_slice(bytes.get(at * size..(at + 1) * size)?);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.shape[axis] * strides[axis];
                index[axis] = 0;
            }
        }
        Some(Cow::Owned(gathered))
    }

    /// Returns whether the file has the elements in row-major order, without gaps.
    pub(crate) fn is_dense(&self) -> bool {
        self.strides.is_none()
    }

    /// Returns the number of bytes of the elements.
    pub(crate) fn size(&self) -> usize {
        element_count(&self.shape).unwrap_or(usize::MAX).saturating_mul(self.dtype.bitsize() / 8)
    }
}
