//! `nn.RNN`, `nn.LSTM` and `nn.GRU` on a device.

pub(crate) mod forward;

use std::sync::Arc;

use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::nn::options::{ForwardOptions, LoadOptions};
use crate::nn::rnn::forward::{ForwardKey, ForwardPlan};
use crate::nn::runner::Runner;
use crate::params::Params;
use crate::params::config::Config;
use crate::params::state_dict::StateDict;
use crate::params::validate::Sizes;
use crate::plan::{self, Plan, WeightLayout};
use crate::tensor::{State, Tensor, TensorView};

/// A recurrent module with its weights on a device.
///
/// It is an `nn.RNN`, `nn.LSTM` or `nn.GRU`, depending on [`Config::kind`]. Several threads may
/// call it at the same time. A clone is another handle of the same module.
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
#[derive(Debug, Clone)]
pub struct Rnn(Arc<Module>);

#[derive(Debug)]
struct Module {
    config: Config,
    device: Device,
    options: LoadOptions,
    layout: WeightLayout,
    runner: Runner<ForwardKey, ForwardPlan>,
}

impl Rnn {
    /// Uploads `params` to `device`.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when a single unit's weights exceed a binding of the
    /// device, or all weights the memory budget; and the errors of the device.
    pub fn new(device: &Device, params: &Params) -> Result<Self> {
        Self::with_options(device, params, &LoadOptions::new())
    }

    /// Uploads `params` to `device`, with options.
    ///
    /// `batch_first`, `nonlinearity` and `dropout` replace the values in the parameters'
    /// configuration, like [`Params::with`]. An option that is not set keeps the value of the
    /// parameters.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new); [`Error::Option`](crate::Error::Option) for an option that
    /// does not apply to this module and for weights that the type cannot hold;
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
        let device = device.clone();
        Ok(Self(Arc::new(Module { config, device, options, layout, runner })))
    }

    /// Loads the module under `prefix` of a state dict; see [`Params::from_state_dict`].
    ///
    /// The input is `[T, B, I]` and the nonlinearity of an RNN is tanh.
    /// [`load_with`](Self::load_with) sets others.
    ///
    /// # Errors
    /// The errors of [`Params::from_state_dict`] and [`Rnn::new`].
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the module under `prefix` of a state dict, with options.
    ///
    /// # Errors
    /// The errors of [`Params::from_state_dict`] and [`Rnn::with_options`].
    pub fn load_with(
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Self> {
        let (params, _) = Params::read(state_dict, prefix, options.allow_unused)?;
        Self::with_options(device, &params, options)
    }

    /// Returns the module's configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the options with which the module was loaded.
    pub fn options(&self) -> &LoadOptions {
        &self.0.options
    }

    /// Returns the module's device.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Returns the layout of the weights on the device.
    pub(crate) fn layout(&self) -> &WeightLayout {
        &self.0.layout
    }

    /// Returns the plans of forward passes.
    pub(crate) fn runner(&self) -> &Runner<ForwardKey, ForwardPlan> {
        &self.0.runner
    }

    /// Runs the module and returns the output and the state after the last step.
    ///
    /// `input` is `[T, B, I]`, `[B, T, I]` with `batch_first`, or `[T, I]` for a single sequence.
    /// `state` is the initial state; without it, the state is zero. The output is `[T, B, D·R]`, in
    /// the layout of the input. R is `proj_size`, or `hidden_size` without a projection. The
    /// reverse direction's last state is its state at t = 0.
    ///
    /// In the schedule `persistent` workgroups wait for each other, for a limited time. A run in
    /// which one waits in vain is abandoned. Its results are void, so the call runs again by the
    /// schedule that `auto` then chooses, and logs a warning. From then on the device never runs
    /// `persistent`; [`Device::abandoned_runs`] counts such runs.
    ///
    /// # Errors
    /// In PyTorch's words: [`Error::Shape`](crate::Error::Shape) when shapes do not fit, and
    /// [`Error::Option`](crate::Error::Option) when the state lacks `c` or has a `c` that the
    /// module does not use. [`Error::Limit`](crate::Error::Limit) when one time step of one row
    /// exceeds a limit of the device; and the errors of the device.
    pub fn forward<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with(input, &ForwardOptions { state, ..ForwardOptions::default() })
    }

    /// Runs the module over rows of different lengths, with the meaning of PyTorch's
    /// `PackedSequence`.
    ///
    /// `lengths` holds the valid steps of each row, in any order. `input` has three axes; its later
    /// steps have no effect. The reverse direction starts at the end of each row. After the end,
    /// `output` is 0. The returned state is the state after the row's last valid step. Beyond
    /// PyTorch, a row of length 0 keeps its initial state.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward); [`Error::Shape`](crate::Error::Shape) when the
    /// number of lengths differs from the number of rows, or when a length exceeds T.
    pub fn forward_lengths<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        lengths: &[usize],
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with(
            input,
            &ForwardOptions { lengths: Some(lengths), state, ..ForwardOptions::default() },
        )
    }

    /// Runs the module with options: lengths, initial state and dropout.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward) and [`forward_lengths`](Self::forward_lengths).
    pub fn forward_with<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        pollster::block_on(self.compute(input.into(), options, self.device().blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs.
    ///
    /// The first poll uploads the input and submits the work. The future is woken when the results
    /// have arrived; [`Polling`](crate::engine::gpu::Polling) decides which thread wakes it. On the
    /// CPU the first poll does all the work.
    ///
    /// Futures of several calls may wait at the same time. A dropped future leaves the module
    /// unchanged.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with_async(input, &ForwardOptions { state, ..ForwardOptions::default() }).await
    }

    /// [`forward_lengths`](Self::forward_lengths) for asynchronous programs; see
    /// [`forward_async`](Self::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward_lengths`](Self::forward_lengths).
    pub async fn forward_lengths_async<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        lengths: &[usize],
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        let lengths = Some(lengths);
        let options = ForwardOptions { lengths, state, ..ForwardOptions::default() };
        self.forward_with_async(input, &options).await
    }

    /// [`forward_with`](Self::forward_with) for asynchronous programs; see
    /// [`forward_async`](Self::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward_with`](Self::forward_with).
    pub async fn forward_with_async<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        self.compute(input.into(), options, Waiting::Await).await
    }

    /// Plans a forward pass. The plan shows its dispatches and its memory before a run.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) under the conditions of [`forward`](Self::forward);
    /// the errors of [`plan::plan`] for sizes that have nothing to run.
    #[doc(hidden)]
    pub fn plan(&self, seq_len: usize, batch: usize) -> Result<Plan> {
        self.plan_pass(self.pass_sizes(Sizes { seq_len, batch }, false)?, false)
    }
}
