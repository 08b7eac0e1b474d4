//! Judging a device: comparing its numbers with the definition, and measuring its speed.

pub mod bench;
pub mod calibrate;
pub mod case;
pub mod compare;
pub mod lockstep;
pub mod verify;
