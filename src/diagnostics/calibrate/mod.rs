//! What a device is capable of, measured: the constants of [`model`](crate::perf::roofline).
//!
//! [`measure`] takes a few seconds. Its result is kept in the user's cache folder by device and driver, and [`Calibration::load`]
//! finds it there; a device that was never measured gets the figures of its type.

mod cache;
mod cpu;
mod gpu;
mod recurrence;

pub use cache::folder;

use std::time::{Duration, Instant};

use crate::engine::device::{Device, Engine};
use crate::error::{Error, Result};
use crate::perf::calibration::Calibration;

/// Measures a device. `progress` is told how much is done (of 1) and what is measured next.
///
/// A device that was opened with [`timestamps`](crate::engine::device::OpenOptions::timestamps) is measured by its own clock if
/// it has one, else by the time that batches long enough take.
///
/// # Errors
/// The errors of the device; [`Error::Gpu`] when dispatches do not see what those before them wrote, or when a figure
/// is none that a device can have.
pub fn measure(device: &Device, mut progress: impl FnMut(f64, &str)) -> Result<Calibration> {
    let calibration = match device.engine() {
        Engine::Cpu => cpu::measure(device, &mut progress)?,
        Engine::Gpu(_) => gpu::measure(device, &mut progress)?,
    };
    if calibration.is_plausible() {
        return Ok(calibration);
    }
    let message = format!(
        "measured what cannot be, perhaps because the machine is very busy: {calibration:?}"
    );
    Err(Error::Gpu { adapter: device.to_string(), message })
}

/// What a batch should take, so that its beginning and end matter little.
const TARGET_US: f64 = 20_000.0;

/// Runs of which the shortest counts: whatever disturbs makes a run longer, never shorter.
const RUNS: usize = 5;

/// The time of one piece of work: `run` does `n` pieces and says what that took, in microseconds. So many are done that
/// it takes a while, and a fourth of them, so that what a run takes beside its pieces cancels out.
fn slope(first: u64, most: u64, mut run: impl FnMut(u64) -> Result<f64>) -> Result<f64> {
    let mut n = first.min(most);
    loop {
        let took = run(n)?;
        if took >= TARGET_US || n == most {
            break;
        }
        n = (n as f64 * (1.3 * TARGET_US / took.max(1.0)).clamp(2.0, 8.0)).min(most as f64) as u64;
    }
    let n = n.max(most.min(2));
    let fewer = n.div_ceil(4);
    let (mut few, mut many) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        few = few.min(run(fewer)?);
        many = many.min(run(n)?);
    }
    // Where the difference drowns in noise, the whole is an upper bound.
    let difference = (many - few) / (n - fewer).max(1) as f64;
    Ok(if difference > 0.0 && n > fewer { difference } else { many / n as f64 })
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// What `work` takes, in microseconds, and what it gives.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (microseconds(start.elapsed()), value)
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn a_slope_is_free_of_what_every_run_takes() {
        for (each, around) in [(5.0, 0.0), (5.0, 1_000.0), (0.01, 300.0), (30_000.0, 10.0)] {
            let got = slope(1, 1 << 40, |n| Ok(around + each * n as f64)).expect("nothing fails");
            assert!(
                (got / each - 1.0).abs() < 1e-6,
                "{each} µs each and {around} µs around: got {got}"
            );
        }
    }

    #[test]
    fn no_more_work_is_done_than_allowed() {
        let mut most = 0;
        let got = slope(100, 4096, |n| {
            most = most.max(n);
            Ok(n as f64 * 1e-6)
        });
        assert_eq!(most, 4096);
        assert!((got.expect("nothing fails") - 1e-6).abs() < 1e-12);
        let got = slope(1, 1, |_| Ok(7.0)).expect("nothing fails");
        assert_eq!(got, 7.0, "one piece is all there may be");
    }

    #[test]
    fn time_that_does_not_grow_is_shared_out() {
        let got = slope(8, 8, |_| Ok(40.0)).expect("nothing fails");
        assert_eq!(got, 5.0, "an upper bound, and no zero or negative time");
    }
}
