//! `wgpu-rnn compare`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::diagnostics::lockstep::{KernelReport, lockstep};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::reference;
use wgpu_rnn::{Device, Error, LoadOptions, Params, Rnn, Tensor, WeightType};

use crate::Outcome;
use crate::args::{ModuleArgs, OpenArgs, TIME_FIRST, WeightsArgs, selectors};
use crate::output::JsonArgs;
use crate::run::{Input, load};
use crate::terminal::{BAD, FAINT, GOOD, STRONG, line, message};

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Read `input`, and optional `lengths` and state (`h0` and, for an LSTM, `c0`), from a file of
    /// safetensors or of torch.save [default: a random input]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seq_len", "batch", "seed"])]
    pub input: Option<PathBuf>,
    /// Set the time steps of a random input.
    #[arg(long, default_value_t = 32)]
    pub seq_len: usize,
    /// Set the rows of a random input.
    #[arg(long, default_value_t = 4)]
    pub batch: usize,
    /// Set the seed of a random input, uniform in ±1.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Use auto, cpu, all, an index from `devices`, or part of an adapter's name; may be repeated
    /// [default: auto]
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Run every dispatch on the GPU and on the CPU from the same inputs, and report each kernel.
    #[arg(long)]
    pub lockstep: bool,
    /// Set the absolute tolerance.
    #[arg(long, default_value_t = Tolerance::F32.atol)]
    pub atol: f64,
    /// Set the relative tolerance.
    #[arg(long, default_value_t = Tolerance::F32.rtol)]
    pub rtol: f64,
    #[command(flatten)]
    pub json: JsonArgs,
    #[command(flatten)]
    pub open: OpenArgs,
}

impl CompareArgs {
    /// Refuses comparisons that nothing can fail.
    fn check(&self) -> Result<(), Error> {
        for (name, value) in [("--atol", self.atol), ("--rtol", self.rtol)] {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::Option(format!(
                    "{name} is {value}; expected a finite tolerance, 0 or more"
                )));
            }
        }
        if self.batch == 0 {
            return Err(Error::Option(
                "--batch is 0; expected at least 1: there is nothing to compare".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The results of a device in the JSON report.
#[derive(Serialize)]
struct DeviceResult {
    device: String,
    agrees: bool,
    /// Each result against the reference, without `--lockstep`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tensors: Vec<TensorResult>,
    /// Each kernel against its twin, with `--lockstep`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<KernelReport>,
}

#[derive(Serialize)]
struct TensorResult {
    tensor: &'static str,
    count: usize,
    mismatches: usize,
    max_abs: f64,
    max_rel: f64,
    worst: Option<Vec<usize>>,
}

/// The network, its input and the tolerance: the same for every device.
struct Job {
    params: Params,
    input: Input,
    tolerance: Tolerance,
    options: LoadOptions,
}

pub fn compare(args: &CompareArgs) -> Result<Outcome, Error> {
    args.check()?;
    let input = args.input.iter().map(|path| ("--input", path.as_path()));
    let read: Vec<_> = args.weights.files().chain(input).collect();
    args.json.check(&read)?;
    let network = load(&args.weights)?;
    let external: Vec<_> = network.files.iter().map(|file| ("--weights", file.as_path())).collect();
    args.json.check(&external)?;
    let config = network.params.config();
    let input = match &args.input {
        Some(path) => Input::open(path, &args.weights, &network)?,
        None => {
            let shape = if config.batch_first {
                [args.batch, args.seq_len]
            } else {
                [args.seq_len, args.batch]
            };
            let shape = [shape[0], shape[1], config.input_size];
            let count = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
            if count.is_none_or(|count| count > 1 << 31) {
                let most = 1_u64 << 31;
                return Err(Error::Shape(format!(
                    "an input of shape {shape:?} is over {most} values"
                )));
            }
            let (mut input, mut random) = (Tensor::zeros(shape)?, Mt19937::new(args.seed));
            input.data_mut().iter_mut().for_each(|value| *value = random.uniform(-1.0, 1.0));
            for (role, name) in &network.inputs {
                message!("note: the ONNX model reads {role} from '{name}': there is none here");
            }
            if !config.batch_first && network.nodes.is_empty() {
                message!("note: the random input {shape:?} is {TIME_FIRST}");
            }
            Input { input, lengths: network.lengths, state: network.state }
        }
    };
    let tolerance = Tolerance::new(args.atol, args.rtol);
    let job = Job { params: network.params, input, tolerance, options: args.module.options() };
    // The reference is slow, and the same for every device.
    let want = if args.lockstep { None } else { Some(job.reference()?) };
    if job.input.input.data().is_empty() {
        return Err(Error::Shape(format!(
            "the input {:?} has no values: there is nothing to compare",
            job.input.input.shape()
        )));
    }
    let mut results = Vec::new();
    let selections = Selection::of_all(&selectors(&args.devices))?;
    let several = selections.len() > 1;
    for selection in selections {
        if args.lockstep && several && matches!(selection, Selection::Cpu) {
            // Lockstep compares the other devices with the CPU.
            continue;
        }
        let device = args.open.open(&selection)?;
        let result = match &want {
            None => job.lockstep(&device)?,
            Some(want) => job.run(&device, want)?,
        };
        if args.json.leaves_stdout() {
            print(&result);
        }
        results.push(result);
    }
    let agrees = results.iter().all(|result| result.agrees);
    args.json.write(&serde_json::json!({ "results": results }))?;
    Ok(if agrees { Outcome::Agreed } else { Outcome::Disagreed })
}

impl Job {
    /// Compares each kernel of a device with its twin.
    fn lockstep(&self, device: &Device) -> Result<DeviceResult, Error> {
        let Input { input, lengths, state } = &self.input;
        let (lengths, state) = (lengths.as_deref(), state.as_ref());
        let reports =
            lockstep(device, &self.params, input, lengths, state, self.tolerance, &self.options)?;
        Ok(DeviceResult {
            device: device.to_string(),
            agrees: reports.iter().all(KernelReport::agrees),
            tensors: Vec::new(),
            kernels: reports,
        })
    }

    /// Runs the f64 reference with the stored weights. A note reports the effect of rounding.
    fn reference(&self) -> Result<reference::Outputs, Error> {
        let Input { input, lengths, state } = &self.input;
        let run =
            |params: &Params| reference::module(params, input, lengths.as_deref(), state.as_ref());
        let weights = self.options.weights;
        let want = run(&self.params.rounded(weights)?)?;
        if weights != WeightType::F32 {
            let moved = want.largest_difference(&run(&self.params)?);
            message!(
                "note: rounding the weights to {} changes the results by up to {moved:.1e}",
                weights.name()
            );
        }
        Ok(want)
    }

    /// Runs the module on a device and compares its results with the reference.
    fn run(&self, device: &Device, want: &reference::Outputs) -> Result<DeviceResult, Error> {
        let rnn = Rnn::with_options(device, &self.params, &self.options)?;
        let (output, state) = self.input.run(&rnn)?;
        let mut tensors = Vec::new();
        let mut agrees = true;
        let results = [("output", Some(&output)), ("hn", Some(&state.h)), ("cn", state.c.as_ref())];
        for ((name, got), want) in results.into_iter().zip([&want.output, &want.h_n, &want.c_n]) {
            let Some(got) = got else { continue };
            let mut comparison = Comparison::default();
            comparison.add(name, got.shape(), got.data(), want, self.tolerance);
            agrees &= comparison.agrees();
            tensors.push(TensorResult {
                tensor: name,
                count: comparison.count,
                mismatches: comparison.mismatches,
                max_abs: comparison.max_abs,
                max_rel: comparison.max_rel,
                worst: comparison.worst.map(|worst| worst.index),
            });
        }
        Ok(DeviceResult { device: device.to_string(), agrees, tensors, kernels: Vec::new() })
    }
}

fn print(result: &DeviceResult) {
    let (colour, word) = if result.agrees { (GOOD, "agrees") } else { (BAD, "disagrees") };
    line!("{STRONG}{}{STRONG:#}: {colour}{word}{colour:#}", result.device);
    for t in &result.tensors {
        let worst =
            t.worst.as_ref().map(|worst| format!(", worst at {worst:?}")).unwrap_or_default();
        line!(
            "  {:<10} {} of {} out of tolerance, max abs {:.3e}, max rel {:.3e}{worst}",
            t.tensor,
            t.mismatches,
            t.count,
            t.max_abs,
            t.max_rel
        );
    }
    for k in &result.kernels {
        line!(
            "  {:<10} {} dispatches, {} of {} values out of tolerance, max abs {:.3e}",
            k.kernel,
            k.dispatches,
            k.mismatches,
            k.count,
            k.max_abs
        );
        if let Some(w) = &k.worst {
            line!("  {FAINT}{:<10} worst: {w}{FAINT:#}", "");
        }
    }
}
