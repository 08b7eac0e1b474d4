//! Decoders: streams of networks that attend a memory, and that write tokens.

use super::Network;
use super::packer::{Input, Part, Values};
use super::stream::{Memory, NetworkStream};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::families::NO_TOKEN;
use crate::nn::runner::Prepared;
use crate::params::network::StepShape;
use crate::params::validate::Sizes;
use crate::plan::MAX_SEGMENT_STEPS;
use crate::tensor::{State, Tensor, padded, room};

impl Network {
    /// Opens a stream of a network that attends `memory`, `[M, B, F]`: the outputs of an encoder.
    /// It has as many rows as the memory, and zero states.
    ///
    /// `lengths` holds the steps of each row that count, in any order; without it all count. The
    /// memory stays on the device. Keys that depend on it alone are computed once.
    ///
    /// # Errors
    /// [`Error::Option`] for a network without [`attention`]; [`Error::Shape`] when the shape of
    /// the memory does not fit, and for a length of 0 or above M; [`Error::Limit`] when a step
    /// exceeds a limit of the device.
    ///
    /// [`attention`]: crate::network::Sequential::attention
    pub fn decoder(&self, memory: &Tensor, lengths: Option<&[usize]>) -> Result<NetworkStream> {
        let Some(features) = self.0.graph.memory() else {
            return Err(Error::Option(
                "this network attends no memory: open its streams with stream()".to_owned(),
            ));
        };
        let &[steps, batch, found] = memory.shape() else {
            return Err(Error::Shape(format!(
                "decoder: Expected a memory of shape [M, B, {features}], got {:?}",
                memory.shape()
            )));
        };
        if found != features || steps == 0 || batch == 0 {
            return Err(Error::Shape(format!(
                "decoder: Expected a memory of shape [M, B, {features}] with at least one step of \
                 one row, got {:?}",
                memory.shape()
            )));
        }
        let whole = vec![steps; batch];
        let lengths = lengths.unwrap_or(&whole);
        if lengths.len() != batch {
            return Err(Error::Shape(format!(
                "decoder: Expected {batch} lengths, one for each row, got {}",
                lengths.len()
            )));
        }
        if let Some(length) = lengths.iter().find(|&&length| length == 0 || length > steps) {
            return Err(Error::Shape(format!(
                "decoder: Expected lengths of 1 to {steps}, the steps of the memory, got {length}"
            )));
        }
        let stride = self.0.graph.stride()?;
        room(steps.saturating_mul(batch).saturating_mul(padded(features)), "the memory")?;
        let values = memory.padded_rows(0..steps * batch);
        let lengths = lengths.iter().map(|&length| f32::from_bits(length as u32)).collect();
        let memory = Memory { steps, values, lengths, is_written: false };
        let stream = self.open(batch, stride, Some(memory));
        self.plan_of(stream.sizes(stride, None))?;
        Ok(stream)
    }
}

impl NetworkStream {
    /// Writes `count` tokens of each row, and returns them step by step: `[count][B]`.
    ///
    /// The network reads a token and returns the logits of the next one. The first step reads
    /// `start`, a token for each row. Each later step reads the likeliest token of the step before
    /// it. All steps run in one submission, and only the tokens come back.
    ///
    /// # Errors
    /// [`Error::Option`] for a network that does not map a token to logits, for a token out of
    /// range, and for a `count` that is 0 or above 4096; [`Error::Shape`] when `start` has not one
    /// token for each row; [`Error::Limit`] when a step exceeds a limit of the device; the errors
    /// of [`forward`](Self::forward).
    pub fn greedy(&mut self, start: &[i64], count: usize) -> Result<Vec<Vec<i64>>> {
        pollster::block_on(self.write_tokens(start, count, self.network().device().blocking()?))
    }

    /// [`greedy`](Self::greedy) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`greedy`](Self::greedy).
    pub async fn greedy_async(&mut self, start: &[i64], count: usize) -> Result<Vec<Vec<i64>>> {
        self.write_tokens(start, count, Waiting::Await).await
    }

    async fn write_tokens(
        &mut self,
        start: &[i64],
        count: usize,
        waiting: Waiting,
    ) -> Result<Vec<Vec<i64>>> {
        let network = self.network().clone();
        let (input, output) = (network.input(), network.output());
        let (StepShape::Token, StepShape::Features(_)) = (input, output) else {
            return Err(Error::Option(format!(
                "greedy: Expected a network that maps a token to logits, got one that maps \
                 {input:?} to {output:?}"
            )));
        };
        if !(1..=MAX_SEGMENT_STEPS).contains(&count) {
            return Err(Error::Option(format!(
                "greedy: Expected 1 to {MAX_SEGMENT_STEPS} tokens, got {count}"
            )));
        }
        let (batch, shape) = (self.batch(), [1, start.len()]);
        if start.len() != batch {
            return Err(Error::Shape(format!(
                "greedy: Expected {batch} tokens to start with, one for each row, got {}",
                start.len()
            )));
        }
        network.check_input(&Input { shape: &shape, values: Values::Tokens(start) })?;
        if batch == 0 {
            return Ok(vec![Vec::new(); count]);
        }
        let mut prepared = self.take(self.sizes(1, Some(count)))?;
        let (sizes, part) = (Sizes { seq_len: 1, batch }, Part { steps: 0..1, rows: 0..batch });
        network.write_input(&mut prepared, Values::Tokens(start), sizes, &part)?;
        self.write_memory(&mut prepared)?;
        let Prepared { plan, session, .. } = &mut *prepared;
        let Some(greedy) = plan.greedy else { unreachable!("the plan is of greedy decoding") };
        session.set(greedy.settings, None)?;
        // Each step leaves the states in the other of two buffers.
        let pairs = if count.is_multiple_of(2) { Vec::new() } else { plan.carried() };
        let mut tokens = Vec::with_capacity(count);
        let take = |(), words: &[f32]| {
            let token = |word: &f32| i64::from(word.to_bits());
            tokens.extend(words.chunks_exact(batch).map(|step| step.iter().map(token).collect()));
        };
        session.complete(&[(greedy.tokens, ())], &pairs, waiting, take).await?;
        self.keep(prepared);
        let undefined = |step: &Vec<i64>| step.contains(&NO_TOKEN.into());
        if let Some(step) = tokens.iter().position(undefined) {
            return Err(Error::Option(format!(
                "greedy: the logits of step {step} have NaN or infinity, so that no token is the \
                 likeliest"
            )));
        }
        Ok(tokens)
    }

    /// Returns the state of the recurrent module under `prefix`, in PyTorch's shapes: h and c are
    /// `[num_layers, B, ·]`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] when the network has no such module; the errors of
    /// [`state`](Self::state).
    pub fn state_of(&self, prefix: &str) -> Result<State> {
        let parts = self.parts_of(prefix)?;
        let (all, width) = (self.state()?, self.network().state_size());
        let of = |name: &str| {
            let layers: Vec<_> = parts.iter().filter(|part| part.name == name).collect();
            let features = layers.first()?.features;
            let rows = layers.iter().flat_map(|part| {
                let first = part.first;
                (0..self.batch()).map(move |row| row * width + first)
            });
            let values = rows.flat_map(|at| all.data()[at..at + features].iter().copied());
            let shape = [layers.len(), self.batch(), features];
            Some(Tensor::new(shape, values.collect()))
        };
        let Some(h) = of("h") else { unreachable!("a recurrent module has h") };
        Ok(State { h: h?, c: of("c").transpose()? })
    }

    /// Replaces the state of the recurrent module under `prefix`, in PyTorch's shapes, such as the
    /// last state of an encoder.
    ///
    /// # Errors
    /// [`Error::UnknownName`] when the network has no such module; [`Error::Shape`] when the shapes
    /// do not fit; [`Error::Option`] when the state lacks `c` or has a `c` that the module does not
    /// use; the errors of [`state`](Self::state).
    pub fn set_state_of(&mut self, prefix: &str, state: &State) -> Result<()> {
        let parts = self.parts_of(prefix)?;
        let (mut all, width) = (self.state()?, self.network().state_size());
        for (name, tensor) in [("h", Some(&state.h)), ("c", state.c.as_ref())] {
            let layers: Vec<_> = parts.iter().filter(|part| part.name == name).collect();
            let features = layers.first().map_or(0, |part| part.features);
            let tensor = match (tensor, layers.len()) {
                (Some(tensor), 1..) => tensor,
                (None, 0) => continue,
                (None, _) => return Err(Error::Option(format!("{prefix}: the state lacks c"))),
                (Some(_), 0) => {
                    return Err(Error::Option(format!("{prefix}: the module has no c")));
                }
            };
            let shape = [layers.len(), self.batch(), features];
            if tensor.shape() != shape {
                return Err(Error::Shape(format!(
                    "{prefix}: Expected hidden size {shape:?}, got {:?}",
                    tensor.shape()
                )));
            }
            for (part, of_layer) in
                layers.iter().zip(tensor.data().chunks_exact((self.batch() * features).max(1)))
            {
                for (row, values) in of_layer.chunks_exact(features).enumerate() {
                    let at = row * width + part.first;
                    all.data_mut()[at..at + features].copy_from_slice(values);
                }
            }
        }
        self.set_state(&all)
    }

    /// Returns the places of a module's state in a row of all states.
    fn parts_of(&self, prefix: &str) -> Result<Vec<StatePlace>> {
        let mut first = 0;
        let mut parts = Vec::new();
        for (label, features) in self.network().state_parts() {
            for name in ["h", "c"] {
                let layer = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(name));
                if layer.is_some_and(|layer| layer.starts_with("_l")) {
                    parts.push(StatePlace { name, first, features });
                }
            }
            first += features;
        }
        if parts.is_empty() {
            return Err(Error::UnknownName(format!(
                "the network has no recurrent module with the prefix '{prefix}'"
            )));
        }
        Ok(parts)
    }
}

/// The place of one layer's h or c in a row of all states.
#[derive(Debug)]
struct StatePlace {
    name: &'static str,
    first: usize,
    features: usize,
}
