//! `bench --explain`: how a shape runs on a device, and its roofline.

use wgpu_rnn::internals::diagnostics::bench::Shape;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::perf::roofline::{forward, step_work};
use wgpu_rnn::{Error, LoadOptions, Params, Rnn, WeightType};

use super::Target;
use crate::terminal::{FAINT, STRONG, line};

/// Prints the work of each shape, then how each device runs it.
pub fn print(shapes: &[Shape], targets: &[Target], options: &LoadOptions) -> Result<(), Error> {
    for shape in shapes {
        let params = Params::init(&shape.config, 0)?;
        line!("{STRONG}{}{STRONG:#}", shape.name);
        let work = step_work(&shape.config, shape.sizes.batch, options.weights);
        line!(
            "  a step of a layer: {} KiB of weights, {:.3} million multiply-adds, \
             {} KiB of activations",
            work.weights >> 10,
            work.multiply_adds as f64 / 1e6,
            work.io >> 10
        );
        for Target { title, device } in targets {
            let Ok(device) = device else { continue };
            line!("  {title}");
            let rnn = match Rnn::with_options(device, &params, options) {
                Ok(rnn) => rnn,
                Err(error) => {
                    line!("    {error}");
                    continue;
                }
            };
            for sentence in sentences(shape, &rnn, options.weights, device.calibration())? {
                line!("    {FAINT}-{FAINT:#} {sentence}");
            }
        }
    }
    Ok(())
}

fn sentences(
    shape: &Shape,
    rnn: &Rnn,
    weights: WeightType,
    calibration: &Calibration,
) -> Result<Vec<String>, Error> {
    let explanation =
        rnn.explain_beside(&crate::args::cpu()?, shape.sizes.seq_len, shape.sizes.batch)?;
    let mut sentences: Vec<String> = explanation.to_string().lines().map(str::to_owned).collect();
    let stored = rnn.device().storage(weights)?.read_as();
    let roofline = forward(calibration, &shape.config, shape.sizes, stored, explanation.dispatches);
    let source = if calibration.measured { "measured" } else { "typical, not measured" };
    sentences.push(format!(
        "at least {:.2} µs a step, bound by {} ({source}: {:.2} µs between dispatches, \
         {:.0} GFLOP/s)",
        roofline.device_us / shape.steps() as f64,
        roofline.bound.name(),
        calibration.dispatch_us,
        calibration.gflops
    ));
    Ok(sentences)
}
