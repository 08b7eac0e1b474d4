//! The program as scripts see it: exit status, what it prints where, and the files that it leaves behind.
//!
//! Everything runs on the CPU; no test needs a GPU, and none that names the CPU touches a driver.
#![cfg(feature = "cli")]

mod bench;
#[path = "../common/bits.rs"]
mod bits;
mod compare;
mod devices;
mod files;
mod generate;
mod inspect;
mod output;
mod perplexity;
mod program;
mod run;
mod run_refusals;
#[path = "../common/seeded.rs"]
mod seeded;
mod usage;
mod verify;
