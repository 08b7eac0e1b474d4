//! The state of layers in a plan's buffers, and the copies that carry it from run to run.

use super::{GenerationPlan, LanguageModelPlan, Plan};
use crate::params::config::Config;
use crate::plan::recording::{BufferId, CopyPair, Recording};
use crate::tensor::padded;

/// One row of a layer's h or c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateRow {
    /// Values of the row.
    pub features: usize,
    /// Values from one row to the next in a plan's buffer.
    pub stride: usize,
}

impl StateRow {
    /// Returns a row of h: R values, padded to quads.
    pub const fn h(config: &Config) -> Self {
        Self { features: config.state_size(), stride: padded(config.state_size()) }
    }

    /// Returns a row of c: H values.
    pub const fn c(config: &Config) -> Self {
        Self { features: config.hidden_size, stride: config.hidden_size }
    }
}

/// A state that runs carry: h or c of a layer, with a row for each batch row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The buffer that a run reads first: `[B, W]`.
    pub read: BufferId,
    /// The buffer that has the state after a run, of the same shape; it may be the same buffer.
    pub written: BufferId,
    /// Values W of a row.
    pub width: usize,
}

impl Plan {
    /// Returns the copies of the state from the buffers that a run of this plan writes last to the
    /// buffers that its next run reads. Kernels update c in place, so c goes to itself.
    pub fn carried(&self) -> Vec<CopyPair> {
        self.carried_rows().iter().map(|state| (state.written, state.read)).collect()
    }

    /// Returns the states that runs carry, with the values of a batch row: h and, in an LSTM, c of
    /// each layer.
    pub(super) fn carried_rows(&self) -> Vec<Carried> {
        let of_layer = |(layer, ids): (usize, &super::LayerState)| {
            std::iter::once((ids.h[0], self.final_h(layer))).chain(ids.c.map(|c| (c, c)))
        };
        let states = self.states.iter().enumerate().flat_map(of_layer);
        let width = |id| self.recording.spec(id).len() / self.sizes.batch;
        states.map(|(read, written)| Carried { read, written, width: width(read) }).collect()
    }

    /// Returns the copies from this plan's initial state buffers to those of `next`.
    pub fn carried_to(&self, next: &Self) -> Vec<CopyPair> {
        let both = self.states.iter().zip(&next.states);
        both.flat_map(|(from, to)| std::iter::once((from.h[0], to.h[0])).chain(from.c.zip(to.c)))
            .collect()
    }
}

impl AsRef<Recording> for Plan {
    fn as_ref(&self) -> &Recording {
        &self.recording
    }
}

impl AsRef<Recording> for LanguageModelPlan {
    fn as_ref(&self) -> &Recording {
        &self.layers.recording
    }
}

impl AsRef<Recording> for GenerationPlan {
    fn as_ref(&self) -> &Recording {
        &self.layers.recording
    }
}
