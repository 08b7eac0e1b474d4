//! Judging a device: are its numbers right, and how fast is it?
//!
//! * [`compare`] compares numbers within a tolerance and locates the worst element.
//! * [`lockstep`] runs every dispatch on a GPU and on the CPU from the same inputs.
//! * [`case`] reads case files: a network, its input and its expected outputs.
//! * [`verify`] runs case files on a device and reports pass, fail, unsupported or error.
//! * [`bench`] checks forward passes, times them, and compares them with the roofline.
//! * [`calibrate`] measures the constants of the roofline and keeps them in a cache folder.
//!
//! The commands of the program `wgpu-rnn` print their results.

pub mod bench;
pub mod calibrate;
pub mod case;
pub mod compare;
pub mod lockstep;
pub mod verify;
