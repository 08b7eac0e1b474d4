//! PyTorch's recurrent networks on any GPU, from Rust.
//!
//! Weights trained with `nn.RNN`, `nn.LSTM` or `nn.GRU` load unchanged, and the results are
//! PyTorch's. WGSL compute shaders do the work through [wgpu]. One program runs on NVIDIA, AMD,
//! Intel, Apple, mobile and software adapters, and on the CPU.
//!
//! Start from a task:
//!
//! | task | start with | more |
//! |---|---|---|
//! | [load](#load) a trained model | [`Device`], [`StateDict`] | [`LoadOptions`], [`device`] |
//! | read other names, or `weight_norm` | [`StateDict::renamed`] | [`StateDict::folded`] |
//! | load a network of an ONNX model | [`onnx::OnnxModel`] | [`variant`](mod@variant) |
//! | convert Keras, cuDNN, TensorFlow | [`Params::from_convention`] | [`Convention`] |
//! | [run](#run) it on sequences | [`Rnn`] | [`ForwardOptions`], [`pad_sequence`] |
//! | run one step, or one layer | [`Cell`], [`Linear`], [`Embedding`] | |
//! | run a whole network | [`network::Sequential`] | [`network`] |
//! | translate with attention | [`network::Network::decoder`] | [`network::Attention`] |
//! | [stream](#stream) sequences in pieces | [`Rnn::stream`] | [`stream`](mod@stream) |
//! | [serve](#serve) many sequences | [`Rnn::pool`] | [`pool::Queue`] |
//! | [record](#record) into your own encoder | [`Rnn::recorder`] | [`pass`] |
//! | [prove](#prove) that a device is right | [`diagnostics`] | `wgpu-rnn verify` |
//! | test your own network | [`diagnostics::assert_matches`] | [`diagnostics::CaseWriter`] |
//! | [bench](#bench) a network on a device | [`diagnostics::bench`] | [`Rnn::explain`] |
//! | score or generate text | [`language_model`] | `wgpu-rnn generate` |
//! | make a module without a file | [`Config`], [`Params`] | |
//! | pass a slice, compare results | [`TensorView`] | [`Tensor::max_abs_diff`] |
//! | handle failures | [`enum@Error`] | |
//!
//! # Load
//!
//! In Python, save the weights of a model. `save_model` also saves tied weights, which `save_file`
//! refuses:
//!
//! ```python
//! torch.save(model.state_dict(), "model.pt")
//! # or, for safetensors:
//! from safetensors.torch import save_model
//! save_model(model, "model.safetensors")
//! ```
//!
//! In Rust, load a module of the model by its prefix:
//!
//! ```no_run
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::{Device, LoadOptions, Rnn, StateDict};
//!
//! let device = Device::open("auto")?; // a real GPU if there is one, the CPU otherwise
//! let weights = StateDict::open("model.pt")?;
//! let lstm = Rnn::load(&device, &weights, "encoder.rnn.")?; // "" for a module without prefix
//! // A file does not hold batch_first, nonlinearity and dropout.
//! let options = LoadOptions::new().batch_first(true);
//! let gru = Rnn::load_with(&device, &weights, "decoder.rnn.", &options)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Run
//!
//! A seed gives the weights that `torch.manual_seed` gives, so this module needs no file:
//!
//! ```
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};
//!
//! let config = Config::lstm(3, 4).num_layers(2).bidirectional(true);
//! let lstm = Rnn::new(&Device::cpu(), &Params::init(&config, 0)?)?;
//! let input = Tensor::zeros([5, 2, 3])?; // [T, B, I]
//! let (output, state) = lstm.forward(&input, None)?;
//! assert_eq!(output.shape(), [5, 2, 8]); // [T, B, D·H]
//! assert_eq!(state.h.shape(), [4, 2, 4]); // [L·D, B, H]
//! let (output, state) = lstm.forward(&input, Some(&state))?; // from the last state on
//! # Ok(())
//! # }
//! ```
//!
//! # Stream
//!
//! ```
//! # fn main() -> wgpu_rnn::Result<()> {
//! # use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};
//! # let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(3, 4), 0)?)?;
//! let mut stream = gru.stream(2)?; // 2 rows from a zero state, which stays on the device
//! for steps in [1, 7, 3] {
//!     let output = stream.forward(&Tensor::zeros([steps, 2, 3])?)?;
//!     assert_eq!(output.shape(), [steps, 2, 4]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Serve
//!
//! ```
//! # fn main() -> wgpu_rnn::Result<()> {
//! # use wgpu_rnn::{Config, Device, Params, Rnn};
//! # let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(3, 4), 0)?)?;
//! use wgpu_rnn::pool::PoolOptions;
//!
//! let pool = gru.pool(&PoolOptions::new(1000))?; // up to 1000 sequences
//! let (one, other) = (pool.open()?, pool.open()?);
//! let frame = [0.5; 3];
//! let outputs = pool.tick(&[(one, &frame), (other, &frame)])?; // a result for each slot
//!
//! use wgpu_rnn::pool::{Queue, QueueOptions};
//! let queue = Queue::new(pool, &QueueOptions::default())?; // ticks as frames arrive
//! let output = queue.submit(one, frame).wait()?; // or .await
//! # Ok(())
//! # }
//! ```
//!
//! # Record
//!
//! ```no_run
//! # use wgpu_rnn::wgpu::{Buffer, CommandEncoder};
//! # fn frame(gru: &wgpu_rnn::Rnn, [senses, actions, h]: [&Buffer; 3],
//! #     encoder: &mut CommandEncoder) -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::pass::PassBindings;
//!
//! let recorder = gru.recorder(1, 64)?; // 1 step of 64 rows, on a device from Device::from_wgpu
//! let pass = recorder.bind(&PassBindings::new(senses).output(actions).h_0(h).h_n(h))?;
//! pass.record(encoder)?; // no wait, no copy through the host
//! # Ok(())
//! # }
//! ```
//!
//! # Prove
//!
//! ```no_run
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::diagnostics::verify;
//!
//! let device = wgpu_rnn::Device::open("auto")?;
//! for case in verify::find(&["tests/fixtures/pytorch".into()])? {
//!     println!("{:?}", verify::run(&device, &case)); // against the outputs of PyTorch
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Bench
//!
//! ```
//! # fn main() -> wgpu_rnn::Result<()> {
//! use wgpu_rnn::diagnostics::bench::{Attempt, Options, Shape, Workload};
//! use wgpu_rnn::{Config, Device, WeightType};
//!
//! let shape = Shape::new("a small LSTM", Config::lstm(3, 4), 10, 2); // 10 steps of 2 rows
//! let (device, options) = (Device::cpu(), Options::default().repetitions(3));
//! let workload = Workload::new(&shape, WeightType::F32)?;
//! let attempt = workload.measure(&device, device.calibration(), &options)?;
//! let Attempt::Measured(row) = attempt else { panic!("{attempt:?}") };
//! println!("{} µs for each step, agrees: {:?}", row.us_per_step, row.agrees);
//! # Ok(())
//! # }
//! ```
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
//! | `ndarray` | no | [`Tensor`] and [`TensorView`] from and to arrays |
//! | `serde` | no | [`Config`], [`Tensor`] and [`State`]; reading checks as constructors do |
//!
//! In browsers (wasm32) devices and modules are `Send` and `Sync` only with wgpu's feature
//! `fragile-send-sync-non-atomic-wasm`. Blocking calls on a GPU return [`Error::Unsupported`]
//! there; each has an `_async` form. `web/` has the JavaScript API.
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
pub use params::{Config, Convention, Kind, Nonlinearity, Params};
pub use tensor::{State, Tensor, TensorView};
pub use wgpu;

/// Devices: adapters, options of opening one, limits, and measured rates.
pub mod device {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::engine::gpu::adapters;
    pub use crate::engine::gpu::{AdapterEntry, Polling, adapters_async};
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
/// [`Rnn::pool`] creates a pool. A `Queue` runs the frames that clients send to it, on a thread;
/// browsers, which have none for it, lack this type.
pub mod pool {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::nn::pool::queue::{Answer, Queue, QueueOptions};
    pub use crate::nn::pool::{Pool, PoolOptions, Slot};
}

/// Passes: forward passes recorded into the caller's command encoders, over the caller's buffers.
///
/// [`Rnn::recorder`] prepares a pass.
pub mod pass {
    pub use crate::nn::pass::{NetworkRecorder, Pass, PassBindings, Recorder, TensorBinding};
}

/// Cells that PyTorch lacks, and how they differ from its cells.
///
/// [`Config::variant`] sets them.
pub mod variant {
    pub use crate::params::variant::{ActivationFunction, Coupling, Functions, Reset, Variant};
}

/// ONNX models: their recurrent nodes as networks.
pub mod onnx {
    pub use crate::params::onnx::{OnnxModel, OnnxNetwork};
}

/// Networks: recurrent modules with the layers around them, as one recording.
///
/// [`Sequential`](network::Sequential) defines and loads one.
pub mod network {
    pub use crate::nn::network::{Network, NetworkStream};
    pub use crate::params::network::{
        Attention, Conv1d, NetworkParams, PaddingMode, Sequential, StepShape,
    };
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
