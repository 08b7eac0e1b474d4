//! Timing of forward passes.

use std::time::Duration;

use web_time::Instant;

use super::{Options, Quantiles, Workload};
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::nn::options::ForwardOptions;
use crate::nn::rnn::Rnn;
use crate::tensor::{State, Tensor};

/// The time after which a warm-up of as many runs as are timed ends.
const WARM_UP: Duration = Duration::from_secs(1);

/// The times of a shape, in microseconds.
pub(super) struct Times {
    pub wall: Quantiles,
    pub gpu: Option<Quantiles>,
    pub encode: f64,
    pub repetitions: usize,
}

impl Workload {
    /// Runs the compared steps; returns the output and the wall time.
    pub(super) async fn run_compared(
        &self,
        rnn: &Rnn,
        waiting: Waiting,
    ) -> Result<(Tensor, Duration)> {
        let start = Instant::now();
        let (output, _) = pass(rnn, &self.compared_input, waiting).await?;
        Ok((output, start.elapsed()))
    }

    /// Warms up for a tenth of the budget, or for a second if that has as many runs as are timed.
    /// Then times as many runs as the budget allows.
    pub(super) async fn time(
        &self,
        rnn: &Rnn,
        options: &Options,
        one_pass: bool,
        waiting: Waiting,
    ) -> Result<Times> {
        let begin = Instant::now();
        for warm in 1.. {
            let start = Instant::now();
            pass(rnn, &self.input, waiting).await?;
            // At least one run; stop before the run that would exceed a tenth of the budget.
            let enough = warm >= options.repetitions && begin.elapsed() > WARM_UP;
            if enough || begin.elapsed() + start.elapsed() > options.budget / 10 {
                break;
            }
        }
        let begin = Instant::now();
        let (mut wall, mut gpu, mut encode) = (Vec::new(), Vec::new(), Vec::new());
        while wall.is_empty()
            || (wall.len() < options.repetitions && begin.elapsed() < options.budget)
        {
            let start = Instant::now();
            pass(rnn, &self.input, waiting).await?;
            wall.push(start.elapsed().as_secs_f64() * 1e6);
            let timing = rnn.runner().timing();
            encode.push(timing.encode.as_secs_f64() * 1e6);
            // The device reports the time of the last pass only.
            gpu.extend(timing.gpu.filter(|_| one_pass).map(|time| time.as_secs_f64() * 1e6));
        }
        let repetitions = wall.len();
        let gpu = if gpu.len() == repetitions { Quantiles::from_times(gpu) } else { None };
        let zero = Quantiles { median: 0.0, min: 0.0, p95: 0.0 };
        let encode = Quantiles::from_times(encode).unwrap_or(zero).median;
        Ok(Times { wall: Quantiles::from_times(wall).unwrap_or(zero), gpu, encode, repetitions })
    }
}

/// Runs one forward pass.
async fn pass(rnn: &Rnn, input: &Tensor, waiting: Waiting) -> Result<(Tensor, State)> {
    rnn.compute(input.view(), &ForwardOptions::new(), waiting).await
}
