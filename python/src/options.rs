//! Options, which Python passes as a dict.

use pyo3::prelude::*;
use wgpu_rnn::{LoadOptions, Result};

/// The options of loading a module. `_options.py` makes the dict.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Loading {
    batch_first: Option<bool>,
    nonlinearity: Option<String>,
    weights: String,
    schedule: String,
    allow_unused: bool,
}

impl Loading {
    /// Returns the options of the library.
    ///
    /// # Errors
    /// [`Error::UnknownName`](wgpu_rnn::Error::UnknownName) and
    /// [`Error::Config`](wgpu_rnn::Error::Config) with the names that exist.
    pub fn options(&self) -> Result<LoadOptions> {
        let mut options = LoadOptions::new()
            .allow_unused(self.allow_unused)
            .weights(self.weights.parse()?)
            .schedule(self.schedule.parse()?);
        options.batch_first = self.batch_first;
        options.nonlinearity = self.nonlinearity.as_deref().map(str::parse).transpose()?;
        Ok(options)
    }
}
