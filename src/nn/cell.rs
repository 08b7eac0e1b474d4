//! `nn.RNNCell`, `nn.LSTMCell` and `nn.GRUCell` on a device: one step at a time.

use crate::engine::device::Device;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::options::{ForwardOptions, LoadOptions, is_rnn};
use crate::nn::rnn::Rnn;
use crate::nn::stream::{Stream, check_output};
use crate::params::Params;
use crate::params::config::Config;
use crate::params::state_dict::StateDict;
use crate::params::validate::{self, Checked};
use crate::tensor::{State, Tensor, TensorView};

/// A recurrent cell with its weights on a device.
///
/// It is an `nn.RNNCell`, `nn.LSTMCell` or `nn.GRUCell`, depending on [`Config::kind`]. A loop over
/// a cell computes the results of an [`Rnn`] of one layer, with the same kernels. A clone is
/// another handle of the same cell.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Cell, Config, Device, Params, Tensor};
/// let cell = Cell::new(&Device::cpu(), &Params::init(&Config::gru(3, 4), 0)?)?;
/// let mut state = cell.forward(&Tensor::zeros([2, 3])?, None)?; // [B, I]
/// state = cell.forward(&Tensor::zeros([2, 3])?, Some(&state))?;
/// assert_eq!(state.h.shape(), [2, 4]);
///
/// let mut stream = cell.stream(2)?; // the same, the state staying on the device
/// stream.step(&Tensor::zeros([2, 3])?)?;
/// assert_eq!(stream.step(&Tensor::zeros([2, 3])?)?, state.h);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cell(Rnn);

impl Cell {
    /// Uploads `params` to `device`.
    ///
    /// # Errors
    /// [`Error::Config`] when `params` have several layers, a second direction, a projection,
    /// `batch_first` or `dropout`, because cells have none of them. Otherwise the errors of
    /// [`Rnn::new`].
    pub fn new(device: &Device, params: &Params) -> Result<Self> {
        Self::with_options(device, params, &LoadOptions::new())
    }

    /// Uploads `params` to `device`, with options.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new) and [`Rnn::with_options`]. The options `batch_first` and
    /// `dropout` do not apply to a cell.
    pub fn with_options(device: &Device, params: &Params, options: &LoadOptions) -> Result<Self> {
        let config = params.config();
        let applicable = ["schedule", "nonlinearity"];
        options.check(config.kind.cell(), &applicable[..1 + usize::from(is_rnn(config.kind))])?;
        let beyond: Vec<String> = [
            (config.num_layers != 1, format!("num_layers={}", config.num_layers)),
            (config.bidirectional, "bidirectional=True".to_owned()),
            (config.reverse, "reverse=True".to_owned()),
            (config.proj_size != 0, format!("proj_size={}", config.proj_size)),
            (config.batch_first, "batch_first=True".to_owned()),
            (config.dropout != 0.0, format!("dropout={}", config.dropout)),
        ]
        .into_iter()
        .filter_map(|(found, what)| found.then_some(what))
        .collect();
        if !beyond.is_empty() {
            return Err(Error::Config(format!(
                "{} is one layer in one direction and has no {}; use {}",
                config.kind.cell(),
                beyond.join(", "),
                config.kind.module()
            )));
        }
        Ok(Self(Rnn::with_options(device, params, options)?))
    }

    /// Loads the cell under `prefix` of a state dict; see [`Params::from_cell_state_dict`].
    ///
    /// # Errors
    /// The errors of [`Params::from_cell_state_dict`] and [`Cell::new`].
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the cell under `prefix` of a state dict, with options.
    ///
    /// # Errors
    /// The errors of [`Params::from_cell_state_dict`] and [`Cell::with_options`].
    pub fn load_with(
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Self> {
        let (params, _) = Params::read_cell(state_dict, prefix, options.allow_unused)?;
        Self::with_options(device, &params, options)
    }

    /// Returns the cell's configuration.
    pub fn config(&self) -> &Config {
        self.0.config()
    }

    /// Returns the cell's device.
    pub fn device(&self) -> &Device {
        self.0.device()
    }

    /// Computes one step.
    ///
    /// `input` is `[B, I]`, or `[I]` for a single row. `state` is h, and c for an LSTM: `[B, H]`,
    /// or `[H]` for a single row. Without a state, it is zero. Returns the next state in the same
    /// shapes; its h is the cell's output.
    ///
    /// # Errors
    /// [`Error::Shape`] in PyTorch's words when shapes do not fit; [`Error::Option`] when the state
    /// lacks `c` or has a `c` that the cell does not use; [`Error::Limit`] when one row exceeds a
    /// limit of the device; and the errors of the device.
    pub fn forward<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        state: Option<&State>,
    ) -> Result<State> {
        pollster::block_on(self.compute(input.into(), state, self.device().blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs; see [`Rnn::forward_async`].
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        state: Option<&State>,
    ) -> Result<State> {
        self.compute(input.into(), state, Waiting::Await).await
    }

    pub(crate) async fn compute(
        &self,
        input: TensorView<'_>,
        state: Option<&State>,
        waiting: Waiting,
    ) -> Result<State> {
        let shapes = state.map(|s| (s.h.shape(), s.c.as_ref().map(Tensor::shape)));
        let checked = validate::cell(self.config(), input.shape(), shapes)?;
        let batch = checked.sizes.batch;
        let state = state.map(|state| with_leading(state.clone(), &[1, batch])).transpose()?;
        let options = ForwardOptions { state: state.as_ref(), ..ForwardOptions::default() };
        let sequence = [1, batch, self.config().input_size];
        let sequence = TensorView::trusted(&sequence, input.data());
        let (_, next) = self.0.compute(sequence, &options, waiting).await?;
        with_leading(next, rows(&checked))
    }

    /// Opens a stream of `batch` rows from a zero state. The state stays on the device.
    ///
    /// # Errors
    /// The errors of [`Rnn::stream`].
    pub fn stream(&self, batch: usize) -> Result<CellStream> {
        Ok(CellStream(self.0.stream(batch)?))
    }
}

/// Steps of a [`Cell`], each of which continues from the previous one; see [`Stream`].
#[derive(Debug)]
pub struct CellStream(Stream);

impl CellStream {
    /// Computes the next step and returns h.
    ///
    /// `input` is `[B, I]` and h is `[B, H]`. A stream of one row also takes `[I]` and then returns
    /// `[H]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shape does not fit; otherwise the errors of [`Stream::forward`].
    pub fn step<'a>(&mut self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        pollster::block_on(self.advance(input.into(), self.0.rnn().device().blocking()?))
    }

    /// [`step`](Self::step) for asynchronous programs; see [`Stream::forward_async`].
    ///
    /// # Errors
    /// The errors of [`step`](Self::step).
    pub async fn step_async<'a>(&mut self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.advance(input.into(), Waiting::Await).await
    }

    /// [`step`](Self::step) into a tensor of the caller, which has the shape of h. It allocates as
    /// little as [`Stream::forward_into`].
    ///
    /// # Errors
    /// The errors of [`step`](Self::step); [`Error::Shape`] when `h` has another shape, in which
    /// case nothing runs.
    pub fn step_into<'a>(
        &mut self,
        input: impl Into<TensorView<'a>>,
        h: &mut Tensor,
    ) -> Result<()> {
        pollster::block_on(self.advance_into(input.into(), h, self.0.rnn().device().blocking()?))
    }

    /// [`step_into`](Self::step_into) for asynchronous programs; see [`Stream::forward_async`].
    ///
    /// # Errors
    /// The errors of [`step_into`](Self::step_into).
    pub async fn step_into_async<'a>(
        &mut self,
        input: impl Into<TensorView<'a>>,
        h: &mut Tensor,
    ) -> Result<()> {
        self.advance_into(input.into(), h, Waiting::Await).await
    }

    /// The core of [`step`](Self::step).
    async fn advance(&mut self, input: TensorView<'_>, waiting: Waiting) -> Result<Tensor> {
        let config = self.0.rnn().config();
        let checked = validate::cell(config, input.shape(), None)?;
        let mut h = Tensor::zeros([rows(&checked), &[config.hidden_size]].concat())?;
        self.advance_into(input, &mut h, waiting).await?;
        Ok(h)
    }

    /// The core of [`step_into`](Self::step_into).
    async fn advance_into(
        &mut self,
        input: TensorView<'_>,
        h: &mut Tensor,
        waiting: Waiting,
    ) -> Result<()> {
        let config = self.0.rnn().config();
        let batch = validate::cell(config, input.shape(), None)?.sizes.batch;
        let sequence = [1, batch, config.input_size];
        let sizes = self.0.check(&sequence)?.sizes;
        check_output("CellStream", input.shape(), config.hidden_size, h)?;
        let sequence = TensorView::trusted(&sequence, input.data());
        self.0.run(sequence, sizes, h.data_mut(), waiting).await
    }

    /// Reads the state, `[B, H]`.
    ///
    /// # Errors
    /// The errors of [`Stream::state`].
    pub fn state(&self) -> Result<State> {
        with_leading(self.0.state()?, &[self.0.batch()])
    }

    /// [`state`](Self::state) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn state_async(&self) -> Result<State> {
        with_leading(self.0.state_async().await?, &[self.0.batch()])
    }

    /// Replaces the state, `[B, H]`.
    ///
    /// # Errors
    /// [`Error::Shape`] in PyTorch's words when its shape is not `[B, H]`; [`Error::Option`] when
    /// it lacks `c` or has a `c` that the cell does not use.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        let (config, batch) = (self.0.rnn().config(), self.0.batch());
        let shapes = (state.h.shape(), state.c.as_ref().map(Tensor::shape));
        validate::cell(config, &[batch, config.input_size], Some(shapes))?;
        self.0.set_state(&with_leading(state.clone(), &[1, batch])?)
    }

    /// Sets the state to zero.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// Returns the axes of a result before its features.
fn rows(checked: &Checked) -> &[usize] {
    if checked.unbatched { &[] } else { std::slice::from_ref(&checked.sizes.batch) }
}

/// Reshapes a state: `leading` replaces the axes before the features.
fn with_leading(State { h, c }: State, leading: &[usize]) -> Result<State> {
    let reshaped = |tensor: Tensor| {
        let features = tensor.shape().last().copied().unwrap_or(1);
        tensor.reshaped([leading, &[features]].concat())
    };
    Ok(State { h: reshaped(h)?, c: c.map(reshaped).transpose()? })
}
