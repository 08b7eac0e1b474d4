//! The GPU engine: adapters, an opened device with its pipelines, and the execution of recordings on it.

mod adapter;
mod bound;
mod context;
mod engine;
mod faults;
mod mapping;
mod pending;
mod pipeline;
mod poller;
mod timer;

pub use adapter::{AdapterEntry, adapters, adapters_async};
pub(crate) use adapter::{by_name, driver, id, why_none};
pub(crate) use bound::Bound;
pub use context::Gpu;
pub(crate) use context::{descriptor, lock};
pub use engine::{Engine, upload_weights};
pub(crate) use mapping::Waiting;
pub(crate) use pending::Pending;
pub use poller::Polling;
pub use timer::Timing;
