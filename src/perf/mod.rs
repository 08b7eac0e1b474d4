//! The cost of forward passes on a device: measured constants, roofline and cost model.

pub mod calibration;
pub mod cost;
pub mod dispatch;
pub mod rates;
pub mod roofline;
