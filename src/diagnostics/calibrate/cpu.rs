//! CPU probes: the matrix product of the engine, and the call of a twin.

use std::sync::Arc;

use super::{recurrence, slope, timed};
use crate::dtype::WeightType;
use crate::engine::cpu::{Engine, Matrix, ONE_THREAD, Panels, Threads, multiply_transposed};
use crate::engine::device::Device;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::kernel::families::PROBE_WORKGROUP;
use crate::kernel::uniforms::{Dims, ProbeDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::perf::calibration::{Bandwidth, Calibration};
use crate::plan::recording::{Axis, BufferSpec, Command, Dispatch, Place, Recording, Role};
use crate::tensor::room;

/// The inner size of the matrix products.
const FEATURES: usize = 1024;

/// Rows and columns of the product that measures arithmetic.
///
/// The weights fit in the cache of a core, and many rows use each weight.
const SQUARE: (usize, usize) = (256, 256);

pub(super) async fn measure(
    device: &Device,
    threads: &Threads,
    progress: &mut dyn FnMut(f64, &str),
    waiting: Waiting,
) -> Result<Calibration> {
    let sizes: Vec<usize> = (0..7).map(|i| 64 << (10 + 2 * i)).collect();
    let share = |at: usize| at as f64 / (sizes.len() + 2 + recurrence::CLASSES) as f64;
    progress(share(0), "calls");
    let dispatch_us = calls().await?;
    progress(share(1), "arithmetic");
    let values =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 61) as f32 / 61.0 - 0.5).collect() };
    // The weights, the same again in panels, and y.
    let largest = sizes[sizes.len() - 1] / 4;
    let columns = SQUARE.1.max(largest / FEATURES);
    room(2 * largest + SQUARE.0 * columns, "the weights of a measurement")?;
    let x = values(SQUARE.0 * FEATURES);
    let weights = values(largest);
    let mut y = vec![0.0; SQUARE.0 * columns];
    let packed = |columns: usize| Panels::new(&weights[..columns * FEATURES], 1, columns, FEATURES);
    let mut product = |rows: usize, (columns, weights): (usize, &Panels), times: u64| {
        let matrix = |rows, columns| Matrix { rows, columns, offset: 0, row_stride: columns };
        threads.run(|| {
            for _ in 0..times {
                multiply_transposed(
                    (&x, matrix(rows, FEATURES)),
                    (weights, 0),
                    &[],
                    (&mut y, matrix(rows, columns)),
                );
            }
        });
    };
    let (rows, columns) = SQUARE;
    let square = packed(columns);
    let once = slope(1, 1 << 20, async |n| Ok(timed(|| product(rows, (columns, &square), n)).0));
    let once = once.await?;
    let gflops = (2 * rows * columns * FEATURES) as f64 / once / 1e3;
    let pool_of_one = || rayon::ThreadPoolBuilder::new().num_threads(1).build().ok();
    let one_thread = if ONE_THREAD { None } else { pool_of_one() };
    let mut bandwidth = Vec::with_capacity(sizes.len());
    for (at, &bytes) in sizes.iter().enumerate() {
        progress(share(at + 2), &format!("reading {} KiB", bytes >> 10));
        let columns = bytes / 4 / FEATURES;
        let weights = packed(columns);
        let weights = (columns, &weights);
        let all = slope(1, 1 << 20, async |n| Ok(timed(|| product(1, weights, n)).0)).await?;
        let one = match &one_thread {
            None => all,
            Some(pool) => {
                let mut alone = |n| timed(|| pool.install(|| product(1, weights, n))).0;
                slope(1, 1 << 20, async |n| Ok(alone(n))).await?
            }
        };
        bandwidth.push(Bandwidth {
            bytes: bytes as u64,
            all_gb_per_s: bytes as f64 / all / 1e3,
            one_gb_per_s: Some(bytes as f64 / one / 1e3),
        });
    }
    let mut at = sizes.len() + 2;
    let recurrence::Measured { rates, sequence_step_us } =
        recurrence::measure(device, dispatch_us, waiting, |what| {
            progress(share(at), what);
            at += 1;
        })
        .await?;
    Ok(Calibration {
        dispatch_us,
        bandwidth,
        gflops,
        sequence_step_us,
        rates,
        ..Calibration::empty(device.id())
    })
}

/// Returns the time that the engine takes to call a twin, in microseconds.
async fn calls() -> Result<f64> {
    let mut recording = Recording::default();
    let mut buffer = |label: &str| {
        let axes = vec![(Axis::Feature, PROBE_WORKGROUP)];
        recording.buffer(BufferSpec { label: label.to_owned(), axes, role: Role::State })
    };
    let bindings = vec![buffer("x"), buffer("y")];
    let dispatch = Dispatch {
        kernel: Kernel::new(Family::Chain, WeightType::F32),
        place: Place::default(),
        overrides: Overrides::default(),
        dims: Dims::Probe(ProbeDims { iterations: 1, tiles: 2, pad: [0; 2] }),
        bindings,
        workgroups: [1, 1, 1],
        in_place: true,
    };
    slope(1, 1 << 24, async |count| {
        let by_parity = [vec![dispatch.clone()], vec![dispatch.clone()]];
        let mut recording = recording.clone();
        recording.commands.push(Command::Steps { count: count as u32, first_step: 0, by_parity });
        let mut engine = Engine::new(Arc::new(recording), Arc::new(Vec::new()))?;
        let (time, ran) = timed(|| engine.run());
        ran.map(|()| time)
    })
    .await
}
