//! The WebAssembly module: the crate `wgpu-rnn-web`, linked.

pub use wgpu_rnn_web::start;
