//! Sizes that exceed one binding, one dispatch or one invocation.

use std::collections::HashSet;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::plan::Plan;
use wgpu_rnn::internals::plan::recording::{BufferSpec, Command, Dispatch, Role};
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, Schedule, Tensor};

use crate::bits::assert_same;
use crate::modules::check;
use crate::{Target, ensure, seeded};

fn segments(plan: &Plan) -> usize {
    plan.segments.len()
}

/// Cutting time into segments, by a small binding or a memory budget, does not change results.
pub fn chunks(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for (kind, proj_size) in
        Kind::ALL.iter().map(|&kind| (kind, 0)).chain(target.projects().then_some((Kind::Lstm, 9)))
    {
        for bidirectional in [false, true] {
            let config = Config::new(kind, 6, 10)
                .num_layers(3)
                .bidirectional(bidirectional)
                .proj_size(proj_size);
            let config = target.suited(config);
            let params = Params::init(&config, 5)?;
            let input = seeded::tensor(6, &[23, 3, 6], 1.0);
            let whole = target.rnn(&device, &params)?;
            let want = whole.forward(&input, None)?;
            ensure(segments(&whole.plan(23, 3)?) == 1, "a small sequence is one segment")?;
            // The budget has room for half of the projections of all steps.
            let plan = whole.plan(23, 3)?;
            let gates_x = plan.recording.buffers.iter().find(|buffer| buffer.label == "gates_x");
            let budget = plan.size() - gates_x.ok_or("there is no gates_x")?.size() / 2;
            // The weights fit one binding, as some schedules require, or not even that.
            let weights =
                plan.recording.buffers.iter().filter(|buffer| buffer.role == Role::Weight);
            let largest = weights.map(BufferSpec::size).max().unwrap_or(0);
            let binding = if target.runs_whole_layers() { largest } else { 1024 };
            for (what, options) in [
                (
                    "binding",
                    OpenOptions::default().limit("max_storage_buffer_binding_size", binding),
                ),
                ("budget", OpenOptions::default().memory_budget(budget)),
            ] {
                let rnn = target.rnn(&target.open(&options)?, &params)?;
                let count = segments(&rnn.plan(23, 3)?);
                ensure(count > 1, format!("{kind} {what}: {count} segments"))?;
                assert_same(
                    &format!("{kind} {what}, {count} segments"),
                    &rnn.forward(&input, None)?,
                    &want,
                );
            }
            let none = target.open(&OpenOptions::default().memory_budget(4096))?;
            let error = Rnn::with_options(&none, &params, &target.options())
                .and_then(|rnn| rnn.forward(&input, None));
            let named = matches!(error, Err(Error::Limit { limit: "memory_budget", .. }));
            ensure(named, format!("a budget of one page: {error:?}"))?;
        }
    }
    Ok(())
}

/// Limiting the steps of a dispatch changes no bit.
pub fn steps_per_dispatch(target: &Target) -> Result<(), Failed> {
    let (seq_len, batch) = (13, 3);
    let whole = target.device()?;
    let pieces: Vec<(u64, Device)> = [1, 2, 5, 6, 12, 13, 14]
        .into_iter()
        .map(|steps| {
            let options = OpenOptions::default().limit("max_steps_per_dispatch", steps);
            Ok((steps, target.open(&options)?))
        })
        .collect::<Result<_, Failed>>()?;
    for &kind in Kind::ALL {
        let config = target.suited(Config::new(kind, 6, 10).num_layers(2).bidirectional(true));
        let params = Params::init(&config, 5)?;
        let input = seeded::tensor(6, &[seq_len, batch, 6], 1.0);
        let lengths = [13, 4, 9];
        let want = target.rnn(&whole, &params)?.forward_lengths(&input, &lengths, None)?;
        for (steps, device) in &pieces {
            let rnn = target.rnn(device, &params)?;
            let what = format!("{kind}, {steps} steps to a dispatch");
            let plan = rnn.plan(seq_len, batch)?;
            ensure(
                plan.schedule.schedule == target.schedule,
                format!("{what}: {:?}", plan.schedule),
            )?;
            let walks = plan.recording.commands.iter().filter(|command| {
                let Command::Dispatch(Dispatch { dims, .. }) = command else { return false };
                matches!(dims, Dims::Sequence(_) | Dims::Persistent(_))
            });
            // One workgroup of `persistent` owns all ten units, so that it waits for no other.
            let several = matches!(target.schedule, Schedule::Sequence | Schedule::Persistent);
            let dispatches = if several { 2 * seq_len.div_ceil(*steps as usize) } else { 0 };
            ensure(
                walks.count() == dispatches,
                format!("{what}: {dispatches} dispatches were expected"),
            )?;
            assert_same(&what, &rnn.forward_lengths(&input, &lengths, None)?, &want);
        }
    }
    Ok(())
}

pub fn shards_and_passes(target: &Target) -> Result<(), Failed> {
    let whole = target.device()?;
    // 8 KiB bind 2,048 values, so that a layer of 40 units has shards and 64 rows have passes.
    let small =
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 8192))?;
    for (kind, proj_size) in Kind::ALL.iter().map(|&kind| (kind, 0)).chain([(Kind::Lstm, 39)]) {
        let config =
            Config::new(kind, 12, 40).num_layers(2).bidirectional(true).proj_size(proj_size);
        let params = Params::init(&config, 9)?;
        let input = seeded::tensor(3, &[5, 64, 12], 1.0);
        let rnn = Rnn::new(&small, &params)?;
        let plan = rnn.plan(5, 64)?;
        ensure(plan.sizes.batch < 64, format!("one pass takes {} rows", plan.sizes.batch))?;
        let kernels = if proj_size == 0 { 1 } else { 2 };
        let sharded = |dispatches: &[Dispatch]| {
            let of = |kernel| dispatches.iter().filter(|one| one.kernel == kernel).count();
            let all: HashSet<_> = dispatches.iter().map(|dispatch| dispatch.kernel).collect();
            all.len() == kernels && all.into_iter().all(|kernel| of(kernel) > 1)
        };
        let mut steps = plan.recording.commands.iter().filter_map(|command| match command {
            Command::Steps { by_parity, .. } => Some(&by_parity[0]),
            Command::Dispatch(_) | Command::Clear { .. } => None,
        });
        ensure(
            steps.any(|step| sharded(step)),
            format!("{kind}: the weights of {kernels} kernels are in shards"),
        )?;
        let want = Rnn::new(&whole, &params)?.forward(&input, None)?;
        assert_same(&format!("{kind} in shards"), &rnn.forward(&input, None)?, &want);
    }
    let tiny = target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 64))?;
    let error = Rnn::new(&tiny, &Params::init(&Config::lstm(12, 40), 0)?);
    ensure(
        matches!(&error, Err(Error::Limit { limit: "max_storage_buffer_binding_size", .. })),
        format!("64 bytes bind no unit: {error:?}"),
    )
}

/// More than 65,535 rows, and more workgroups than a low limit allows on one axis.
pub fn many_rows(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    check(target, &device, &Config::gru(2, 3), 2, 70_000)?;
    let few =
        target.open(&OpenOptions::default().limit("max_compute_workgroups_per_dimension", 40))?;
    check(target, &few, &Config::lstm(3, 17).bidirectional(true), 3, 1_001)?;
    Ok(())
}

pub fn long_sequences(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    check(target, &device, &Config::gru(3, 5).bidirectional(true), 20_000, 1)?;
    // Many submissions for one sequence.
    let options = OpenOptions::default().limit("max_work_per_submission", 7_000_000);
    check(target, &target.open(&options)?, &Config::lstm(3, 5).num_layers(2), 100, 2)?;
    Ok(())
}

/// A layer too wide for the loops of a software adapter is refused.
pub fn wide_layers(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let params = Params::from_fn(&Config::rnn(1 << 22, 1), |_, shape| {
        Ok(vec![0.0; shape.iter().product()])
    })?;
    let error = Rnn::new(&device, &params)?.forward(&Tensor::zeros([1, 1, 1 << 22])?, None);
    ensure(
        matches!(&error, Err(Error::Limit { limit: "max_loop_iterations", .. })),
        format!("over four million features: {:?}", error.map(|_| "ran")),
    )
}
