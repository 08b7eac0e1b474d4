//! Running a recording: devices, sessions, and the two engines.

pub mod cpu;
pub mod device;
pub mod gpu;
pub mod options;
pub(crate) mod ran;
mod residence;
pub mod selector;
mod self_test;
pub mod session;
pub(crate) mod wait;
