//! A language model as one recording: embedding, recurrent layers, decoder, and the use of the
//! logits.

mod at_once;
mod layout;
mod network;

pub use at_once::{GenerationLayout, plan_generation_at_once};
pub use layout::LanguageModelLayout;
use network::Model;

use super::layers::Segment;
use super::schedule::record_layer;
use super::shape::Shape;
use super::step;
use super::{MAX_SEGMENT_STEPS, Plan, Profile, check_budget, halvings, largest, planned};
use crate::dtype::WeightType;
use crate::error::{Error, Result};
use crate::kernel::uniforms::{Dims, NllDims, SampleDims};
use crate::kernel::{Family, Kernel};
use crate::params::config::Config;
use crate::params::language_model::LanguageModelConfig;
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, Command, CopyPair, Dispatch, Place, Role};
use crate::tensor::padded;

/// The dropout sites of the embedding and of the decoder's input. The sites of layers count from 0.
const EMBEDDING_SITE: u32 = 0x8000_0000;
const DECODER_SITE: u32 = 0x8000_0001;

/// The size of the logits in bytes above which longer passes gain nothing.
const LOGITS_SIZE: u64 = 64 << 20;

/// The result of a pass, apart from the state after its last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// No result.
    State,
    /// The logits of every step: `[S, B, ntoken]`.
    Logits,
    /// The negative log-likelihood of every step's target: `[S, B]`.
    Losses,
}

/// A recording of a language model, with its inputs and outputs.
#[derive(Debug, Clone)]
pub struct LanguageModelPlan {
    /// The recurrent layers, with the recording of the whole model. Their input is the embedding.
    pub layers: Plan,
    /// The result that the pass computes.
    pub wanted: Wanted,
    /// Tokens: `[S, B]`, u32.
    pub tokens: BufferId,
    /// Targets: `[S, B]`, u32; only for losses.
    pub targets: Option<BufferId>,
    /// Logits or losses.
    pub result: Option<BufferId>,
}

/// A recording that generates tokens. Each step reads the token of the step before it.
#[derive(Debug, Clone)]
pub struct GenerationPlan {
    /// The recurrent layers for one step, with the recording of the whole model.
    pub layers: Plan,
    /// The tokens that the next step reads: `[B]`, u32.
    pub token: BufferId,
    /// The settings of sampling: `[8]`, u32; see `shaders/head/sample.wgsl`.
    pub settings: BufferId,
    /// The generated tokens: `[S, B]`, u32.
    pub tokens: BufferId,
    /// The copies that bring the state after a run to where the next run reads it.
    pub carried: Vec<CopyPair>,
}

/// Plans a pass over `sizes` in one piece. If `training`, the pass applies dropout.
///
/// # Errors
/// [`Error::Limit`] names the limit that the pass exceeds. It ignores the memory budget, which
/// [`steps_per_pass`] checks. [`Error::Shape`] if there is no row, no step, or more than
/// [`MAX_SEGMENT_STEPS`] steps.
pub fn plan_pass(
    layout: &LanguageModelLayout,
    sizes: Sizes,
    wanted: Wanted,
    training: bool,
    profile: &Profile<'_>,
) -> Result<LanguageModelPlan> {
    let limits = profile.limits;
    check_sizes(sizes, &widths(layout, wanted), limits)?;
    let config = Config {
        dropout: if training { layout.config.dropout } else { 0.0 },
        ..layout.rnn_config.clone()
    };
    let mut model = Model::new(layout, &config, sizes, profile)?;
    let Sizes { seq_len, batch } = sizes;
    let rows = vec![(Axis::Step, seq_len), (Axis::Row, batch)];
    let tokens = model.layers.buffer("tokens", rows.clone(), Role::Input);
    let network = model.network(seq_len, config.dropout > 0.0);
    model.embed(tokens, &network)?.into_iter().for_each(|dispatch| model.push(dispatch));
    if let Some(settings) = network.dropout {
        let dropout =
            model.layers.dropout(Place::default(), seq_len, EMBEDDING_SITE, settings, network.x)?;
        model.push(dropout);
    }
    for (layer, state) in network.states.iter().enumerate() {
        let (x, y) = (network.input_of(layer), network.outputs.of(layer)[0]);
        let (place, shape) = (Place { layer, first_step: 0 }, Shape::Step(model.shape));
        let segment = Segment { x: [x; 2], y, state: *state, scratch: network.scratch };
        record_layer(&mut model.layers, &shape, place, seq_len, segment)?;
    }
    let mut plan = (None, None);
    if wanted != Wanted::State {
        if let Some(settings) = network.dropout {
            let place = Place { layer: config.num_layers, first_step: 0 };
            let dropout =
                model.layers.dropout(place, seq_len, DECODER_SITE, settings, network.y)?;
            model.push(dropout);
        }
        let role = if wanted == Wanted::Logits { Role::Output } else { Role::Scratch };
        let logits = model.logits(seq_len, role);
        model.decode(network.y, logits)?.into_iter().for_each(|dispatch| model.push(dispatch));
        plan = (None, Some(logits));
        if wanted == Wanted::Losses {
            let targets = model.layers.buffer("targets", rows.clone(), Role::Input);
            let losses = model.layers.buffer("losses", rows, Role::Output);
            let dims = NllDims {
                rows: (seq_len * batch) as u32,
                columns: layout.config.ntoken as u32,
                pad: [0; 2],
            };
            let bindings = vec![logits, targets, losses];
            let rows = u64::from(dims.rows);
            let score = planned(
                Kernel::new(Family::Nll, WeightType::F32),
                model.row_overrides(),
                Dims::Nll(dims),
                bindings,
                rows,
                limits,
            )?;
            model.push(score);
            plan = (Some(targets), Some(losses));
        }
    }
    let (targets, result) = plan;
    Ok(LanguageModelPlan { layers: model.finish(network, sizes), wanted, tokens, targets, result })
}

/// Plans the generation of `steps` tokens for each of `batch` rows. After an even number of steps,
/// the state is in the buffers that it started in.
///
/// # Errors
/// The errors of [`plan_pass`], and [`Error::Limit`] if the plan exceeds the memory budget.
pub fn plan_generation(
    layout: &LanguageModelLayout,
    batch: usize,
    steps: usize,
    profile: &Profile<'_>,
) -> Result<GenerationPlan> {
    let limits = profile.limits;
    let config = Config { dropout: 0.0, ..layout.rnn_config.clone() };
    check_sizes(Sizes { seq_len: steps, batch }, &[("tokens", 1)], limits)?;
    let sizes = Sizes { seq_len: 1, batch };
    check_sizes(sizes, &widths(layout, Wanted::Logits), limits)?;
    let mut model = Model::new(layout, &config, sizes, profile)?;
    let token = model.layers.buffer("token", vec![(Axis::Row, batch)], Role::State);
    let network = model.network(1, false);
    let logits = model.logits(1, Role::Scratch);
    let settings = model.layers.buffer("sampling settings", vec![(Axis::Word, 8)], Role::Input);
    let tokens =
        model.layers.buffer("tokens", vec![(Axis::Step, steps), (Axis::Row, batch)], Role::Output);
    let step = |parity: usize| -> Result<Vec<Dispatch>> {
        let mut dispatches = model.embed(token, &network)?;
        for (layer, state) in network.states.iter().enumerate() {
            let (place, y) = (Place { layer, first_step: 0 }, network.outputs.of(layer)[0]);
            let x = [network.input_of(layer); 2];
            dispatches.extend(model.layers.input_projection(
                place,
                1,
                x,
                network.scratch.gates_x,
            )?);
            dispatches.extend(step::dispatches(
                &model.layers,
                &model.shape,
                place,
                *state,
                parity,
                y,
                network.scratch,
            )?);
        }
        dispatches.extend(model.decode(network.y, logits)?);
        for dispatch in &mut dispatches {
            dispatch.in_place = true;
        }
        let dims = Dims::Sample(SampleDims {
            batch: batch as u32,
            columns: layout.config.ntoken as u32,
            pad: [0; 2],
        });
        let bindings = vec![logits, settings, token, tokens];
        dispatches.push(planned(
            Kernel::new(Family::Sample, WeightType::F32),
            model.row_overrides(),
            dims,
            bindings,
            batch as u64,
            limits,
        )?);
        Ok(dispatches)
    };
    let by_parity = [step(0)?, step(1)?];
    model.layers.recording.commands.push(Command::Steps {
        count: steps as u32,
        first_step: 0,
        by_parity,
    });
    let layers = model.finish(network, sizes);
    check_budget(layers.size(), limits)?;
    Ok(GenerationPlan { layers, token, settings, tokens, carried: Vec::new() })
}

/// Returns the most steps of one pass that the limits allow, at least 1.
///
/// # Errors
/// [`Error::Limit`] if one step of the whole batch exceeds a limit; [`Error::Shape`] if there is no
/// row.
pub fn steps_per_pass(
    layout: &LanguageModelLayout,
    sizes: Sizes,
    wanted: Wanted,
    training: bool,
    profile: &Profile<'_>,
) -> Result<usize> {
    let limits = profile.limits;
    let Sizes { seq_len, batch } = sizes;
    let widest = widths(layout, wanted).into_iter().map(|(_, values)| values).max().unwrap_or(1);
    let step = bytes(Sizes { seq_len: 1, batch }, widest).max(1);
    let LanguageModelConfig { ninp, nhid, .. } = layout.config;
    // No wider than `widest`, and summed over the wider of the two inputs.
    let work = (step / 4).saturating_mul(padded(ninp.max(nhid)) as u64).max(1);
    let steps = (limits.max_binding().min(LOGITS_SIZE) / step)
        .min(limits.max_work_per_submission / work)
        .clamp(1, seq_len.clamp(1, MAX_SEGMENT_STEPS) as u64);
    let size = |steps| -> Result<u64> {
        let sizes = Sizes { seq_len: steps, batch };
        Ok(plan_pass(layout, sizes, wanted, training, profile)?.layers.size())
    };
    let fits = |&steps: &usize| size(steps).is_ok_and(|needed| needed <= limits.memory_budget);
    match largest(halvings(steps as usize), fits) {
        Some(steps) => Ok(steps),
        None => Err(Error::Limit {
            limit: "memory_budget",
            what: format!("one step of a language model over {batch} rows"),
            needed: size(1)?,
            allowed: limits.memory_budget,
            advice: "raise the budget, or use a smaller batch",
        }),
    }
}

/// Returns the contents of the widest buffers, and their values for each step of each row.
fn widths(layout: &LanguageModelLayout, wanted: Wanted) -> [(&'static str, usize); 4] {
    let LanguageModelConfig { ntoken, ninp, nhid, .. } = layout.config;
    [
        ("embeddings", padded(ninp)),
        ("input projections (gates_x)", nhid * layout.rnn_config.gate_count()),
        ("outputs", padded(nhid)),
        ("logits", if wanted == Wanted::State { 0 } else { ntoken }),
    ]
}

/// Returns the bytes of `values` values for each step of each row.
fn bytes(Sizes { seq_len, batch }: Sizes, values: usize) -> u64 {
    [batch as u64, values as u64, 4].into_iter().fold(seq_len as u64, u64::saturating_mul)
}

/// Rejects sizes without a plan, before any multiplication that could overflow.
fn check_sizes(sizes: Sizes, widths: &[(&str, usize)], limits: &Limits) -> Result<()> {
    let Sizes { seq_len, batch } = sizes;
    if batch == 0 || !(1..=MAX_SEGMENT_STEPS).contains(&seq_len) {
        return Err(Error::Shape(format!(
            "a plan is made for at least one row and for 1 to {MAX_SEGMENT_STEPS} steps, but got \
             {batch} rows and {seq_len} steps"
        )));
    }
    let allowed = limits.max_binding();
    match widths.iter().find(|(_, values)| bytes(sizes, *values) > allowed) {
        None => Ok(()),
        Some(&(what, values)) => Err(Error::Limit {
            limit: limits.max_binding_name(),
            what: format!("a buffer of {what} for {seq_len} x {batch} tokens"),
            needed: bytes(sizes, values),
            allowed,
            advice: "use a smaller batch, or another device",
        }),
    }
}
