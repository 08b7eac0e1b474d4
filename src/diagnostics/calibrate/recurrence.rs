//! Measuring the kernels of recurrent layers: parts of an LSTM's plan, repeated.

use std::sync::Arc;

use super::{Run, slope};
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::session::EngineRef;
use crate::engine::session::{Session, Weights};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::kernel::uniforms::Dims;
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::perf::cost;
use crate::perf::rates::{KernelClass, Rate};
use crate::plan::recording::{Command, Dispatch, Recording};
use crate::plan::{MAX_SEGMENT_STEPS, Request, WeightLayout, plan};

/// The least share of a measured time that counts as work, where nearly all of it is waiting.
const LEAST_SHARE: f64 = 0.05;

/// The results of the measurements.
pub(super) struct Measured {
    pub rates: Vec<Rate>,
    /// The value of [`Calibration::sequence_step_us`](super::Calibration::sequence_step_us).
    pub sequence_step_us: Option<f64>,
}

/// Returns the H and the rows of the networks to measure. Their weights fit a cache.
fn sizes(device: &Device, part: KernelClass) -> (usize, &'static [usize]) {
    match (device.engine(), part) {
        (EngineRef::Cpu(_), KernelClass::Linear | KernelClass::Step) => (256, &[1, 8, 64]),
        (EngineRef::Cpu(_), _) => (256, &[]),
        (_, KernelClass::Sequence) if device.is_software_adapter() => (320, &[1, 8]),
        (_, KernelClass::StepTiled) if device.is_software_adapter() => (128, &[32, 64]),
        (_, _) if device.is_software_adapter() => (128, &[1, 8, 64]),
        // `linear` changes its kernel after 32 and 480 rows, and `step_tiled` its tile after 480.
        // The rows of `step_tiled` fill tiles.
        (_, KernelClass::Linear) => (256, &[1, 8, 32, 64, 256, 512, 1024, 8192]),
        (_, KernelClass::Step) => (256, &[1, 4, 8, 32, 64, 512]),
        (_, KernelClass::StepTiled) => (256, &[32, 96, 256, 480, 512, 1024]),
        (_, KernelClass::Sequence) => (128, &[1, 64, 512, 4096]),
        (_, KernelClass::SequenceInRegisters) => (64, &[1, 64, 512, 4096]),
    }
}

/// H of a network with almost no work.
const LITTLE: usize = 4;

/// Measures the rates of all parts that the device can run. Calls `next` with the name of each
/// measurement before it starts.
pub(super) async fn measure(
    device: &Device,
    dispatch_us: f64,
    waiting: Waiting,
    mut next: impl FnMut(&str),
) -> Result<Measured> {
    let mut rates = Vec::new();
    next("a short step");
    let sequence_step_us = match device.engine() {
        EngineRef::Cpu(_) => None,
        EngineRef::Gpu(_) => {
            time(device, KernelClass::Sequence, (LITTLE, 1), dispatch_us, waiting).await?
        }
    };
    for part in KernelClass::ALL {
        next(part.name());
        let (hidden_size, rows) = sizes(device, part);
        for &rows in rows {
            let sizes = (hidden_size, rows);
            let Some(us) = time(device, part, sizes, dispatch_us, waiting).await? else { continue };
            let waits = if part.has_many_steps() {
                sequence_step_us.unwrap_or_default()
            } else {
                dispatch_us
            };
            let multiply_adds = (rows * 4 * hidden_size * hidden_size) as f64;
            let multiply_adds_per_us = multiply_adds / (us - waits).max(us * LEAST_SHARE);
            // The CPU and software adapters have few cores. There the rows matter, which share
            // weights.
            let many_cores =
                matches!(device.engine(), EngineRef::Gpu(_)) && !device.is_software_adapter();
            let extent = cost::extent(part, &Config::lstm(hidden_size, hidden_size), rows);
            let sums = (many_cores && !part.has_many_steps()).then_some(extent.sums);
            rates.push(Rate { part, rows, sums, multiply_adds_per_us });
        }
    }
    Ok(Measured { rates, sequence_step_us })
}

/// The number of calls of `next`.
pub(super) const CLASSES: usize = 1 + KernelClass::ALL.len();

/// Returns the time steps of a dispatch of `sequence`. Batches of 512 rows and more get fewer,
/// since their activations take much memory. So do software adapters, which take long for a step.
fn steps_of(device: &Device, batch: usize) -> usize {
    if batch < 512 && !device.is_software_adapter() { 64 } else { 8 }
}

/// Measures the time of one step of a part in microseconds, from start to start. For `sequence`,
/// the share of the dispatch is subtracted. `None` where the device cannot run the part.
async fn time(
    device: &Device,
    part: KernelClass,
    (hidden_size, batch): (usize, usize),
    dispatch_us: f64,
    waiting: Waiting,
) -> Result<Option<f64>> {
    let schedule = match part {
        KernelClass::Linear | KernelClass::Step => Schedule::Step,
        KernelClass::StepTiled => Schedule::StepTiled,
        KernelClass::Sequence | KernelClass::SequenceInRegisters => Schedule::Sequence,
    };
    let config = Config::lstm(hidden_size, hidden_size);
    let seq_len = if part.has_many_steps() { steps_of(device, batch) } else { 1 };
    let layout = WeightLayout::stored(&config, device.storage(WeightType::F32)?, device.limits())?;
    let sizes = Sizes { seq_len, batch };
    let request = Request { config: &config, weights: &layout, sizes, training: false };
    let plan = match plan(&request, &device.profile(), schedule) {
        Ok(plan) => plan,
        Err(Error::Unsupported(_) | Error::Limit { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let value = |i: usize| (i % 61) as f32 / 610.0 - 0.05;
    let weights = Weights::load(device.engine(), layout.buffers(), |at| {
        (0..layout.buffers()[at].len()).map(value).collect()
    })?;
    let (steps, by_parity) = repeated(&plan.recording, part);
    // Without weights in registers, this would measure `sequence` a second time.
    if part == KernelClass::SequenceInRegisters
        && !by_parity[0].iter().all(|dispatch| dispatch.overrides.in_registers == 1)
    {
        return Ok(None);
    }
    let us = slope(4, MAX_SEGMENT_STEPS as u64, async |count| {
        let steps =
            Command::Steps { count: count as u32, first_step: 0, by_parity: by_parity.clone() };
        let recording = Recording { commands: vec![steps], ..plan.recording.clone() };
        let mut session = Session::new(Arc::new(recording), &weights)?;
        session.write(plan.lengths, &vec![f32::from_bits(seq_len as u32); batch])?;
        Run::of(&mut session, &[], plan.lengths, waiting).await.map(|run| run.us)
    })
    .await?;
    let alone = if part.has_many_steps() { us - dispatch_us } else { us };
    Ok(Some(alone.max(us * LEAST_SHARE) / f64::from(steps)))
}

/// Returns the time steps and the dispatches of a part, for an even and an odd repetition. They use
/// the buffers of the first step only.
fn repeated(recording: &Recording, part: KernelClass) -> (u32, [Vec<Dispatch>; 2]) {
    let in_place = |dispatches: &[Dispatch]| -> Vec<Dispatch> {
        dispatches.iter().map(|dispatch| Dispatch { in_place: true, ..dispatch.clone() }).collect()
    };
    let of_part = |command: &&Command| match (part, command) {
        (KernelClass::Linear, Command::Dispatch(dispatch)) => {
            matches!(dispatch.dims, Dims::Linear(_))
        }
        (KernelClass::Sequence | KernelClass::SequenceInRegisters, Command::Dispatch(dispatch)) => {
            matches!(dispatch.dims, Dims::Sequence(_))
        }
        (KernelClass::Step | KernelClass::StepTiled, Command::Steps { .. }) => true,
        _ => false,
    };
    match recording.commands.iter().find(of_part) {
        Some(Command::Steps { by_parity: [even, odd], .. }) => (1, [in_place(even), in_place(odd)]),
        Some(Command::Dispatch(dispatch)) => {
            let steps = if let Dims::Sequence(dims) = &dispatch.dims { dims.steps } else { 1 };
            let same = in_place(std::slice::from_ref(dispatch));
            (steps, [same.clone(), same])
        }
        Some(Command::Clear { .. }) | None => (1, [Vec::new(), Vec::new()]),
    }
}
