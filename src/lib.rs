//! PyTorch's recurrent networks on any GPU, from Rust.
//!
//! Weights trained with `nn.RNN`, `nn.LSTM` or `nn.GRU` load unchanged, and the results are
//! PyTorch's. WGSL compute shaders do the work through [wgpu]. One program runs on NVIDIA, AMD,
//! Intel, Apple, mobile and software adapters, and on the CPU.
//!
//! In Python, save the weights of a model:
//!
//! ```python
//! torch.save(model.state_dict(), "model.pt") # or safetensors.torch.save_model(model, ...)
//! ```
//!
//! In Rust, load a module of the model by its prefix, and run it:
//!
//! ```no_run
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::{Device, Rnn, StateDict, Tensor};
//!
//! let device = Device::open("auto")?; // a real GPU if there is one, the CPU otherwise
//! let weights = StateDict::open("model.pt")?;
//! let lstm = Rnn::load(&device, &weights, "encoder.rnn.")?; // "" for a module without prefix
//!
//! let input = Tensor::zeros([100, 8, 80])?; // [T, B, I]
//! let (output, state) = lstm.forward(&input, None)?; // [T, B, D·H], (h_n, c_n)
//! let (output, state) = lstm.forward(&input, Some(&state))?; // the next 100 steps
//! # Ok(())
//! # }
//! ```
//!
//! A seed gives the weights that `torch.manual_seed` gives. This module needs neither a file nor a
//! GPU:
//!
//! ```
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};
//!
//! let config = Config::lstm(3, 4).num_layers(2).bidirectional(true);
//! let lstm = Rnn::new(&Device::cpu(), &Params::init(&config, 0)?)?;
//! let (output, state) = lstm.forward(&Tensor::zeros([5, 2, 3])?, None)?;
//! assert_eq!(output.shape(), [5, 2, 8]); // [T, B, D·H]
//! assert_eq!(state.h.shape(), [4, 2, 4]); // [L·D, B, H]
//! # Ok(())
//! # }
//! ```
//!
//! # Where to find what
//!
//! | task | item |
//! |---|---|
//! | open a GPU or the CPU, set a memory budget | [`Device`], [`device::OpenOptions`] |
//! | read weights from safetensors, `torch.save` or shards | [`StateDict`] |
//! | read other names, or `weight_norm` | [`StateDict::renamed`], [`StateDict::folded`] |
//! | run an RNN, LSTM or GRU | [`Rnn`]; one step at a time: [`Cell`] |
//! | run the layers around it | [`Linear`], [`Embedding`] |
//! | load `batch_first` models, relu RNNs or f16 weights | [`LoadOptions`] |
//! | run rows of different lengths, or with dropout | [`ForwardOptions`], [`pad_sequence`] |
//! | make a module without a file | [`Config`], [`Params`] |
//! | stream a sequence, with its state on the device | [`stream`] |
//! | serve many sequences at the same time | [`pool`] |
//! | record a pass into your own command encoder | [`pass`] |
//! | score or generate text | [`language_model`] |
//! | check a device, time it, explain a schedule | [`diagnostics`], [`Rnn::explain`] |
//! | handle failures | [`enum@Error`] |
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | device | an opened GPU, or the CPU; modules keep their weights on it |
//! | module | a PyTorch module with its weights on one device, such as [`Rnn`] |
//! | state | h, and c for an LSTM, from which the next call continues |
//! | plan | the buffers and dispatches of a call; calls of the same sizes reuse it |
//! | schedule | the mapping of time steps to dispatches: [`Schedule`] |
//! | slot | the state of one sequence in a [`pool`] |
//!
//! # Equations
//!
//! The notation is that of `torch.nn`: σ(x) = 1 / (1 + exp(−x)), and ∘ is the elementwise product.
//! Below, (·) stands for W x + b_ih + U h + b_hh, with the W, U and b of the gate.
//!
//! | module | gates | equations |
//! |---|---|---|
//! | RNN | one | h' = tanh(·), or relu(·) |
//! | LSTM | i, f, g, o | i, f, o = σ(·), g = tanh(·), c' = f∘c + i∘g, h' = o∘tanh(c') |
//! | GRU | r, z, n | r, z = σ(·), n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = (1−z)∘n + z∘h |
//!
//! # Shapes
//!
//! The letters are: T time steps, B rows, I = `input_size`, H = `hidden_size`, G gates, L layers,
//! D directions. All tensors are row-major.
//!
//! | tensor | shape |
//! |---|---|
//! | `input` | `[T, B, I]`; `[B, T, I]` with `batch_first`; `[T, I]` unbatched |
//! | `output` | `[T, B, D·H]`, in the layout of the input |
//! | `h_0`, `h_n`, `c_0`, `c_n` | `[L·D, B, H]`, never batch first; `[L·D, H]` unbatched |
//! | `weight_ih_l{k}[_reverse]` | `[G·H, I]` in layer 0, `[G·H, D·H]` above |
//! | `weight_hh_l{k}[_reverse]` | `[G·H, H]` |
//! | `bias_ih_l{k}[_reverse]`, `bias_hh_l{k}[_reverse]` | `[G·H]` |
//! | `weight_hr_l{k}[_reverse]` | `[R, H]`, with a projection only |
//!
//! The first axis of a state has the index `layer · D + direction`. The reverse direction's `h_n`
//! is its state at t = 0. With a projection, R = `proj_size` replaces H in h, in the output, and in
//! the columns of the weights that read them.
//!
//! # Numbers
//!
//! All arithmetic is in f32. f16 is a storage type for weights, by option. The shaders have their
//! own tanh and sigmoid, because some drivers return NaN for large arguments.
//!
//! One device and one [`Schedule`] give the same bits on every run, in every batch, and for every
//! division of a sequence into calls. [`Schedule::Auto`] may select another schedule for another
//! batch, on GPUs and for more than 128 units. Across devices the last bits differ, because drivers
//! choose the order of summation, fused multiply-add and `exp`.
//!
//! Each GPU runs a self-test when it is opened. [`diagnostics`] compares a device with the
//! definition in f64, or kernel by kernel with the CPU.
//!
//! # Errors
//!
//! Every check runs before any GPU work. If PyTorch has the same check, the text is PyTorch's. A
//! missing feature is refused by name. A tensor below a module's prefix that it does not use is an
//! error, at every depth of names; [`LoadOptions::allow_unused`] makes a warning of it. A lost
//! device and exhausted memory are errors that name the device. Parameters and states in host
//! memory then continue on another device.
//!
//! # Features
//!
//! | feature | default | content |
//! |---|---|---|
//! | `vulkan`, `metal`, `dx12` | yes | wgpu backends; one that the platform lacks is ignored |
//! | `gles`, `webgpu` | no | wgpu backends: OpenGL, browsers |
//! | `cli` | yes | the program `wgpu-rnn` |
//!
//! Without a backend everything runs on the CPU. Opening a GPU then returns an error that names the
//! features to enable.
//!
//! # Not supported
//!
//! Training is not supported: modules have no gradients. Software adapters run every kernel but are
//! for tests; `auto` never selects one.

// One place has an exception: shader modules without run-time checks (engine/gpu/pipeline.rs).
#![deny(unsafe_code)]

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
pub use nn::linear::Linear;
pub use nn::options::{Activation, ForwardOptions, LoadOptions};
pub use nn::pad::{pad_sequence, unpad_sequence};
pub use nn::rnn::Rnn;
pub use params::state_dict::StateDict;
pub use params::{Config, Kind, Nonlinearity, Params};
pub use tensor::{State, Tensor};
pub use wgpu;

/// Devices: adapters, options of opening one, limits, and measured rates.
pub mod device {
    pub use crate::engine::gpu::{AdapterEntry, Polling, adapters, adapters_async};
    pub use crate::engine::options::OpenOptions;
    pub use crate::engine::selector::Selection;
    pub use crate::perf::calibration::{Bandwidth, Calibration, DeviceId, ExchangeTimes};
    pub use crate::plan::limits::Limits;
}

/// Streams: sequences that arrive in pieces, with the state on the device.
///
/// [`Rnn::stream`] and [`Cell::stream`] open a stream.
pub mod stream {
    pub use crate::nn::cell::CellStream;
    pub use crate::nn::stream::Stream;
}

/// Pools: many sequences at the same time, each in a slot that keeps its state on the device.
///
/// [`Rnn::pool`] creates a pool.
pub mod pool {
    pub use crate::nn::pool::{Pool, PoolOptions, Slot};
}

/// Passes: forward passes recorded into the caller's command encoders, over the caller's buffers.
///
/// [`Rnn::recorder`] prepares a pass.
pub mod pass {
    pub use crate::nn::pass::{Pass, PassBindings, Recorder, TensorBinding};
}

/// Language models: the network of PyTorch's word-language-model example.
pub mod language_model {
    pub use crate::nn::language_model::{
        Beam, GenerateOptions, Generator, LanguageModel, Score, Vocabulary,
    };
    pub use crate::params::language_model::{LanguageModelConfig, LanguageModelParams};
    #[doc(hidden)]
    pub use crate::params::language_model::{expected_tensors, parse_rnn_type, rnn_type_name};
}

/// The layers below the public interface, for this crate's tests and its program.
///
/// They may change in any version.
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
