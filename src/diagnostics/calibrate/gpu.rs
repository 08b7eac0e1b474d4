//! Measuring an adapter: the engine that runs networks runs recordings of the kernels in
//! `shaders/probe`.

use super::probe::{MAX_ITERATIONS, Probe};
use super::{RUNS, bandwidth, exchange, microseconds, recurrence, slope, timed};
use crate::engine::device::Device;
use crate::error::{Error, Result};
use crate::kernel::Family;
use crate::kernel::families::{
    BARRIERS_PER_ITERATION, MULTIPLY_ADDS_PER_ITERATION, PROBE_WORKGROUP,
};
use crate::perf::calibration::Calibration;
use crate::plan::MAX_SEGMENT_STEPS;

pub(super) fn measure(device: &Device, progress: &mut dyn FnMut(f64, &str)) -> Result<Calibration> {
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
    let (dispatch_us, encode_us) = chain(device)?;
    next("reading back");
    let read_back_us = read_back(device)?;
    next("barriers");
    let barrier_us = slope(100, MAX_ITERATIONS, |n| {
        Probe::on(device, Family::Barrier, None, 1, (n, 2), 16)?.time()
    })?;
    next("arithmetic");
    let per_iteration = slope(4, MAX_ITERATIONS, |n| {
        Probe::on(
            device,
            Family::MultiplyAdd,
            None,
            groups,
            (n, 2),
            groups * PROBE_WORKGROUP as u64,
        )?
        .time()
    })?;
    let gflops = (groups * PROBE_WORKGROUP as u64 * MULTIPLY_ADDS_PER_ITERATION * 2) as f64
        / per_iteration
        / 1e3;
    let mut bandwidth = Vec::with_capacity(sizes.len());
    if let Some(source) = bandwidth::Source::of_largest(device, &mut sizes)? {
        for (at, &bytes) in sizes.iter().enumerate() {
            next(&format!("reading {} MiB", bytes >> 20));
            bandwidth.push(source.measure(device, bytes, at == 0)?);
        }
    }
    next("persistent");
    let exchange = exchange::measure(device)?;
    let recurrence::Measured { rates, sequence_step_us } =
        recurrence::measure(device, dispatch_us, next)?;
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
fn chain(device: &Device) -> Result<(f64, f64)> {
    let most = MAX_SEGMENT_STEPS as u64;
    let mut encode_us = f64::INFINITY;
    let dispatch_us = slope(64, most, |steps| {
        let mut probe = Probe::chain(device, steps)?;
        let (wall, values) = timed(|| probe.session.run(&[probe.result], &[]));
        // Whole numbers below 2^24 are exact in f32.
        let (got, want) = (values?.concat()[0], (steps * (steps - 1) / 2) as f32);
        if got != want {
            let message = format!(
                "{steps} dispatches that depend on each other gave {got}, which should be {want}"
            );
            return Err(Error::Gpu { adapter: device.to_string(), message });
        }
        let timing = probe.session.timing();
        encode_us = encode_us.min(microseconds(timing.encode) / steps as f64);
        Ok(timing.gpu.map_or(wall, microseconds))
    })?;
    Ok((dispatch_us, encode_us))
}

/// Measures the median time from a call to its result, in microseconds.
fn read_back(device: &Device) -> Result<f64> {
    let mut probe = Probe::chain(device, 1)?;
    let mut walls = Vec::new();
    for _ in 0..RUNS * 7 {
        let (wall, values) = timed(|| probe.session.run(&[probe.result], &[]));
        values?;
        walls.push(wall);
    }
    walls.sort_by(f64::total_cmp);
    Ok(walls[walls.len() / 2])
}
