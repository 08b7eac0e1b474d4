//! Networks on a device: a chain of modules that runs as one recording.

mod decoder;
pub(crate) mod forward;
mod packer;
mod pool;
mod stream;

use std::sync::Arc;

use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::nn::options::LoadOptions;
use crate::nn::runner::{Prepared, Runner};
use crate::params::network::{Graph, NetworkParams, Sequential, StepShape};
use crate::params::state_dict::StateDict;
use crate::params::validate::Sizes;
use crate::plan::{self, NetworkLayout, NetworkPlan, NetworkSizes};
use crate::tensor::{Tensor, TensorView};
pub use stream::NetworkStream;

/// A network with its weights on a device.
///
/// A forward pass is one recording: the values between its modules stay on the device. A clone is
/// another handle of the same weights. Several threads may call a network at the same time.
///
/// Its recurrent modules run by `step`, `step_tiled` or `sequence`. A network whose results never
/// depend on later steps runs piece by piece as well: [`stream`](Self::stream) keeps the states of
/// all its modules on the device. The pieces have the bits of the whole sequence.
#[derive(Debug, Clone)]
pub struct Network(Arc<Module>);

/// A network and its plans.
#[derive(Debug)]
struct Module {
    graph: Graph,
    device: Device,
    options: LoadOptions,
    layout: NetworkLayout,
    runner: Runner<NetworkSizes, NetworkPlan>,
}

/// A forward pass that is ready to run.
type PreparedNetwork = Prepared<NetworkSizes, NetworkPlan>;

impl Sequential {
    /// Loads the network onto a device. Its tensors are under `prefix` of a state dict, and each
    /// module's prefix follows it.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read) and [`Network::new`].
    pub fn load(&self, device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Network> {
        self.load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the network onto a device, with options.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read) and [`Network::with_options`].
    pub fn load_with(
        &self,
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Network> {
        let params = self.read_with(state_dict, prefix, options.allow_unused)?;
        Network::with_options(device, &params, options)
    }
}

impl Network {
    /// Uploads `params` to `device`.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when the weights exceed a limit of the device, and the
    /// errors of the device.
    pub fn new(device: &Device, params: &NetworkParams) -> Result<Self> {
        Self::with_options(device, params, &LoadOptions::new())
    }

    /// Uploads `params` to `device`, with the options `batch_first`, `weights` and `schedule`.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new); [`Error::Option`](crate::Error::Option) for other options
    /// and for weights that the type cannot hold;
    /// [`Error::Unsupported`](crate::Error::Unsupported) where the device cannot read the type, and
    /// for a schedule that a recurrent module cannot run by.
    pub fn with_options(
        device: &Device,
        params: &NetworkParams,
        options: &LoadOptions,
    ) -> Result<Self> {
        options.check("a network", &["batch_first", "schedule"])?;
        options.weights.check(params.named())?;
        let graph = params.graph().clone();
        let layout = NetworkLayout::new(&graph, device.storage(options.weights)?, device.limits())?;
        plan::check_budget(layout.size(), device.limits())?;
        let weights =
            Weights::load(device.engine(), layout.buffers(), |index| layout.pack(index, params))?;
        let (device, options, runner) = (device.clone(), options.clone(), Runner::new(weights));
        Ok(Self(Arc::new(Module { graph, device, options, layout, runner })))
    }

    /// Returns the network's device.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Returns the options with which the network was loaded.
    pub fn options(&self) -> &LoadOptions {
        &self.0.options
    }

    /// Returns the shape of a step of the input.
    pub fn input(&self) -> StepShape {
        self.0.graph.input
    }

    /// Returns the shape of a step of the output.
    pub fn output(&self) -> StepShape {
        self.0.graph.shape(self.0.graph.output)
    }

    /// Runs the network from zero states and returns its output.
    ///
    /// `input` is `[T, B, ·]`, `[B, T, ·]` with `batch_first`, or `[T, ·]` for a single sequence,
    /// where · is the shape of a step. The output has its layout. Convolutions over time may give
    /// it another number of steps.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the shape does not fit, and in PyTorch's words
    /// where a convolution has too few steps; [`Error::Limit`](crate::Error::Limit) when one row
    /// exceeds a limit of the device; the errors of the device.
    pub fn forward<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        pollster::block_on(self.compute(input.into().into(), self.device().blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs; see
    /// [`Rnn::forward_async`](crate::Rnn::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.compute(input.into().into(), Waiting::Await).await
    }

    /// Runs a network of tokens, whose `shape` is `[T, B]`, `[B, T]` with `batch_first`, or `[T]`.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward); [`Error::Option`](crate::Error::Option) in
    /// PyTorch's words when a token is not a row of the embedding.
    pub fn forward_tokens(&self, tokens: &[i64], shape: &[usize]) -> Result<Tensor> {
        pollster::block_on(self.compute((tokens, shape).into(), self.device().blocking()?))
    }

    /// [`forward_tokens`](Self::forward_tokens) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`forward_tokens`](Self::forward_tokens).
    pub async fn forward_tokens_async(&self, tokens: &[i64], shape: &[usize]) -> Result<Tensor> {
        self.compute((tokens, shape).into(), Waiting::Await).await
    }

    /// Returns the operations.
    pub(crate) fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// Returns the weights on the device.
    pub(crate) fn weights(&self) -> &Weights {
        self.0.runner.weights()
    }

    /// Returns the parts of one row's states; see [`Graph::state_parts`].
    fn state_parts(&self) -> Vec<(String, usize)> {
        self.0.graph.state_parts()
    }

    /// Plans a forward pass of whole rows.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward), except those of the device.
    #[doc(hidden)]
    pub fn plan(&self, seq_len: usize, batch: usize) -> Result<NetworkPlan> {
        self.plan_of(Sizes { seq_len, batch }.into())
    }

    fn plan_of(&self, sizes: NetworkSizes) -> Result<NetworkPlan> {
        let Module { graph, device, options, layout, .. } = &*self.0;
        let (profile, asked) = (device.profile(), options.schedule);
        let schedules = plan::network_schedules(graph, layout, sizes.sizes, &profile, asked)?;
        plan::plan_network(graph, layout, sizes, &profile, &schedules)
    }

    /// Returns a plan of these sizes that no other call uses, with its buffers. All steps of all
    /// rows count in them; other contents are undefined.
    fn prepare(&self, sizes: NetworkSizes) -> Result<PreparedNetwork> {
        let mut prepared = self.0.runner.take(sizes, || self.plan_of(sizes))?;
        let Prepared { plan, session, .. } = &mut prepared;
        for &(lengths, steps) in &plan.lengths {
            session.write(lengths, &vec![f32::from_bits(steps as u32); sizes.sizes.batch])?;
        }
        Ok(prepared)
    }
}
