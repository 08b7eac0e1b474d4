//! PyTorch's recurrent networks on any GPU, from Rust.
//!
//! Weights trained with `nn.RNN`, `nn.LSTM` or `nn.GRU` load unchanged, and the results are
//! PyTorch's. WGSL compute shaders do the work through [wgpu]: the same program runs on NVIDIA,
//! AMD, Intel, Apple, mobile and software adapters, and on the CPU.
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
//! # Where to find what
//!
//! | task | item |
//! |---|---|
//! | open a GPU or the CPU, set a memory budget | [`Device`], [`device::OpenOptions`] |
//! | read weights from a safetensors file | [`StateDict`] |
//! | run an RNN, LSTM or GRU | [`Rnn`], one step at a time [`Cell`] |
//! | run layers around it | [`Linear`], [`Embedding`] |
//! | load `batch_first` models, relu RNNs or f16 weights | [`LoadOptions`] |
//! | run rows of different lengths, or with dropout | [`ForwardOptions`], [`pad_sequence`] |
//! | make a module without a file | [`Config`], [`Params`] |
//! | stream a sequence, keeping its state on the device | [`stream`] |
//! | serve many sequences at the same time | [`pool`] |
//! | record a pass into your own command encoder | [`pass`] |
//! | score or write text | [`language_model`] |
//! | check and time a device, find why a schedule runs | [`diagnostics`] |
//! | handle failures | [`enum@Error`] |
//!
//! # Equations
//!
//! σ(x) = 1 / (1 + exp(−x)), and ∘ is the elementwise product, as in the documentation of
//! `torch.nn`:
//!
//! | module | gates | equations |
//! |---|---|---|
//! | RNN | one | h' = tanh(W x + b_ih + U h + b_hh), or relu of it |
//! | LSTM | i, f, g, o | i, f, o = σ(·), g = tanh(·), c' = f∘c + i∘g, h' = o∘tanh(c') |
//! | GRU | r, z, n | r, z = σ(·), n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = (1 − z)∘n + z∘h |
//!
//! # Shapes
//!
//! T time steps, B rows, I = `input_size`, H = `hidden_size`, G gates, L layers, D directions. All
//! tensors are row-major. With a projection, R = `proj_size` replaces H in h and in the output.
//!
//! | tensor | shape |
//! |---|---|
//! | `input` | `[T, B, I]`, `[B, T, I]` with `batch_first`, `[T, I]` unbatched |
//! | `output` | `[T, B, D·H]`, in the layout of the input |
//! | `h_0`, `h_n`, `c_0`, `c_n` | `[L·D, B, H]`, never batch first; `[L·D, H]` unbatched |
//! | `weight_ih_l{k}[_reverse]` | `[G·H, I]` in layer 0, `[G·H, D·H]` above |
//! | `weight_hh_l{k}[_reverse]` | `[G·H, H]` |
//! | `bias_ih_l{k}[_reverse]`, `bias_hh_l{k}[_reverse]` | `[G·H]` |
//!
//! The first axis of a state has the index `layer · D + direction`.
//!
//! # Numbers
//!
//! All arithmetic is in f32; f16 is a storage type for weights, by option. The shaders have their
//! own tanh and sigmoid, because some drivers return NaN for large arguments.
//!
//! One device and [`Schedule`] give the same bits on every run, in every batch, and however a
//! sequence is cut into calls. For more than 128 units on a GPU, [`Schedule::Auto`] depends on the
//! batch. Across devices the last bits differ: drivers choose the order of summation, fused
//! multiply-add and `exp`. [`diagnostics`] compares a device with the definition in f64, or kernel
//! by kernel with the CPU. Each GPU passes a self-test when it is opened.

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
pub use error::{Error, Result, StateDictProblem};
pub use kernel::Schedule;
pub use nn::cell::Cell;
pub use nn::embedding::Embedding;
pub use nn::linear::{Activation, Linear};
pub use nn::options::{ForwardOptions, LoadOptions};
pub use nn::pad::{pad_sequence, unpad_sequence};
pub use nn::rnn::Rnn;
pub use params::state_dict::StateDict;
pub use params::{Config, Kind, Nonlinearity, Params};
pub use tensor::{State, Tensor};
pub use wgpu;

/// Opening devices: adapters, limits, and figures of their speed.
pub mod device {
    pub use crate::engine::gpu::{AdapterEntry, Polling, adapters, adapters_async};
    pub use crate::engine::options::OpenOptions;
    pub use crate::engine::selector::Selection;
    pub use crate::perf::calibration::{Bandwidth, Calibration, DeviceId};
    pub use crate::plan::limits::Limits;
}

/// Sequences that arrive in pieces, with the state kept on the device.
///
/// [`Rnn::stream`] and [`Cell::stream`] open them.
pub mod stream {
    pub use crate::nn::cell::CellStream;
    pub use crate::nn::stream::Stream;
}

/// Many sequences at the same time, each in a slot that keeps its state on the device.
///
/// [`Rnn::pool`] makes a pool.
pub mod pool {
    pub use crate::nn::pool::{Pool, PoolOptions, Slot};
}

/// Forward passes recorded into the caller's command encoders, over the caller's buffers.
///
/// [`Rnn::recorder`] prepares one.
pub mod pass {
    pub use crate::nn::pass::{Pass, PassBindings, Recorder, TensorBinding};
}

/// Language models: the network of PyTorch's word-language-model example.
pub mod language_model {
    pub use crate::nn::language_model::{
        GenerateOptions, Generator, LanguageModel, Score, Vocabulary,
    };
    pub use crate::params::language_model::{LanguageModelConfig, LanguageModelParams};
    #[doc(hidden)]
    pub use crate::params::language_model::{expected_tensors, parse_rnn_type, rnn_type_name};
}

/// The layers below the public interface, for this crate's tests and its program. They may change
/// in any version.
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
