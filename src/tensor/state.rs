//! The state between two calls of a module.

use super::Tensor;
use crate::error::{Error, Result};

/// The state of a module: `h`, and `c` for an LSTM.
///
/// Shapes are PyTorch's: `[num_layers·D, B, features]`, never batch first, and without the batch
/// axis for a 2-D input. The first axis has the index `layer · D + direction`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct State {
    /// Hidden state.
    pub h: Tensor,
    /// Cell state of an LSTM.
    pub c: Option<Tensor>,
}

impl State {
    /// Creates a state of `h` and, for an LSTM, `c`.
    ///
    /// # Errors
    /// [`Error::Shape`] when their axes before the features differ.
    pub fn new(h: Tensor, c: Option<Tensor>) -> Result<Self> {
        let rows = |tensor: &Tensor| tensor.shape().split_last().map(|(_, rows)| rows.to_vec());
        match c {
            Some(c) if rows(&c) != rows(&h) => Err(Error::Shape(format!(
                "h and c of a state have the same axes before their features, but got {:?} and \
                 {:?}",
                h.shape(),
                c.shape()
            ))),
            c => Ok(Self { h, c }),
        }
    }

    /// Returns the largest [absolute difference](Tensor::max_abs_diff) of h and of c.
    ///
    /// # Errors
    /// [`Error::Shape`] when shapes differ, or when one state has c and the other has none.
    pub fn max_abs_diff(&self, other: &Self) -> Result<f32> {
        let h = self.h.max_abs_diff(&other.h)?;
        match (&self.c, &other.c) {
            (None, None) => Ok(h),
            (Some(a), Some(b)) => {
                let c = a.max_abs_diff(b)?;
                Ok(if h.is_nan() || h > c { h } else { c })
            }
            _ => Err(Error::Shape("one state has c, and the other has none".to_owned())),
        }
    }
}

/// The state of a module that has h alone.
impl From<Tensor> for State {
    fn from(h: Tensor) -> Self {
        Self { h, c: None }
    }
}

/// [`State::new`] of h and c.
impl TryFrom<(Tensor, Tensor)> for State {
    type Error = Error;

    fn try_from((h, c): (Tensor, Tensor)) -> Result<Self> {
        Self::new(h, Some(c))
    }
}
