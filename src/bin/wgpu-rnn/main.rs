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
mod perplexity;
mod run;
mod terminal;
mod text;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// The result of a command without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All comparisons agreed.
    Agreed,
    /// A comparison disagreed.
    Disagreed,
    /// The report on stdout names an error.
    Incomplete,
}

fn main() -> ExitCode {
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
