//! The class `Generation`: texts that are being generated, chunk by chunk.

use pyo3::prelude::*;
use wgpu_rnn::Error;
use wgpu_rnn::language_model::{GenerateOptions, Generator};

use crate::calls::Length;
use crate::shared::Shared;

/// How tokens are chosen. `_language_model.py` makes the dict.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Choice {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    stop: Option<u32>,
    seed: u64,
    chunk: usize,
    position: usize,
}

impl Choice {
    /// Returns the options of the library.
    pub fn options(&self) -> GenerateOptions {
        let mut options = GenerateOptions::default()
            .temperature(self.temperature)
            .top_k(self.top_k)
            .top_p(self.top_p)
            .seed(self.seed)
            .chunk(self.chunk)
            .position(self.position);
        options.stop = self.stop;
        options
    }
}

/// Texts that are being generated.
#[pyclass(frozen, module = "wgpu_rnn._native")]
pub struct Generation(Shared<Texts>);

/// The generator, and the error that ended it after tokens that Python has not read yet.
struct Texts {
    generator: Generator,
    error: Option<Error>,
}

impl Generation {
    pub fn new(generator: Generator) -> Self {
        Self(Shared::new(Texts { generator, error: None }))
    }
}

#[pymethods]
impl Generation {
    /// Returns the next tokens of each row, at most `count` steps; fewer at the end.
    fn chunk(&self, py: Python<'_>, count: usize) -> PyResult<Vec<Vec<u32>>> {
        self.0.advance(py, Length::Long, move |texts| {
            let mut steps = Vec::new();
            for step in texts.generator.by_ref().take(count) {
                match step {
                    Ok(step) => steps.push(step),
                    Err(error) => texts.error = Some(error),
                }
            }
            match texts.error.take_if(|_| steps.is_empty()) {
                Some(error) => Err(error),
                None => Ok(steps),
            }
        })
    }
}
