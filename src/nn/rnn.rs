//! `nn.RNN`, `nn.LSTM` and `nn.GRU` on a device.

use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::nn::forward::{ForwardKey, ForwardPlan};
use crate::nn::options::{ForwardOptions, LoadOptions};
use crate::nn::runner::Runner;
use crate::params::Params;
use crate::params::config::Config;
use crate::params::state_dict::StateDict;
use crate::params::validate::Sizes;
use crate::plan::{self, Plan, WeightLayout};
use crate::tensor::{State, Tensor};

/// A recurrent module with its weights on a device.
///
/// It is an `nn.RNN`, `nn.LSTM` or `nn.GRU`, depending on [`Config::kind`]. Several threads may
/// call it at the same time.
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
    options: LoadOptions,
    layout: WeightLayout,
    runner: Runner<ForwardKey, ForwardPlan>,
}

impl Rnn {
    /// Puts `params` on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when a single unit's weights exceed a binding of the
    /// device, or all weights the memory budget; and the errors of the device.
    pub fn new(device: &Device, params: &Params) -> Result<Self> {
        Self::with_options(device, params, &LoadOptions::new())
    }

    /// Puts `params` on `device`, with options.
    ///
    /// `batch_first`, `nonlinearity` and `dropout` replace those of the parameters' configuration,
    /// as [`Params::with`] does; where they are not set, the parameters' own hold.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Option`](crate::Error::Option) for an option that does not
    /// apply to this module and for weights that the type cannot hold;
    /// [`Error::Config`](crate::Error::Config) for a value out of range;
    /// [`Error::Unsupported`](crate::Error::Unsupported) with the reason for a schedule that cannot
    /// run this module on this device.
    pub fn with_options(device: &Device, params: &Params, options: &LoadOptions) -> Result<Self> {
        let config = options.configure(params)?;
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
    /// The input is `[T, B, I]` and an RNN's nonlinearity tanh; [`load_with`](Self::load_with) sets
    /// others.
    ///
    /// # Errors
    /// As [`Params::from_state_dict`] and [`Rnn::new`].
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the module under `prefix` of a state dict, with options.
    ///
    /// # Errors
    /// As [`Params::from_state_dict`] and [`Rnn::with_options`].
    pub fn load_with(
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Self> {
        Self::with_options(device, &Params::from_state_dict(state_dict, prefix)?, options)
    }

    /// The module's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The options with which the module was put on its device.
    pub fn options(&self) -> &LoadOptions {
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
    /// In PyTorch's words [`Error::Shape`](crate::Error::Shape) when shapes do not fit and
    /// [`Error::Option`](crate::Error::Option) when the state lacks `c` or has one too many.
    /// [`Error::Limit`](crate::Error::Limit) when one time step of one row exceeds what the device
    /// allows, and the errors of the device.
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
    /// As [`forward`](Self::forward); [`Error::Shape`](crate::Error::Shape) when the number of
    /// lengths is not that of the rows, or a length exceeds T.
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
    #[doc(hidden)]
    pub fn plan(&self, seq_len: usize, batch: usize) -> Result<Plan> {
        self.plan_pass(self.pass_sizes(Sizes { seq_len, batch }, false)?, false)
    }
}
