//! Tensors in buffers of the caller, and their checks before anything is recorded.

use crate::error::{Error, Result, tuple};

/// Bytes of a value.
const VALUE: u64 = 4;

/// A tensor of 32-bit values in a buffer of the caller: the buffer, the tensor's offset and its
/// strides.
///
/// It converts from a buffer or from a slice of one (`buffer.slice(256..)`). A tensor must not
/// leave its slice. The buffer needs the usage `STORAGE` and no other.
///
/// ```
/// # use wgpu_rnn::wgpu;
/// # fn strided(buffer: &wgpu::Buffer) -> wgpu_rnn::pass::TensorBinding<'_> {
/// use wgpu_rnn::pass::TensorBinding;
/// // Rows of 80 features, of which every record of 96 values holds one: [100, 8, 80].
/// TensorBinding::from(buffer.slice(4096..)).strides([8 * 96, 96, 1])
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TensorBinding<'a> {
    pub(super) buffer: &'a wgpu::Buffer,
    offset: u64,
    end: u64,
    strides: Option<[usize; 3]>,
}

impl TensorBinding<'_> {
    /// Sets the distance from one index to the next along each axis, in values, as PyTorch's
    /// `Tensor.stride()` gives it.
    ///
    /// Features are adjacent: the last stride is 1. Without strides the tensor is contiguous.
    /// Values of a tensor that is read may overlap, as in the windows of a signal. Values of a
    /// written tensor may not.
    #[must_use]
    pub const fn strides(mut self, strides: [usize; 3]) -> Self {
        self.strides = Some(strides);
        self
    }
}

impl<'a> From<&'a wgpu::Buffer> for TensorBinding<'a> {
    fn from(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, end: buffer.size(), strides: None }
    }
}

impl<'a> From<wgpu::BufferSlice<'a>> for TensorBinding<'a> {
    fn from(slice: wgpu::BufferSlice<'a>) -> Self {
        let (offset, size) = (slice.offset(), slice.size());
        Self { buffer: slice.buffer(), offset, end: offset + size, strides: None }
    }
}

/// The requirements for a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The tensor's name in messages.
    pub name: &'static str,
    /// The tensor's shape in PyTorch.
    pub shape: [usize; 3],
    /// Whether the pass writes the tensor.
    pub written: bool,
}

/// The device's limits for a binding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// `max_storage_buffer_binding_size`.
    pub size: u64,
    /// `min_storage_buffer_offset_alignment`.
    pub alignment: u64,
}

/// A tensor that has passed the checks.
#[derive(Debug, Clone)]
pub(super) struct Placed<'a> {
    /// The tensor's name in messages.
    pub name: &'static str,
    /// The range to bind, from an aligned offset at or before the tensor to its end.
    pub binding: wgpu::BufferBinding<'a>,
    /// The index of the first value in the binding.
    pub first: u32,
    /// The strides of the two outer axes, in values; 0 along an axis of one index.
    pub strides: [u32; 2],
    /// The bytes in the buffer, from the first value to the last.
    pub bytes: std::ops::Range<u64>,
}

impl Placed<'_> {
    /// Returns whether the byte ranges of two tensors, from first to last value, overlap.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.binding.buffer == other.binding.buffer
            && self.bytes.start < other.bytes.end
            && other.bytes.start < self.bytes.end
    }
}

/// Checks a tensor against its requirements and the device's limits.
///
/// # Errors
/// Each names the tensor, the expected and the found value: [`Error::Shape`] for sizes and strides,
/// [`Error::Option`] for a usage or an offset, [`Error::Limit`] for a tensor that the device cannot
/// bind.
pub(super) fn place<'a>(
    tensor: TensorBinding<'a>,
    expected: Expected,
    allowed: Allowed,
) -> Result<Placed<'a>> {
    let Expected { name, shape, written } = expected;
    let refuse = |message: String| Err(Error::Shape(format!("{name}: {message}")));
    let usage = tensor.buffer.usage();
    if !usage.contains(wgpu::BufferUsages::STORAGE) {
        return Err(Error::Option(format!(
            "{name}: expected a buffer with the usage STORAGE, got {usage:?}"
        )));
    }
    if !tensor.offset.is_multiple_of(VALUE) {
        return Err(Error::Option(format!(
            "{name}: expected an offset of a multiple of {VALUE} bytes, got {}",
            tensor.offset
        )));
    }
    let [_, inner, features] = shape;
    let strides = tensor.strides.unwrap_or([inner.saturating_mul(features), features, 1]);
    if features > 1 && strides[2] != 1 {
        return refuse(format!(
            "expected features side by side, a last stride of 1, got strides {}",
            tuple(&strides)
        ));
    }
    if written && overlaps_itself(shape, strides) {
        return refuse(format!(
            "expected a separate place for each value of {}, but strides {} put several into one",
            tuple(&shape),
            tuple(&strides)
        ));
    }
    let spans = shape
        .iter()
        .zip(strides)
        .map(|(&size, stride)| (size as u64 - 1).saturating_mul(stride as u64));
    let values = spans.fold(1, u64::saturating_add);
    let end = tensor.offset.saturating_add(values.saturating_mul(VALUE));
    if end > tensor.end {
        return refuse(format!(
            "expected {} with strides {}, which from byte {} on ends at byte {end}, but the \
             buffer or slice ends at {}",
            tuple(&shape),
            tuple(&strides),
            tensor.offset,
            tensor.end
        ));
    }
    let start = tensor.offset / allowed.alignment * allowed.alignment;
    // Kernels count values in 32 bits.
    let most = allowed.size.min(u64::from(u32::MAX));
    if end - start > most {
        return Err(Error::Limit {
            limit: "max_storage_buffer_binding_size",
            what: name.to_owned(),
            needed: end - start,
            allowed: most,
            advice: "use a smaller batch or shorter sequences, or open the device with more",
        });
    }
    // The values fit 32 bits, so their strides do too. An axis of one index may have any stride.
    let stride = |axis: usize| if shape[axis] > 1 { strides[axis] as u32 } else { 0 };
    Ok(Placed {
        name,
        binding: wgpu::BufferBinding {
            buffer: tensor.buffer,
            offset: start,
            size: wgpu::BufferSize::new(end - start),
        },
        first: ((tensor.offset - start) / VALUE) as u32,
        strides: [stride(0), stride(1)],
        bytes: tensor.offset..end,
    })
}

/// Returns whether two values of a tensor may share a place: an axis has a smaller stride than the
/// extent of the axes inside it.
fn overlaps_itself(shape: [usize; 3], strides: [usize; 3]) -> bool {
    let mut axes: Vec<(usize, usize)> =
        strides.into_iter().zip(shape).filter(|&(_, size)| size > 1).collect();
    axes.sort_unstable();
    let mut length = 1_usize;
    for (stride, size) in axes {
        if stride < length {
            return true;
        }
        length = (size - 1).saturating_mul(stride).saturating_add(length);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::overlaps_itself;

    #[test]
    fn a_tensor_overlaps_itself_where_its_strides_are_too_short() {
        let shape = [7, 2, 3];
        for strides in [[6, 3, 1], [3, 21, 1], [8, 4, 1], [100, 3, 1], [3, 100, 1]] {
            assert!(!overlaps_itself(shape, strides), "{strides:?}");
        }
        for strides in
            [[5, 3, 1], [3, 20, 1], [6, 2, 1], [0, 3, 1], [6, 3, 0], [1, 1, 1], [3, 3, 1]]
        {
            assert!(overlaps_itself(shape, strides), "{strides:?}");
        }
        assert!(!overlaps_itself([7, 1, 3], [3, 0, 1]), "an axis of one index has any stride");
        assert!(!overlaps_itself([1, 1, 1], [0, 0, 0]), "one value");
        assert!(!overlaps_itself([2, 2, 1], [usize::MAX / 2, usize::MAX - 2, 1]), "no overflow");
    }
}
