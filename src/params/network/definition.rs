//! The definition of a network: its modules in order, without their weights.

use super::attention::Attention;
use super::conv::Conv1d;
use super::node::{Function, StepShape};
use crate::params::config::Nonlinearity;

/// A chain of modules, as `nn.Sequential` has them, which runs as one recording.
///
/// Each module maps the value of a time step to the value of a time step: `[F]`, or `[C, L]` for
/// the channels and positions of convolutions inside a step. Recurrent modules and convolutions
/// over `[F]` connect the steps. A module's weights come from its prefix in a state dict, with the
/// sizes that the weights imply. Arguments that no state dict holds are arguments here.
///
/// Values can have names. Later modules join them by name, which makes skips and gates.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::network::{Conv1d, Sequential};
/// # use wgpu_rnn::{Device, StateDict, Tensor};
/// # let mut weights = Vec::new();
/// # let mut add = |name: &'static str, shape: &[usize]| {
/// #     let count = shape.iter().product();
/// #     weights.push((name, Tensor::new(shape, vec![0.1; count]).expect("its size")));
/// # };
/// # add("conv.weight", &[8, 3, 5]);
/// # add("conv.bias", &[8]);
/// # add("gru.weight_ih_l0", &[12, 8]);
/// # add("gru.weight_hh_l0", &[12, 4]);
/// # add("gru.bias_ih_l0", &[12]);
/// # add("gru.bias_hh_l0", &[12]);
/// # add("fc.weight", &[2, 12]);
/// # let weights = StateDict::from_tensors(weights.iter().map(|(n, t)| (*n, t)))?;
/// let network = Sequential::new(3) // features of a step
///     .conv1d("conv.", Conv1d::new().causal())
///     .relu()
///     .name("features")
///     .rnn("gru.")
///     .name("memory")
///     .concat(["features", "memory"])
///     .linear("fc.")
///     .sigmoid()
///     .load(&Device::cpu(), &weights, "")?;
/// let output = network.forward(&Tensor::zeros([7, 2, 3])?)?; // [T, B, F]
/// assert_eq!(output.shape(), [7, 2, 2]);
/// # Ok(())
/// # }
/// ```
///
/// | method | PyTorch | value of a step |
/// |---|---|---|
/// | `linear`, `embedding` | `nn.Linear`, `nn.Embedding` | `[F]`, a token → `[F']` |
/// | `rnn`, `cell` | `nn.RNN`, `nn.LSTM`, `nn.GRU`, their cells | `[F]` → `[D·H]` |
/// | `conv1d` | `nn.Conv1d` | over time for `[F]`, inside the step for `[C, L]` |
/// | `layer_norm` | `nn.LayerNorm` over the last axis | any → the same |
/// | `batch_norm1d` | `nn.BatchNorm1d` in evaluation | any → the same |
/// | `relu`, `leaky_relu`, `sigmoid`, `tanh`, `gelu`, `silu` | `nn.ReLU`, … | any → the same |
/// | `softmax`, `log_softmax` | over the last axis | any → the same |
/// | `magnitude` | `sqrt(re² + im²)` of two halves | `[2F]`, `[2C, L]` → half |
/// | `flatten`, `unflatten` | `nn.Flatten`, `nn.Unflatten` | `[C, L]` ↔ `[C·L]` |
/// | `dropout` | `nn.Dropout` in evaluation: identity | any → the same |
/// | `concat`, `add`, `mul` | `torch.cat` of features or channels, `+`, `*` | any |
/// | `attention` | `torch.bmm` and softmax over a memory | a query `[H]` → the context `[F]` |
/// | `hidden` | the last layer's h before the step | `[H]` of a recurrent module |
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Sequential {
    pub(super) input: StepShape,
    pub(super) modules: Vec<Module>,
}

/// A module of a definition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Module {
    Linear { prefix: String },
    Embedding { prefix: String, norm: Option<[f64; 2]> },
    Rnn { prefix: String, cell: bool, nonlinearity: Option<Nonlinearity> },
    Conv1d { prefix: String, conv: Conv1d },
    LayerNorm { prefix: Option<String>, eps: f32 },
    BatchNorm1d { prefix: String, eps: f32 },
    Function(Function),
    Softmax { is_log: bool },
    Magnitude,
    Flatten,
    Unflatten([usize; 2]),
    Dropout(f64),
    Name(String),
    From(String),
    Concat(Vec<String>),
    Add(String),
    Mul(String),
    Attention(Attention),
    Hidden(String),
}

impl Sequential {
    /// Starts a network whose input has `[F]` values in a step, or `[C, L]`.
    pub fn new(input: impl Into<StepShape>) -> Self {
        Self { input: input.into(), modules: Vec::new() }
    }

    /// Starts a network whose input is a token in a step. Its first module is an embedding.
    pub fn tokens() -> Self {
        Self { input: StepShape::Token, modules: Vec::new() }
    }

    fn push(mut self, module: Module) -> Self {
        self.modules.push(module);
        self
    }

    /// Adds the `nn.Linear` under `prefix`.
    pub fn linear(self, prefix: &str) -> Self {
        self.push(Module::Linear { prefix: prefix.to_owned() })
    }

    /// Adds the `nn.Embedding` under `prefix`, which maps tokens to `[F]`.
    pub fn embedding(self, prefix: &str) -> Self {
        self.push(Module::Embedding { prefix: prefix.to_owned(), norm: None })
    }

    /// Adds the `nn.Embedding` under `prefix`, with its arguments `max_norm` and `norm_type`. Rows
    /// of a greater norm are scaled to it. PyTorch's default for `norm_type` is 2.
    pub fn embedding_with(self, prefix: &str, max_norm: f64, norm_type: f64) -> Self {
        let norm = Some([max_norm, norm_type]);
        self.push(Module::Embedding { prefix: prefix.to_owned(), norm })
    }

    /// Adds the `nn.LSTM`, `nn.GRU` or `nn.RNN` (tanh) under `prefix`. Its output is the value.
    pub fn rnn(self, prefix: &str) -> Self {
        self.recurrent(prefix, false, None)
    }

    /// Adds the `nn.RNN` under `prefix` with its nonlinearity.
    pub fn rnn_with(self, prefix: &str, nonlinearity: Nonlinearity) -> Self {
        self.recurrent(prefix, false, Some(nonlinearity))
    }

    /// Adds the `nn.LSTMCell`, `nn.GRUCell` or `nn.RNNCell` (tanh) under `prefix`, which runs once
    /// in a step. Its h is the value.
    pub fn cell(self, prefix: &str) -> Self {
        self.recurrent(prefix, true, None)
    }

    /// Adds the `nn.RNNCell` under `prefix` with its nonlinearity.
    pub fn cell_with(self, prefix: &str, nonlinearity: Nonlinearity) -> Self {
        self.recurrent(prefix, true, Some(nonlinearity))
    }

    fn recurrent(self, prefix: &str, cell: bool, nonlinearity: Option<Nonlinearity>) -> Self {
        self.push(Module::Rnn { prefix: prefix.to_owned(), cell, nonlinearity })
    }

    /// Adds the `nn.Conv1d` under `prefix`. It runs over time if the value of a step is `[F]`: F
    /// are its channels. It runs inside the step over L if the value is `[C, L]`.
    pub fn conv1d(self, prefix: &str, conv: Conv1d) -> Self {
        self.push(Module::Conv1d { prefix: prefix.to_owned(), conv })
    }

    /// Adds the `nn.LayerNorm` under `prefix`; `None` for one with `elementwise_affine=False`.
    /// PyTorch's default for `eps` is 1e-5.
    pub fn layer_norm<'p>(self, prefix: impl Into<Option<&'p str>>, eps: f32) -> Self {
        let prefix = prefix.into().map(str::to_owned);
        self.push(Module::LayerNorm { prefix, eps })
    }

    /// Adds the `nn.BatchNorm1d` under `prefix`, in evaluation. It is folded into the weights of a
    /// linear layer or a convolution directly before it. PyTorch's default for `eps` is 1e-5.
    pub fn batch_norm1d(self, prefix: &str, eps: f32) -> Self {
        self.push(Module::BatchNorm1d { prefix: prefix.to_owned(), eps })
    }

    /// Adds `nn.ReLU`.
    pub fn relu(self) -> Self {
        self.push(Module::Function(Function::Relu))
    }

    /// Adds `nn.LeakyReLU`. PyTorch's default for `negative_slope` is 0.01.
    pub fn leaky_relu(self, negative_slope: f32) -> Self {
        self.push(Module::Function(Function::LeakyRelu(negative_slope)))
    }

    /// Adds `nn.Sigmoid`.
    pub fn sigmoid(self) -> Self {
        self.push(Module::Function(Function::Sigmoid))
    }

    /// Adds `nn.Tanh`.
    pub fn tanh(self) -> Self {
        self.push(Module::Function(Function::Tanh))
    }

    /// Adds `nn.GELU`.
    pub fn gelu(self) -> Self {
        self.push(Module::Function(Function::Gelu))
    }

    /// Adds `nn.GELU(approximate="tanh")`.
    pub fn gelu_tanh(self) -> Self {
        self.push(Module::Function(Function::GeluTanh))
    }

    /// Adds `nn.SiLU`.
    pub fn silu(self) -> Self {
        self.push(Module::Function(Function::Silu))
    }

    /// Adds `nn.Softmax` over the last axis.
    pub fn softmax(self) -> Self {
        self.push(Module::Softmax { is_log: false })
    }

    /// Adds `nn.LogSoftmax` over the last axis.
    pub fn log_softmax(self) -> Self {
        self.push(Module::Softmax { is_log: true })
    }

    /// Takes the first half of the features or channels as real parts and the second half as
    /// imaginary parts, and adds their magnitudes: the spectrum of a Fourier transform.
    pub fn magnitude(self) -> Self {
        self.push(Module::Magnitude)
    }

    /// Makes `[C·L]` of `[C, L]`, in PyTorch's order: the positions of a channel together.
    pub fn flatten(self) -> Self {
        self.push(Module::Flatten)
    }

    /// Makes `[C, L]` of `[C·L]`, in PyTorch's order. It costs nothing.
    pub fn unflatten(self, channels: usize, length: usize) -> Self {
        self.push(Module::Unflatten([channels, length]))
    }

    /// Adds `nn.Dropout`, which is the identity in evaluation.
    pub fn dropout(self, p: f64) -> Self {
        self.push(Module::Dropout(p))
    }

    /// Names the value at this place, for later modules. The input has the name `input`.
    pub fn name(self, name: &str) -> Self {
        self.push(Module::Name(name.to_owned()))
    }

    /// Goes back to a named value: the next module reads it.
    pub fn from(self, name: &str) -> Self {
        self.push(Module::From(name.to_owned()))
    }

    /// Joins the features of named values, or their channels: `torch.cat`. The value at this place
    /// is not part of it, unless it is named.
    pub fn concat<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.push(Module::Concat(names.into_iter().map(str::to_owned).collect()))
    }

    /// Adds a named value of the same shape, or of one feature.
    #[allow(clippy::should_implement_trait, reason = "it is PyTorch's name, and takes a name")]
    pub fn add(self, name: &str) -> Self {
        self.push(Module::Add(name.to_owned()))
    }

    /// Multiplies with a named value of the same shape, or of one feature.
    #[allow(clippy::should_implement_trait, reason = "it is PyTorch's name, and takes a name")]
    pub fn mul(self, name: &str) -> Self {
        self.push(Module::Mul(name.to_owned()))
    }

    /// Attends a memory with the value at this place, `[H]`, and continues with the context: the
    /// mean of the memory's steps, weighted with the softmax of their scores.
    /// [`Network::decoder`](crate::network::Network::decoder) gives the memory.
    pub fn attention(self, attention: Attention) -> Self {
        self.push(Module::Attention(attention))
    }

    /// Continues with the hidden state before this step of the recurrent module under `prefix`:
    /// `[H]` of its last layer. The module may come later. Such a network runs step by step.
    pub fn hidden(self, prefix: &str) -> Self {
        self.push(Module::Hidden(prefix.to_owned()))
    }
}
