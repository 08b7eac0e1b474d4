//! Checks the output of a system at a shape, then times it.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::shape::Shape;
use crate::systems::{Forward, Output, System};

/// The largest number of timed runs, as in `wgpu-rnn bench`.
const REPETITIONS: usize = 50;

/// The system is warm after this number of runs without a gain of a fifth.
const ALIKE: usize = 4;

/// The largest warm-up time, in budgets.
const PATIENCE: u32 = 20;

/// Returns the row of a shape on a system, or the reason why there is none.
///
/// `budget` is the approximate time for the timed runs.
pub fn measure(system: &System, shape: &Shape, budget: Duration) -> Result<Value, Box<dyn Error>> {
    // Keep the rows of other systems if one panics.
    let times = catch_unwind(AssertUnwindSafe(|| times(system, shape, budget)))
        .map_err(|_| "it panicked")??;
    let rank = |share: f64| times[((times.len() as f64 * share).ceil() as usize).max(1) - 1];
    eprintln!("{} on {}: {shape} {:.3} ms", system.name, system.device, rank(0.5) / 1e3);
    Ok(json!({
        "system": system.name, "device": system.device, "backend": system.backend,
        "driver": system.driver,
        "kind": shape.kind.name(), "input_size": shape.input_size, "hidden_size": shape.hidden_size,
        "num_layers": shape.num_layers, "bidirectional": shape.bidirectional,
        "seq_len": shape.seq_len,
        "batch": shape.batch, "dtype": "f32",
        "wall_us": {"median": rank(0.5), "min": times[0], "p95": rank(0.95)}, "gpu_us": null,
        "us_per_step": rank(0.5) / (shape.seq_len * shape.num_layers) as f64,
        "repetitions": times.len(),
    }))
}

/// Returns the sorted times from the input in host memory to the output in host memory.
///
/// Times are in microseconds; there is at least one.
fn times(system: &System, shape: &Shape, budget: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
    let input = input(shape.seq_len * shape.batch * shape.input_size);
    let mut forward = (system.build)(shape, input)?;
    check(&forward()?, shape.dims(system.batch_first, shape.output_size()))?;
    if !warm_up(&mut forward, budget)? {
        eprintln!(
            "{} on {}: {shape} still got faster when it was timed",
            system.name, system.device
        );
    }
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < REPETITIONS && begin.elapsed() < budget) {
        let start = Instant::now();
        forward()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Runs until the time stops falling. Returns whether it stopped within `PATIENCE` budgets.
///
/// Takes at least a quarter of the budget. Systems that tune or compile at run time have slow first
/// runs.
fn warm_up(forward: &mut Forward, budget: Duration) -> Result<bool, Box<dyn Error>> {
    let begin = Instant::now();
    let (mut shortest, mut alike) = (f64::INFINITY, 0);
    while alike < ALIKE || begin.elapsed() < budget / 4 {
        let start = Instant::now();
        forward()?;
        let took = start.elapsed().as_secs_f64();
        alike = if took < 0.8 * shortest { 0 } else { alike + 1 };
        shortest = shortest.min(took);
        if begin.elapsed() > budget * PATIENCE {
            return Ok(alike >= ALIKE);
        }
    }
    Ok(true)
}

/// Returns pseudo-random numbers in ±1.
fn input(count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| i.wrapping_mul(2_654_435_769) as f32 / 2_147_483_648.0 - 1.0)
        .collect()
}

/// Refuses an output of the wrong shape, with non-finite values, or with equal values only.
fn check(output: &Output, want: [usize; 3]) -> Result<(), String> {
    let Output { dims, values } = output;
    if *dims != want || values.len() != want.iter().product::<usize>() {
        return Err(format!(
            "an output of shape {dims:?} with {} values, expected {want:?}",
            values.len()
        ));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("value {at} of its output is {}", values[at]));
    }
    if values.len() > 1 && values.iter().all(|value| *value == values[0]) {
        return Err(format!("every value of its output is {}", values[0]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Output, check, input};

    #[test]
    fn implausible_outputs_are_refused() {
        let output = |dims: [usize; 3], values: Vec<f32>| Output { dims: dims.to_vec(), values };
        let want = [1, 2, 2];
        assert_eq!(check(&output(want, vec![0.1, 0.2, 0.3, 0.4]), want), Ok(()));
        for (wrong, part) in [
            (output([2, 1, 2], vec![0.1, 0.2, 0.3, 0.4]), "shape [2, 1, 2]"),
            (output(want, vec![0.1, 0.2, 0.3]), "3 values"),
            (output(want, vec![0.1, 0.2, f32::NAN, 0.4]), "value 2 of its output is NaN"),
            (output(want, vec![0.1, f32::INFINITY, 0.3, 0.4]), "value 1 of its output is inf"),
            (output(want, vec![0.0; 4]), "every value"),
        ] {
            let refused = check(&wrong, want).expect_err(part);
            assert!(refused.contains(part), "{refused}, expected {part}");
        }
    }

    #[test]
    fn inputs_are_within_one() {
        let values = input(10_000);
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)), "{values:?}");
        assert!(values.iter().sum::<f32>().abs() < 50.0, "both signs occur");
    }
}
