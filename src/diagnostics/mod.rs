//! Judging a device: are its numbers right, and how fast is it?
//!
//! * [`compare`] compares numbers within a tolerance and locates the worst element.
//! * [`lockstep`] runs every dispatch on a GPU and on the CPU from the same inputs.
//! * [`verify`] runs case files on a device and reports pass, fail, unsupported or error.
//! * [`assert_matches`] compares a network with its definition on every device, in a user's test.
//! * [`CaseWriter`] writes case files for [`verify`].
//! * [`bench`](mod@bench) checks forward passes, times them, and compares them with the roofline.
//! * [`calibrate`] measures the constants of the roofline and keeps them in a cache folder.
//!
//! [`reference()`](fn@reference) returns the results by definition, in f64. [`Explanation`] gives
//! the reason for a schedule, and whether the CPU is faster.
//!
//! The commands of the program `wgpu-rnn` print their results.

pub mod bench;
pub mod calibrate;
#[doc(hidden)]
pub mod case;
pub mod compare;
#[doc(hidden)]
pub mod inspect;
pub mod lockstep;
mod matching;
pub mod verify;

pub use case::writer::CaseWriter;
pub use matching::{
    DeviceMatch, ReferenceTensor, SIZES, Subject, assert_matches, every_device, every_device_async,
    matches, matches_async,
};
#[doc(hidden)]
pub use matching::{Loaded, Trials};

pub use crate::nn::explain::Explanation;
pub use crate::perf::cost::Prediction;
pub use crate::plan::Decision;
pub use crate::reference::{Outputs as Reference, module as reference};
