//! `wgpu-rnn`: PyTorch's recurrent networks on any GPU, from the command line.
//!
//! Results go to stdout, all other text to stderr.
//! Exit status: 0 done and agreed, 1 disagreed, 2 error.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod calibrate;
mod compare;
mod demo;
mod devices;
mod generate;
mod inspect;
mod onnx;
mod output;
mod perplexity;
mod run;
mod signals;
mod terminal;
mod text;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::BenchArgs;
use calibrate::CalibrateArgs;
use compare::CompareArgs;
use devices::DevicesArgs;
use generate::GenerateArgs;
use inspect::InspectArgs;
use perplexity::PerplexityArgs;
use run::RunArgs;
use verify::VerifyArgs;

/// Run PyTorch's RNN, LSTM and GRU on any GPU.
///
/// Without a command, run a demonstration on the best device of this machine.
#[derive(Debug, Parser)]
#[command(name = "wgpu-rnn", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Exit status: 0 done and agreed, 1 disagreed, 2 error.
Environment:
  WGPU_BACKEND       select adapters by backend: vulkan, metal, dx12 or gl
  WGPU_ADAPTER_NAME  select the adapter for `auto` by part of its name
  WGPU_RNN_CACHE     keep calibrations in this folder instead of the user's cache folder
  NODEVICE_SELECT    1 silences Mesa's lines about XDG_RUNTIME_DIR on a machine without a desktop
  NO_COLOR           turn colours off";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the devices of this machine with their limits.
    Devices(DevicesArgs),
    /// Run a network on an input file and write its output.
    Run(RunArgs),
    /// Verify that a device passes case files: networks with input and expected output.
    Verify(VerifyArgs),
    /// Compare a device with the f64 reference, or each kernel with the CPU.
    Compare(CompareArgs),
    /// Benchmark forward passes and compare them with the roofline.
    Bench(BenchArgs),
    /// Calibrate devices: measure the constants of the roofline and keep them for other commands.
    Calibrate(CalibrateArgs),
    /// Inspect a file of weights: list its type, modules, tensors and metadata; or an ONNX model.
    Inspect(InspectArgs),
    /// Generate text with a language model.
    Generate(GenerateArgs),
    /// Compute the perplexity of a language model on a text.
    Perplexity(PerplexityArgs),
}

/// The result of a command without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All comparisons agreed.
    Agreed,
    /// A comparison disagreed.
    Disagreed,
    /// The report names an error.
    Incomplete,
}

fn main() -> ExitCode {
    signals::watch();
    let cli = Cli::parse();
    let result = match cli.command {
        None => demo::demo(),
        Some(Command::Devices(args)) => devices::devices(&args),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Verify(args)) => verify::verify(&args),
        Some(Command::Compare(args)) => compare::compare(&args),
        Some(Command::Bench(args)) => bench::bench(&args),
        Some(Command::Calibrate(args)) => calibrate::calibrate(&args),
        Some(Command::Inspect(args)) => inspect::inspect(&args),
        Some(Command::Generate(args)) => generate::generate(&args),
        Some(Command::Perplexity(args)) => perplexity::perplexity(&args),
    };
    if let (Ok(_), Some(error)) = (&result, terminal::LOST.get()) {
        anstream::eprintln!("{}error:{:#} stdout: {error}", terminal::BAD, terminal::BAD);
        return ExitCode::from(2);
    }
    match result {
        Ok(Outcome::Agreed) => ExitCode::SUCCESS,
        Ok(Outcome::Disagreed) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(2),
        Err(error) => {
            anstream::eprintln!("{}error:{:#} {error}", terminal::BAD, terminal::BAD);
            ExitCode::from(2)
        }
    }
}
