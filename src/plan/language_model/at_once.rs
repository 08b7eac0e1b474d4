//! Generation by `persistent`: one dispatch computes several tokens of each row.
//!
//! The kernel reads the weights of the whole model from one buffer, since a dispatch has few
//! bindings. A model that generates in this way has its weights twice.

use super::{GenerationPlan, LanguageModelLayout, check_sizes};
use crate::error::{Error, Result};
use crate::kernel::generate::{GENERATE_ROWS, GENERATE_STATES, GENERATE_WORKGROUPS, Generate};
use crate::kernel::persistent::EXCHANGE_START;
use crate::kernel::uniforms::{Dims, GenerateDims};
use crate::kernel::{Cell, Family, Kernel, Overrides, Schedule};
use crate::params::config::Kind;
use crate::params::language_model::{LanguageModelConfig, LanguageModelParams};
use crate::params::validate::Sizes;
use crate::plan::decision::refuse;
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Recording, Role};
use crate::plan::{
    Decision, LayerState, Plan, Profile, Resident, Storage, WeightLayout, check_binding,
    check_budget, planned,
};
use crate::tensor::padded;

/// The buffers that a generation in one dispatch reads: weights, biases and, for a GRU, the biases
/// of n, each of the whole model.
#[derive(Debug, Clone)]
pub struct GenerationLayout {
    config: LanguageModelConfig,
    storage: Storage,
    /// The layers' weights, each layer in one piece.
    rnn: WeightLayout,
    buffers: Vec<BufferSpec>,
    /// The first value of the decoder.
    decoder: usize,
    /// Bytes of the weights that other plans of the model read.
    others: u64,
}

impl GenerationLayout {
    /// Lays out the weights of a model once more, with the same storage.
    ///
    /// # Errors
    /// [`Error::Limit`] if one binding does not hold them.
    pub fn new(layout: &LanguageModelLayout, limits: &Limits) -> Result<Self> {
        let (config, storage, others) = (&layout.config, layout.storage(), layout.size());
        let rnn_config = config.rnn();
        let most = u64::MAX;
        let unlimited = Limits {
            max_storage_buffer_binding_size: most,
            max_buffer_size: most,
            ..limits.clone()
        };
        let rnn = WeightLayout::new(&rnn_config, &unlimited)?;
        let LanguageModelConfig { ninp, nhid, nlayers, .. } = *config;
        let (gates, rows) = (rnn_config.gate_count(), table_rows(config));
        let of_layer = |layer: usize| {
            let input = if layer == 0 { ninp } else { nhid };
            gates * nhid * (padded(input) + padded(nhid))
        };
        let layers = (0..nlayers).map(of_layer).fold(0, usize::saturating_add);
        let encoder = rows * padded(ninp);
        let decoder = if config.tie_weights { 0 } else { encoder.saturating_add(layers) };
        let own = if config.tie_weights { 0 } else { rows * padded(nhid) };
        let weights = encoder.saturating_add(layers).saturating_add(own);
        let mut buffers = Vec::new();
        let mut add = |label: &str, axes: Vec<(Axis, usize)>| -> Result<()> {
            let spec = BufferSpec { label: label.to_owned(), axes, role: Role::Weight };
            check_binding(spec.size(), "the weights of a whole model", limits)?;
            buffers.push(spec);
            Ok(())
        };
        add("model weights", vec![(Axis::Word, storage.words(weights))])?;
        add("model biases", vec![(Axis::Word, nlayers * nhid * gates + rows)])?;
        if rnn_config.kind == Kind::Gru {
            add("model bias_hn", vec![(Axis::Layer, nlayers), (Axis::Unit, nhid)])?;
        }
        Ok(Self { config: config.clone(), storage, rnn, buffers, decoder, others })
    }

    /// Returns the weight buffers. Every recording starts with them.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Returns the bytes of all weight buffers.
    pub fn size(&self) -> u64 {
        self.buffers.iter().map(BufferSpec::size).sum()
    }

    /// Returns the values of weight buffer `index`.
    pub fn pack(&self, index: usize, params: &LanguageModelParams) -> Vec<f32> {
        let config = &self.config;
        let pack = |index| self.rnn.pack(index, params.rnn());
        let packed: Vec<Vec<f32>> = (0..self.rnn.buffers().len()).map(pack).collect();
        // Returns the part of a layer in a buffer that layers may share.
        let of_layer = |id: BufferId, base: usize, len: usize| &packed[id.0][base * len..][..len];
        let layers = (0..config.nlayers).map(|layer| (layer, &self.rnn.layer(layer)[0]));
        let units = config.nhid * config.rnn().gate_count();
        let mut values = Vec::new();
        match index {
            0 => {
                let table = |mut values: Vec<f32>, width: usize| {
                    values.resize(table_rows(config) * padded(width), 0.0);
                    values
                };
                let all = 0..config.ntoken;
                values = table(params.encoder_weight().padded_rows(all.clone()), config.ninp);
                for (layer, shard) in layers {
                    let input = padded(if layer == 0 { config.ninp } else { config.nhid });
                    let state = padded(config.nhid);
                    let ih = of_layer(shard.weight_ih, shard.input_base, units * input);
                    let hh = of_layer(shard.weight_hh, shard.state_base, units * state);
                    for (ih, hh) in ih.chunks_exact(input).zip(hh.chunks_exact(state)) {
                        values.extend_from_slice(ih);
                        values.extend_from_slice(hh);
                    }
                }
                if !config.tie_weights {
                    let decoder = params.decoder_weight().padded_rows(all);
                    values.extend(table(decoder, config.nhid));
                }
                self.storage.store(values)
            }
            1 => {
                for (_, shard) in layers {
                    values.extend_from_slice(of_layer(shard.bias, shard.input_base, units));
                }
                values.extend_from_slice(params.decoder_bias());
                values.resize(self.buffers[1].len(), 0.0);
                values
            }
            _ => {
                for (_, shard) in layers {
                    let bias = shard.bias_hn.map(|id| of_layer(id, shard.state_base, config.nhid));
                    values.extend_from_slice(bias.unwrap_or_default());
                }
                values
            }
        }
    }
}

/// Returns the rows of a table of tokens: whole blocks, each of as many tokens as a unit has gates.
fn table_rows(config: &LanguageModelConfig) -> usize {
    config.ntoken.next_multiple_of(config.rnn().gate_count())
}

/// A specialised kernel and one of its dispatches.
struct Shape {
    kernel: Kernel,
    overrides: Overrides,
    /// The sizes of a dispatch of one step.
    dims: GenerateDims,
    /// The most steps of a dispatch.
    steps: usize,
    /// The words that a step exchanges.
    words: usize,
    /// Whether workgroups wait for each other.
    waits: bool,
}

/// Returns the kernel for a batch.
///
/// # Errors
/// [`Error::Unsupported`] with the reason why the model cannot generate in this way;
/// [`Error::Limit`] for a dispatch of one step that exceeds a limit.
fn shape(layout: &GenerationLayout, batch: usize, profile: &Profile<'_>) -> Result<Shape> {
    let (config, limits) = (&layout.config, profile.limits);
    let LanguageModelConfig { ntoken, ninp, nhid, nlayers, .. } = *config;
    let no = |why: &str| -> Error { refuse(Schedule::Persistent, why) };
    let resident = profile.exchange.resident()?;
    if batch > GENERATE_ROWS as usize {
        return Err(no(&format!("generates for at most {GENERATE_ROWS} rows, got {batch}")));
    }
    let (state, rnn) = (padded(nhid), config.rnn());
    let lanes = profile.exchange.lanes(state / 4);
    let subgroups = resident.is_some_and(Resident::has_subgroups);
    let kernel =
        Kernel::with_cell(Family::Generate, Cell::from(rnn.kind), layout.storage.read_as());
    let most = resident.map_or(1, |resident| resident.workgroups);
    let most = most.min(limits.max_compute_workgroups_per_dimension) as usize;
    // Small workgroups spread the weights of one row over many cores. The size decides the bits of
    // a draw, so it does not depend on the batch.
    let spread = |&&invocations: &&u32| nhid.div_ceil((invocations / lanes) as usize) <= most;
    let invocations = GENERATE_WORKGROUPS.iter().find(spread).copied().unwrap_or(256);
    let kept = ((nlayers + 1) * state).saturating_add(ntoken).saturating_mul(batch);
    let of = |values| Generate { invocations, lanes, state: values, alone: false, subgroups };
    let fits = |&&values: &&u32| {
        let storage = of(values).workgroup(kernel.cell).storage;
        values as usize >= kept && storage <= limits.max_compute_workgroup_storage_size
    };
    let Some(&values) = GENERATE_STATES.iter().find(fits) else {
        return Err(no(&format!(
            "keeps the state and the logits of all rows in workgroup memory: {kept} values do not \
             fit the {} bytes of max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size
        )));
    };
    // Every workgroup has a unit or a block of logits, so that none is late for the others.
    let items = batch * nhid.max(ntoken.div_ceil(rnn.gate_count()));
    let workgroups = items.div_ceil(of(values).groups() as usize).clamp(1, most.max(1));
    let alone = workgroups == 1;
    let waits = !alone;
    let dims = GenerateDims {
        steps: 1,
        first_step: 0,
        batch: batch as u32,
        layers: nlayers as u32,
        hidden_size: nhid as u32,
        state_quads: (state / 4) as u32,
        input_quads: (padded(ninp) / 4) as u32,
        ntoken: ntoken as u32,
        decoder: (layout.decoder / 4) as u32,
        workgroups: workgroups as u32,
        spins: resident.filter(|_| waits).map_or(0, |resident| resident.spins),
        pad: 0,
    };
    let relu = u32::from(rnn.kind == Kind::RnnRelu);
    let overrides = Overrides { relu, ..Generate { alone, ..of(values) }.overrides() };
    let words = batch * (nlayers * nhid + ntoken);
    let mut shape = Shape { kernel, overrides, dims, steps: 1, words, waits };
    check_binding(
        (EXCHANGE_START + words) as u64 * 4,
        "the values that workgroups exchange in a step",
        limits,
    )?;
    shape.steps = shape.most_steps(limits)?;
    Ok(shape)
}

impl Shape {
    /// Returns a dispatch.
    fn dispatch(
        &self,
        dims: GenerateDims,
        bindings: Vec<BufferId>,
        limits: &Limits,
    ) -> Result<Dispatch> {
        let workgroups = u64::from(dims.workgroups);
        planned(self.kernel, self.overrides, Dims::Generate(dims), bindings, workgroups, limits)
    }

    /// Returns the most steps of a dispatch.
    fn most_steps(&self, limits: &Limits) -> Result<usize> {
        let of = |steps| GenerateDims { steps, ..self.dims };
        let by_work = limits.max_work_per_submission
            / self.dispatch(self.dims, Vec::new(), limits)?.multiply_adds().max(1);
        let iterations =
            |steps| self.kernel.loop_iterations(&Dims::Generate(of(steps)), &self.overrides);
        let (one, two) = (iterations(1), iterations(2));
        let by_iterations = 1 + limits.max_loop_iterations.saturating_sub(one) / (two - one).max(1);
        let by_exchange = (limits.max_binding() / 4 - EXCHANGE_START as u64) / self.words as u64;
        let most = by_work.min(by_iterations).min(by_exchange);
        Ok(most.min(u64::from(limits.max_steps_per_dispatch)).max(1) as usize)
    }
}

/// Plans the generation of `steps` tokens for each of `batch` rows, in few dispatches.
///
/// # Errors
/// [`Error::Unsupported`] with the reason why the model cannot generate in this way on this device;
/// otherwise the errors of [`plan_generation`](super::plan_generation).
pub fn plan_generation_at_once(
    layout: &GenerationLayout,
    batch: usize,
    steps: usize,
    profile: &Profile<'_>,
) -> Result<GenerationPlan> {
    let limits = profile.limits;
    check_sizes(Sizes { seq_len: steps, batch }, &[("tokens", 1)], limits)?;
    let shape = shape(layout, batch, profile)?;
    let mut recording = Recording { buffers: layout.buffers.clone(), ..Recording::default() };
    let LanguageModelConfig { nhid, nlayers, .. } = layout.config;
    let width = padded(nhid);
    let spec = |label: &str, axes: &[(Axis, usize)], role| BufferSpec {
        label: label.to_owned(),
        axes: axes.to_vec(),
        role,
    };
    let (row, unit) = ((Axis::Row, batch), (Axis::Direction, 1));
    let words = [(Axis::Word, batch + nlayers * batch * width)];
    // A dispatch reads the token and the state from one buffer and leaves them in the other.
    let state = ["even", "odd"]
        .map(|turn| recording.buffer(spec(&format!("state, {turn} turns"), &words, Role::State)));
    let token = recording.part(state[0], 0, spec("token", &[row], Role::State));
    let is_lstm = layout.config.rnn().kind == Kind::Lstm;
    let c_axes = [(Axis::Layer, nlayers), row, (Axis::Unit, nhid)];
    let c = is_lstm.then(|| recording.buffer(spec("c", &c_axes, Role::State)));
    let states = (0..nlayers).map(|layer| {
        let axes = [unit, row, (Axis::Unit, width)];
        let start = batch + layer * batch * width;
        let h =
            recording.part(state[0], start, spec(&format!("layer {layer} h"), &axes, Role::State));
        let axes = [unit, row, (Axis::Unit, nhid)];
        let c = c.map(|c| {
            let spec = spec(&format!("layer {layer} c"), &axes, Role::State);
            recording.part(c, layer * batch * nhid, spec)
        });
        LayerState { h: [h; 2], c }
    });
    let states: Vec<LayerState> = states.collect();
    let settings = recording.buffer(spec("sampling settings", &[(Axis::Word, 8)], Role::Input));
    let lengths = recording.buffer(spec("lengths", &[row], Role::Input));
    let tokens = recording.buffer(spec("tokens", &[(Axis::Step, steps), row], Role::Output));
    let most = shape.steps.min(steps);
    let exchanged = EXCHANGE_START + shape.words * most;
    let exchange = recording.buffer(spec("exchange", &[(Axis::Word, exchanged)], Role::Scratch));
    let own = c.or((layout.buffers.len() > 2).then_some(BufferId(2)));
    let mut turn = 0;
    for first in (0..steps).step_by(most) {
        // The flag is cleared once, so that it stays raised until the host reads it.
        let start = if first == 0 { 0 } else { EXCHANGE_START };
        recording.commands.push(Command::Clear { buffer: exchange, start, len: exchanged - start });
        let dims = GenerateDims {
            steps: most.min(steps - first) as u32,
            first_step: first as u32,
            ..shape.dims
        };
        let (now, next) = (state[turn], state[1 - turn]);
        let mut bindings = vec![BufferId(1), BufferId(0), now, next, tokens, settings, exchange];
        bindings.extend(own);
        recording.commands.push(Command::Dispatch(shape.dispatch(dims, bindings, limits)?));
        turn = 1 - turn;
    }
    recording.flag = shape.waits.then_some(exchange);
    let carried = [(state[turn], state[0])].into_iter().chain(c.map(|c| (c, c))).collect();
    let layers = Plan {
        sizes: Sizes { seq_len: 1, batch },
        schedule: Decision {
            reason: format!("one dispatch generates up to {most} tokens of each row"),
            ..Decision::asked(Schedule::Persistent)
        },
        turns: 0,
        recording,
        segments: std::slice::from_ref(&(0..1)).to_vec(),
        input: Vec::new(),
        lengths,
        dropout: None,
        states,
        output: Vec::new(),
    };
    check_budget(layers.size().saturating_add(layout.others), limits)?;
    Ok(GenerationPlan { layers, token, settings, tokens, carried })
}
