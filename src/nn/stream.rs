//! Streams: a module runs piece by piece while its state stays on the device.

use std::mem;

use crate::engine::ran::Ran;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::pack::{Inputs, Packer, output_shape};
use crate::nn::rnn::Rnn;
use crate::nn::rnn::forward::PreparedForward;
use crate::nn::runner::Prepared;
use crate::params::validate::{self, Checked, Sizes};
use crate::tensor::{State, Tensor, TensorView};

/// A sequence of calls of an [`Rnn`], each of which continues from the previous one.
///
/// The state stays on the device: a call uploads its input, runs, and reads only the output back. A
/// stream starts with a zero state. Streams of one module are independent; each has the buffers of
/// one plan. A stream owns a handle of its module, so that a struct may hold both.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};
/// let lstm = Rnn::new(&Device::cpu(), &Params::init(&Config::lstm(3, 4), 0)?)?;
/// let mut stream = lstm.stream(2)?; // of two rows
/// for steps in [1, 5, 1] {
///     let output = stream.forward(&Tensor::zeros([steps, 2, 3])?)?;
///     assert_eq!(output.shape(), [steps, 2, 4]);
/// }
/// let state = stream.state()?; // as after one call of 7 steps
/// assert_eq!(state.h.shape(), [1, 2, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream {
    rnn: Rnn,
    batch: usize,
    held: Held,
}

/// The place of the state between two calls.
#[derive(Debug)]
enum Held {
    /// On the host, until the next call uploads it; zero when absent.
    Host(Option<State>),
    /// In the buffers of the plan that ran last, from which its next run reads: `h[0]` and `c`.
    Device(Box<PreparedForward>),
    /// Lost: a call failed, or its future was dropped, while the state was changing.
    Lost,
}

impl Rnn {
    /// Opens a stream of `batch` rows from a zero state.
    ///
    /// # Errors
    /// [`Error::Option`] for a bidirectional or reverse module, whose reverse direction begins with
    /// the last step; [`Error::Limit`] when one step of `batch` rows exceeds a limit of the device.
    pub fn stream(&self, batch: usize) -> Result<Stream> {
        if let Some(backwards) = self.config().backwards() {
            return Err(Error::Option(format!(
                "a {backwards} {} cannot be streamed: its reverse direction begins with the \
                 last step of the sequence; use forward() on whole sequences",
                self.config().kind.module()
            )));
        }
        if batch > 0 {
            // One pass must hold all rows, since their state stays in one place.
            self.plan_pass(Sizes { seq_len: 1, batch }, false)?;
        }
        Ok(Stream { rnn: self.clone(), batch, held: Held::Host(None) })
    }
}

impl Stream {
    /// Returns the module.
    pub fn rnn(&self) -> &Rnn {
        &self.rnn
    }

    /// Returns the number of rows B of every call.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs the next steps and returns their output, in the layout of the input.
    ///
    /// `input` is `[T, B, I]`, or `[B, T, I]` with `batch_first`, with any T. A stream of one row
    /// also takes `[T, I]`. Calls of the same T are the fastest, since each T needs a plan. An
    /// abandoned run leaves the state as it was, and the steps run again; see [`Rnn::forward`].
    ///
    /// # Errors
    /// [`Error::Shape`] when the shape does not fit, and [`Error::Limit`] when the steps exceed a
    /// limit of the device; the stream then keeps its state. An error of the device may lose the
    /// state: calls return [`Error::StateLost`] until [`reset`](Self::reset) or
    /// [`set_state`](Self::set_state) sets another.
    pub fn forward<'a>(&mut self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        pollster::block_on(self.advance(input.into(), self.rnn.device().blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs; see [`Rnn::forward_async`].
    ///
    /// A future that is dropped before it is ready loses the state, because it is unknown whether
    /// the steps have run. Calls then return [`Error::StateLost`] until [`reset`](Self::reset) or
    /// [`set_state`](Self::set_state).
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async<'a>(&mut self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.advance(input.into(), Waiting::Await).await
    }

    /// [`forward`](Self::forward) into a tensor of the caller, which has the shape of the output.
    ///
    /// On the CPU, a call of at most 8 rows, counted over all its steps, allocates nothing after a
    /// first call of the same T. The exception is a step of a million multiply-adds or more, which
    /// threads share.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward); [`Error::Shape`] when `output` has another shape,
    /// in which case nothing runs.
    pub fn forward_into<'a>(
        &mut self,
        input: impl Into<TensorView<'a>>,
        output: &mut Tensor,
    ) -> Result<()> {
        pollster::block_on(self.advance_into(input.into(), output, self.rnn.device().blocking()?))
    }

    /// [`forward_into`](Self::forward_into) for asynchronous programs; see
    /// [`forward_async`](Self::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward_into`](Self::forward_into).
    pub async fn forward_into_async<'a>(
        &mut self,
        input: impl Into<TensorView<'a>>,
        output: &mut Tensor,
    ) -> Result<()> {
        self.advance_into(input.into(), output, Waiting::Await).await
    }

    /// The core of [`forward`](Self::forward).
    pub(crate) async fn advance(
        &mut self,
        input: TensorView<'_>,
        waiting: Waiting,
    ) -> Result<Tensor> {
        let checked = self.check(input.shape())?;
        let mut output = Tensor::zeros(output_shape(self.rnn.config(), checked))?;
        self.run(input, checked.sizes, output.data_mut(), waiting).await?;
        Ok(output)
    }

    /// The core of [`forward_into`](Self::forward_into).
    async fn advance_into(
        &mut self,
        input: TensorView<'_>,
        output: &mut Tensor,
        waiting: Waiting,
    ) -> Result<()> {
        let sizes = self.check(input.shape())?.sizes;
        check_output("Stream", input.shape(), self.rnn.config().output_size(), output)?;
        self.run(input, sizes, output.data_mut(), waiting).await
    }

    /// Checks the shape of an input.
    pub(crate) fn check(&self, input: &[usize]) -> Result<Checked> {
        let checked = validate::forward(self.rnn.config(), input, None)?;
        let batch = checked.sizes.batch;
        if batch != self.batch {
            return Err(Error::Shape(format!(
                "Stream: Expected an input of {} rows, got {batch}",
                self.batch
            )));
        }
        Ok(checked)
    }

    /// Runs the next steps, which have been checked, into an output of their shape.
    pub(crate) async fn run(
        &mut self,
        input: TensorView<'_>,
        sizes: Sizes,
        output: &mut [f32],
        waiting: Waiting,
    ) -> Result<()> {
        let rnn = self.rnn.clone();
        let config = rnn.config();
        // After an abandoned run, which left the state as it was, another plan runs the steps.
        let mut ran = if self.batch > 0 { Ran::Abandoned } else { Ran::Done };
        while ran == Ran::Abandoned {
            let mut prepared = self.take(sizes)?;
            // An error or a dropped future leaves the state lost, until the plan is put back.
            let Prepared { plan, session, packed, .. } = &mut *prepared;
            let packer = Packer::whole(config, &plan.layers);
            let inputs = Inputs { input, lengths: None, state: None, seed: None, sizes };
            packer.write_sequence(&inputs, packed, |id, values| session.set(id, values))?;
            let take = |segment, packed: &[f32]| packer.unpack_output(segment, packed, output);
            ran = session.execute(&plan.outputs, &plan.carried, waiting, take).await?;
            self.held = Held::Device(prepared);
        }
        Ok(())
    }

    /// Reads the state: `[num_layers, B, H]`, as [`Rnn::forward`] returns it.
    ///
    /// # Errors
    /// [`Error::StateLost`] when the state is lost; the errors of the device.
    pub fn state(&self) -> Result<State> {
        pollster::block_on(self.fetch_state(self.rnn.device().blocking()?))
    }

    /// [`state`](Self::state) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn state_async(&self) -> Result<State> {
        self.fetch_state(Waiting::Await).await
    }

    /// The core of [`state`](Self::state).
    pub(crate) async fn fetch_state(&self, waiting: Waiting) -> Result<State> {
        let config = self.rnn.config();
        let prepared = match &self.held {
            Held::Lost => return Err(self.lost()),
            Held::Host(Some(state)) => return Ok(state.clone()),
            Held::Host(None) => return State::zeros(config, self.batch),
            Held::Device(prepared) => prepared,
        };
        let packer = Packer::whole(config, &prepared.plan.layers);
        packer.read_state(&prepared.session, waiting).await
    }

    /// Replaces the state, `[num_layers, B, H]`; the next call uploads it.
    ///
    /// # Errors
    /// [`Error::Shape`] in PyTorch's words when its shape is not `[num_layers, B, H]`;
    /// [`Error::Option`] when it lacks `c` or has a `c` that the module does not use.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        let config = self.rnn.config();
        let leading = if config.batch_first { [self.batch, 1] } else { [1, self.batch] };
        let step = [leading[0], leading[1], config.input_size];
        validate::forward(
            config,
            &step,
            Some((state.h.shape(), state.c.as_ref().map(Tensor::shape))),
        )?;
        self.hold(Held::Host(Some(state.clone())));
        Ok(())
    }

    /// Sets the state to zero.
    pub fn reset(&mut self) {
        self.hold(Held::Host(None));
    }

    /// Returns a plan of these sizes whose buffers hold the state. The state is lost unless the
    /// plan is put back.
    fn take(&mut self, sizes: Sizes) -> Result<Box<PreparedForward>> {
        let runner = self.rnn.runner();
        let fits = |prepared: &PreparedForward| {
            prepared.plan.layers.sizes == sizes && runner.is_current(prepared)
        };
        if !matches!(&self.held, Held::Device(prepared) if fits(prepared)) {
            let mut next = self.rnn.prepare(sizes, false)?;
            let Prepared { plan, session, packed, .. } = &mut next;
            match &self.held {
                Held::Lost => return Err(self.lost()),
                Held::Host(state) => {
                    let packer = Packer::whole(self.rnn.config(), &plan.layers);
                    let write = |id, values: Option<&[f32]>| session.set(id, values);
                    packer.write_state(state.as_ref(), packed, write)?;
                }
                Held::Device(now) => {
                    session.carry_from(&now.session, &now.plan.layers.carried_to(&plan.layers))?;
                }
            }
            self.hold(Held::Device(Box::new(next)));
        }
        match mem::replace(&mut self.held, Held::Lost) {
            Held::Device(prepared) => Ok(prepared),
            Held::Host(_) | Held::Lost => Err(self.lost()),
        }
    }

    /// Returns the reason of a lost state: the device is lost, or a call failed.
    fn lost(&self) -> Error {
        self.rnn.device().ask().err().unwrap_or_else(lost)
    }

    /// Replaces `held`. A plan in it goes back to the module, for other calls of its sizes.
    fn hold(&mut self, held: Held) {
        if let Held::Device(prepared) = mem::replace(&mut self.held, held) {
            self.rnn.runner().put(*prepared);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reset();
    }
}

/// Checks that a caller's output has the axes of the input, with `features` in the last.
///
/// # Errors
/// [`Error::Shape`] with the name of the stream.
pub(crate) fn check_output(
    stream: &str,
    input: &[usize],
    features: usize,
    output: &Tensor,
) -> Result<()> {
    let leading = &input[..input.len() - 1];
    if output.shape().split_last() == Some((&features, leading)) {
        return Ok(());
    }
    Err(Error::Shape(format!(
        "{stream}: Expected an output of {:?}, got {:?}",
        [leading, &[features]].concat(),
        output.shape()
    )))
}

fn lost() -> Error {
    Error::StateLost(
        "the state of this stream was lost in a call that failed or was dropped; give it one with \
         set_state() or reset()"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Held, lost};
    use crate::{Config, Device, Params, Rnn, Tensor};

    #[test]
    fn a_stream_outlives_the_handles_of_its_module() {
        let params = Params::init(&Config::gru(3, 4), 0).expect("valid sizes");
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small model");
        let input = Tensor::new([2, 1, 3], vec![0.5; 6]).expect("six values");
        let (want, _) = rnn.forward(&input, None).expect("a forward pass");
        let mut stream = rnn.clone().stream(1).expect("one row");
        drop(rnn);
        assert_eq!(stream.forward(&input).expect("a forward pass"), want);
        assert_eq!(stream.rnn().clone().forward(&input, None).expect("it is there").0, want);
    }

    #[test]
    fn a_lost_state_is_told_until_there_is_another() {
        let params = Params::init(&Config::lstm(3, 4), 0).expect("valid sizes");
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small model");
        let input = Tensor::new([2, 1, 3], vec![0.5; 6]).expect("six values");
        let mut stream = rnn.stream(1).expect("one row");
        let first = stream.forward(&input).expect("a forward pass");
        let state = stream.state().expect("a state");
        for remedy in ["reset", "set_state"] {
            stream.held = Held::Lost;
            let message = lost().to_string();
            assert_eq!(
                stream.forward(&input).map_err(|e| e.to_string()),
                Err(message.clone()),
                "forward"
            );
            assert_eq!(stream.state().map_err(|e| e.to_string()), Err(message), "state");
            if remedy == "reset" {
                stream.reset();
                assert_eq!(stream.forward(&input).expect("after reset"), first, "from zero");
            } else {
                stream.set_state(&state).expect("its own state");
                assert_eq!(
                    stream.state().expect("after set_state"),
                    state,
                    "the state that was set"
                );
            }
        }
    }
}
