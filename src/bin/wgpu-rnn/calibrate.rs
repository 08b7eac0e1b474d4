//! `wgpu-rnn calibrate`.

use clap::Args;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::calibrate::measure;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::{Device, Error};

use crate::Outcome;
use crate::args::{OpenArgs, selectors};
use crate::output::JsonArgs;
use crate::terminal::{FAINT, STRONG, line, message, progress};

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Calibrate auto, cpu, all, an index from `devices`, or part of an adapter's name; may be
    /// repeated [default: auto]
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    #[command(flatten)]
    pub json: JsonArgs,
    #[command(flatten)]
    pub open: OpenArgs,
}

/// The length of the progress bar.
const BAR: u64 = 100;

pub fn calibrate(args: &CalibrateArgs) -> Result<Outcome, Error> {
    if args.open.threads.is_some() {
        return Err(Error::Option(
            "--threads is not for calibrate, which measures all cores".to_owned(),
        ));
    }
    args.json.check(&[])?;
    let (mut calibrations, mut kept) = (Vec::new(), true);
    for selection in Selection::of_all(&selectors(&args.devices))? {
        let device = args.open.open_timed(&selection)?;
        let bar = progress(BAR as usize, &selection.title());
        let measured = measure(&device, |done, what| {
            bar.set_message(what.to_owned());
            bar.set_position((done * BAR as f64) as u64);
        });
        bar.finish_and_clear();
        let calibration = measured?;
        match calibration.save() {
            Ok(Some(path)) => message!("kept in {}", path.display()),
            // The figures still go to stdout.
            Ok(None) => {
                kept = false;
                message!(
                    "error: not kept: this user has no cache folder; WGPU_RNN_CACHE can name one"
                );
            }
            Err(error) => {
                kept = false;
                anstream::eprintln!("error: not kept: {error}");
            }
        }
        if args.json.leaves_stdout() {
            print(&device, &calibration);
        }
        calibrations.push(calibration);
    }
    args.json.write(&serde_json::json!({ "calibrations": calibrations }))?;
    Ok(if kept { Outcome::Agreed } else { Outcome::Incomplete })
}

fn print(device: &Device, calibration: &Calibration) {
    line!("{STRONG}{device}{STRONG:#}");
    let clock =
        if calibration.timestamps { "the device's clock" } else { "the wall time of long batches" };
    line!("  {FAINT}{}, measured by {clock}{FAINT:#}", calibration.driver);
    line!("  dispatch to dispatch      {:>10.2} µs", calibration.dispatch_us);
    if let Some(barrier_us) = calibration.barrier_us {
        line!("  workgroup barrier         {barrier_us:>10.3} µs");
    }
    if let Some(us) = calibration.sequence_step_us {
        line!("  an empty step of sequence {us:>10.2} µs");
    }
    if let Some(times) = calibration.exchange {
        line!("  a step of persistent      {:>10.2} µs, {:.3} a row", times.step_us, times.row_us);
    }
    line!("  arithmetic                {:>10.1} GFLOP/s", calibration.gflops);
    if calibration.read_back_us > 0.0 {
        line!("  encoding of a dispatch    {:>10.2} µs", calibration.encode_us);
        line!("  call to result            {:>10.1} µs", calibration.read_back_us);
    }
    line!("  reading a buffer of       {:>10}          {}", "all cores", "one core");
    for bandwidth in &calibration.bandwidth {
        let one =
            bandwidth.one_gb_per_s.map_or_else(|| "".to_owned(), |one| format!("{one:>8.1} GB/s"));
        line!(
            "    {:>8} KiB            {:>10.1} GB/s {one}",
            bandwidth.bytes >> 10,
            bandwidth.all_gb_per_s
        );
    }
    line!("  rates of kernels");
    for rate in &calibration.rates {
        let (name, rows) = (rate.part.name(), rate.rows);
        line!(
            "    {name:<11} {rows:>5} rows      {:>10.1} GFLOP/s",
            rate.multiply_adds_per_us * 2e-3
        );
    }
}
