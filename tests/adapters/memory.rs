//! The device memory of models: it equals the plans' figures, does not grow from call to call, and
//! is all returned.
//!
//! wgpu counts the objects of an instance, so these tests have their own instances. The device's
//! allocator counts the driver's memory.

use std::collections::HashSet;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::AdapterEntry;
use wgpu_rnn::internals::engine::session::EngineRef;
use wgpu_rnn::internals::plan::recording::{BufferSpec, Recording, Role};
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, LanguageModelConfig};
use wgpu_rnn::pass::PassBindings;
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::wgpu::{self, BufferUsages};
use wgpu_rnn::{
    Activation, Config, Device, Error, Kind, Linear, LoadOptions, Params, Rnn, Schedule, Tensor,
};

use crate::{Machine, Target, ensure, language_model, seeded, ticks};

/// The largest rounding of a buffer's size by a driver.
fn rounding(device: &Device) -> u64 {
    if device.backend() == wgpu::Backend::Dx12.to_string() { 64 << 10 } else { 256 }
}

/// Returns whether wgpu counts the memory of this backend's devices.
pub fn is_counted(entry: &AdapterEntry) -> bool {
    matches!(entry.info.backend, wgpu::Backend::Vulkan | wgpu::Backend::Dx12)
}

/// The target's adapter in an instance that no other test uses.
pub struct Own {
    instance: wgpu::Instance,
    pub entry: AdapterEntry,
}

/// The number of live objects of an instance: buffers, bind groups, their layouts, pipelines,
/// shader modules, encoders, command buffers, devices and queues.
type Alive = [usize; 9];

impl Own {
    pub fn new(target: &Target) -> Result<Self, Failed> {
        let Machine::Adapter(wanted) = &target.machine else {
            return Err("a test of adapters".into());
        };
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        let backends = descriptor.backends;
        let instance = wgpu::Instance::new(descriptor);
        let mut found = pollster::block_on(instance.enumerate_adapters(backends)).into_iter();
        let adapter =
            found.find(|adapter| adapter.get_info() == wanted.info).ok_or("the adapter is gone")?;
        Ok(Self { instance, entry: AdapterEntry::new(adapter) })
    }

    pub fn alive(&self) -> Result<Alive, Failed> {
        let hub = self.instance.generate_report().ok_or("wgpu counts nothing")?.hub;
        let of = [
            &hub.buffers,
            &hub.bind_groups,
            &hub.bind_group_layouts,
            &hub.compute_pipelines,
            &hub.shader_modules,
            &hub.command_encoders,
            &hub.command_buffers,
            &hub.devices,
            &hub.queues,
        ];
        Ok(of.map(|registry| registry.num_allocated))
    }
}

/// Returns bytes and number of the driver's allocations once the device is idle, `None` if wgpu
/// does not count them.
pub fn allocated(device: &Device) -> Result<Option<(u64, usize)>, Failed> {
    let (device, _) = device.wgpu().ok_or("an adapter")?;
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let report = device.generate_allocator_report();
    Ok(report.map(|report| (report.total_allocated_bytes, report.allocations.len())))
}

/// Returns the figures of `allocated`. Fails if wgpu does not count them.
fn counted(device: &Device) -> Result<(u64, usize), Failed> {
    allocated(device)?.ok_or_else(|| "wgpu does not count the memory of this backend".into())
}

/// Returns the bytes of the uniforms: one for each distinct dispatch.
fn uniforms(recording: &Recording) -> u64 {
    let parities = recording
        .commands
        .iter()
        .flat_map(|command| (0..command.count().min(2)).map(move |p| (command, p)));
    let dims = parities
        .flat_map(|(command, parity)| command.dispatches(parity))
        .map(|dispatch| dispatch.dims.bytes());
    dims.collect::<HashSet<_>>().len() as u64 * 256
}

/// Returns the bytes of the weights, which a model stores once.
fn weights(recording: &Recording) -> u64 {
    recording
        .buffers
        .iter()
        .filter(|buffer| buffer.role == Role::Weight)
        .map(BufferSpec::size)
        .sum()
}

/// A forward pass and a pool take the memory that their plans state, and later calls take no more.
pub fn planned_is_taken(target: &Target) -> Result<(), Failed> {
    let models = [
        ("LSTM 64 > 128, 2 layers", Config::lstm(64, 128).num_layers(2), 50, 8),
        ("GRU 40 > 300, both directions", Config::gru(40, 300).bidirectional(true), 20, 3),
        ("LSTM 80 > 200 > 64", Config::lstm(80, 200).proj_size(64), 30, 5),
        ("RNN 1 > 7, 3 layers", Config::rnn(1, 7).num_layers(3), 400, 1),
    ];
    for (what, config, seq_len, batch) in models {
        let own = Own::new(target)?;
        let device = Device::from_adapter(&own.entry, &OpenOptions::default())?;
        let (before, _) = counted(&device)?;
        let params = Params::init(&config, 1)?;
        let rnn = Rnn::new(&device, &params)?;
        let plan = rnn.plan(seq_len, batch)?;
        let input = seeded::tensor(2, &[seq_len, batch, config.input_size], 1.0);
        for call in 0..3 {
            rnn.forward(&input, None)?;
            let (after, buffers) = counted(&device)?;
            let (said, taken) = (plan.size() + uniforms(&plan.recording), after - before);
            let most = said + buffers as u64 * rounding(&device);
            ensure(
                (said..=most).contains(&taken),
                format!("{what}, call {call}: {said} bytes said, {taken} taken"),
            )?;
        }
        if config.bidirectional {
            continue;
        }
        let (before, _) = counted(&device)?;
        let options = PoolOptions::new(20).steps(2);
        let before_it = rnn.plan_pool(&options)?.size();
        ensure(counted(&device)?.0 == before, format!("planning a pool of {what} takes nothing"))?;
        let pool = rnn.pool(&options)?;
        ensure(
            pool.plan().size() == before_it,
            format!("a pool of {what}: what was said before it was made"),
        )?;
        let recording = &pool.plan().tick.recording;
        let said = pool.plan().size() - weights(recording) + uniforms(recording);
        let slots = (0..20).map(|_| pool.open()).collect::<Result<Vec<_>, _>>()?;
        let step = vec![0.5; config.input_size];
        for count in [20, 3, 20] {
            let inputs = slots[..count].iter().map(|slot| (*slot, step.as_slice()));
            ticks::outputs(pool.tick(&inputs.collect::<Vec<_>>()))?;
            let (after, buffers) = counted(&device)?;
            let (taken, most) = (after - before, said + buffers as u64 * rounding(&device));
            ensure(
                (said..=most).contains(&taken),
                format!("a pool of {what}: {said} bytes said, {taken} taken"),
            )?;
        }
    }
    Ok(())
}

/// A program with a module, a stream, a pool, a recorded pass, a head and a text.
fn everything(
    device: &Device,
    schedule: Schedule,
    mut between: impl FnMut(&str) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let (wgpu, queue) = device.wgpu().ok_or("an adapter")?;
    let config = Config::lstm(6, 40).num_layers(2);
    let rnn = Rnn::with_options(
        device,
        &Params::init(&config, 3)?,
        &LoadOptions::new().schedule(schedule),
    )?;
    let input = seeded::tensor(4, &[9, 4, 6], 1.0);
    let mut stream = rnn.stream(4)?;
    let pool = rnn.pool(&PoolOptions::new(6).steps(2))?;
    let slots = (0..6).map(|_| pool.open()).collect::<Result<Vec<_>, _>>()?;
    let step = [0.5; 12];
    let recorder = rnn.recorder(9, 4)?;
    let buffer = |shape: [usize; 3]| {
        wgpu.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: shape.iter().product::<usize>() as u64 * 4,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(recorder.input_shape()), buffer(recorder.output_shape()));
    let pass = recorder.bind(&PassBindings::new(&x).output(&y))?;
    let linear = Linear::new(device, &Tensor::zeros([3, 40])?, None, Activation::None)?;
    let params = language_model::params(&LanguageModelConfig::new(Kind::Gru, 9, 4, 8, 2))?;
    let model = LanguageModel::new(device, &params)?;
    let mut text = model.generate(&[&[1, 2]], &GenerateOptions::default().chunk(2))?;
    // 100 calls of each, after the first few, which create the objects that stay.
    for call in 0..104 {
        let many = slots.iter().map(|slot| (*slot, &step[..])).collect::<Vec<_>>();
        rnn.forward(&input, None)?;
        stream.forward(&input)?;
        ticks::outputs(pool.tick(&many))?;
        ticks::outputs(pool.tick(&many[..1]))?;
        linear.forward(&Tensor::zeros([2, 40])?)?;
        text.next().ok_or("an endless text")??;
        let mut encoder = wgpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        pass.record(&mut encoder)?;
        queue.submit([encoder.finish()]);
        if call >= 3 {
            between(&format!("call {call}"))?;
        }
    }
    Ok(())
}

/// In steady state no object that a call creates, in this crate or in wgpu, stays alive.
pub fn steady(target: &Target) -> Result<(), Failed> {
    let own = Own::new(target)?;
    let device = Device::from_adapter(&own.entry, &OpenOptions::default())?;
    let EngineRef::Gpu(gpu) = device.engine() else { return Err("an adapter".into()) };
    let mut first = None;
    let mut calls = 0;
    everything(&device, Schedule::Step, |call| {
        let found = (gpu.resources_made(), own.alive()?, allocated(&device)?);
        let want = *first.get_or_insert(found);
        calls += 1;
        ensure(found == want, format!("{call}: {found:?}, and before {want:?}"))
    })?;
    ensure(calls == 101, "100 calls after the first")?;
    // The check can fail: another length needs another plan.
    let made = gpu.resources_made();
    let rnn = Rnn::new(&device, &Params::init(&Config::gru(3, 5), 0)?)?;
    let mut more = Vec::new();
    for steps in [2, 2, 3] {
        rnn.forward(&Tensor::zeros([steps, 1, 3])?, None)?;
        more.push(gpu.resources_made());
    }
    ensure(
        made < more[0] && more[0] == more[1] && more[1] < more[2],
        format!("{made}, then {more:?}"),
    )
}

/// A dropped module returns its memory, except pipelines, which stay with the device. A dropped
/// device returns everything.
pub fn given_back(target: &Target) -> Result<(), Failed> {
    let own = Own::new(target)?;
    let nothing = own.alive()?;
    ensure(nothing == Alive::default(), format!("the test's instance is empty: {nothing:?}"))?;
    let device = Device::from_adapter(&own.entry, &OpenOptions::default().timestamps())?;
    // Only the pipelines of the self-test's network are left.
    let with_device = (own.alive()?, allocated(&device)?);
    ensure(
        with_device.0[0] == 1 && with_device.0[1] == 0,
        format!("the table of steps alone: {:?}", with_device.0),
    )?;
    everything(&device, Schedule::Auto, |_| Ok(()))?;
    let ([buffers, groups, layouts, pipelines, rest @ ..], memory) =
        (own.alive()?, allocated(&device)?);
    let ([_, _, _, _, rest_before @ ..], memory_before) = with_device;
    ensure(
        (buffers, groups) == (1, 0),
        format!("{buffers} buffers and {groups} bind groups are left"),
    )?;
    ensure(
        layouts == pipelines && pipelines > 3,
        format!("{pipelines} pipelines, {layouts} layouts"),
    )?;
    ensure(rest == rest_before, format!("{rest:?} and before {rest_before:?}"))?;
    ensure(memory == memory_before, format!("{memory:?} and before {memory_before:?}"))?;
    drop(device);
    ensure(own.alive()? == nothing, format!("after the device: {:?}", own.alive()?))?;
    // The same holds for a lost device.
    let device = Device::from_adapter(&own.entry, &OpenOptions::default())?;
    let rnn = Rnn::new(&device, &Params::init(&Config::gru(3, 5), 0)?)?;
    let mut stream = rnn.stream(1)?;
    stream.forward(&Tensor::zeros([2, 1, 3])?)?;
    device.wgpu().ok_or("an adapter")?.0.destroy();
    ensure(
        matches!(stream.forward(&Tensor::zeros([2, 1, 3])?), Err(Error::DeviceLost { .. })),
        "it is lost",
    )?;
    drop(stream);
    drop((rnn, device));
    ensure(own.alive()? == nothing, format!("after a lost device: {:?}", own.alive()?))
}

/// The budget refuses a plan before any allocation, and the error states the budget and the need.
pub fn budget(target: &Target) -> Result<(), Failed> {
    let own = Own::new(target)?;
    let params = Params::init(&Config::lstm(32, 64), 5)?;
    let free = Device::from_adapter(&own.entry, &OpenOptions::default())?;
    let plan = Rnn::new(&free, &params)?.plan(1, 16)?;
    let (needed, weights) = (plan.size(), weights(&plan.recording));
    drop(free);
    let refused = |what: &str, allowed: u64, outcome: Result<(), Error>| match outcome {
        Err(error @ Error::Limit { limit: "memory_budget", needed, allowed: found, .. }) => {
            let said =
                [needed, found].iter().all(|bytes| error.to_string().contains(&bytes.to_string()));
            ensure(found == allowed && needed > allowed && said, format!("{what}: {error}"))
        }
        other => Err(Failed::from(format!("{what}: {other:?}"))),
    };
    let few = weights - 4;
    let device = Device::from_adapter(&own.entry, &OpenOptions::default().memory_budget(few))?;
    let before = (own.alive()?, allocated(&device)?);
    refused("the weights", few, Rnn::new(&device, &params).map(drop))?;
    ensure((own.alive()?, allocated(&device)?) == before, "nothing was allocated for the weights")?;
    drop(device);
    // This budget has room for one row, but not for sixteen.
    let device =
        Device::from_adapter(&own.entry, &OpenOptions::default().memory_budget(needed - 4))?;
    let rnn = Rnn::new(&device, &params)?;
    let before = (own.alive()?, counted(&device)?);
    refused("a stream", needed - 4, rnn.stream(16).map(drop))?;
    refused("a pool", needed - 4, rnn.pool(&PoolOptions::new(1 << 16)).map(drop))?;
    refused(
        "a long sequence",
        needed - 4,
        rnn.forward(&Tensor::zeros([1000, 1, 32])?, None).map(drop),
    )?;
    refused("its plan", needed - 4, rnn.plan(1000, 1).map(drop))?;
    ensure(
        (own.alive()?, counted(&device)?) == before,
        "nothing was allocated for what was refused",
    )?;
    rnn.forward(&Tensor::zeros([1, 16, 32])?, None)?;
    let (after, buffers) = counted(&device)?;
    let most = needed + uniforms(&rnn.plan(1, 1)?.recording) + buffers as u64 * rounding(&device);
    let taken = after - before.1.0 + weights;
    ensure(taken <= most, format!("{taken} bytes of {needed} were taken by passes of fewer rows"))
}
