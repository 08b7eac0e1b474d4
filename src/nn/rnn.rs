//! `nn.RNN`, `nn.LSTM` and `nn.GRU` on a device.

use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::kernel::Schedule;
use crate::nn::forward::{ForwardKey, ForwardPlan};
use crate::nn::runner::Runner;
use crate::params::Params;
use crate::params::config::Config;
use crate::params::state_dict::StateDict;
use crate::params::validate::Sizes;
use crate::plan::{self, Plan, WeightLayout};
use crate::tensor::{State, Tensor};

/// What a forward call may be given beside its input.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, ForwardOptions, Params, Rnn, Tensor};
/// let config = Config::gru(3, 4).num_layers(2).dropout(0.5);
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&config, 0)?)?;
/// let input = Tensor::new([2, 1, 3], vec![1.0; 6])?;
/// let sample = |seed| gru.forward_with(&input, &ForwardOptions { training: Some(seed), ..Default::default() });
/// assert_eq!(sample(1)?, sample(1)?);
/// assert_ne!(sample(1)?, sample(2)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ForwardOptions<'a> {
    /// Valid steps of each row, in any order; see [`Rnn::forward_lengths`].
    pub lengths: Option<&'a [usize]>,
    /// The initial state.
    pub state: Option<&'a State>,
    /// Dropout between layers as in PyTorch's training mode, with this seed: each element of each layer's output but the
    /// last one's becomes 0 with the probability [`Config::dropout`], and the others are multiplied by 1 / (1 − p).
    /// The same seed drops the same elements on every device, whatever else is in the batch; other calls want other
    /// seeds. Without a seed nothing is dropped.
    pub training: Option<u64>,
}

/// How a module is put on a device.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, RnnOptions, Schedule};
/// let params = Params::init(&Config::gru(3, 4), 0)?;
/// let options = RnnOptions::default().schedule(Schedule::Sequence);
/// let gru = Rnn::with_options(&Device::cpu(), &params, &options)?;
/// assert_eq!(gru.plan(100, 1)?.schedule.reason, "asked for");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RnnOptions {
    /// How the recurrence is laid on the machine.
    pub schedule: Schedule,
    /// How weights are stored on the device; biases stay f32.
    pub weights: WeightType,
}

impl RnnOptions {
    /// Lays the recurrence on the machine in this way.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Stores weights in this type.
    #[must_use]
    pub fn weights(mut self, weights: WeightType) -> Self {
        self.weights = weights;
        self
    }
}

/// A recurrent module with its weights on a device.
///
/// Which of `nn.RNN`, `nn.LSTM` and `nn.GRU` it is says its [`Config`]. Forward calls may come from several threads.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};
/// let lstm = Rnn::new(&Device::cpu(), &Params::init(&Config::lstm(3, 4), 0)?)?;
/// let (output, state) = lstm.forward(&Tensor::zeros([7, 2, 3])?, None)?; // [T, B, I]
/// assert_eq!(output.shape(), [7, 2, 4]);
/// let (output, _) = lstm.forward(&Tensor::zeros([5, 2, 3])?, Some(&state))?; // carries on
/// assert_eq!(output.shape(), [5, 2, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Rnn {
    config: Config,
    device: Device,
    options: RnnOptions,
    layout: WeightLayout,
    runner: Runner<ForwardKey, ForwardPlan>,
}

impl Rnn {
    /// Puts `params` on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when a single unit's weights exceed what the device binds or all of them the memory budget,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for what this version lacks, and the errors of the device.
    pub fn new(device: &Device, params: &Params) -> Result<Self> {
        Self::with_options(device, params, &RnnOptions::default())
    }

    /// Puts `params` on `device`, with options.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Unsupported`](crate::Error::Unsupported) saying why for a schedule that cannot run this module
    /// on this device.
    pub fn with_options(device: &Device, params: &Params, options: &RnnOptions) -> Result<Self> {
        let config = params.config().clone();
        config.validate()?;
        options.weights.check(params.named())?;
        let layout =
            WeightLayout::stored(&config, device.storage(options.weights)?, device.limits())?;
        plan::check_budget(layout.size(), device.limits())?;
        plan::check(options.schedule, &config, &layout, &device.profile())?;
        let weights =
            Weights::load(device.engine(), layout.buffers(), |index| layout.pack(index, params))?;
        let options = options.clone();
        let runner = Runner::new(weights);
        Ok(Self { config, device: device.clone(), options, layout, runner })
    }

    /// Loads the module under `prefix` of a state dict; see [`Params::from_state_dict`].
    ///
    /// # Errors
    /// As [`Params::from_state_dict`] and [`Rnn::new`].
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::new(device, &Params::from_state_dict(state_dict, prefix)?)
    }

    /// The module's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the module was put there.
    pub fn options(&self) -> &RnnOptions {
        &self.options
    }

    /// Where the module runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The layout of the weights where they are.
    pub(crate) fn layout(&self) -> &WeightLayout {
        &self.layout
    }

    /// The plans of forward passes.
    pub(crate) fn runner(&self) -> &Runner<ForwardKey, ForwardPlan> {
        &self.runner
    }

    /// Runs the module.
    ///
    /// `input` is `[T, B, I]`, `[B, T, I]` with `batch_first`, or `[T, I]` for a single sequence. `state` is the
    /// initial state, zeros if there is none. Returns `output` (`[T, B, D·R]`, laid out as the input is, R being
    /// `proj_size` or else `hidden_size`) and the state after the last step; the reverse direction's is its state at t = 0.
    ///
    /// # Errors
    /// In PyTorch's words [`Error::Shape`] when shapes do not fit and [`Error::Option`] when the state
    /// lacks `c` or has one too many. [`Error::Limit`] when one time step of one row exceeds what the
    /// device allows, and the errors of the device.
    pub fn forward(&self, input: &Tensor, state: Option<&State>) -> Result<(Tensor, State)> {
        self.forward_with(input, &ForwardOptions { state, ..ForwardOptions::default() })
    }

    /// Runs the module over rows of different lengths, with the meaning of PyTorch's `PackedSequence`.
    ///
    /// `lengths` holds the valid steps of each row, in any order; what `input` (3-D) holds beyond them does not matter.
    /// The reverse direction starts at each row's own end, `output` is 0 beyond it, and the state returned is that after
    /// the row's last valid step. Beyond PyTorch, a row of length 0 keeps its initial state.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Shape`] when the number of lengths is not that of the
    /// rows, or a length exceeds T.
    pub fn forward_lengths(
        &self,
        input: &Tensor,
        lengths: &[usize],
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with(
            input,
            &ForwardOptions { lengths: Some(lengths), state, ..ForwardOptions::default() },
        )
    }

    /// Runs the module with any of the options, each of which may be left out.
    ///
    /// # Errors
    /// As [`forward`](Self::forward) and [`forward_lengths`](Self::forward_lengths).
    pub fn forward_with(
        &self,
        input: &Tensor,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        pollster::block_on(self.compute(input, options, Waiting::Block))
    }

    /// As [`forward`](Self::forward), for asynchronous programs: what is uploaded and encoded takes place when the future is
    /// polled first, and it is woken when the results are there. [`Polling`](crate::engine::gpu::Polling) says by whom.
    ///
    /// Futures of several calls may wait at the same time, and may be dropped; the next call finds the module as it was. On
    /// the CPU the work is done in the first poll.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub async fn forward_async(
        &self,
        input: &Tensor,
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with_async(input, &ForwardOptions { state, ..ForwardOptions::default() }).await
    }

    /// As [`forward_with`](Self::forward_with), for asynchronous programs; see [`forward_async`](Self::forward_async).
    ///
    /// # Errors
    /// As [`forward_with`](Self::forward_with).
    pub async fn forward_with_async(
        &self,
        input: &Tensor,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        self.compute(input, options, Waiting::Await).await
    }

    /// The plan of a forward pass: its dispatches and its memory, before it runs.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) as [`forward`](Self::forward); the errors of
    /// [`plan::plan`] for sizes that have nothing to run.
    pub fn plan(&self, seq_len: usize, batch: usize) -> Result<Plan> {
        self.plan_pass(self.pass_sizes(Sizes { seq_len, batch }, false)?, false)
    }
}
