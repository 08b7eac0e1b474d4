//! PyTorch's recurrent networks on any GPU, from Rust.
//!
//! Weights trained with `nn.RNN`, `nn.LSTM` or `nn.GRU` go in unchanged; the numbers that come out are PyTorch's; the
//! work is done by WGSL compute shaders through [wgpu], so that one program runs on NVIDIA, AMD, Intel, Apple, mobile
//! and software adapters, and on the CPU where there is no GPU.
//!
//! ```no_run
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::{Device, Rnn, StateDict, Tensor};
//!
//! let device = Device::open("auto")?;                       // a real GPU if there is one, else the CPU
//! let weights = StateDict::open("model.safetensors")?;      // torch: save_file(model.state_dict(), ...)
//! let lstm = Rnn::load(&device, &weights, "encoder.rnn.")?; // the module's prefix, or ""
//! let input = Tensor::zeros([100, 8, 80])?;                 // [T, B, I]
//! let (output, state) = lstm.forward(&input, None)?;        // [T, B, D·H], (h_n, c_n)
//! # Ok(())
//! # }
//! ```
//!
//! # What is computed
//!
//! With σ(x) = 1 / (1 + exp(−x)) and ∘ the elementwise product (formulas of the documentation of `torch.nn`):
//!
//! | module | gates | equations |
//! |---|---|---|
//! | RNN | one | h' = tanh(W x + b_ih + U h + b_hh), or relu of it |
//! | LSTM | i, f, g, o | i, f, o = σ(·), g = tanh(·), c' = f∘c + i∘g, h' = o∘tanh(c') |
//! | GRU | r, z, n | r, z = σ(·), n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = (1 − z)∘n + z∘h |
//!
//! # Shapes
//!
//! T time steps, B rows, I = `input_size`, H = `hidden_size`, G gates, L layers, D directions. Everything is row-major.
//!
//! | tensor | shape |
//! |---|---|
//! | `input` | `[T, B, I]`, `[B, T, I]` with `batch_first`, `[T, I]` unbatched |
//! | `output` | `[T, B, D·H]`, laid out as the input |
//! | `h_0`, `h_n`, `c_0`, `c_n` | `[L·D, B, H]`, index `layer · D + direction`, never batch first; `[L·D, H]` unbatched |
//! | `weight_ih_l{k}[_reverse]` | `[G·H, I]` in layer 0, `[G·H, D·H]` above |
//! | `weight_hh_l{k}[_reverse]` | `[G·H, H]` |
//! | `bias_ih_l{k}[_reverse]`, `bias_hh_l{k}[_reverse]` | `[G·H]` |
//!
//! # Numbers
//!
//! All arithmetic is f32, with tanh and sigmoid of our own, since drivers' differ (some return NaN for large arguments).
//! One device and [`Schedule`] give the same bits on every run, in every batch, and however a sequence is cut into calls;
//! on a GPU the schedule that [`Schedule::Auto`] takes depends on the batch for more than 128 units. Across devices
//! the last bits differ: order of summation, fused multiply-add and `exp` are the driver's. [`oracle`] is the definition in
//! f64, and [`compare`] and [`lockstep`] measure a device against it or kernel by kernel. Each GPU passes a self-test before
//! it is handed out.
//!
//! # How it is built
//!
//! A [`plan`] turns configuration, sizes and limits into a [`recording`], a list of dispatches as plain data. An engine
//! executes it: [`gpu`] through the [`kernel`]s in WGSL, [`cpu`] through each kernel's twin. `ARCHITECTURE.md` has the
//! whole picture.

#![forbid(unsafe_code)]

pub mod diagnostics;
mod dtype;
mod engine;
mod error;
mod fs;
mod kernel;
mod nn;
mod params;
mod perf;
mod plan;
mod reference;
mod tensor;

pub use dtype::WeightType;
pub use engine::device::Device;
pub use error::{Error, Result};
pub use kernel::Schedule;
pub use nn::cell::{Cell, CellStream};
pub use nn::embedding::Embedding;
pub use nn::linear::{Activation, Linear};
pub use nn::pad::{pad_sequence, unpad_sequence};
pub use nn::pass::{Pass, PassBindings, Recorder, TensorBinding};
pub use nn::pool::{Pool, PoolOptions, Slot};
pub use nn::rnn::{ForwardOptions, Rnn, RnnOptions};
pub use nn::stream::Stream;
pub use params::state_dict::StateDict;
pub use params::{Config, Kind, Params};
pub use tensor::{State, Tensor};
pub use wgpu;

/// Opening devices.
pub mod device {
    pub use crate::engine::gpu::{AdapterEntry, Polling, adapters, adapters_async};
    pub use crate::engine::options::OpenOptions;
    pub use crate::engine::selector::Selection;
    pub use crate::perf::calibration::Calibration;
    pub use crate::plan::limits::Limits;
}

/// Language models: PyTorch's word-language-model example.
pub mod language_model {
    pub use crate::nn::language_model::*;
    pub use crate::params::language_model::*;
}

/// The layers below the public interface, for this crate's tests and its program. No promise of stability.
#[doc(hidden)]
pub mod internals {
    pub use crate::diagnostics;
    /// See `src/dtype.rs`.
    pub mod dtype {
        pub use crate::dtype::*;
    }
    /// See `src/engine`.
    pub mod engine {
        pub use crate::engine::*;
    }
    /// See `src/error.rs`.
    pub mod error {
        pub use crate::error::*;
    }
    /// See `src/fs.rs`.
    pub mod fs {
        pub use crate::fs::*;
    }
    /// See `src/kernel`.
    pub mod kernel {
        pub use crate::kernel::*;
    }
    /// See `src/nn`.
    pub mod nn {
        pub use crate::nn::*;
    }
    /// See `src/params`.
    pub mod params {
        pub use crate::params::*;
    }
    /// See `src/perf`.
    pub mod perf {
        pub use crate::perf::*;
    }
    /// See `src/plan`.
    pub mod plan {
        pub use crate::plan::*;
    }
    /// See `src/reference.rs`.
    pub mod reference {
        pub use crate::reference::*;
    }
    /// See `src/tensor.rs`.
    pub mod tensor {
        pub use crate::tensor::*;
    }
}
