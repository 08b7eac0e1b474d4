//! Beam search. The states of all beams stay on the device, which reorders them.

use super::model::{LanguageModel, check_tokens};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::pack::{Packer, slot_values};
use crate::nn::runner::Prepared;
use crate::plan::{BeamPlan, plan_beams};

/// A text that [`LanguageModel::beam_search`] found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Beam {
    /// The tokens after the prompt.
    pub tokens: Vec<u32>,
    /// The logarithm of the probability of all tokens after the prompt.
    pub log_probability: f64,
}

/// A beam while it grows.
#[derive(Debug, Clone)]
struct Growing {
    beam: Beam,
    /// The row of its state; `None` once it has its last token.
    row: Option<usize>,
}

/// A way to go on: the probability, the beam, and its next token. A finished beam has none.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    log_probability: f64,
    beam: usize,
    token: Option<u32>,
}

impl LanguageModel {
    /// Searches the likeliest texts of `length` tokens after `prompt`, the likeliest first.
    ///
    /// After each step the search keeps the `beams` likeliest texts. A text that ends with the
    /// token `stop` is kept as it is, and its probability is compared with those of longer texts.
    /// The search ends early when all texts have ended. It ranks equally likely texts by their
    /// beam, and then by their token.
    ///
    /// # Errors
    /// [`Error::Shape`] when the prompt is empty; [`Error::Option`] when a token is not one of the
    /// model's, when there is no beam, or when logits have a NaN or an infinite maximum;
    /// [`Error::Limit`] when one step exceeds a limit of the device; the errors of the device.
    pub fn beam_search(
        &self,
        prompt: &[u32],
        beams: usize,
        length: usize,
        stop: Option<u32>,
    ) -> Result<Vec<Beam>> {
        pollster::block_on(self.search(prompt, beams, length, stop, self.device().blocking()?))
    }

    /// [`beam_search`](Self::beam_search) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`beam_search`](Self::beam_search).
    pub async fn beam_search_async(
        &self,
        prompt: &[u32],
        beams: usize,
        length: usize,
        stop: Option<u32>,
    ) -> Result<Vec<Beam>> {
        self.search(prompt, beams, length, stop, Waiting::Await).await
    }

    /// The core of [`beam_search`](Self::beam_search).
    async fn search(
        &self,
        prompt: &[u32],
        beams: usize,
        length: usize,
        stop: Option<u32>,
        waiting: Waiting,
    ) -> Result<Vec<Beam>> {
        let ntoken = self.config().ntoken;
        let Some(&last) = prompt.last() else {
            return Err(Error::Shape("the prompt is empty: give at least one token".to_owned()));
        };
        if beams == 0 {
            return Err(Error::Option("a search needs at least one beam, but got 0".to_owned()));
        }
        check_tokens(prompt, ntoken, |at| format!("prompt[{at}]"))?;
        check_tokens(stop.as_slice(), ntoken, |_| "stop".to_owned())?;
        let plan = || plan_beams(&self.0.layout, beams, &self.device().profile());
        let mut prepared = self.0.beams.take(beams, plan)?;
        self.write_first(&mut prepared, prompt, waiting).await?;
        let beam = Beam { tokens: Vec::new(), log_probability: 0.0 };
        let mut kept = vec![Growing { beam, row: Some(0) }];
        while kept.iter().any(|growing| growing.row.is_some() && growing.beam.tokens.len() < length)
        {
            let Prepared { plan, session, .. } = &mut prepared;
            let mut tokens = vec![last; beams];
            let mut parents = vec![0; beams];
            let live = kept.iter_mut().filter(|growing| growing.row.is_some());
            for (row, growing) in live.enumerate() {
                tokens[row] = growing.beam.tokens.last().copied().unwrap_or(last);
                parents[row] = growing.row.replace(row).unwrap_or(0) as u32;
            }
            session.write(plan.tokens, bytemuck::cast_slice(&tokens))?;
            session.write(plan.parents, bytemuck::cast_slice::<u32, f32>(&parents))?;
            let mut candidates = Ok(Vec::new());
            let take = |(), logits: &[f32]| candidates = self.candidates(&kept, logits);
            session.complete(&[(plan.logits, ())], &[], waiting, take).await?;
            kept = best(candidates?, beams).iter().map(|next| grown(&kept, next, stop)).collect();
        }
        self.0.beams.put(prepared);
        Ok(kept.into_iter().map(|growing| growing.beam).collect())
    }

    /// Writes the state after all of the prompt but its last token, and what is the same in every
    /// step.
    async fn write_first(
        &self,
        prepared: &mut Prepared<usize, BeamPlan>,
        prompt: &[u32],
        waiting: Waiting,
    ) -> Result<()> {
        let state = match self.read_prompts(&[prompt], waiting).await? {
            None => None,
            Some(read) => {
                let packer = Packer::whole(self.rnn_config(), &read.plan.layers);
                let state = packer.read_state(&read.session, waiting).await?;
                self.0.passes.put(read);
                Some(state)
            }
        };
        let Prepared { plan, session, .. } = prepared;
        let rows: Vec<u32> = (0..plan.layers.sizes.batch as u32).collect();
        session.write(plan.rows, bytemuck::cast_slice(&rows))?;
        session.write(plan.layers.lengths, &vec![f32::from_bits(1); rows.len()])?;
        session.set(plan.store, None)?;
        state.map_or(Ok(()), |state| {
            session.write(plan.store, &slot_values(self.rnn_config(), &state))
        })
    }

    /// Returns all ways to go on from the beams, given the logits of their rows.
    fn candidates(&self, kept: &[Growing], logits: &[f32]) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for (beam, growing) in kept.iter().enumerate() {
            let before = growing.beam.log_probability;
            let Some(row) = growing.row else {
                candidates.push(Candidate { log_probability: before, beam, token: None });
                continue;
            };
            let row = &logits[row * self.config().ntoken..][..self.config().ntoken];
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            if row.iter().any(|logit| logit.is_nan()) || largest.is_infinite() {
                return Err(Error::Option(format!(
                    "beam {beam} cannot go on at position {}: its logits have NaN, or the largest \
                     is infinite",
                    growing.beam.tokens.len()
                )));
            }
            let distance = |logit: f32| f64::from(logit) - f64::from(largest);
            let total: f64 = row.iter().map(|&logit| distance(logit).exp()).sum();
            let log_probability = |logit| before + distance(logit) - total.ln();
            candidates.extend((0..).zip(row).map(|(token, &logit)| Candidate {
                log_probability: log_probability(logit),
                beam,
                token: Some(token),
            }));
        }
        Ok(candidates)
    }
}

/// Returns the likeliest candidates, at most `count`, the likeliest first.
fn best(mut candidates: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    let order = |a: &Candidate, b: &Candidate| {
        let likelier = b.log_probability.total_cmp(&a.log_probability);
        likelier.then(a.beam.cmp(&b.beam)).then(a.token.cmp(&b.token))
    };
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count - 1, order);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(order);
    candidates
}

/// Returns the beam that goes on with a candidate.
fn grown(kept: &[Growing], next: &Candidate, stop: Option<u32>) -> Growing {
    let mut growing = kept[next.beam].clone();
    growing.beam.log_probability = next.log_probability;
    if let Some(token) = next.token {
        growing.beam.tokens.push(token);
        growing.row = growing.row.filter(|_| Some(token) != stop);
    }
    growing
}
