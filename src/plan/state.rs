//! The state of layers in a plan's buffers, and the copies that carry it from run to run.

use super::{GenerationPlan, LanguageModelPlan, Plan};
use crate::params::config::Config;
use crate::plan::recording::{CopyPair, Recording};
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

impl Plan {
    /// Returns the copies of the state from the buffers that a run of this plan writes last to the
    /// buffers that its next run reads. Kernels update c in place, so c goes to itself.
    pub fn carried(&self) -> Vec<CopyPair> {
        let pairs = |(layer, ids): (usize, &super::LayerState)| {
            std::iter::once((self.final_h(layer), ids.h[0])).chain(ids.c.map(|c| (c, c)))
        };
        self.states.iter().enumerate().flat_map(pairs).collect()
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
