//! A language model on a device.

pub(super) mod passes;

use std::sync::Arc;

use super::generations::Generations;
use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::options::{ForwardOptions, LoadOptions, is_rnn};
use crate::nn::pack::Packer;
use crate::nn::runner::Runner;
use crate::params::config::Config;
use crate::params::language_model::{LanguageModelConfig, LanguageModelParams};
use crate::params::state_dict::StateDict;
use crate::params::validate::{self, Sizes};
use crate::plan::{self, BeamPlan, LanguageModelLayout, LanguageModelPlan, Wanted};
use crate::tensor::{State, Tensor, reserved};
use passes::{PassInputs, PassKey};

/// The target of a step that predicts nothing; no token has this number.
const NO_TARGET: u32 = u32::MAX;

/// A language model with its weights on a device. One recording leads from tokens to logits, losses
/// or further tokens.
///
/// Several threads may call it at the same time. A clone is another handle of the same model.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::language_model::{LanguageModel, LanguageModelConfig, LanguageModelParams};
/// use wgpu_rnn::{Device, Kind};
/// let config = LanguageModelConfig::new(Kind::Lstm, 10, 4, 8, 2);
/// let model = LanguageModel::new(&Device::cpu(), &LanguageModelParams::init(&config, 0)?)?;
/// let state = model.init_hidden(2)?;
/// // Three steps of two rows:
/// let (logits, state) = model.forward(&[1, 2, 3, 4, 5, 6], 2, Some(&state))?;
/// assert_eq!(logits.shape(), [3, 2, 10]);
/// let (logits, _) = model.forward(&[7, 8], 2, Some(&state))?; // carries on
/// assert_eq!(logits.shape(), [1, 2, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LanguageModel(pub(super) Arc<Model>);

#[derive(Debug)]
pub(super) struct Model {
    config: LanguageModelConfig,
    rnn: Config,
    device: Device,
    pub(super) layout: LanguageModelLayout,
    pub(super) passes: Runner<PassKey, LanguageModelPlan>,
    pub(super) generations: Generations,
    /// Plans by the number of beams.
    pub(super) beams: Runner<usize, BeamPlan>,
}

/// The quality of a model's predictions on a text.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The number of predicted tokens.
    pub tokens: usize,
    /// The mean negative log-likelihood of a token, in nats.
    pub loss: f64,
}

impl Score {
    /// Returns exp(loss): the number of equally likely tokens with the same uncertainty.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

impl LanguageModel {
    /// Uploads `params` to `device`.
    ///
    /// # Errors
    /// [`Error::Limit`] when the weights of one unit or token exceed a binding of the device, or
    /// all weights the memory budget; and the errors of the device.
    pub fn new(device: &Device, params: &LanguageModelParams) -> Result<Self> {
        Self::with_options(device, params, &LoadOptions::new())
    }

    /// Uploads `params` to `device`, with options.
    ///
    /// `dropout` and, for a model of kind RNN, `nonlinearity` replace the values in the parameters'
    /// configuration. `batch_first` does not apply: tokens are `[T, B]`.
    ///
    /// `schedule` is that of generation: `step`, `persistent`, or `auto`. By `persistent` one
    /// dispatch generates many tokens, and the device holds the weights twice. `auto` takes it
    /// where workgroups may wait for each other and the model fits. Other calls run by `step`.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new); [`Error::Option`] for an option that does not apply and
    /// for weights that the type cannot hold; [`Error::Config`] for a dropout out of range;
    /// [`Error::Unsupported`] with the reason for a schedule that cannot run.
    pub fn with_options(
        device: &Device,
        params: &LanguageModelParams,
        options: &LoadOptions,
    ) -> Result<Self> {
        let mut config = params.config().clone();
        let applicable = ["dropout", "schedule", "nonlinearity"];
        options.check("RNNModel", &applicable[..2 + usize::from(is_rnn(config.rnn_type))])?;
        config.dropout = options.dropout.unwrap_or(config.dropout);
        config.rnn_type = options.kind(config.rnn_type);
        if options.dropout.is_some() {
            config.validate()?;
        }
        options.weights.check(
            params.to_tensors().iter().map(|(name, tensor)| (name.clone(), tensor.data())),
        )?;
        let storage = device.storage(options.weights)?;
        let layout = LanguageModelLayout::stored(&config, storage, device.limits())?;
        plan::check_budget(layout.size(), device.limits())?;
        let weights =
            Weights::load(device.engine(), layout.buffers(), |index| layout.pack(index, params))?;
        let schedule = options.schedule;
        let generations = Generations::load(device, params, &layout, weights.clone(), schedule)?;
        let (rnn, device) = (config.rnn(), device.clone());
        let (passes, beams) = (Runner::new(weights.clone()), Runner::new(weights));
        Ok(Self(Arc::new(Model { config, rnn, device, layout, passes, generations, beams })))
    }

    /// Loads the model under `prefix` of a state dict; see
    /// [`LanguageModelParams::from_state_dict`].
    ///
    /// # Errors
    /// The errors of [`LanguageModelParams::from_state_dict`] and [`LanguageModel::new`].
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the model under `prefix` of a state dict, with options.
    ///
    /// # Errors
    /// The errors of [`LanguageModelParams::from_state_dict`] and [`LanguageModel::with_options`].
    pub fn load_with(
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Self> {
        let (params, _) =
            LanguageModelParams::read(state_dict, prefix, None, options.allow_unused)?;
        Self::with_options(device, &params, options)
    }

    /// Returns the model's configuration.
    pub fn config(&self) -> &LanguageModelConfig {
        &self.0.config
    }

    /// Returns the configuration of the model's recurrent module.
    pub fn rnn_config(&self) -> &Config {
        &self.0.rnn
    }

    /// Returns the model's device.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Returns a zero state for `batch` rows: `[nlayers, B, nhid]`.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the number of elements overflows.
    pub fn init_hidden(&self, batch: usize) -> Result<State> {
        State::zeros(&self.0.rnn, batch)
    }

    /// Runs the model over `tokens` (`[T, B]`, time first) from `state`, or from zero.
    ///
    /// Returns the logits, `[T, B, ntoken]`, and the state after the last step. PyTorch's example
    /// returns `log_softmax` of these logits.
    ///
    /// # Errors
    /// [`Error::Option`] in PyTorch's words when a token is not one of the model's;
    /// [`Error::Shape`] when the tokens do not fill whole steps or the state does not fit;
    /// [`Error::Limit`] when one step exceeds a limit of the device; and the errors of the device.
    pub fn forward(
        &self,
        tokens: &[u32],
        batch: usize,
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with(tokens, batch, &ForwardOptions { state, ..ForwardOptions::default() })
    }

    /// [`forward`](Self::forward) with options.
    ///
    /// In training, dropout applies to the embedding, between layers, and to the decoder's input.
    /// After the end of a row, the logits are those of an output of 0.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward); [`Error::Shape`] when the number of lengths
    /// differs from the number of rows, or when a length exceeds T.
    pub fn forward_with(
        &self,
        tokens: &[u32],
        batch: usize,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        pollster::block_on(self.compute(tokens, batch, options, self.device().blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs; see
    /// [`Rnn::forward_async`](crate::Rnn::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async(
        &self,
        tokens: &[u32],
        batch: usize,
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        let options = ForwardOptions { state, ..ForwardOptions::default() };
        self.forward_with_async(tokens, batch, &options).await
    }

    /// [`forward_with`](Self::forward_with) for asynchronous programs; see
    /// [`Rnn::forward_async`](crate::Rnn::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward_with`](Self::forward_with).
    pub async fn forward_with_async(
        &self,
        tokens: &[u32],
        batch: usize,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        self.compute(tokens, batch, options, Waiting::Await).await
    }

    /// The core of [`forward_with`](Self::forward_with).
    async fn compute(
        &self,
        tokens: &[u32],
        batch: usize,
        options: &ForwardOptions<'_>,
        waiting: Waiting,
    ) -> Result<(Tensor, State)> {
        let sizes = self.check(tokens, batch, options)?;
        let mut logits = reserved(tokens.len().saturating_mul(self.0.config.ntoken), "logits")?;
        let inputs = PassInputs { tokens, targets: None, sizes, options: *options };
        let take = |values: &[f32]| logits.extend_from_slice(values);
        let state = match self.run_passes(&inputs, Wanted::Logits, waiting, take).await? {
            Some(last) => {
                let packer = Packer::whole(&self.0.rnn, &last.plan.layers);
                let state = packer.read_state(&last.session, waiting).await?;
                self.0.passes.put(last);
                state
            }
            None => self.init_hidden(batch)?,
        };
        Ok((Tensor::trusted([sizes.seq_len, batch, self.0.config.ntoken], logits), state))
    }

    /// Plans a forward pass over `[T, B]` tokens. The plan shows the dispatches and the memory
    /// before a run. If the device needs several passes, this is the first.
    ///
    /// # Errors
    /// [`Error::Limit`] under the conditions of [`forward`](Self::forward); [`Error::Shape`] when
    /// there is no step or no row.
    #[doc(hidden)]
    pub fn plan(&self, seq_len: usize, batch: usize) -> Result<LanguageModelPlan> {
        let (layout, profile, wanted) = (&self.0.layout, &self.0.device.profile(), Wanted::Logits);
        let sizes = Sizes { seq_len, batch };
        let steps = plan::steps_per_pass(layout, sizes, wanted, false, profile)?.min(seq_len);
        let sizes = Sizes { seq_len: steps, batch };
        plan::plan_pass(layout, sizes, wanted, false, profile)
    }

    /// Scores the predictions of every token of `text` but the first, each from the tokens before
    /// it.
    ///
    /// The text is cut into `streams` parts of equal length, of which the last may be shorter. They
    /// run as the rows of one batch, each from a zero state. Each also predicts the first token of
    /// the next part. One stream reads the whole text in order; many streams keep a GPU busy. The
    /// model reads only losses back.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are fewer than two tokens; [`Error::Option`] when there is no
    /// stream or a token is not one of the model's; otherwise the errors of
    /// [`forward`](Self::forward).
    pub fn score(&self, text: &[u32], streams: usize) -> Result<Score> {
        pollster::block_on(self.evaluate(text, streams, self.device().blocking()?))
    }

    /// [`score`](Self::score) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`score`](Self::score).
    pub async fn score_async(&self, text: &[u32], streams: usize) -> Result<Score> {
        self.evaluate(text, streams, Waiting::Await).await
    }

    /// The core of [`score`](Self::score).
    async fn evaluate(&self, text: &[u32], streams: usize, waiting: Waiting) -> Result<Score> {
        if streams == 0 {
            return Err(Error::Option(
                "a text is read in at least one stream, but got 0".to_owned(),
            ));
        }
        let count = text.len().saturating_sub(1);
        if count == 0 {
            return Err(Error::Shape(format!(
                "a text to predict has at least two tokens, but got {}",
                text.len()
            )));
        }
        check_tokens(text, self.0.config.ntoken, |at| format!("text[{at}]"))?;
        let batch = streams.min(count);
        let seq_len = count.div_ceil(batch);
        let sizes = Sizes { seq_len, batch };
        // After the end of a stream any token will do, since it has no target.
        let at = |t: usize, b: usize, offset: usize| {
            Some(b * seq_len + t).filter(|&i| i < count).map(|i| text[i + offset])
        };
        let steps = || (0..seq_len).flat_map(|t| (0..batch).map(move |b| (t, b)));
        let room = seq_len.saturating_mul(batch);
        let (mut tokens, mut targets) = (reserved(room, "tokens")?, reserved(room, "targets")?);
        tokens.extend(steps().map(|(t, b)| at(t, b, 0).unwrap_or(0)));
        targets.extend(steps().map(|(t, b)| at(t, b, 1).unwrap_or(NO_TARGET)));
        let inputs = PassInputs {
            tokens: &tokens,
            targets: Some(&targets),
            sizes,
            options: ForwardOptions::default(),
        };
        let mut total = 0.0;
        let sum = |losses: &[f32]| total += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        if let Some(last) = self.run_passes(&inputs, Wanted::Losses, waiting, sum).await? {
            self.0.passes.put(last);
        }
        Ok(Score { tokens: count, loss: total / count as f64 })
    }

    /// Checks the arguments of a call before any work.
    fn check(&self, tokens: &[u32], batch: usize, options: &ForwardOptions<'_>) -> Result<Sizes> {
        if batch == 0 || tokens.is_empty() || !tokens.len().is_multiple_of(batch) {
            return Err(Error::Shape(format!(
                "tokens are [T, B] with at least one step and one row, but got {} tokens for a \
                 batch of {batch}",
                tokens.len()
            )));
        }
        let sizes = Sizes { seq_len: tokens.len() / batch, batch };
        let shapes = options.state.map(|s| (s.h.shape(), s.c.as_ref().map(Tensor::shape)));
        let checked =
            validate::forward(&self.0.rnn, &[sizes.seq_len, batch, self.0.config.ninp], shapes)?;
        if let Some(lengths) = options.lengths {
            validate::lengths(lengths, checked)?;
        }
        check_tokens(tokens, self.0.config.ntoken, |at| {
            format!("tokens[{}, {}]", at / batch, at % batch)
        })?;
        Ok(sizes)
    }
}

/// Checks that every token is below `ntoken`. `name` gives the name of an offset in messages.
pub(super) fn check_tokens(
    tokens: &[u32],
    ntoken: usize,
    name: impl Fn(usize) -> String,
) -> Result<()> {
    match tokens.iter().position(|&token| token as usize >= ntoken) {
        None => Ok(()),
        Some(at) => Err(Error::Option(format!(
            "index out of range in self: {} is {}, expected 0 to {}",
            name(at),
            tokens[at],
            ntoken - 1
        ))),
    }
}
