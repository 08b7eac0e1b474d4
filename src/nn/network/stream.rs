//! Streams of a network: it runs piece by piece while its states stay on the device.

use std::mem;

use super::forward::{Output, packer_part};
use super::packer::{Checked, Input, Part, Values};
use super::{Network, PreparedNetwork};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::runner::Prepared;
use crate::params::validate::Sizes;
use crate::plan::NetworkSizes;
use crate::tensor::{Tensor, TensorView, copied, reserved};

/// A sequence of calls of a [`Network`], each of which continues from the previous one.
///
/// The states of all modules stay on the device: those of recurrent modules, and the last steps
/// that causal convolutions read. A call uploads its input, runs, and reads only the output back.
/// The outputs have the bits of one call over all steps.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::network::Sequential;
/// use wgpu_rnn::{Device, StateDict, Tensor};
/// # let (weight_ih, weight_hh) = (Tensor::zeros([12, 3])?, Tensor::zeros([12, 4])?);
/// # let weights = [("gru.weight_ih_l0", &weight_ih), ("gru.weight_hh_l0", &weight_hh)];
/// # let weights = StateDict::from_tensors(weights)?;
/// let network = Sequential::new(3).rnn("gru.").sigmoid().load(&Device::cpu(), &weights, "")?;
/// let mut stream = network.stream(2)?; // of two rows
/// for steps in [1, 5, 1] {
///     let output = stream.forward(&Tensor::zeros([steps, 2, 3])?)?;
///     assert_eq!(output.shape(), [steps, 2, 4]);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NetworkStream {
    network: Network,
    batch: usize,
    /// The input steps of an output step.
    stride: usize,
    held: Held,
    memory: Option<Memory>,
}

/// The memory of a decoder.
#[derive(Debug)]
pub(super) struct Memory {
    /// M.
    pub steps: usize,
    /// `[M, B, F]`, with F padded to quads.
    pub values: Vec<f32>,
    /// The valid steps of each row, as words.
    pub lengths: Vec<f32>,
    /// Whether the buffers of the held plan have it.
    pub is_written: bool,
}

/// The place of the states between two calls.
#[derive(Debug)]
enum Held {
    /// On the host, until the next call uploads it, `[B, W]`; zero when absent.
    Host(Option<Vec<f32>>),
    /// In the buffers of the plan that ran last, from which its next run reads.
    Device(Box<PreparedNetwork>),
    /// Lost: a call failed, or its future was dropped, while the states were changing.
    Lost,
}

impl Network {
    /// Opens a stream of `batch` rows from zero states.
    ///
    /// # Errors
    /// [`Error::Option`] that names a module whose results depend on later steps: a bidirectional
    /// one, or a convolution over time that is not causal; [`Error::Limit`] when one step of
    /// `batch` rows exceeds a limit of the device.
    pub fn stream(&self, batch: usize) -> Result<NetworkStream> {
        if self.0.graph.memory().is_some() {
            return Err(Error::Option(
                "this network attends a memory: open its streams with decoder()".to_owned(),
            ));
        }
        let stride = self.0.graph.stride()?;
        if batch > 0 {
            self.plan(stride, batch)?;
        }
        Ok(self.open(batch, stride, None))
    }

    /// Opens a stream, after the checks.
    pub(super) fn open(
        &self,
        batch: usize,
        stride: usize,
        memory: Option<Memory>,
    ) -> NetworkStream {
        let (network, held) = (self.clone(), Held::Host(None));
        NetworkStream { network, batch, stride, held, memory }
    }

    /// Returns W, the values of one row's states: those of all modules in their order.
    pub fn state_size(&self) -> usize {
        self.0.graph.state_size()
    }
}

impl NetworkStream {
    /// Returns the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the number of rows B of every call.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the steps that make one step of the output: the product of all strides over time.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Runs the next steps and returns their output, in the layout of [`Network::forward`].
    ///
    /// Convolutions with strides make one output step of several input steps. A call then has a
    /// multiple of these steps. Calls of the same T are the fastest, since each T needs a plan.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shape does not fit, and [`Error::Limit`] when the steps exceed a
    /// limit of the device; the stream then keeps its states. An error of the device may lose them:
    /// calls return [`Error::StateLost`] until [`reset`](Self::reset) or
    /// [`set_state`](Self::set_state) sets others.
    pub fn forward<'a>(&mut self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        pollster::block_on(self.advance(input.into().into(), self.network.device().blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs. A future that is dropped before it is
    /// ready loses the states, because it is unknown whether the steps have run.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async<'a>(&mut self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.advance(input.into().into(), Waiting::Await).await
    }

    /// Runs the next steps of a network of tokens; see [`Network::forward_tokens`].
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward) and [`Network::forward_tokens`].
    pub fn forward_tokens(&mut self, tokens: &[i64], shape: &[usize]) -> Result<Tensor> {
        pollster::block_on(self.advance((tokens, shape).into(), self.network.device().blocking()?))
    }

    /// [`forward_tokens`](Self::forward_tokens) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`forward_tokens`](Self::forward_tokens).
    pub async fn forward_tokens_async(
        &mut self,
        tokens: &[i64],
        shape: &[usize],
    ) -> Result<Tensor> {
        self.advance((tokens, shape).into(), Waiting::Await).await
    }

    async fn advance(&mut self, input: Input<'_>, waiting: Waiting) -> Result<Tensor> {
        let Checked { sizes, unbatched } = self.network.check_input(&input)?;
        if sizes.batch != self.batch {
            return Err(Error::Shape(format!(
                "NetworkStream: Expected an input of {} rows, got {}",
                self.batch, sizes.batch
            )));
        }
        if !sizes.seq_len.is_multiple_of(self.stride) {
            return Err(Error::Shape(format!(
                "NetworkStream: Expected a multiple of {} steps, which make one step of the \
                 output, got {}",
                self.stride, sizes.seq_len
            )));
        }
        let mut output = self.network.outputs(sizes)?;
        if self.batch > 0 && self.network.0.graph.is_stepwise() {
            self.run_steps(input.values, sizes, &mut output, waiting).await?;
        } else if self.batch > 0 {
            let part = Part { steps: 0..sizes.seq_len, rows: 0..sizes.batch };
            self.run(input.values, sizes, &part, &mut output, waiting).await?;
        }
        Ok(self.network.tensor(output, unbatched))
    }

    /// Runs all steps of an input, one after the other.
    pub(super) async fn run_steps(
        &mut self,
        values: Values<'_>,
        sizes: Sizes,
        output: &mut Output,
        waiting: Waiting,
    ) -> Result<()> {
        for step in 0..sizes.seq_len {
            let part = Part { steps: step..step + 1, rows: 0..sizes.batch };
            self.run(values, sizes, &part, output, waiting).await?;
        }
        Ok(())
    }

    /// Runs some steps of an input of these sizes.
    pub(super) async fn run(
        &mut self,
        values: Values<'_>,
        sizes: Sizes,
        part: &Part,
        output: &mut Output,
        waiting: Waiting,
    ) -> Result<()> {
        let mut prepared = self.take(self.sizes(part.steps.len(), None))?;
        // An error or a dropped future leaves the states lost, until the plan is put back.
        self.network.write_input(&mut prepared, values, sizes, part)?;
        let is_written = self.write_memory(&mut prepared)?;
        if is_written {
            // The first commands depend on the memory alone, and their results are still there.
            let Prepared { plan, session, .. } = &mut *prepared;
            let (commands, id) = (plan.prologue..plan.recording.commands.len(), plan.output.buffer);
            let count = plan.recording.spec(id).len();
            let values = session.start_commands(commands, (id, count))?.values(waiting).await?;
            let packer = self.network.unpacker(plan, output.sizes);
            packer.unpack(&values, &packer_part(plan, part), &mut output.values);
            session.carry(&plan.carried())?;
        } else {
            let pairs = prepared.plan.carried();
            self.network.complete(&mut prepared, part, &pairs, output, waiting).await?;
        }
        self.held = Held::Device(prepared);
        Ok(())
    }

    /// Returns the sizes of a run.
    pub(super) fn sizes(&self, seq_len: usize, greedy: Option<usize>) -> NetworkSizes {
        let memory = self.memory.as_ref().map_or(0, |memory| memory.steps);
        NetworkSizes { sizes: Sizes { seq_len, batch: self.batch }, memory, greedy }
    }

    /// Writes the memory, and returns whether the buffers of the plan had it already.
    pub(super) fn write_memory(&mut self, prepared: &mut PreparedNetwork) -> Result<bool> {
        let Prepared { plan, session, .. } = prepared;
        let (Some(memory), Some((value, lengths))) = (&mut self.memory, plan.memory) else {
            return Ok(false);
        };
        if memory.is_written {
            return Ok(true);
        }
        session.write(value.buffer, &memory.values)?;
        session.write(lengths, &memory.lengths)?;
        memory.is_written = true;
        Ok(false)
    }

    /// Keeps a plan whose buffers hold the states.
    pub(super) fn keep(&mut self, prepared: Box<PreparedNetwork>) {
        self.held = Held::Device(prepared);
    }

    /// Reads the states of all modules: `[B, W]`, W of [`Network::state_size`].
    ///
    /// # Errors
    /// [`Error::StateLost`] when they are lost; the errors of the device.
    pub fn state(&self) -> Result<Tensor> {
        pollster::block_on(self.fetch_state(self.network.device().blocking()?))
    }

    /// [`state`](Self::state) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn state_async(&self) -> Result<Tensor> {
        self.fetch_state(Waiting::Await).await
    }

    async fn fetch_state(&self, waiting: Waiting) -> Result<Tensor> {
        let shape = [self.batch, self.network.state_size()];
        let prepared = match &self.held {
            Held::Lost => return Err(self.lost()),
            Held::Host(None) => return Tensor::zeros(shape),
            Held::Host(Some(values)) => return Tensor::new(shape, copied(values, "the states")?),
            Held::Device(prepared) => prepared,
        };
        let mut parts = Vec::new();
        for part in &prepared.plan.states {
            parts.push((part.row, prepared.session.fetch(part.read, waiting).await?));
        }
        let mut values = reserved(shape[0] * shape[1], "the states")?;
        for row in 0..self.batch {
            for (of, part) in &parts {
                values.extend_from_slice(&part[row * of.stride..][..of.features]);
            }
        }
        Tensor::new(shape, values)
    }

    /// Replaces the states, `[B, W]`; the next call uploads them.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shape is not `[B, W]`.
    pub fn set_state(&mut self, state: &Tensor) -> Result<()> {
        let shape = [self.batch, self.network.state_size()];
        if state.shape() != shape {
            return Err(Error::Shape(format!(
                "NetworkStream: Expected states of shape {shape:?}, got {:?}",
                state.shape()
            )));
        }
        let values = copied(state.data(), "the states")?;
        self.hold(Held::Host(Some(values)));
        Ok(())
    }

    /// Sets the states to zero.
    pub fn reset(&mut self) {
        self.hold(Held::Host(None));
    }

    /// Returns a plan of these sizes whose buffers hold the states. They are lost unless the plan
    /// is put back.
    pub(super) fn take(&mut self, sizes: NetworkSizes) -> Result<Box<PreparedNetwork>> {
        let runner = &self.network.0.runner;
        let fits =
            |prepared: &PreparedNetwork| prepared.plan.of == sizes && runner.is_current(prepared);
        if !matches!(&self.held, Held::Device(prepared) if fits(prepared)) {
            let mut next = self.network.prepare(sizes)?;
            if let Some(memory) = &mut self.memory {
                memory.is_written = false;
            }
            let Prepared { plan, session, .. } = &mut next;
            match &self.held {
                Held::Lost => return Err(self.lost()),
                Held::Host(None) => {
                    for part in &plan.states {
                        session.set(part.read, None)?;
                    }
                }
                Held::Host(Some(values)) => {
                    let size = self.network.state_size();
                    let mut first = 0;
                    for part in &plan.states {
                        let (features, stride) = (part.row.features, part.row.stride);
                        let mut packed = vec![0.0; self.batch * stride];
                        for (row, to) in packed.chunks_exact_mut(stride).enumerate() {
                            let from = &values[row * size + first..][..features];
                            to[..features].copy_from_slice(from);
                        }
                        session.write(part.read, &packed)?;
                        first += features;
                    }
                }
                Held::Device(now) => {
                    let both = now.plan.states.iter().zip(&plan.states);
                    let pairs: Vec<_> = both.map(|(from, to)| (from.read, to.read)).collect();
                    session.carry_from(&now.session, &pairs)?;
                }
            }
            self.hold(Held::Device(Box::new(next)));
        }
        match mem::replace(&mut self.held, Held::Lost) {
            Held::Device(prepared) => Ok(prepared),
            Held::Host(_) | Held::Lost => Err(self.lost()),
        }
    }

    /// Returns the reason of lost states: the device is lost, or a call failed.
    fn lost(&self) -> Error {
        self.network.device().ask().err().unwrap_or_else(|| {
            Error::StateLost(
                "the states of this stream were lost in a call that failed or was dropped; give it \
                 others with set_state() or reset()"
                    .to_owned(),
            )
        })
    }

    /// Replaces `held`. A plan in it goes back to the network, for other calls of its sizes.
    fn hold(&mut self, held: Held) {
        if let Held::Device(prepared) = mem::replace(&mut self.held, held) {
            self.network.0.runner.put(*prepared);
        }
    }
}

impl Drop for NetworkStream {
    fn drop(&mut self) {
        self.reset();
    }
}
