//! `wgpu-rnn calibrate`.

use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::calibrate::measure;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::{Device, Error};

use crate::Outcome;
use crate::args::{CalibrateArgs, selectors};
use crate::terminal::{FAINT, STRONG, line, print_json, progress};

/// Steps of the bar, which is told of shares.
const BAR: u64 = 100;

pub fn calibrate(args: &CalibrateArgs) -> Result<Outcome, Error> {
    let mut calibrations = Vec::new();
    for choice in Selection::of_all(&selectors(&args.devices))? {
        let device = args.open.open_timed(&choice)?;
        let bar = progress(BAR as usize, &choice.title());
        let measured = measure(&device, |done, what| {
            bar.set_message(what.to_owned());
            bar.set_position((done * BAR as f64) as u64);
        });
        bar.finish_and_clear();
        let calibration = measured?;
        match calibration.save() {
            Ok(Some(path)) => anstream::eprintln!("kept in {}", path.display()),
            Ok(None) => {
                anstream::eprintln!(
                    "note: this user has no cache folder; set WGPU_RNN_CACHE to keep the figures"
                )
            }
            // They can still be read here.
            Err(error) => anstream::eprintln!("warning: not kept: {error}"),
        }
        if !args.json {
            print(&device, &calibration);
        }
        calibrations.push(calibration);
    }
    if args.json {
        print_json(&serde_json::json!({ "calibrations": calibrations }))?;
    }
    Ok(Outcome::Agreed)
}

fn print(device: &Device, calibration: &Calibration) {
    line!("{STRONG}{device}{STRONG:#}");
    let clock =
        if calibration.timestamps { "the device's clock" } else { "the time of long batches" };
    line!("  {FAINT}{}, measured by {clock}{FAINT:#}", calibration.driver);
    line!("  from dispatch to dispatch {:>10.2} µs", calibration.dispatch_us);
    if let Some(barrier_us) = calibration.barrier_us {
        line!("  barrier of a workgroup    {barrier_us:>10.3} µs");
    }
    if let Some(walk_us) = calibration.walk_us {
        line!("  a step of sequence        {walk_us:>10.2} µs with next to nothing to do");
    }
    line!("  arithmetic                {:>10.1} GFLOP/s", calibration.gflops);
    if calibration.read_back_us > 0.0 {
        line!("  encoding a dispatch       {:>10.2} µs", calibration.encode_us);
        line!("  call to result            {:>10.1} µs", calibration.read_back_us);
    }
    line!("  reading a buffer of       {:>10}          {}", "all cores", "one");
    for bandwidth in &calibration.bandwidth {
        let one =
            bandwidth.one_gb_per_s.map_or_else(|| "".to_owned(), |one| format!("{one:>8.1} GB/s"));
        line!(
            "    {:>8} KiB            {:>10.1} GB/s {one}",
            bandwidth.bytes >> 10,
            bandwidth.all_gb_per_s
        );
    }
    line!("  kernels reach");
    for rate in &calibration.rates {
        let (name, rows) = (rate.part.name(), rate.rows);
        line!(
            "    {name:<10} {rows:>5} rows      {:>10.1} GFLOP/s",
            rate.multiply_adds_per_us * 2e-3
        );
    }
}
