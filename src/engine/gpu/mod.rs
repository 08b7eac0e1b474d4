//! The GPU engine: adapters, an opened device with its pipelines, and recordings on it.

mod adapter;
mod bound;
#[cfg(target_arch = "wasm32")]
mod browser;
mod clears;
mod context;
mod copies;
mod encode;
mod engine;
mod faults;
#[cfg(test)]
pub(crate) mod imaginary;
mod mapping;
mod parts;
mod pending;
mod pipeline;
#[cfg(not(target_arch = "wasm32"))]
mod poller;
mod polling;
mod progress;
mod role;
mod run;
mod timer;
mod trust;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub use adapter::{AdapterEntry, adapters_async};
pub(crate) use adapter::{by_name, check_backends, driver, id, why_none};
pub(crate) use bound::BoundDispatch;
#[cfg(target_arch = "wasm32")]
use browser as poller;
pub use context::Gpu;
pub(crate) use context::{VOLATILE, descriptor};
pub use engine::Engine;
pub(crate) use parts::Around;
pub(crate) use pending::Pending;
pub use polling::Polling;
pub use timer::Timing;
