//! The GPU engine: adapters, an opened device with its pipelines, and the execution of recordings on it.

mod adapter;
mod bound;
mod context;
mod engine;
mod faults;
mod pipeline;
mod timer;

pub use adapter::{AdapterEntry, adapters};
pub(crate) use adapter::{by_name, driver};
pub(crate) use bound::Bound;
pub use context::Gpu;
pub(crate) use context::{descriptor, lock};
pub use engine::{Engine, upload_weights};
pub use timer::Timing;
