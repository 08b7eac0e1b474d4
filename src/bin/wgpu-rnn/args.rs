//! What can be typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use wgpu_rnn::device::{OpenOptions, Selection};
use wgpu_rnn::internals::diagnostics::bench::Suite;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::{Device, Error, Kind, RnnOptions, Schedule, WeightType};

/// PyTorch's RNN, LSTM and GRU on any GPU.
///
/// Without a command: a demonstration on the best device of this machine.
#[derive(Debug, Parser)]
#[command(name = "wgpu-rnn", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str = "\
Exit status: 0 done and agreed, 1 disagreed, 2 could not.
Environment: WGPU_BACKEND (vulkan, metal, dx12, gl) and WGPU_ADAPTER_NAME (part of a name) narrow the choice of adapters;
NO_COLOR turns colours off; WGPU_RNN_CACHE is the folder that `calibrate` writes to in place of the user's cache folder.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the devices of this machine.
    Devices(DevicesArgs),
    /// Run a network over an input file and write its output.
    Run(RunArgs),
    /// Run case files and judge the results.
    Verify(VerifyArgs),
    /// Compare a device's numbers with the definition's (f64), or kernel by kernel with the CPU's.
    Compare(CompareArgs),
    /// Measure forward passes: right first, then how fast, beside the least that they can take.
    Bench(BenchArgs),
    /// Measure what the devices are capable of, and keep it for `bench`.
    Calibrate(CalibrateArgs),
    /// Tell what is in a safetensors file: modules, tensors, metadata.
    Inspect(InspectArgs),
    /// Write text with a language model, drawn on the device.
    Generate(GenerateArgs),
    /// Tell how well a language model predicts a text.
    Perplexity(PerplexityArgs),
}

#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How each device is opened.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// Lower a limit of the device, as NAME=VALUE; may be repeated. NAME is a WebGPU limit such as
    /// max_storage_buffer_binding_size, or memory_budget (bytes).
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = parse_limit)]
    pub limits: Vec<(String, u64)>,
    /// Use the device even if its self-test fails.
    #[arg(long)]
    pub skip_self_test: bool,
}

fn parse_limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if !Limits::NAMES.contains(&name) {
        return Err(format!(
            "unknown limit '{name}': expected one of {}",
            Limits::NAMES.join(", ")
        ));
    }
    let value = value.parse().map_err(|_| format!("'{value}' is not a whole number"))?;
    Ok((name.to_owned(), value))
}

/// The names of schedules, which usage lists.
fn schedules() -> impl TypedValueParser<Value = Schedule> {
    PossibleValuesParser::new(Schedule::ALL.map(Schedule::name)).try_map(|name| name.parse())
}

impl OpenArgs {
    /// Opens a device. Its figures come from the folder that `calibrate` writes to.
    pub fn open(&self, selection: &Selection) -> Result<Device, Error> {
        self.open_with(selection, self.options())
    }

    /// Opens the one device that a selector stands for.
    pub fn open_one(&self, selector: &str) -> Result<Device, Error> {
        self.open(&Selection::of(selector)?)
    }

    /// As [`open`](Self::open), with a clock that times the device's own work.
    pub fn open_timed(&self, selection: &Selection) -> Result<Device, Error> {
        self.open_with(selection, self.options().timestamps())
    }

    fn open_with(&self, selection: &Selection, options: OpenOptions) -> Result<Device, Error> {
        selection.open(&match measured(selection) {
            Some(calibration) => options.calibration(calibration),
            None => options,
        })
    }

    pub fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::default();
        for (name, value) in &self.limits {
            options = options.limit(name, *value);
        }
        if self.skip_self_test { options.skip_self_test() } else { options }
    }
}

/// The figures that `calibrate` keeps of a device. A file that cannot be used is ignored with a warning.
pub fn measured(selection: &Selection) -> Option<Calibration> {
    Calibration::find(&selection.id()).unwrap_or_else(|error| {
        anstream::eprintln!("warning: {error}");
        None
    })
}

/// The CPU with its measured figures, if there are any.
pub fn cpu() -> Result<Device, Error> {
    Device::cpu_with(&match measured(&Selection::Cpu) {
        Some(calibration) => OpenOptions::default().calibration(calibration),
        None => OpenOptions::default(),
    })
}

/// How a module is put on a device.
#[derive(Debug, Args)]
pub struct ModuleArgs {
    /// How the recurrence is laid on the machine.
    #[arg(long, default_value_t, value_name = "SCHEDULE", value_parser = schedules())]
    pub schedule: Schedule,
    /// How weights are stored: f32, or f16, which takes half the bytes and rounds them.
    #[arg(long, default_value = "f32")]
    pub dtype: WeightType,
}

impl ModuleArgs {
    pub fn options(&self) -> RnnOptions {
        RnnOptions::default().schedule(self.schedule).weights(self.dtype)
    }
}

/// Which weights.
#[derive(Debug, Args)]
pub struct WeightsArgs {
    /// State dict in a safetensors file. A cell's (`weight_ih` without `_l0`) is run as a layer.
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// What the names of the module's tensors start with, such as `encoder.rnn.`.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Nonlinearity of an RNN, which a state dict does not tell: tanh or relu.
    #[arg(long)]
    pub nonlinearity: Option<String>,
    /// Input and output are [B, T, features] in place of [T, B, features].
    #[arg(long)]
    pub batch_first: bool,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Safetensors file with `input` and optionally `lengths`, `h0` and `c0`.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Safetensors file to write `output`, `hn` and, for an LSTM, `cn` to.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// auto, cpu, an index that `devices` prints, or part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Say by which schedule the module runs, why, and whether the CPU should be faster.
    #[arg(long)]
    pub explain: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Case files (rnncase/1), or folders of them.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// auto, cpu, all, an index that `devices` prints, or part of an adapter's name; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Safetensors file with `input` and optionally `lengths`, `h0` and `c0`; without it the input is random.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seq_len", "batch", "seed"])]
    pub input: Option<PathBuf>,
    /// Time steps of a random input.
    #[arg(long, default_value_t = 32)]
    pub seq_len: usize,
    /// Rows of a random input.
    #[arg(long, default_value_t = 4)]
    pub batch: usize,
    /// Seed of a random input, uniform in ±1.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// auto, cpu, all, an index that `devices` prints, or part of an adapter's name; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Run every dispatch on the GPU and on the CPU from the same inputs, and report each kernel.
    #[arg(long)]
    pub lockstep: bool,
    /// Absolute tolerance.
    #[arg(long, default_value_t = wgpu_rnn::internals::diagnostics::compare::Tolerance::F32.atol)]
    pub atol: f64,
    /// Relative tolerance.
    #[arg(long, default_value_t = wgpu_rnn::internals::diagnostics::compare::Tolerance::F32.rtol)]
    pub rtol: f64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Which shapes: networks in use (quick: a few of them), one whose T, H and B are varied, or those of other systems.
    #[arg(long, value_parser = Suite::NAMES)]
    pub suite: Option<String>,
    /// One shape in place of a suite: rnn_tanh, rnn_relu, lstm (the default) or gru.
    #[arg(long, conflicts_with = "suite")]
    pub kind: Option<Kind>,
    /// Input features of the one shape; as many as hidden units if not given.
    #[arg(long, value_name = "I", conflicts_with = "suite")]
    pub input_size: Option<usize>,
    /// Hidden units of the one shape [default: 256]
    #[arg(long, value_name = "H", conflicts_with = "suite")]
    pub hidden_size: Option<usize>,
    /// Layers of the one shape [default: 1]
    #[arg(long, value_name = "L", conflicts_with = "suite")]
    pub num_layers: Option<usize>,
    /// Two directions.
    #[arg(long, conflicts_with = "suite")]
    pub bidirectional: bool,
    /// Time steps of the one shape [default: 100]
    #[arg(long, value_name = "T", conflicts_with = "suite")]
    pub seq_len: Option<usize>,
    /// Rows of the one shape [default: 1]
    #[arg(long, value_name = "B", conflicts_with = "suite")]
    pub batch: Option<usize>,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Say how each shape runs and why, what it can take no less than, and whether the CPU should be faster.
    #[arg(long)]
    pub explain: bool,
    /// auto, cpu, all, an index that `devices` prints, or part of an adapter's name; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// What one shape may take on one device: repetitions are given up first, then the shape.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub seconds: u64,
    /// Write the figures to a file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compare with the rows of other systems in a file of `benches/peers`; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// auto, cpu, all, an index that `devices` prints, or part of an adapter's name; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Weights, a language model or a case.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which language model, and what its tokens stand for.
#[derive(Debug, Default, Args)]
pub struct TextModelArgs {
    /// State dict of PyTorch's word-language-model example (encoder.weight, rnn.*, decoder.*) in a safetensors file;
    /// without it the model that ships, which writes Shakespeare by the character.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// What the names of the model's tensors start with.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// The recurrent module: RNN_TANH, RNN_RELU, LSTM or GRU; else the metadata's `rnn_type`, or read off the shapes.
    #[arg(long, value_name = "TYPE")]
    pub rnn_type: Option<String>,
    /// What the tokens are: one to a line, or a JSON array (.json); else the metadata's `vocabulary`.
    #[arg(long, value_name = "FILE")]
    pub vocabulary: Option<PathBuf>,
    /// How weights are stored on the device: f32, or f16, which takes half the bytes and rounds them.
    #[arg(long, default_value = "f32")]
    pub dtype: WeightType,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub model: TextModelArgs,
    /// The text to carry on.
    #[arg(long, allow_hyphen_values = true)]
    pub prompt: String,
    /// Tokens to write.
    #[arg(long, default_value_t = 400)]
    pub length: usize,
    /// What logits are divided by before a token is drawn; 0 takes the likeliest one.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Draw among this many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 0)]
    pub top_k: usize,
    /// Seed: the same one gives the same text on every device, unless probabilities tie within rounding.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// auto, cpu, an index that `devices` prints, or part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Debug, Args)]
pub struct PerplexityArgs {
    #[command(flatten)]
    pub model: TextModelArgs,
    /// The text, in UTF-8.
    #[arg(value_name = "TEXT")]
    pub text: PathBuf,
    /// Parts of the text that run side by side, each from a state of zeros.
    #[arg(long, default_value_t = 64)]
    pub streams: usize,
    /// auto, cpu, all, an index that `devices` prints, or part of an adapter's name; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

/// The devices that were named, or `auto`.
pub fn selectors(named: &[String]) -> Vec<String> {
    if named.is_empty() { vec!["auto".to_owned()] } else { named.to_vec() }
}
