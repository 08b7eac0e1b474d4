//! The options of a measurement.

use std::time::Duration;

use crate::nn::options::LoadOptions;

/// The limits of a measurement, and how the module is loaded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// The approximate time for one shape on one device. A slower shape gets fewer repetitions; it
    /// is skipped if a single pass exceeds the budget.
    pub budget: Duration,
    /// The largest number of timed runs.
    pub repetitions: usize,
    /// The module's schedule and weight type; other options do not apply.
    pub module: LoadOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self { budget: Duration::from_secs(10), repetitions: 50, module: LoadOptions::new() }
    }
}

impl Options {
    /// Sets the time for one shape on one device.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the greatest number of timed runs.
    #[must_use]
    pub fn repetitions(mut self, repetitions: usize) -> Self {
        self.repetitions = repetitions;
        self
    }

    /// Sets the module's schedule and weight type.
    #[must_use]
    pub fn module(mut self, module: LoadOptions) -> Self {
        self.module = module;
        self
    }
}
