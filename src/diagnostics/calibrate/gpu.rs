//! Measuring an adapter: the engine that runs networks runs recordings of the kernels in
//! `shaders/probe`.

use std::sync::Arc;

use super::{RUNS, bandwidth, exchange, microseconds, recurrence, slope, timed};
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::session::{Session, Weights};
use crate::error::{Error, Result};
use crate::kernel::families::{
    BARRIERS_PER_ITERATION, MULTIPLY_ADDS_PER_ITERATION, PROBE_WORKGROUP,
};
use crate::kernel::uniforms::{Dims, ProbeDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::perf::calibration::Calibration;
use crate::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};
use crate::plan::{MAX_SEGMENT_STEPS, check_kernel};

/// The most loop iterations of one invocation, below the limit of every known adapter.
pub(super) const MAX_ITERATIONS: u64 = 50_000;

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

/// A recording of one kernel on a device.
pub(super) struct Probe {
    session: Session,
    result: BufferId,
}

impl Probe {
    /// One dispatch of a kernel over weights that it reads and `quads` quads that it writes.
    pub(super) fn on(
        device: &Device,
        family: Family,
        x: Option<(&Weights, &BufferSpec)>,
        groups: u64,
        (iterations, tiles): (u64, u64),
        quads: u64,
    ) -> Result<Self> {
        let dims = Dims::Probe(ProbeDims {
            iterations: iterations as u32,
            tiles: tiles as u32,
            pad: [0; 2],
        });
        let kernel = Kernel::new(family, WeightType::F32);
        check_kernel(kernel, &Overrides::default(), &dims, device.limits())?;
        let mut recording = Recording::default();
        let mut bindings: Vec<BufferId> =
            x.iter().map(|(_, spec)| recording.buffer((*spec).clone())).collect();
        let axes = vec![(Axis::Feature, quads as usize * 4)];
        let result =
            recording.buffer(BufferSpec { label: "y".to_owned(), axes, role: Role::Output });
        bindings.push(result);
        recording.commands.push(Command::Dispatch(Dispatch {
            kernel,
            place: Place::default(),
            overrides: Overrides::default(),
            dims,
            bindings,
            workgroups: [groups as u32, 1, 1],
            in_place: false,
        }));
        Self::of(device, recording, x.map(|(weights, _)| weights), result)
    }

    /// `steps` dispatches of `chain`, each of which depends on the previous one.
    fn chain(device: &Device, steps: u64) -> Result<Self> {
        let mut recording = Recording::default();
        let mut buffer = |label: &str| {
            let axes = vec![(Axis::Feature, PROBE_WORKGROUP)];
            recording.buffer(BufferSpec { label: label.to_owned(), axes, role: Role::State })
        };
        let [x, y] = [buffer("x"), buffer("y")];
        let dispatch = |bindings| Dispatch {
            kernel: Kernel::new(Family::Chain, WeightType::F32),
            place: Place::default(),
            overrides: Overrides::default(),
            dims: Dims::Probe(ProbeDims { iterations: 1, tiles: 2, pad: [0; 2] }),
            bindings,
            workgroups: [1, 1, 1],
            in_place: false,
        };
        let by_parity = [vec![dispatch(vec![x, y])], vec![dispatch(vec![y, x])]];
        recording.commands.push(Command::Steps { count: steps as u32, first_step: 0, by_parity });
        let mut probe =
            Self::of(device, recording, None, if steps.is_multiple_of(2) { x } else { y })?;
        probe.session.write(x, &[0.0; PROBE_WORKGROUP])?;
        Ok(probe)
    }

    fn of(
        device: &Device,
        recording: Recording,
        weights: Option<&Weights>,
        result: BufferId,
    ) -> Result<Self> {
        let none = Weights::load(device.engine(), &[], |_| Vec::new())?;
        Ok(Self { session: Session::new(Arc::new(recording), weights.unwrap_or(&none))?, result })
    }

    /// Measures a run in microseconds, by the device's clock if it has one.
    fn time(&mut self) -> Result<f64> {
        self.run().map(|(us, _)| us)
    }

    /// Measures as [`time`](Self::time) does, and returns the values of the result too.
    pub(super) fn run(&mut self) -> Result<(f64, Vec<f32>)> {
        let (wall, values) = timed(|| self.session.run(&[self.result], &[]));
        Ok((self.session.timing().gpu.map_or(wall, microseconds), values?.concat()))
    }
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
