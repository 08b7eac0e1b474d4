//! `nn.Conv1d`: its constructor arguments, which no state dict holds, and the lengths that follow.

use crate::error::{Error, Result};

/// The values before the first and after the last position of a convolution's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The input, mirrored at its ends.
    Reflect,
    /// The value at the end.
    Replicate,
    /// The values from the other end.
    Circular,
}

/// The constructor arguments of an `nn.Conv1d`, under PyTorch's names and with its defaults. The
/// weight holds the channels and the size of the kernel.
///
/// ```
/// use wgpu_rnn::network::Conv1d;
/// let strided = Conv1d::new().stride(2).padding(1);
/// let causal = Conv1d::new().dilation(4).causal(); // for streams
/// assert_ne!(strided, causal);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Conv1d {
    pub(crate) stride: usize,
    pub(crate) padding: Padding,
    pub(crate) padding_mode: PaddingMode,
    pub(crate) dilation: usize,
    pub(crate) groups: usize,
}

/// The positions that a convolution adds to its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Before and after the input.
    Sides([usize; 2]),
    /// As many as keep the length; the odd one comes after the input.
    Same,
    /// Before the input, so that no output reads a later position.
    Causal,
}

impl Default for Conv1d {
    fn default() -> Self {
        Self::new()
    }
}

impl Conv1d {
    /// Creates arguments with PyTorch's defaults: stride 1, no padding, dilation 1, one group.
    pub fn new() -> Self {
        Self {
            stride: 1,
            padding: Padding::Sides([0; 2]),
            padding_mode: PaddingMode::Zeros,
            dilation: 1,
            groups: 1,
        }
    }

    /// Sets the positions from one output to the next.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the positions added on both sides.
    pub fn padding(self, padding: usize) -> Self {
        self.padding_sides(padding, padding)
    }

    /// Sets the positions added before and after the input, as `nn.functional.pad` before the
    /// convolution does.
    pub fn padding_sides(mut self, before: usize, after: usize) -> Self {
        self.padding = Padding::Sides([before, after]);
        self
    }

    /// Adds as many positions as keep the length: PyTorch's `padding="same"`.
    pub fn same(mut self) -> Self {
        self.padding = Padding::Same;
        self
    }

    /// Adds `dilation · (kernel_size − 1)` zeros before the input, so that no output depends on a
    /// later step. A stream keeps these steps from call to call.
    pub fn causal(mut self) -> Self {
        self.padding = Padding::Causal;
        self
    }

    /// Sets the values of added positions.
    pub fn padding_mode(mut self, mode: PaddingMode) -> Self {
        self.padding_mode = mode;
        self
    }

    /// Sets the positions from one tap to the next.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// Sets the groups of channels, which don't see each other.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Checks the arguments that do not depend on sizes.
    ///
    /// # Errors
    /// [`Error::Config`] in PyTorch's words.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::Config(message.to_owned()));
        if self.groups == 0 {
            return refuse("groups must be a positive integer");
        }
        if self.stride == 0 {
            return refuse("non-positive stride is not supported");
        }
        if self.dilation == 0 {
            return refuse("dilation should be greater than zero");
        }
        if self.padding == Padding::Same && self.stride != 1 {
            return refuse("padding='same' is not supported for strided convolutions");
        }
        if self.padding == Padding::Causal && self.padding_mode != PaddingMode::Zeros {
            return refuse("a causal convolution begins with zeros; it has no other padding_mode");
        }
        Ok(())
    }

    /// Returns the positions from the first to the last tap of a kernel.
    pub(crate) fn reach(&self, kernel: usize) -> usize {
        self.dilation.saturating_mul(kernel - 1)
    }

    /// Returns the positions added before and after the input.
    pub(crate) fn sides(&self, kernel: usize) -> [usize; 2] {
        let reach = self.reach(kernel);
        match self.padding {
            Padding::Sides(sides) => sides,
            Padding::Same => [reach / 2, reach - reach / 2],
            Padding::Causal => [reach, 0],
        }
    }

    /// Returns whether no output depends on a later position, or on positions before the first one
    /// that a stream does not keep.
    pub(crate) fn streams(&self, kernel: usize) -> bool {
        self.padding == Padding::Causal || (self.reach(kernel) == 0 && self.sides(kernel) == [0; 2])
    }

    /// Returns the positions of the output of `length` positions.
    ///
    /// # Errors
    /// [`Error::Shape`] in PyTorch's words when the input is too short.
    pub(crate) fn output_length(&self, length: usize, kernel: usize) -> Result<usize> {
        let [before, after] = self.sides(kernel);
        let most = before.max(after);
        let refuse = |message: String| Err(Error::Shape(message));
        match self.padding_mode {
            PaddingMode::Reflect if most >= length && most > 0 => {
                return refuse(format!(
                    "Padding size should be less than the corresponding input dimension, but got: \
                     padding ({before}, {after}) of an input of {length} positions"
                ));
            }
            PaddingMode::Circular if most > length => {
                return refuse(format!(
                    "Padding value causes wrapping around more than once: padding ({before}, \
                     {after}) of an input of {length} positions"
                ));
            }
            _ => {}
        }
        let padded = length.saturating_add(before).saturating_add(after);
        let window = self.reach(kernel).saturating_add(1);
        if u32::try_from(padded.max(self.stride)).is_err() {
            return refuse(format!(
                "Conv1d: {padded} positions, padding included, and a stride of {}; kernels count \
                 to 2^32 - 1",
                self.stride
            ));
        }
        if length == 0 || padded < window {
            return refuse(format!(
                "Calculated padded input size per channel: ({padded}). Kernel size: ({window}). \
                 Kernel size can't be greater than actual input size"
            ));
        }
        Ok((padded - window) / self.stride + 1)
    }
}
