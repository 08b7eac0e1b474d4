//! Devices that the program opens itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::session::EngineRef;
use wgpu_rnn::wgpu;
use wgpu_rnn::{Config, Device, Error, Params, Rnn, Tensor};

use crate::by_hand::same_bits;
use crate::{Machine, Target, ensure, seeded};

/// Requests a device from the target's adapter.
pub fn request(
    target: &Target,
    change: impl FnOnce(&mut wgpu::DeviceDescriptor<'static>),
) -> Result<(wgpu::Device, wgpu::Queue), Failed> {
    let Machine::Adapter(entry) = &target.machine else { return Err("a test of adapters".into()) };
    let mut descriptor = Device::descriptor(&entry.adapter);
    change(&mut descriptor);
    Ok(pollster::block_on(entry.adapter.request_device(&descriptor))?)
}

/// A module with every kind of buffer, and an input of 5 steps and 3 rows.
pub fn example() -> Result<(Params, Tensor), Failed> {
    let config = Config::lstm(5, 33).num_layers(2).bidirectional(true);
    let input = seeded::tensor(3, &[5, 3, 5], 1.0);
    Ok((Params::init(&config, 7)?, input))
}

/// Results and options are the same as on a device that the crate opens.
pub fn same_numbers(target: &Target) -> Result<(), Failed> {
    let (params, input) = example()?;
    let own = target.device()?;
    let (want, want_state) = Rnn::new(&own, &params)?.forward(&input, None)?;
    let (device, queue) = request(target, |_| {})?;
    for options in [OpenOptions::default(), OpenOptions::default().skip_self_test().timestamps()] {
        let brought = Device::from_wgpu(device.clone(), queue.clone(), &options)?;
        ensure(brought.to_string() == own.to_string(), format!("{brought} is {own}"))?;
        ensure(
            brought.is_software_adapter() == own.is_software_adapter(),
            "the device alone shows that it is software",
        )?;
        ensure(brought.limits() == own.limits(), "the adapter's limits were asked for")?;
        ensure(brought.wgpu() == Some((&device, &queue)), "the same device")?;
        let EngineRef::Gpu(gpu) = brought.engine() else { return Err("an adapter".into()) };
        let clock =
            options.timestamps && device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        ensure(gpu.timestamps() == clock, "timed where asked for")?;
        let (got, state) = Rnn::new(&brought, &params)?.forward(&input, None)?;
        same_bits("output", got.data(), want.data())?;
        ensure(state == want_state, "the state")?;
    }
    let wrong = Device::from_wgpu(
        device,
        queue,
        &OpenOptions::default().limit("max_buffer_size", u64::MAX),
    );
    ensure(matches!(wrong, Err(Error::Option(_))), format!("{wrong:?}"))?;
    ensure(Device::cpu().wgpu().is_none(), "the CPU has no device of wgpu")
}

/// The program's callbacks receive the program's faults, and none of this crate's.
pub fn callbacks(target: &Target) -> Result<(), Failed> {
    let (device, queue) = request(target, |_| {})?;
    let (errors, losses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move || counter.fetch_add(1, Ordering::SeqCst)
    };
    let (error, loss) = (count(&errors), count(&losses));
    device.on_uncaptured_error(Arc::new(move |_| _ = error()));
    device.set_device_lost_callback(move |_, _| _ = loss());
    let counted = || (errors.load(Ordering::SeqCst), losses.load(Ordering::SeqCst));
    let brought = Device::from_wgpu(device.clone(), queue, &OpenOptions::default())?;
    let (params, input) = example()?;
    let rnn = Rnn::new(&brought, &params)?;
    let (want, _) = rnn.forward(&input, None)?;
    ensure(counted() == (0, 0), format!("nothing happened, but {:?}", counted()))?;
    // A buffer without a use is refused.
    drop(device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::empty(),
        mapped_at_creation: false,
    }));
    ensure(counted() == (1, 0), format!("the program's own error, but {:?}", counted()))?;
    let (got, _) = rnn.forward(&input, None)?;
    same_bits("after an error of the program", got.data(), want.data())?;
    device.destroy();
    let after = rnn.forward(&input, None);
    ensure(matches!(after, Err(Error::DeviceLost { .. })), format!("{after:?}"))?;
    ensure(counted() == (1, 1), format!("the program's own loss, but {:?}", counted()))
}

/// Plans obey the limits of the device, not those of its adapter.
pub fn limits(target: &Target) -> Result<(), Failed> {
    let (params, input) = example()?;
    let (want, _) = Rnn::new(&target.device()?, &params)?.forward(&input, None)?;
    let (device, queue) = request(target, |d| {
        d.required_limits =
            wgpu::Limits { max_storage_buffer_binding_size: 16_384, ..wgpu::Limits::default() };
    })?;
    let brought = Device::from_wgpu(device, queue, &OpenOptions::default())?;
    let allowed = brought.limits().max_storage_buffer_binding_size;
    ensure(allowed == 16_384, format!("the device's limit and not {allowed}"))?;
    let (got, _) = Rnn::new(&brought, &params)?.forward(&input, None)?;
    // The layers have shards, which other kernels may run: the bits may differ.
    let off = got.data().iter().zip(want.data()).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
    ensure(off < 1e-5, format!("off by {off}"))?;
    // The error names the limit of bindings, even if the self-test's network exceeds it.
    let (device, queue) =
        request(target, |d| d.required_limits = wgpu::Limits::downlevel_defaults())?;
    let refused = Device::from_wgpu(device, queue, &OpenOptions::default());
    let named =
        matches!(refused, Err(Error::Limit { limit: "max_storage_buffers_per_shader_stage", .. }));
    ensure(named, format!("{refused:?}"))
}

/// Every call on a lost device reports the loss, and nothing panics.
pub fn lost(target: &Target) -> Result<(), Failed> {
    let (params, input) = example()?;
    let (device, queue) = request(target, |_| {})?;
    // A device that the crate opened, with callbacks, and a borrowed one, without any.
    let own = target.device()?;
    let brought = Device::from_wgpu(device.clone(), queue.clone(), &OpenOptions::default())?;
    for gone in [own, brought] {
        let rnn = Rnn::new(&gone, &params)?;
        let gru = Rnn::new(&gone, &Params::init(&Config::gru(5, 4), 0)?)?;
        let mut stream = gru.stream(3)?;
        stream.forward(&input)?;
        gone.wgpu().ok_or("an adapter")?.0.destroy();
        let outcomes = [
            ("forward", rnn.forward(&input, None).map(drop)),
            ("again", rnn.forward(&input, None).map(drop)),
            ("a stream's state", stream.state().map(drop)),
            ("a stream", stream.forward(&input).map(drop)),
            ("another module", Rnn::new(&gone, &params).map(drop)),
        ];
        for (what, outcome) in outcomes {
            ensure(
                matches!(outcome, Err(Error::DeviceLost { .. })),
                format!("{gone}, {what}: {outcome:?}"),
            )?;
        }
    }
    let late = Device::from_wgpu(device, queue, &OpenOptions::default()).map(drop);
    ensure(
        matches!(late, Err(Error::DeviceLost { .. })),
        format!("a device that was lost before: {late:?}"),
    )
}
