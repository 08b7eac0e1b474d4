//! Measuring `persistent`: the time in which workgroups exchange a state, and that of the products.
//!
//! A step takes `step_us + row_us · products`, and `spill_us` more for each row where the weights
//! exceed the registers ([`ExchangeTimes`]). The first two follow from three shapes whose weights
//! fit, by least squares. The last follows from one shape whose weights do not.

use std::sync::Arc;

use super::{Run, slope};
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::session::{Session, Weights};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::uniforms::Dims;
use crate::kernel::{Overrides, Schedule};
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::perf::calibration::ExchangeTimes;
use crate::perf::dispatch::HeldWork;
use crate::plan::recording::{Command, Dispatch, Recording};
use crate::plan::{Exchange, Request, WeightLayout, plan};

/// H and rows of the networks to measure.
const FITTING: [(usize, usize); 3] = [(256, 1), (512, 8), (512, 32)];

/// H and rows of a network whose weights exceed the registers.
const SPILLING: (usize, usize) = (1024, 4);

/// The most time steps of a run, which all fit in one segment.
const MOST_STEPS: u64 = 2048;

/// Measures the times of `persistent`; `None` where workgroups do not wait for each other, and
/// where they gave up waiting.
pub(super) async fn measure(device: &Device, waiting: Waiting) -> Result<Option<ExchangeTimes>> {
    if !matches!(device.profile().exchange, Exchange::Resident(_)) {
        return Ok(None);
    }
    let mut points = Vec::new();
    for shape in FITTING {
        points.extend(step(device, shape, waiting).await?.map(|(_, products, us)| (products, us)));
    }
    let Some((step_us, row_us)) = line(&points) else { return Ok(None) };
    let predicted = |products: f64| step_us + row_us * products;
    let spill_us = step(device, SPILLING, waiting)
        .await?
        .map(|(rows, products, us)| (us - predicted(products)) / rows);
    Ok(Some(ExchangeTimes { step_us, row_us, spill_us: spill_us.unwrap_or_default().max(0.0) }))
}

/// Returns the line of least squares through points: its value at 0 and its slope, both positive;
/// `None` for fewer than two.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    if points.len() < 2 || spread == 0.0 {
        return None;
    }
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    // Noise may turn the line. Neither time is less than a hundredth of the shortest step.
    let least = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min) / 100.0;
    let slope = slope.max(least / x.max(1.0));
    Some(((y - slope * x).max(least), slope))
}

/// Measures a step of an LSTM: the rows of a workgroup, the products of an invocation, and the time
/// in microseconds. `None` where the device cannot run it.
async fn step(
    device: &Device,
    (hidden_size, batch): (usize, usize),
    waiting: Waiting,
) -> Result<Option<(f64, f64, f64)>> {
    let config = Config::lstm(4, hidden_size);
    let layout = WeightLayout::stored(&config, device.storage(WeightType::F32)?, device.limits())?;
    let value = |i: usize| (i % 61) as f32 / 610.0 - 0.05;
    let weights = Weights::load(device.engine(), layout.buffers(), |at| {
        (0..layout.buffers()[at].len()).map(value).collect()
    })?;
    let planned = |seq_len: usize| {
        let sizes = Sizes { seq_len, batch };
        let request = Request { config: &config, weights: &layout, sizes, training: false };
        plan(&request, &device.profile(), Schedule::Persistent)
    };
    let work = match planned(1) {
        Ok(plan) => dispatch(&plan.recording).map(|dispatch| {
            let Overrides { rows, units, quads, .. } = dispatch.overrides;
            let work = HeldWork { rows, units, quads, registers: 0 };
            (f64::from(rows), work.products())
        }),
        Err(Error::Unsupported(_) | Error::Limit { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some((rows, products)) = work else { return Ok(None) };
    let mut gave_up = false;
    let us = slope(64, MOST_STEPS, async |steps| {
        let plan = planned(steps as usize)?;
        let mut recording = plan.recording.clone();
        // The input projection is not part of a step.
        recording.commands.retain(|command| !is_projection(command));
        let flag = recording.flag;
        let mut session = Session::new(Arc::new(recording), &weights)?;
        session.write(plan.lengths, &vec![f32::from_bits(steps as u32); batch])?;
        let run = Run::of(&mut session, &[], plan.lengths, waiting).await?;
        if let Some(flag) = flag {
            let reading = session.start_read(flag, 0..1)?;
            let raised = reading.values(waiting).await?;
            gave_up |= raised.iter().any(|word| word.to_bits() != 0);
        }
        Ok(run.us)
    })
    .await?;
    Ok((!gave_up).then_some((rows, products, us)))
}

/// Returns the first dispatch of `persistent`.
fn dispatch(recording: &Recording) -> Option<&Dispatch> {
    recording.commands.iter().find_map(|command| match command {
        Command::Dispatch(dispatch) if matches!(dispatch.dims, Dims::Persistent(_)) => {
            Some(dispatch)
        }
        _ => None,
    })
}

fn is_projection(command: &Command) -> bool {
    matches!(command, Command::Dispatch(dispatch) if matches!(dispatch.dims, Dims::Linear(_)))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_goes_through_the_points() {
        let (at_0, slope) = line(&[(2.0, 0.7), (8.0, 1.0), (32.0, 2.2)]).expect("three points");
        assert!((at_0 - 0.6).abs() < 1e-9 && (slope - 0.05).abs() < 1e-9, "{at_0}, {slope}");
        let (at_0, slope) = line(&[(2.0, 1.0), (8.0, 0.5)]).expect("two points");
        assert!(at_0 > 0.0 && slope > 0.0, "both stay positive: {at_0}, {slope}");
        assert_eq!(line(&[(2.0, 1.0)]), None);
        assert_eq!(line(&[(2.0, 1.0), (2.0, 1.1)]), None);
    }
}
