//! Adapters that do not exist: wgpu's backend that checks every call and executes none, with limits
//! and features that an adapter may have.

use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::AdapterEntry;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::perf::rates::KernelClass;
use wgpu_rnn::internals::perf::rates::Rate;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::pass::PassBindings;
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{
    Config, Device, Error, Kind, LoadOptions, Params, Rnn, Schedule, Tensor, WeightType,
};

/// An adapter with these limits and features.
fn adapter(limits: wgpu::Limits, features: wgpu::Features) -> AdapterEntry {
    adapter_with(wgpu::NoopBackendOptions {
        limits: Some(limits),
        features: Some(features),
        ..Default::default()
    })
}

fn adapter_with(options: wgpu::NoopBackendOptions) -> AdapterEntry {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions { enable: true, ..options };
    let found = pollster::block_on(
        wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::NOOP),
    );
    let adapter = found.into_iter().next().expect("the backend has one adapter");
    AdapterEntry::new(adapter)
}

/// WebGPU's default limits with some changed.
fn webgpu(change: impl FnOnce(&mut wgpu::Limits)) -> wgpu::Limits {
    let mut limits = wgpu::Limits::defaults();
    change(&mut limits);
    limits
}

fn open(entry: &AdapterEntry) -> Device {
    Device::from_adapter(entry, &OpenOptions::default().skip_self_test())
        .expect("nothing is tested")
}

/// Runs a module in every way. wgpu checks each call; the results mean nothing.
fn run(device: &Device, config: &Config, options: &LoadOptions) -> Result<(), Error> {
    let rnn = Rnn::with_options(device, &Params::init(config, 0)?, options)?;
    let input = Tensor::zeros([6, 5, config.input_size])?;
    assert!(rnn.plan(6, 5)?.size() > 0, "planning works");
    assert_eq!(
        rnn.forward(&input, None)?.0.shape(),
        [6, 5, config.output_size()],
        "the output's shape"
    );
    let (wgpu, _) = device.wgpu().expect("an adapter");
    if options.schedule == Schedule::Wavefront {
        return rnn.stream(5)?.forward(&input).map(drop);
    }
    let recorder = rnn.recorder(6, 5)?;
    let buffer = |shape: [usize; 3]| {
        wgpu.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: shape.iter().product::<usize>() as u64 * 4,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(recorder.input_shape()), buffer(recorder.output_shape()));
    let mut encoder = wgpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    recorder.bind(&PassBindings::new(&x).output(&y))?.record(&mut encoder)?;
    if !config.bidirectional {
        rnn.stream(5)?.forward(&input)?;
        let pool = rnn.pool(&PoolOptions::new(3))?;
        let step = vec![0.0; config.input_size];
        pool.tick(&[(pool.open()?, &step)])?.pop().expect("one slot")?;
    }
    Ok(())
}

/// A driver that leaves every buffer as it is fails the self-test: no caller gets the device, and
/// the error states the wrong result.
#[test]
fn a_driver_that_computes_nothing_is_refused() {
    let entry = adapter(wgpu::Limits::defaults(), wgpu::Features::empty());
    let (device, queue) =
        pollster::block_on(entry.adapter.request_device(&Device::descriptor(&entry.adapter)))
            .expect("a device");
    let options = OpenOptions::default();
    for (way, outcome) in [
        ("opened", Device::from_adapter(&entry, &options)),
        ("awaited", pollster::block_on(Device::from_adapter_async(&entry, &options))),
        ("brought", Device::from_wgpu(device, queue, &options)),
    ] {
        let error = outcome.expect_err("zeros are not the numbers of the self-test");
        assert!(matches!(error, Error::SelfTest { .. }), "{way}: {error:?}");
        let message = error.to_string();
        for part in
            ["noop wgpu backend (", "self-test failed: ", "got 0", "want", "Use another device"]
        {
            assert!(message.contains(part), "{way}: the message lacks '{part}': {message}");
        }
    }
    assert_eq!(open(&entry).name(), "noop wgpu backend", "who insists gets it");
}

/// No schedule and no weight type needs f16, subgroups, immediates or a clock.
#[test]
fn no_feature_is_needed() {
    let entry = adapter(webgpu(|limits| limits.max_immediate_size = 0), wgpu::Features::empty());
    let device =
        Device::from_adapter(&entry, &OpenOptions::default().skip_self_test().timestamps())
            .expect("a device");
    assert_eq!(
        device.wgpu().expect("an adapter").0.features(),
        wgpu::Features::empty(),
        "nothing to ask for"
    );
    for &schedule in Schedule::ALL {
        for weights in [WeightType::F32, WeightType::F16] {
            let options = LoadOptions::new().schedule(schedule).weights(weights);
            for &kind in Kind::ALL {
                for bidirectional in [false, true] {
                    if bidirectional && schedule == Schedule::Wavefront {
                        continue;
                    }
                    // Only a device that computes can show that its workgroups may wait.
                    if schedule == Schedule::Persistent {
                        continue;
                    }
                    let config =
                        Config::new(kind, 3, 10).num_layers(2).bidirectional(bidirectional);
                    run(&device, &config, &options)
                        .unwrap_or_else(|error| panic!("{config:?}, {options:?}: {error}"));
                }
            }
        }
    }
    // Subgroups may be there or not.
    for features in [wgpu::Features::empty(), wgpu::Features::SUBGROUP] {
        let device = open(&adapter_with(wgpu::NoopBackendOptions {
            limits: Some(wgpu::Limits::defaults()),
            features: Some(features),
            subgroup_min_size: Some(8),
            subgroup_max_size: Some(8),
            ..Default::default()
        }));
        let config = Config::gru(8, 16);
        run(&device, &config, &LoadOptions::new())
            .unwrap_or_else(|error| panic!("{features:?}: {error}"));
    }
    // A feature that an adapter has and nothing uses is not asked for.
    let rich = adapter(wgpu::Limits::defaults(), wgpu::Features::all());
    let asked = open(&rich).wgpu().expect("an adapter").0.features();
    let used = wgpu::Features::SUBGROUP
        | wgpu::Features::MEMORY_DECORATION_COHERENT
        | wgpu::Features::MEMORY_DECORATION_VOLATILE;
    assert_eq!(asked, used, "a clock only where it is asked for");
}

/// A model runs within an adapter's limits, or an error names the limit. wgpu never refuses a call.
#[test]
fn limits_of_an_adapter_are_obeyed_or_named() {
    type Change = fn(&mut wgpu::Limits);
    let cases: [(&str, bool, Change); 9] = [
        ("max_storage_buffer_binding_size", true, |l| l.max_storage_buffer_binding_size = 8192),
        ("max_storage_buffer_binding_size", false, |l| l.max_storage_buffer_binding_size = 128),
        ("max_buffer_size", false, |l| l.max_buffer_size = 16 << 10),
        ("max_compute_workgroups_per_dimension", true, |l| {
            l.max_compute_workgroups_per_dimension = 12
        }),
        ("max_compute_workgroups_per_dimension", false, |l| {
            l.max_compute_workgroups_per_dimension = 1
        }),
        ("max_compute_workgroup_storage_size", true, |l| {
            l.max_compute_workgroup_storage_size = 6 << 10
        }),
        ("max_compute_workgroup_storage_size", false, |l| {
            l.max_compute_workgroup_storage_size = 64
        }),
        ("max_compute_invocations_per_workgroup", true, |l| {
            l.max_compute_invocations_per_workgroup = 64
        }),
        ("max_storage_buffers_per_shader_stage", false, |l| {
            l.max_storage_buffers_per_shader_stage = 4
        }),
    ];
    let config = Config::lstm(12, 40).num_layers(2);
    for (limit, runs, change) in cases {
        let limits = webgpu(change);
        let what = format!("{limit} of {limits:?}");
        let entry = adapter(limits.clone(), wgpu::Features::empty());
        let ran = Device::from_adapter(&entry, &OpenOptions::default().skip_self_test()).and_then(
            |device| {
                let mut own = Limits::of(&limits, device.is_software_adapter());
                own.max_work_per_submission = device.limits().max_work_per_submission;
                assert_eq!(*device.limits(), own, "{what}: the adapter's");
                run(&device, &config, &LoadOptions::new())
            },
        );
        match ran {
            Ok(()) => assert!(runs, "{what}: it cannot run"),
            Err(Error::Limit { limit: found, needed, allowed, .. }) => {
                assert!(!runs, "{what}: {found}: {needed} of {allowed}");
                assert_eq!(found, limit, "{what}: {needed} of {allowed}");
                assert!(needed > allowed, "{what}: {needed} of {allowed}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

/// A submission has at most a second of work, by the device's figures or its type's. The caller's
/// figure counts first.
#[test]
fn a_submission_is_a_second_of_a_slow_device() {
    let entry = adapter(wgpu::Limits::defaults(), wgpu::Features::empty());
    let most = Limits::of(&wgpu::Limits::defaults(), false).max_work_per_submission;
    let with = |rate: f64, options: OpenOptions| {
        let rate =
            Rate { part: KernelClass::Step, rows: 1, sums: None, multiply_adds_per_us: rate };
        let mut calibration = Calibration::typical_of(Some(wgpu::DeviceType::DiscreteGpu));
        calibration.rates = vec![rate];
        let device =
            Device::from_adapter(&entry, &options.skip_self_test().calibration(calibration))
                .expect("a device");
        device.limits().max_work_per_submission
    };
    assert_eq!(with(1e3, OpenOptions::default()), 1_000_000_000, "a slow kernel");
    assert_eq!(with(1e6, OpenOptions::default()), most, "a fast one is given no more than before");
    for named in [7, most] {
        assert_eq!(
            with(1e3, OpenOptions::default().limit("max_work_per_submission", named)),
            named,
            "as named"
        );
    }
    // Of a device that was never measured, by its type: no adapter of this name has been.
    let unknown = open(&entry);
    let (found, slowest) = (unknown.limits().max_work_per_submission, unknown.calibration());
    assert!(!slowest.measured && found < most, "{found} of {most}, by {slowest:?}");
}
