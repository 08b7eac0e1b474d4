//! Measuring: every figure is plausible. No test compares a figure with a clock.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::bench::{Attempt, Options, Shape, Workload};
use wgpu_rnn::internals::diagnostics::calibrate::measure;
use wgpu_rnn::internals::kernel::families::{
    BANDWIDTH_BLOCK_TILES as BLOCK_TILES, BANDWIDTH_TILE_QUADS as TILE_QUADS,
    PROBE_WORKGROUP as WORKGROUP_SIZE, RESIDENCE_QUADS, RESIDENCE_WORKGROUP,
};
use wgpu_rnn::internals::kernel::uniforms::{Dims, ProbeDims, ResidenceDims};
use wgpu_rnn::internals::kernel::{Family, Overrides};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::perf::rates::{Extent, KernelClass};
use wgpu_rnn::internals::plan::recording::BufferId;
use wgpu_rnn::{Config, Device, LoadOptions, Schedule, WeightType};

use crate::by_hand::{ByHand, close, from_words, to_words};
use crate::{Machine, Target, ensure};

pub fn figures(target: &Target) -> Result<(), Failed> {
    let device = target.open(&OpenOptions::default().timestamps())?;
    let mut told = 0.0;
    let calibration = measure(&device, |done, what| {
        assert!((told..=1.0).contains(&done) && !what.is_empty(), "{told}, then {done}: {what}");
        told = done;
    })?;
    let mut figures = vec![calibration.dispatch_us, calibration.gflops];
    figures.extend(calibration.barrier_us);
    figures.extend(
        calibration.bandwidth.iter().flat_map(|b| [Some(b.all_gb_per_s), b.one_gb_per_s]).flatten(),
    );
    if matches!(target.machine, Machine::Adapter(_)) {
        figures.extend([calibration.encode_us, calibration.read_back_us]);
        ensure(
            calibration.barrier_us.is_some(),
            format!("an adapter has barriers: {calibration:?}"),
        )?;
    }
    ensure(figures.iter().all(|x| x.is_finite() && *x > 0.0), format!("{calibration:?}"))?;
    for part in
        [KernelClass::Linear, KernelClass::Step, KernelClass::StepTiled, KernelClass::Sequence]
    {
        // The CPU runs steps one way.
        let runs = matches!(target.machine, Machine::Adapter(_))
            || matches!(part, KernelClass::Linear | KernelClass::Step);
        let rate = calibration.rate(part, Extent { rows: 8, sums: 8 * 1024 });
        ensure(
            rate.is_some_and(|rate| rate > 0.0) == runs,
            format!("{part:?}: {rate:?} in {calibration:?}"),
        )?;
    }
    ensure(calibration.measured && calibration.bandwidth.len() >= 2, format!("{calibration:?}"))?;
    ensure(
        calibration.device == device.name() && calibration.backend == device.backend(),
        format!("{calibration:?}"),
    )
}

pub fn rows(target: &Target) -> Result<(), Failed> {
    // A submission for each dispatch.
    let brief = OpenOptions::default().limit("max_work_per_submission", 1_500_000);
    let device = target.open(&brief.timestamps())?;
    let config = Config::lstm(5, 9).num_layers(2).bidirectional(true);
    let shape = Shape::new("small", config, 6, 3);
    let mut calibration = device.calibration().clone();
    calibration.measured = true;
    let module = LoadOptions::new().schedule(Schedule::Step);
    let options = Options::default().repetitions(3).module(module);
    let outcome =
        Workload::new(&shape, WeightType::F32)?.measure(&device, &calibration, &options)?;
    let Attempt::Measured(row) = outcome else { return Err(Failed::from(format!("{outcome:?}"))) };
    ensure(row.agrees == Some(true) && row.compared_steps == 6, format!("{row:?}"))?;
    // Two projections and six steps of each layer.
    ensure(row.dispatches == 2 + 2 * 6, format!("{row:?}"))?;
    let adapter = matches!(target.machine, Machine::Adapter(_));
    ensure((row.encode_us > 0.0) == adapter, format!("adapters alone encode: {row:?}"))?;
    let clock = wgpu::Features::TIMESTAMP_QUERY;
    let timed = device.wgpu().is_some_and(|(wgpu, _)| wgpu.features().contains(clock));
    ensure(row.gpu_us.is_some() == timed, format!("timed by the device's clock: {row:?}"))?;
    // The weights are exact in f16, so that the results are as close.
    let half = options.clone().module(options.module.clone().weights(WeightType::F16));
    let outcome = Workload::new(&shape, WeightType::F16)?.measure(&device, &calibration, &half)?;
    let Attempt::Measured(stored) = outcome else {
        return Err(Failed::from(format!("{outcome:?}")));
    };
    ensure(stored.agrees == Some(true) && stored.dtype == "f16", format!("{stored:?}"))?;
    // Without timestamps the device's time is absent, and the numbers are the same.
    let outcome = Workload::new(&shape, WeightType::F32)?.measure(
        &target.device()?,
        &calibration,
        &options,
    )?;
    let Attempt::Measured(plain) = outcome else {
        return Err(Failed::from(format!("{outcome:?}")));
    };
    ensure(
        plain.gpu_us.is_none() && plain.max_abs_vs_f64 == row.max_abs_vs_f64,
        format!("{plain:?} {row:?}"),
    )
}

/// Runs the same commands on the adapter and on the CPU, and compares the results.
fn alike(what: &str, device: &Device, by_hand: &ByHand, result: BufferId) -> Result<(), Failed> {
    let [got] = by_hand.run(device, [result])?;
    let [want] = by_hand.run(&Device::cpu(), [result])?;
    let want: Vec<f64> = want.into_iter().map(f64::from).collect();
    close(what, &got, &want, 1e-5)
}

pub fn twins(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let dims = |iterations, tiles| Dims::Probe(ProbeDims { iterations, tiles, pad: [0; 2] });
    let random = |seed, count| Mt19937::new(seed).uniform_vec(count, -1.0, 1.0);

    let mut by_hand = ByHand::default();
    let (x, y) =
        (by_hand.buffer(random(1, WORKGROUP_SIZE)), by_hand.buffer(vec![0.0; WORKGROUP_SIZE]));
    by_hand.dispatch((Family::Chain, Overrides::default()), dims(3, 2), &[x, y], [1, 1, 1], 5);
    alike("chain", &device, &by_hand, y)?;

    for iterations in [0, 1, 63, 1_000] {
        let mut by_hand = ByHand::default();
        let y = by_hand.buffer(random(2, WORKGROUP_SIZE));
        by_hand.dispatch(
            (Family::Barrier, Overrides::default()),
            dims(iterations, 2),
            &[y],
            [1, 1, 1],
            1,
        );
        alike(&format!("barrier {iterations}"), &device, &by_hand, y)?;
    }
    // Fewer and more workgroups than blocks, with whole passes and others.
    for (blocks, groups, iterations) in [(1, 1, 3), (4, 3, 7), (5, 2, 11), (3, 16, 2), (8, 4, 6)] {
        let mut by_hand = ByHand::default();
        let mut words = Mt19937::new(3);
        let words: Vec<u32> =
            (0..blocks * BLOCK_TILES * TILE_QUADS * 4).map(|_| words.next_u32()).collect();
        let x = by_hand.buffer(from_words(&words));
        let y = by_hand.buffer(vec![0.0; groups * TILE_QUADS]);
        let dims = dims(iterations, (blocks * BLOCK_TILES) as u32);
        by_hand.dispatch(
            (Family::Bandwidth, Overrides::default()),
            dims,
            &[x, y],
            [groups as u32, 1, 1],
            1,
        );
        let [got] = by_hand.run(&device, [y])?;
        let [want] = by_hand.run(&Device::cpu(), [y])?;
        let sums = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
        let (got, want) = (sums(got), sums(want));
        ensure(got == want, format!("bandwidth {blocks} {groups} {iterations}: other sums"))?;
        // Whole passes count each word once a pass.
        if (iterations as usize * groups).is_multiple_of(blocks) {
            let passes = (iterations as usize * groups / blocks) as u32;
            let all = |words: &[u32]| words.iter().fold(0_u32, |sum, &x| sum.wrapping_add(x));
            let (got, want) = (all(&got), all(&words).wrapping_mul(passes));
            ensure(got == want, format!("bandwidth {blocks} {groups}: {got:#x}, not {want:#x}"))?;
        }
    }
    for iterations in [0, 1, 2, 100] {
        let mut by_hand = ByHand::default();
        let y = by_hand.buffer(random(4, 3 * WORKGROUP_SIZE * 4));
        by_hand.dispatch(
            (Family::MultiplyAdd, Overrides::default()),
            dims(iterations, 2),
            &[y],
            [3, 1, 1],
            1,
        );
        alike(&format!("multiply_add {iterations}"), &device, &by_hand, y)?;
    }
    residence(&device)
}

/// A single workgroup of `residence` arrives, unless it has no looks; several need a GPU.
fn residence(device: &Device) -> Result<(), Failed> {
    for (looks, keep) in [(3, 0), (0, 0), (1, 1)] {
        let mut by_hand = ByHand::default();
        let held = RESIDENCE_QUADS * RESIDENCE_WORKGROUP * 4;
        let values = by_hand.buffer(Mt19937::new(5).uniform_vec(held, -1.0, 1.0));
        let (arrivals, verdict) = (by_hand.words(&[0; 4]), by_hand.words(&[0; 2]));
        by_hand.dispatch(
            (Family::Residence, Overrides::default()),
            Dims::Residence(ResidenceDims { rounds: 4, looks, keep, pad: 0 }),
            &[values, arrivals, verdict],
            [1, 1, 1],
            1,
        );
        let what = format!("residence {looks} {keep}");
        let words = |device: &Device| -> Result<_, Failed> {
            Ok(by_hand.run(device, [arrivals, verdict])?.map(|values| to_words(&values)))
        };
        let (got, want) = (words(device)?, words(&Device::cpu())?);
        ensure(got == want, format!("{what}: {got:?}, want {want:?}"))?;
        let in_vain = if looks == 0 { RESIDENCE_WORKGROUP as u32 } else { 0 };
        ensure(got[1] == [in_vain, 1], format!("{what}: {got:?}"))?;
        let [got] = by_hand.run(device, [values])?;
        let [want] = by_hand.run(&Device::cpu(), [values])?;
        let want: Vec<f64> = want.into_iter().map(f64::from).collect();
        close(&what, &got, &want, 1e-5)?;
    }
    Ok(())
}
