//! Options of loading a module, and of a forward call.

use crate::dtype::WeightType;
use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::params::Params;
use crate::params::config::{Config, Kind, Nonlinearity};
use crate::tensor::State;

/// The function applied to a linear layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// No function.
    #[default]
    None,
    /// 1 / (1 + exp(−x)).
    Sigmoid,
}

/// Options of loading a module onto a device.
///
/// Most options are constructor arguments that no state dict holds, such as `batch_first`.
/// An option that is not set keeps PyTorch's default. A module refuses an option that does not
/// apply to it with [`Error::Option`]:
///
/// | option | applies to |
/// |---|---|
/// | `batch_first` | [`Rnn`](crate::Rnn) |
/// | `nonlinearity` | [`Rnn`](crate::Rnn), [`Cell`](crate::Cell) and language models of kind RNN |
/// | `dropout` | [`Rnn`](crate::Rnn), language models |
/// | `activation` | [`Linear`](crate::Linear) |
/// | `padding_idx`, `max_norm`, `norm_type` | [`Embedding`](crate::Embedding) |
/// | `weights` | all |
/// | `schedule` | [`Rnn`](crate::Rnn), [`Cell`](crate::Cell), generation by language models |
/// | `allow_unused` | all that a state dict loads; parameters have no unused tensors |
///
/// ```no_run
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Device, LoadOptions, Rnn, StateDict, WeightType};
/// let device = Device::open("auto")?;
/// let weights = StateDict::open("model.safetensors")?;
/// let options = LoadOptions::new().batch_first(true).weights(WeightType::F16);
/// let rnn = Rnn::load_with(&device, &weights, "encoder.rnn.", &options)?; // reads [B, T, I]
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Whether `input` and `output` are `[B, T, ·]`, not `[T, B, ·]`.
    pub batch_first: Option<bool>,
    /// The nonlinearity of an RNN.
    pub nonlinearity: Option<Nonlinearity>,
    /// The probability of dropping an element in training, from 0 to 1.
    pub dropout: Option<f64>,
    /// The function applied to a linear layer's output.
    pub activation: Option<Activation>,
    /// The padding row of an embedding, from the end where it is negative.
    ///
    /// As in PyTorch, it does not change a forward pass: that row is looked up like any other.
    /// PyTorch sets the row to zero at initialisation and never trains it, so trained weights
    /// already hold the right values.
    pub padding_idx: Option<i64>,
    /// The greatest norm of a row of an embedding, at least 0. A longer row is scaled to it.
    ///
    /// PyTorch scales a row in place when it is looked up, in evaluation too. Here all rows are
    /// scaled once, when the table is loaded. The results are the same but for rounding: PyTorch
    /// may scale a row again whose rounded norm is still over `max_norm`.
    pub max_norm: Option<f64>,
    /// The p of the norm for `max_norm`: a number other than 0, or an infinity; 2 when absent.
    pub norm_type: Option<f64>,
    /// The type in which the device stores weights; biases are f32.
    pub weights: WeightType,
    /// How time steps map to dispatches.
    pub schedule: Schedule,
    /// Whether a state dict may hold tensors below the prefix that the module does not use. They
    /// are logged as a warning. Otherwise they are an error that lists them.
    pub allow_unused: bool,
}

impl LoadOptions {
    /// Creates options with PyTorch's defaults, f32 weights and the schedule that `auto` selects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether `input` and `output` are `[B, T, ·]`, not `[T, B, ·]`.
    #[must_use]
    pub fn batch_first(mut self, batch_first: bool) -> Self {
        self.batch_first = Some(batch_first);
        self
    }

    /// Sets the nonlinearity of an RNN.
    #[must_use]
    pub fn nonlinearity(mut self, nonlinearity: Nonlinearity) -> Self {
        self.nonlinearity = Some(nonlinearity);
        self
    }

    /// Sets the probability of dropping an element in training, from 0 to 1.
    #[must_use]
    pub fn dropout(mut self, dropout: f64) -> Self {
        self.dropout = Some(dropout);
        self
    }

    /// Sets the function applied to a linear layer's output.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Sets the padding row of an embedding, from the end where it is negative.
    #[must_use]
    pub fn padding_idx(mut self, padding_idx: i64) -> Self {
        self.padding_idx = Some(padding_idx);
        self
    }

    /// Sets the greatest norm of a row of an embedding.
    #[must_use]
    pub fn max_norm(mut self, max_norm: f64) -> Self {
        self.max_norm = Some(max_norm);
        self
    }

    /// Sets the p of the norm for `max_norm`.
    #[must_use]
    pub fn norm_type(mut self, norm_type: f64) -> Self {
        self.norm_type = Some(norm_type);
        self
    }

    /// Sets the type in which the device stores weights.
    #[must_use]
    pub fn weights(mut self, weights: WeightType) -> Self {
        self.weights = weights;
        self
    }

    /// Sets how time steps map to dispatches.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets whether a state dict may hold tensors below the prefix that the module does not use.
    #[must_use]
    pub fn allow_unused(mut self, allow_unused: bool) -> Self {
        self.allow_unused = allow_unused;
        self
    }

    /// Checks that the options set are among those that apply to `module`. `weights` and
    /// `allow_unused` always apply.
    ///
    /// # Errors
    /// [`Error::Option`] with the names of the others.
    pub(crate) fn check(&self, module: &str, applicable: &[&str]) -> Result<()> {
        let set = [
            ("batch_first", self.batch_first.is_some()),
            ("nonlinearity", self.nonlinearity.is_some()),
            ("dropout", self.dropout.is_some()),
            ("activation", self.activation.is_some()),
            ("padding_idx", self.padding_idx.is_some()),
            ("max_norm", self.max_norm.is_some()),
            ("norm_type", self.norm_type.is_some()),
            ("schedule", self.schedule != Schedule::Auto),
        ];
        let refused: Vec<&str> = set
            .into_iter()
            .filter(|(name, set)| *set && !applicable.contains(name))
            .map(|(name, _)| name)
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(Error::Option(format!("options that do not apply to {module}: {}", refused.join(", "))))
    }

    /// Returns the configuration of `params` as a layer, with the options set.
    ///
    /// # Errors
    /// [`Error::Option`] with the options that do not apply; [`Error::Config`] for values out of
    /// range.
    pub(crate) fn configure(&self, params: &Params) -> Result<Config> {
        let Config { kind, variant, .. } = params.config();
        let applicable = ["batch_first", "dropout", "schedule", "nonlinearity"];
        // The functions of a variant replace PyTorch's nonlinearity.
        let has_nonlinearity = is_rnn(*kind) && variant.functions.is_none();
        self.check(kind.module(), &applicable[..3 + usize::from(has_nonlinearity)])?;
        params.configured(|mut config| {
            config.batch_first = self.batch_first.unwrap_or(config.batch_first);
            config.dropout = self.dropout.unwrap_or(config.dropout);
            config.kind = self.kind(config.kind);
            config
        })
    }

    /// Returns the kind with the nonlinearity set; only for kinds to which it applies.
    pub(crate) fn kind(&self, kind: Kind) -> Kind {
        self.nonlinearity.map_or(kind, Kind::from)
    }
}

/// Returns whether the option `nonlinearity` applies to a kind.
pub(crate) fn is_rnn(kind: Kind) -> bool {
    matches!(kind, Kind::RnnTanh | Kind::RnnRelu)
}

/// Options of a forward call.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, ForwardOptions, Params, Rnn, Tensor};
/// let config = Config::gru(3, 4).num_layers(2).dropout(0.5);
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&config, 0)?)?;
/// let input = Tensor::new([2, 1, 3], vec![1.0; 6])?;
/// let sample = |seed| gru.forward_with(&input, &ForwardOptions::new().training(seed));
/// assert_eq!(sample(1)?, sample(1)?);
/// assert_ne!(sample(1)?, sample(2)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ForwardOptions<'a> {
    /// Valid steps of each row, in any order; see
    /// [`Rnn::forward_lengths`](crate::Rnn::forward_lengths).
    pub lengths: Option<&'a [usize]>,
    /// The initial state; zero when absent.
    pub state: Option<&'a State>,
    /// The seed of dropout as in PyTorch's training mode. Without a seed nothing is dropped.
    ///
    /// Each element of the output of each layer but the last becomes 0 with the probability
    /// [`Config::dropout`]. The others are multiplied by 1 / (1 − p). A seed drops the same
    /// elements on every device, in every batch. Use another seed for each call.
    pub training: Option<u64>,
}

impl<'a> ForwardOptions<'a> {
    /// Creates options for whole rows from a zero state, without dropout.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the valid steps of each row, `[B]`.
    #[must_use]
    pub fn lengths(mut self, lengths: &'a [usize]) -> Self {
        self.lengths = Some(lengths);
        self
    }

    /// Sets the initial state.
    #[must_use]
    pub fn state(mut self, state: &'a State) -> Self {
        self.state = Some(state);
        self
    }

    /// Sets the seed of dropout.
    #[must_use]
    pub fn training(mut self, seed: u64) -> Self {
        self.training = Some(seed);
        self
    }
}
