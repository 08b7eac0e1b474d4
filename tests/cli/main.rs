//! The program as scripts see it: its exit status, its output and the files that it leaves.
//!
//! Everything runs on the CPU. No test needs a GPU, and a run with `--device cpu` loads no driver.
#![cfg(feature = "cli")]

mod bench;
#[path = "../common/bits.rs"]
mod bits;
mod checkpoints;
mod compare;
mod devices;
mod files;
mod generate;
mod inspect;
#[cfg(target_os = "linux")]
mod memory;
mod names;
mod onnx;
#[path = "../common/onnx_models.rs"]
#[allow(dead_code, reason = "tests of the reader make more")]
mod onnx_models;
mod output;
mod perplexity;
#[path = "../common/pickles.rs"]
mod pickles;
mod program;
mod run;
mod run_refusals;
#[path = "../common/seeded.rs"]
mod seeded;
#[cfg(unix)]
mod signals;
#[cfg(target_os = "linux")]
mod terminal;
mod usage;
mod verify;
