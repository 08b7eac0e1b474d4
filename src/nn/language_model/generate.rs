//! Generation: one submission runs a chunk of steps. The device draws each step's token and feeds
//! it to the next step.

use std::collections::VecDeque;

use super::generations::PreparedGeneration;
use super::model::passes::{PassInputs, PreparedPass};
use super::model::{LanguageModel, check_tokens};
use super::options::GenerateOptions;
use crate::engine::ran::Ran;
use crate::engine::session::Session;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::families::NO_TOKEN;
use crate::nn::options::ForwardOptions;
use crate::nn::pack::Packer;
use crate::nn::runner::Prepared;
use crate::params::validate::Sizes;
use crate::plan::{Exchange, GenerationPlan, Wanted};
use crate::tensor::State;

/// A text that is being generated. The iterator returns one token of each row at a time, until
/// [`GenerateOptions::stop`] if that is set.
///
/// Embedding, layers, decoder and sampling all run on the device. A chunk of steps is one
/// submission, by the schedule `persistent` of few dispatches. Only tokens come back. The same
/// seed gives the same tokens on every device, unless probabilities tie within rounding. A
/// generator owns a handle of its model, so that a struct may hold both.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::language_model::{
///     GenerateOptions, LanguageModel, LanguageModelConfig, LanguageModelParams,
/// };
/// use wgpu_rnn::{Device, Kind};
/// let params = LanguageModelParams::init(&LanguageModelConfig::new(Kind::Gru, 10, 4, 8, 1), 0)?;
/// let model = LanguageModel::new(&Device::cpu(), &params)?;
/// let text = model.generate(&[&[3, 1, 4]], &GenerateOptions::default().seed(7))?;
/// let tokens = text.take(20).collect::<wgpu_rnn::Result<Vec<Vec<u32>>>>()?;
/// assert!(tokens.iter().all(|rows| rows.len() == 1 && rows[0] < 10));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Generator {
    model: LanguageModel,
    options: GenerateOptions,
    batch: usize,
    /// The plan; `None` only while dropping, when it returns to the model.
    prepared: Option<PreparedGeneration>,
    /// The number of steps that the device has run, earlier ones included.
    position: usize,
    /// Steps that came back and that the caller has not read yet.
    ready: VecDeque<Vec<u32>>,
    /// The rows that have drawn the token that ends a text.
    ended: Vec<bool>,
    failed: bool,
}

impl LanguageModel {
    /// Starts to generate after `prompts`, one for each row, each with at least one token. The
    /// state starts at zero.
    ///
    /// The prompts run in one forward pass. Generation itself starts with the first call for a
    /// token.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is no prompt or one is empty; [`Error::Option`] when a token is
    /// not one of the model's or an option is out of range; [`Error::Limit`] when one step exceeds
    /// a limit of the device; the errors of the device.
    pub fn generate(&self, prompts: &[&[u32]], options: &GenerateOptions) -> Result<Generator> {
        pollster::block_on(self.begin(prompts, options, self.device().blocking()?))
    }

    /// [`generate`](Self::generate) for asynchronous programs; see [`Generator::next_async`].
    ///
    /// # Errors
    /// The errors of [`generate`](Self::generate).
    pub async fn generate_async(
        &self,
        prompts: &[&[u32]],
        options: &GenerateOptions,
    ) -> Result<Generator> {
        self.begin(prompts, options, Waiting::Await).await
    }

    /// The core of [`generate`](Self::generate).
    async fn begin(
        &self,
        prompts: &[&[u32]],
        options: &GenerateOptions,
        waiting: Waiting,
    ) -> Result<Generator> {
        let batch = prompts.len();
        if batch == 0 {
            return Err(Error::Shape(
                "there is nothing to generate: no prompt was given".to_owned(),
            ));
        }
        if let Some(row) = prompts.iter().position(|prompt| prompt.is_empty()) {
            return Err(Error::Shape(format!("prompt {row} is empty: give at least one token")));
        }
        for (row, prompt) in prompts.iter().enumerate() {
            check_tokens(prompt, self.config().ntoken, |at| format!("prompts[{row}][{at}]"))?;
        }
        if !(options.temperature >= 0.0 && options.temperature.is_finite()) {
            return Err(Error::Option(format!(
                "temperature should be a finite number of at least 0, got {}",
                options.temperature
            )));
        }
        if !(options.top_p > 0.0 && options.top_p <= 1.0) {
            return Err(Error::Option(format!(
                "top_p should be greater than 0 and at most 1, got {}",
                options.top_p
            )));
        }
        check_tokens(options.stop.as_slice(), self.config().ntoken, |_| "stop".to_owned())?;
        let mut prepared = self.prepare_generation(batch, options.chunk)?;
        let Prepared { plan, session, packed, .. } = &mut prepared;
        match self.read_prompts(prompts, waiting).await? {
            Some(prompted) => {
                let pairs = prompted.plan.layers.carried_to(&plan.layers);
                session.carry_from(&prompted.session, &pairs)?;
                self.0.passes.put(prompted);
            }
            None => {
                let packer = Packer::whole(self.rnn_config(), &plan.layers);
                packer.write_state(None, packed, |id, values| session.set(id, values))?;
            }
        }
        let last: Vec<u32> = prompts.iter().filter_map(|prompt| prompt.last().copied()).collect();
        session.write(plan.token, bytemuck::cast_slice(&last))?;
        write_lengths(plan, session, batch)?;
        let (options, position) = (*options, options.position);
        Ok(Generator {
            model: self.clone(),
            options,
            batch,
            prepared: Some(prepared),
            position,
            ready: VecDeque::new(),
            ended: vec![false; batch],
            failed: false,
        })
    }

    /// Plans a chunk of `chunk` steps for `batch` prompts. The plan shows the schedule, the
    /// dispatches and the memory before a run.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is no prompt, [`Error::Option`] when the chunk is out of range,
    /// and [`Error::Limit`] under the conditions of [`generate`](Self::generate).
    #[doc(hidden)]
    pub fn plan_generation(&self, batch: usize, chunk: usize) -> Result<GenerationPlan> {
        self.0.generations.plan(&self.0.layout, (batch, chunk), &self.device().profile())
    }

    /// Returns a plan for a chunk that no other call uses.
    fn prepare_generation(&self, batch: usize, chunk: usize) -> Result<PreparedGeneration> {
        self.0.generations.take(&self.0.layout, (batch, chunk), &self.device().profile())
    }

    /// Runs all prompts up to their last tokens, from which generation starts.
    pub(super) async fn read_prompts(
        &self,
        prompts: &[&[u32]],
        waiting: Waiting,
    ) -> Result<Option<PreparedPass>> {
        let batch = prompts.len();
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len() - 1).collect();
        let seq_len = lengths.iter().copied().max().unwrap_or(0);
        let token = |at: usize| prompts[at % batch].get(at / batch).copied().unwrap_or(0);
        let tokens: Vec<u32> = (0..seq_len * batch).map(token).collect();
        let options = ForwardOptions { lengths: Some(&lengths), ..ForwardOptions::default() };
        let sizes = Sizes { seq_len, batch };
        let inputs = PassInputs { tokens: &tokens, targets: None, sizes, options };
        self.run_passes(&inputs, Wanted::State, waiting, |_| ()).await
    }
}

impl Generator {
    /// Runs a chunk and queues its tokens.
    async fn chunk(&mut self, waiting: Waiting) -> Result<()> {
        let settings = self.options.settings(self.position);
        // After an abandoned run, which left the state as it was, another plan runs the steps.
        let mut ran = Ran::Abandoned;
        while ran == Ran::Abandoned {
            let prepared = self.current()?;
            let Prepared { plan, session, .. } = prepared;
            session.write(plan.settings, bytemuck::cast_slice(&settings))?;
            let mut chunk: Vec<u32> = Vec::new();
            let take = |(), tokens: &[f32]| chunk.extend_from_slice(bytemuck::cast_slice(tokens));
            ran = session.execute(&[(plan.tokens, ())], &plan.carried, waiting, take).await?;
            self.position += chunk.len() / self.batch;
            self.ready.extend(chunk.chunks_exact(self.batch).map(<[u32]>::to_vec));
        }
        Ok(())
    }

    /// Returns the plan. If the device no longer lets workgroups wait for each other, it is a new
    /// one that starts from the state of the last one.
    fn current(&mut self) -> Result<&mut PreparedGeneration> {
        let Some(now) = &mut self.prepared else {
            unreachable!("a generator has its plan until it is dropped")
        };
        let waits = now.plan.layers.recording.flag.is_some();
        let exchange = self.model.device().profile().exchange;
        if waits && !matches!(exchange, Exchange::Resident(_)) {
            let mut next = self.model.prepare_generation(self.batch, self.options.chunk)?;
            let Prepared { plan, session, .. } = &mut next;
            let mut pairs = now.plan.layers.carried_to(&plan.layers);
            pairs.push((now.plan.token, plan.token));
            session.carry_from(&now.session, &pairs)?;
            write_lengths(plan, session, self.batch)?;
            *now = next;
        }
        Ok(now)
    }

    /// Returns the next token of each row. Runs a chunk when none is ready.
    async fn step(&mut self, waiting: Waiting) -> Result<Vec<u32>> {
        if self.ready.is_empty() {
            self.chunk(waiting).await?;
        }
        let mut tokens = self.ready.pop_front().unwrap_or_default();
        let nothing = |(&token, &ended): (&u32, &bool)| token == NO_TOKEN && !ended;
        if let Some(row) = tokens.iter().zip(&self.ended).position(nothing) {
            return Err(Error::Option(format!(
                "nothing can be drawn for row {row} at position {}: its logits have NaN, or the \
                 largest is infinite",
                self.position - self.ready.len() - 1
            )));
        }
        if let Some(stop) = self.options.stop {
            for (token, ended) in tokens.iter_mut().zip(&mut self.ended) {
                *ended |= *token == stop;
                *token = if *ended { stop } else { *token };
            }
        }
        Ok(tokens)
    }

    /// Reads the state after the last chunk, which may be ahead of the last token returned.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn state(&self) -> Result<State> {
        pollster::block_on(self.fetch_state(self.model.device().blocking()?))
    }

    /// [`state`](Self::state) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn state_async(&self) -> Result<State> {
        self.fetch_state(Waiting::Await).await
    }

    /// The core of [`state`](Self::state).
    async fn fetch_state(&self, waiting: Waiting) -> Result<State> {
        let Some(Prepared { plan, session, .. }) = &self.prepared else {
            unreachable!("a generator has its plan until it is dropped")
        };
        Packer::whole(self.model.rnn_config(), &plan.layers).read_state(session, waiting).await
    }

    /// Returns the next token of each row, as the iterator does, for asynchronous programs. After
    /// the end, an error, or a dropped future, it returns `None`.
    pub async fn next_async(&mut self) -> Option<Result<Vec<u32>>> {
        self.draw(Waiting::Await).await
    }

    /// The core of [`next`](Iterator::next).
    async fn draw(&mut self, waiting: Waiting) -> Option<Result<Vec<u32>>> {
        if self.failed || self.ended.iter().all(|&ended| ended) {
            return None;
        }
        self.failed = true;
        let step = self.step(waiting).await;
        self.failed = step.is_err();
        Some(step)
    }
}

/// Writes the lengths of all rows: each step is one.
fn write_lengths(plan: &GenerationPlan, session: &mut Session, batch: usize) -> Result<()> {
    session.write(plan.layers.lengths, &vec![f32::from_bits(1); batch])
}

impl Iterator for Generator {
    type Item = Result<Vec<u32>>;

    /// Returns the next token of each row, and `None` after the end or an error.
    fn next(&mut self) -> Option<Self::Item> {
        match self.model.device().blocking() {
            Ok(waiting) => pollster::block_on(self.draw(waiting)),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for Generator {
    /// Returns the plan to the model, unless a step failed.
    fn drop(&mut self) {
        if let Some(prepared) = self.prepared.take().filter(|_| !self.failed) {
            self.model.0.generations.put(prepared);
        }
    }
}
