//! Calibration: measures the constants of the [roofline](crate::perf::roofline) on a device.
//!
//! [`measure`] takes a few seconds. [`Calibration::save`] keeps the result in a cache folder, by
//! device and driver; [`Calibration::find`] reads it.

mod bandwidth;
mod cache;
mod cpu;
mod exchange;
mod gpu;
mod probe;
mod recurrence;

#[doc(hidden)]
pub use cache::folder;

use std::time::Duration;

use web_time::Instant;

use crate::engine::device::Device;
use crate::engine::session::{EngineRef, Session};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::perf::calibration::Calibration;
use crate::plan::recording::BufferId;

/// Measures a device.
///
/// `progress` receives the completed share, from 0 to 1, and the name of the next probe. The
/// device's clock gives the times if the device was opened with
/// [`timestamps`](crate::engine::options::OpenOptions::timestamps) and has a clock. Otherwise the
/// wall time of long batches does.
///
/// # Errors
/// The errors of the device; [`Error::Gpu`] if a dispatch misses the writes of an earlier one, or
/// if a figure is not plausible.
pub fn measure(device: &Device, progress: impl FnMut(f64, &str)) -> Result<Calibration> {
    pollster::block_on(calibrated(device, progress, device.blocking()?))
}

/// The asynchronous form of [`measure`].
///
/// # Errors
/// The errors of [`measure`].
pub async fn measure_async(
    device: &Device,
    progress: impl FnMut(f64, &str),
) -> Result<Calibration> {
    calibrated(device, progress, Waiting::Await).await
}

async fn calibrated(
    device: &Device,
    mut progress: impl FnMut(f64, &str),
    waiting: Waiting,
) -> Result<Calibration> {
    let calibration = match device.engine() {
        EngineRef::Cpu(threads) => cpu::measure(device, threads, &mut progress, waiting).await?,
        EngineRef::Gpu(_) => gpu::measure(device, &mut progress, waiting).await?,
    };
    if calibration.is_plausible() {
        return Ok(calibration);
    }
    let message = format!(
        "the figures are not plausible, perhaps because the machine is busy: {calibration:?}"
    );
    Err(Error::Gpu { adapter: device.to_string(), message })
}

/// The time of a long batch, in microseconds: its start and end are negligible.
const TARGET_US: f64 = 20_000.0;

/// The number of runs. The shortest counts, because a disturbance only makes a run longer.
const RUNS: usize = 5;

/// Returns the time of one piece of work, in microseconds.
///
/// `run(n)` does `n` pieces and returns the time. `n` grows from `first` to a long batch, at most
/// to `most`. The time of n/4 pieces is subtracted, so that the fixed cost of a run cancels out.
async fn slope(first: u64, most: u64, mut run: impl AsyncFnMut(u64) -> Result<f64>) -> Result<f64> {
    let mut n = first.min(most);
    loop {
        let took = run(n).await?;
        if took >= TARGET_US || n == most {
            break;
        }
        n = (n as f64 * (1.3 * TARGET_US / took.max(1.0)).clamp(2.0, 8.0)).min(most as f64) as u64;
    }
    let n = n.max(most.min(2));
    let fewer = n.div_ceil(4);
    let (mut few, mut many) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        few = few.min(run(fewer).await?);
        many = many.min(run(n).await?);
    }
    // If noise hides the difference, the mean time of a piece is an upper bound.
    let difference = (many - few) / (n - fewer).max(1) as f64;
    Ok(if difference > 0.0 && n > fewer { difference } else { many / n as f64 })
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns the time of `work`, in microseconds, and its result.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (microseconds(start.elapsed()), value)
}

/// A run of a session.
struct Run {
    /// The time from the call to the values, in microseconds.
    wall_us: f64,
    /// The time by the device's clock, or the wall time without one.
    us: f64,
    /// The values of the results.
    values: Vec<f32>,
}

impl Run {
    /// Runs a session and reads the results. Without results and without a device's clock it reads
    /// a value of `end`, which is there once the run is done.
    async fn of(
        session: &mut Session,
        results: &[BufferId],
        end: BufferId,
        waiting: Waiting,
    ) -> Result<Self> {
        let results: Vec<_> = results.iter().map(|&id| (id, ())).collect();
        let mut values = Vec::new();
        let take = |(), of_one: &[f32]| values.extend_from_slice(of_one);
        let start = Instant::now();
        session.complete(&results, &[], waiting, take).await?;
        // Otherwise an awaited run would count as done when it is submitted.
        if results.is_empty() && session.timing().gpu.is_none() {
            session.start_read(end, 0..1)?.values(waiting).await?;
        }
        let wall_us = microseconds(start.elapsed());
        Ok(Self { wall_us, us: session.timing().gpu.map_or(wall_us, microseconds), values })
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Result;

    fn slope(first: u64, most: u64, mut run: impl FnMut(u64) -> Result<f64>) -> Result<f64> {
        pollster::block_on(super::slope(first, most, async |n| run(n)))
    }

    #[test]
    fn a_slope_excludes_the_fixed_cost_of_a_run() {
        for (each, fixed) in [(5.0, 0.0), (5.0, 1_000.0), (0.01, 300.0), (30_000.0, 10.0)] {
            let got = slope(1, 1 << 40, |n| Ok(fixed + each * n as f64)).expect("nothing fails");
            assert!(
                (got / each - 1.0).abs() < 1e-6,
                "{each} µs each and {fixed} µs fixed: got {got}"
            );
        }
    }

    #[test]
    fn a_run_does_at_most_the_allowed_work() {
        let mut most = 0;
        let got = slope(100, 4096, |n| {
            most = most.max(n);
            Ok(n as f64 * 1e-6)
        });
        assert_eq!(most, 4096);
        assert!((got.expect("nothing fails") - 1e-6).abs() < 1e-12);
        let got = slope(1, 1, |_| Ok(7.0)).expect("nothing fails");
        assert_eq!(got, 7.0, "a single piece is allowed");
    }

    #[test]
    fn without_growth_the_mean_is_an_upper_bound() {
        let got = slope(8, 8, |_| Ok(40.0)).expect("nothing fails");
        assert_eq!(got, 5.0, "an upper bound, not zero or negative");
    }
}
