//! How a shape runs on a device, and what it can take no less than.

use wgpu_rnn::bench::Shape;
use wgpu_rnn::calibrate::Calibration;
use wgpu_rnn::device::Engine;
use wgpu_rnn::model::{Floor, Placement, forward, step_work};
use wgpu_rnn::{Device, Error, Params, Rnn, RnnOptions, WeightType};

use super::{Target, known};
use crate::terminal::{FAINT, STRONG, line};

pub fn print(shapes: &[Shape], targets: &[Target], options: &RnnOptions) -> Result<(), Error> {
    let cpu = known(&Device::cpu());
    for shape in shapes {
        let params = Params::init(&shape.config, 0)?;
        line!("{STRONG}{}{STRONG:#}", shape.name);
        let work = step_work(&shape.config, shape.sizes.batch, options.weights);
        line!(
            "  a step of a layer: {} KiB of weights, {:.3} million multiply-adds, {} KiB of activations",
            work.weights >> 10,
            work.multiply_adds as f64 / 1e6,
            work.io >> 10
        );
        for Target { title, device } in targets {
            let Ok((device, calibration)) = device else { continue };
            line!("  {title}");
            let rnn = match Rnn::with_options(device, &params, options) {
                Ok(rnn) => rnn,
                Err(error) => {
                    line!("    {error}");
                    continue;
                }
            };
            for sentence in sentences(shape, &rnn, options.weights, [calibration, &cpu])? {
                line!("    {sentence}");
            }
        }
    }
    Ok(())
}

fn sentences(
    shape: &Shape,
    rnn: &Rnn,
    weights: WeightType,
    [calibration, cpu]: [&Calibration; 2],
) -> Result<Vec<String>, Error> {
    let floor = |calibration, device: &Device, dispatches| -> Result<Floor, Error> {
        let stored = device.storage(weights)?.read_as();
        Ok(forward(calibration, &shape.config, shape.sizes, stored, dispatches))
    };
    let plan = rnn.plan(shape.sizes.seq_len, shape.sizes.batch)?;
    let passes = shape.sizes.batch.div_ceil(plan.sizes.batch) as u64;
    let dispatches = plan.recording.dispatch_count() * passes;
    let mut sentences = vec![format!(
        "{} of time, {} of the batch, {dispatches} dispatches, {} MiB on the device",
        counted(plan.segments.len(), "segment"),
        counted(passes as usize, "pass"),
        plan.size().div_ceil(1 << 20)
    )];
    sentences.push(format!("schedule {}: {}", plan.schedule.schedule, plan.schedule.reason));
    let own = floor(calibration, rnn.device(), dispatches)?;
    let steps = shape.steps() as f64;
    let source = if calibration.measured { "measured" } else { "typical of such a device, not measured" };
    sentences.push(format!(
        "at least {:.2} µs a step, bound by {} ({source}: {:.2} µs from dispatch to dispatch, {:.0} GFLOP/s)",
        own.device_us / steps,
        own.bound.name(),
        calibration.dispatch_us,
        calibration.gflops
    ));
    if matches!(rnn.device().engine(), Engine::Gpu(_)) {
        let placement = Placement::of(&own, &floor(cpu, &Device::cpu(), dispatches)?);
        let guess = if cpu.measured && calibration.measured { "" } else { " (not all measured)" };
        sentences.push(format!("{placement}{guess}"));
    }
    Ok(sentences.into_iter().map(|sentence| format!("{FAINT}-{FAINT:#} {sentence}")).collect())
}

fn counted(count: usize, what: &str) -> String {
    match (count, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{count} {what}es"),
        _ => format!("{count} {what}s"),
    }
}
