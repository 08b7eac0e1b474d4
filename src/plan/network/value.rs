//! The values of a network in a plan's buffers.

use crate::params::network::StepShape;
use crate::plan::recording::BufferId;
use crate::tensor::padded;

/// A value of a network: its buffer and its layout.
///
/// `[F]` values are rows of F for each step and batch row. `[C, L]` values are rows of C for each
/// step, batch row and position, or *flat* rows of C · L for each step and batch row. Rows are
/// padded to quads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// The buffer.
    pub buffer: BufferId,
    /// The shape of a step.
    pub shape: StepShape,
    /// The time steps.
    pub steps: usize,
    /// Whether `[C, L]` is a row of C · L values, channel by channel.
    pub flat: bool,
}

impl Value {
    /// Returns the values of a row.
    pub(crate) fn width(&self) -> usize {
        match self.shape {
            StepShape::Features(features) => features,
            StepShape::Channels([channels, length]) if self.flat => channels * length,
            StepShape::Channels([channels, _]) => channels,
            StepShape::Token => 1,
        }
    }

    /// Returns the values from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        match self.shape {
            StepShape::Token => 1,
            _ => padded(self.width()),
        }
    }

    /// Returns the rows of a step of one batch row.
    pub(crate) fn positions(&self) -> usize {
        match self.shape {
            StepShape::Channels([_, length]) if !self.flat => length,
            _ => 1,
        }
    }

    /// Returns the rows of all steps of `batch` rows.
    pub(crate) fn rows(&self, batch: usize) -> usize {
        self.steps * batch * self.positions()
    }
}
