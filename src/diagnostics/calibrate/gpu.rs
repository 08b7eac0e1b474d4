//! Measuring an adapter: the engine that runs networks runs recordings of the kernels in
//! `shaders/probe`.

use super::probe::{MAX_ITERATIONS, Probe};
use super::{RUNS, bandwidth, exchange, microseconds, recurrence, slope};
use crate::engine::device::Device;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::Family;
use crate::kernel::families::{
    BARRIERS_PER_ITERATION, MULTIPLY_ADDS_PER_ITERATION, PROBE_WORKGROUP,
};
use crate::perf::calibration::Calibration;
use crate::plan::MAX_SEGMENT_STEPS;

pub(super) async fn measure(
    device: &Device,
    progress: &mut dyn FnMut(f64, &str),
    waiting: Waiting,
) -> Result<Calibration> {
    let software = device.is_software_adapter();
    // More workgroups than any GPU has cores. A software adapter would only take longer.
    let groups = if software { 16 } else { 2048 };
    let mut sizes = bandwidth::sizes(device);
    let mut done = 0.0;
    let count = sizes.len();
    let mut next = |what: &str| {
        progress(done / (count + 5 + recurrence::CLASSES) as f64, what);
        done += 1.0;
    };
    next("dispatches");
    let (dispatch_us, encode_us) = chain(device, waiting).await?;
    next("reading back");
    let read_back_us = read_back(device, waiting).await?;
    next("barriers");
    let barrier_us = slope(100, MAX_ITERATIONS, async |n| {
        Probe::on(device, Family::Barrier, None, 1, (n, 2), 16)?.time(waiting).await
    })
    .await?;
    next("arithmetic");
    let per_iteration = slope(4, MAX_ITERATIONS, async |n| {
        let quads = groups * PROBE_WORKGROUP as u64;
        Probe::on(device, Family::MultiplyAdd, None, groups, (n, 2), quads)?.time(waiting).await
    })
    .await?;
    let gflops = (groups * PROBE_WORKGROUP as u64 * MULTIPLY_ADDS_PER_ITERATION * 2) as f64
        / per_iteration
        / 1e3;
    let mut bandwidth = Vec::with_capacity(sizes.len());
    if let Some(source) = bandwidth::Source::of_largest(device, &mut sizes)? {
        for (at, &bytes) in sizes.iter().enumerate() {
            next(&format!("reading {} MiB", bytes >> 20));
            bandwidth.push(source.measure(device, bytes, at == 0, waiting).await?);
        }
    }
    next("persistent");
    let exchange = exchange::measure(device, waiting).await?;
    let recurrence::Measured { rates, sequence_step_us } =
        recurrence::measure(device, dispatch_us, waiting, next).await?;
    let crate::engine::session::EngineRef::Gpu(gpu) = device.engine() else {
        return Ok(Calibration::empty(device.id()));
    };
    Ok(Calibration {
        timestamps: gpu.timestamps(),
        dispatch_us,
        barrier_us: Some(barrier_us / BARRIERS_PER_ITERATION as f64),
        bandwidth,
        gflops,
        encode_us,
        read_back_us,
        sequence_step_us,
        exchange,
        rates,
        ..Calibration::empty(device.id())
    })
}

/// Measures the time from dispatch to dispatch and the host's time to encode one, both in
/// microseconds.
///
/// # Errors
/// [`Error::Gpu`] when dependent dispatches return a wrong sum.
async fn chain(device: &Device, waiting: Waiting) -> Result<(f64, f64)> {
    let most = MAX_SEGMENT_STEPS as u64;
    let mut encode_us = f64::INFINITY;
    let dispatch_us = slope(64, most, async |steps| {
        let mut probe = Probe::chain(device, steps)?;
        let run = probe.run(waiting).await?;
        // Whole numbers below 2^24 are exact in f32.
        let (got, want) = (run.values[0], (steps * (steps - 1) / 2) as f32);
        if got != want {
            let message = format!(
                "{steps} dispatches that depend on each other gave {got}, which should be {want}"
            );
            return Err(Error::Gpu { adapter: device.to_string(), message });
        }
        let encode = probe.session.timing().encode;
        encode_us = encode_us.min(microseconds(encode) / steps as f64);
        Ok(run.us)
    })
    .await?;
    Ok((dispatch_us, encode_us))
}

/// Measures the median time from a call to its result, in microseconds.
async fn read_back(device: &Device, waiting: Waiting) -> Result<f64> {
    let mut probe = Probe::chain(device, 1)?;
    let mut walls = Vec::new();
    for _ in 0..RUNS * 7 {
        walls.push(probe.run(waiting).await?.wall_us);
    }
    walls.sort_by(f64::total_cmp);
    Ok(walls[walls.len() / 2])
}
