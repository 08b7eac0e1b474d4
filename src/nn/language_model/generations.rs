//! The plans of generation, by the two schedules of language models.

use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::nn::runner::{Prepared, Runner};
use crate::params::language_model::LanguageModelParams;
use crate::plan::{
    Exchange, GenerationLayout, GenerationPlan, LanguageModelLayout, MAX_SEGMENT_STEPS, Profile,
    plan_generation, plan_generation_at_once,
};

/// The number of prompts, and the steps of a chunk.
type Key = (usize, usize);

/// A chunk of steps that is ready to run.
pub(super) type PreparedGeneration = Prepared<Key, GenerationPlan>;

/// The plans of generation, and the weights that they read.
#[derive(Debug)]
pub(super) struct Generations {
    asked: Schedule,
    /// By `step`: a dispatch for each kernel and token.
    by_step: Runner<Key, GenerationPlan>,
    /// By `persistent`: a dispatch for many tokens. It reads a second copy of the weights.
    at_once: Option<(GenerationLayout, Runner<Key, GenerationPlan>)>,
}

impl Generations {
    /// Loads the second copy of the weights if the schedule `asked` for needs it. `weights` are
    /// those of the other plans.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the reason, if a schedule that the caller asked for cannot run;
    /// [`Error::Limit`] if it exceeds the memory budget; the errors of the device.
    pub fn load(
        device: &Device,
        params: &LanguageModelParams,
        layout: &LanguageModelLayout,
        weights: Weights,
        asked: Schedule,
    ) -> Result<Self> {
        let (by_step, profile) = (Runner::new(weights), device.profile());
        let at_once = match asked {
            Schedule::Step => None,
            Schedule::Persistent => Some(planned(layout, &profile)?),
            Schedule::Auto if matches!(profile.exchange, Exchange::Resident(_)) => {
                possible(planned(layout, &profile))?
            }
            Schedule::Auto => None,
            other => {
                return Err(Error::Unsupported(format!(
                    "language models do not run by the schedule '{other}'; use 'step', \
                     'persistent', or 'auto'"
                )));
            }
        };
        let load = |layout: GenerationLayout| {
            let pack = |index| layout.pack(index, params);
            let weights = Weights::load(device.engine(), layout.buffers(), pack)?;
            Ok::<_, Error>((layout, Runner::new(weights)))
        };
        Ok(Self { asked, by_step, at_once: at_once.map(load).transpose()? })
    }

    /// Plans a chunk of `chunk` steps for `batch` prompts. `layout` is that of the other plans.
    ///
    /// # Errors
    /// The errors of planning.
    pub fn plan(
        &self,
        layout: &LanguageModelLayout,
        (batch, chunk): Key,
        profile: &Profile<'_>,
    ) -> Result<GenerationPlan> {
        let steps = even(chunk)?;
        let plan = |at_once: &GenerationLayout, _: &_| {
            plan_generation_at_once(at_once, batch, steps, profile)
        };
        match self.at_once(profile, plan)? {
            Some(plan) => Ok(plan),
            None => plan_generation(layout, batch, steps, profile),
        }
    }

    /// Returns a plan as [`plan`](Self::plan) does, which no other call uses.
    ///
    /// # Errors
    /// The errors of planning and of the device.
    pub fn take(
        &self,
        layout: &LanguageModelLayout,
        key: Key,
        profile: &Profile<'_>,
    ) -> Result<PreparedGeneration> {
        let (batch, steps) = (key.0, even(key.1)?);
        let take = |at_once: &GenerationLayout, runner: &Runner<Key, GenerationPlan>| {
            runner.take(key, || plan_generation_at_once(at_once, batch, steps, profile))
        };
        match self.at_once(profile, take)? {
            Some(prepared) => Ok(prepared),
            None => self.by_step.take(key, || plan_generation(layout, batch, steps, profile)),
        }
    }

    /// Keeps a plan for a later call.
    pub fn put(&self, prepared: PreparedGeneration) {
        match (&self.at_once, prepared.plan.layers.schedule.schedule) {
            (Some((_, runner)), Schedule::Persistent) => runner.put(prepared),
            _ => self.by_step.put(prepared),
        }
    }

    /// Returns what `of` makes by `persistent`, if a device lets its workgroups wait for each other
    /// and the plan fits. A caller that asked for the schedule gets the reason if it does not fit.
    fn at_once<T>(
        &self,
        profile: &Profile<'_>,
        of: impl FnOnce(&GenerationLayout, &Runner<Key, GenerationPlan>) -> Result<T>,
    ) -> Result<Option<T>> {
        match &self.at_once {
            // An abandoned run ended the trust in the device.
            _ if matches!(profile.exchange, Exchange::Refused(_)) => Ok(None),
            None => Ok(None),
            Some((layout, runner)) if self.asked == Schedule::Auto => possible(of(layout, runner)),
            Some((layout, runner)) => of(layout, runner).map(Some),
        }
    }
}

/// Returns the steps of a chunk. An even number leaves the state in the buffer that the next chunk
/// reads first.
fn even(chunk: usize) -> Result<usize> {
    if !(1..=MAX_SEGMENT_STEPS).contains(&chunk) {
        return Err(Error::Option(format!(
            "chunk should be 1 to {MAX_SEGMENT_STEPS}, got {chunk}"
        )));
    }
    Ok(chunk.next_multiple_of(2))
}

/// Returns the layout for generation in one dispatch, if that can run.
fn planned(layout: &LanguageModelLayout, profile: &Profile<'_>) -> Result<GenerationLayout> {
    let layout = GenerationLayout::new(layout, profile.limits)?;
    plan_generation_at_once(&layout, 1, 2, profile)?;
    Ok(layout)
}

/// Returns `None` where a schedule or a limit refuses.
fn possible<T>(planned: Result<T>) -> Result<Option<T>> {
    match planned {
        Ok(planned) => Ok(Some(planned)),
        Err(Error::Unsupported(_) | Error::Limit { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
