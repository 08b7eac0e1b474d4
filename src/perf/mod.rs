//! What forward passes cost on a device: its measured figures, a lower bound and a prediction.

pub mod calibration;
pub mod cost;
pub mod rates;
pub mod roofline;
