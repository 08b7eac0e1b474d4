//! Refusals by drivers: an error names the cause, and the device still works.

use std::sync::Arc;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::session::{Session, Weights};
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Family, Kernel};
use wgpu_rnn::internals::plan::recording::{Command, Dispatch};
use wgpu_rnn::{Config, Device, Error, Params, Rnn, Tensor};

use crate::memory::{Own, allocated};
use crate::{Target, ensure, seeded};

/// SwiftShader refuses an allocation of 1 GiB. The caller gets an error, nothing stays allocated,
/// and module, stream and device still work.
pub fn out_of_memory(target: &Target) -> Result<(), Failed> {
    let own = Own::new(target)?;
    let device = Device::from_adapter(&own.entry, &OpenOptions::default())?;
    // One step of 64 rows is 256 KiB of input.
    let rnn = Rnn::new(&device, &Params::init(&Config::rnn(1024, 1), 6)?)?;
    let (small, large) = (seeded::tensor(7, &[2, 64, 1024], 1.0), Tensor::zeros([4096, 64, 1024])?);
    let want = rnn.forward(&small, None)?;
    let mut stream = rnn.stream(64)?;
    let first = stream.forward(&small)?;
    let before = (own.alive()?, allocated(&device)?);
    let plan = rnn.plan(4096, 64)?;
    ensure(plan.size() > 1 << 30, "the limits allow it, and how much it takes is said before")?;
    let named = |what: &str, outcome: Result<(), Error>| match outcome {
        Err(error @ Error::OutOfMemory { .. }) => {
            let message = error.to_string();
            let said = [device.name(), "out of memory", "'input' of 1073741824 bytes"];
            ensure(said.iter().all(|part| message.contains(part)), format!("{what}: {message}"))
        }
        other => Err(Failed::from(format!("{what}: {other:?}"))),
    };
    named("forward", rnn.forward(&large, None).map(drop))?;
    named("a recorder", rnn.recorder(4096, 64).map(drop))?;
    named("a stream", stream.forward(&large).map(drop))?;
    ensure(!device.is_lost(), "the device is there")?;
    let after = (own.alive()?, allocated(&device)?);
    ensure(after == before, format!("{after:?} is left, and before it was {before:?}"))?;
    ensure(rnn.forward(&small, None)? == want, "the module works on")?;
    // The stream's state is unchanged.
    let second = stream.forward(&small)?;
    let mut whole = rnn.stream(64)?;
    ensure(
        whole.forward(&small)? == first && whole.forward(&small)? == second,
        "the stream goes on",
    )
}

/// A refusal that plans cannot foresee names the adapter, the current work and the driver's
/// message.
pub fn refused_by_the_driver(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let rnn = Rnn::new(&device, &Params::init(&Config::gru(3, 4), 8)?)?;
    let input = seeded::tensor(9, &[5, 2, 3], 1.0);
    let want = rnn.forward(&input, None)?;
    let recording = rnn.plan(5, 2)?.recording;
    let weights = recording
        .buffers
        .iter()
        .filter(|b| b.role == wgpu_rnn::internals::plan::recording::Role::Weight);
    let weights: Vec<_> = weights.cloned().collect();
    let with = |change: &dyn Fn(&mut Dispatch)| -> wgpu_rnn::Result<()> {
        let mut recording = recording.clone();
        let found = recording.commands.iter_mut().find_map(|command| match command {
            Command::Dispatch(dispatch @ Dispatch { dims: Dims::Linear(_), .. }) => Some(dispatch),
            _ => None,
        });
        change(found.ok_or_else(|| Error::Unsupported("a plan without a projection".to_owned()))?);
        let weights = Weights::load(device.engine(), &weights, |at| vec![0.0; weights[at].len()])?;
        Session::new(Arc::new(recording), &weights)?.run(&[], &[]).map(drop)
    };
    with(&|_| {})?;
    type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Dispatch));
    let cases: [Case<'_>; 3] = [
        ("a kernel without its cell", "building a pipeline", &|d| {
            d.kernel = Kernel { family: Family::Step, cell: None, ..d.kernel }
        }),
        ("a binding too few", "binding buffers", &|d| d.bindings.truncate(2)),
        ("more workgroups than an axis has", "running a recording", &|d| {
            d.workgroups = [70_000, 1, 1]
        }),
    ];
    for (what, doing, change) in cases {
        match with(change) {
            Err(error @ Error::Gpu { .. }) => {
                let message = error.to_string();
                let said = message.contains(device.name()) && message.contains(doing);
                ensure(said, format!("{what}: {message}"))?;
            }
            other => return Err(format!("{what}: {other:?}").into()),
        }
        ensure(!device.is_lost(), format!("{what}: the device is there"))?;
        ensure(rnn.forward(&input, None)? == want, format!("{what}: the module works on"))?;
    }
    Ok(())
}
