//! A language model as one recording: embedding, recurrent layers, decoder, and what is made of the logits.

use std::ops::Range;

use super::layers::{Outputs, Planner, Scratch};
use super::{Choice, MAX_SEGMENT_STEPS, Plan, Schedule, Tuning, WeightLayout, embed, linear, padded, planned, weights};
use crate::check::Sizes;
use crate::config::Config;
use crate::dims::{Dims, SampleDims, ScoreDims};
use crate::error::{Error, Result};
use crate::kernel::{self, activation};
use crate::language_model::{LanguageModelConfig, LanguageModelParams};
use crate::limits::Limits;
use crate::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role};

/// Where dropout draws for the embedding, and for what the decoder reads; layers count from 0.
const EMBEDDING_SITE: u32 = 0x8000_0000;
const DECODER_SITE: u32 = 0x8000_0001;

/// Bytes of logits beyond which longer passes bring nothing.
const LOGITS_SIZE: u64 = 64 << 20;

/// What a pass computes beside the state after its last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    State,
    /// The logits of every step: `[S, B, ntoken]`.
    Logits,
    /// The negative log-likelihood of every step's target: `[S, B]`.
    Losses,
}

/// The weight buffers of a language model: what is where, without the values.
#[derive(Debug, Clone)]
pub struct LanguageModelLayout {
    config: LanguageModelConfig,
    rnn_config: Config,
    rnn: WeightLayout,
    buffers: Vec<BufferSpec>,
    /// Tokens and weight: `[N, ninp]`.
    encoder: Vec<(Range<usize>, BufferId)>,
    /// Tokens, weight and bias: `[N, nhid]`, `[N]`.
    decoder: Vec<(Range<usize>, BufferId, BufferId)>,
}

impl LanguageModelLayout {
    /// Lays out the weights of `config` in buffers that `limits` allow. Tied weights are one.
    ///
    /// # Errors
    /// [`Error::Limit`] when a single row exceeds one binding; as [`WeightLayout::new`].
    pub fn new(config: &LanguageModelConfig, limits: &Limits) -> Result<Self> {
        let rnn_config = config.rnn();
        let rnn = WeightLayout::new(&rnn_config, limits)?;
        let mut buffers = rnn.buffers().to_vec();
        let mut add = |label: &str, tokens: &Range<usize>, features: Option<usize>| {
            let mut axes = vec![(Axis::Column, tokens.len())];
            axes.extend(features.map(|features| (Axis::Feature, padded(features))));
            let label = format!("{label}, tokens {}..{}", tokens.start, tokens.end);
            buffers.push(BufferSpec { label, axes, role: Role::Weight });
            BufferId(buffers.len() - 1)
        };
        let cut = |features| weights::cut(config.ntoken, padded(features), "the weights of one token", limits);
        let shards = cut(config.ninp)?.into_iter();
        let encoder: Vec<_> = shards.map(|shard| (shard.clone(), add("encoder", &shard, Some(config.ninp)))).collect();
        let tied = config.tie_weights.then(|| encoder.iter().map(|(_, weight)| *weight));
        let tied: Vec<BufferId> = tied.into_iter().flatten().collect();
        let decoder = cut(config.nhid)?.into_iter().enumerate().map(|(at, shard)| {
            let weight = tied.get(at).copied().unwrap_or_else(|| add("decoder", &shard, Some(config.nhid)));
            let bias = add("decoder bias", &shard, None);
            (shard, weight, bias)
        });
        let decoder = decoder.collect();
        Ok(Self { config: config.clone(), rnn_config, rnn, buffers, encoder, decoder })
    }

    /// The weight buffers, which are the first buffers of every recording.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Bytes of all weight buffers.
    pub fn size(&self) -> u64 {
        self.buffers.iter().map(BufferSpec::size).sum()
    }

    /// The values of weight buffer `index`.
    pub fn pack(&self, index: usize, params: &LanguageModelParams) -> Vec<f32> {
        if index < self.rnn.buffers().len() {
            return self.rnn.pack(index, params.rnn());
        }
        let id = BufferId(index);
        if let Some((tokens, _)) = self.encoder.iter().find(|(_, weight)| *weight == id) {
            return params.encoder_weight().padded_rows(tokens.clone());
        }
        let of_decoder = self.decoder.iter().find(|(_, weight, bias)| *weight == id || *bias == id);
        match of_decoder {
            Some((tokens, weight, _)) if *weight == id => params.decoder_weight().padded_rows(tokens.clone()),
            Some((tokens, ..)) => params.decoder_bias()[tokens.clone()].to_vec(),
            None => unreachable!("a buffer is of the layers, the encoder or the decoder"),
        }
    }
}

/// A recording of a language model and where its inputs and outputs are.
#[derive(Debug, Clone)]
pub struct LanguageModelPlan {
    /// The recurrent layers, with the recording of the whole. Their input is the embedding.
    pub layers: Plan,
    /// What was planned for.
    pub wanted: Wanted,
    /// `[S, B]`, u32.
    pub tokens: BufferId,
    /// `[S, B]`, u32, for losses.
    pub targets: Option<BufferId>,
    /// Logits or losses.
    pub result: Option<BufferId>,
}

/// A recording that generates tokens, each step's from the one before.
#[derive(Debug, Clone)]
pub struct GenerationPlan {
    /// The recurrent layers, of one step, with the recording of the whole.
    pub layers: Plan,
    /// `[B]`, u32: what the next step reads.
    pub token: BufferId,
    /// `[8]`, u32: see `shaders/sample.wgsl`.
    pub settings: BufferId,
    /// `[S, B]`, u32: what was generated.
    pub tokens: BufferId,
}

/// Plans a pass over `sizes`, all in one piece; with dropout if `training`.
///
/// # Errors
/// [`Error::Limit`] naming what would be exceeded.
pub(crate) fn pass(
    layout: &LanguageModelLayout,
    sizes: Sizes,
    wanted: Wanted,
    training: bool,
    limits: &Limits,
    tuning: Tuning,
) -> Result<LanguageModelPlan> {
    let config = Config { dropout: if training { layout.config.dropout } else { 0.0 }, ..layout.rnn_config.clone() };
    let mut model = Model::new(layout, &config, sizes, limits, tuning);
    let Sizes { seq_len, batch } = sizes;
    let rows = vec![(Axis::Step, seq_len), (Axis::Row, batch)];
    let tokens = model.planner.buffer("tokens", rows.clone(), Role::Input);
    let network = model.network(seq_len, config.dropout > 0.0);
    model.embed(tokens, &network)?.into_iter().for_each(|dispatch| model.push(dispatch));
    if let Some(settings) = network.dropout {
        let dropout = model.planner.dropout(Place::default(), seq_len, EMBEDDING_SITE, settings, network.x)?;
        model.push(dropout);
    }
    for (layer, state) in network.states.iter().enumerate() {
        let (x, y) = (network.input_of(layer), network.outputs.of(layer)[0]);
        model.planner.layer(Place { layer, first_step: 0 }, seq_len, [x; 2], y, *state, network.scratch)?;
    }
    let mut plan = (None, None);
    if wanted != Wanted::State {
        if let Some(settings) = network.dropout {
            let place = Place { layer: config.num_layers, first_step: 0 };
            let dropout = model.planner.dropout(place, seq_len, DECODER_SITE, settings, network.y)?;
            model.push(dropout);
        }
        let role = if wanted == Wanted::Logits { Role::Output } else { Role::Scratch };
        let logits = model.logits(seq_len, role);
        model.decode(network.y, logits)?.into_iter().for_each(|dispatch| model.push(dispatch));
        plan = (None, Some(logits));
        if wanted == Wanted::Losses {
            let targets = model.planner.buffer("targets", rows.clone(), Role::Input);
            let losses = model.planner.buffer("losses", rows, Role::Output);
            let dims = ScoreDims { rows: (seq_len * batch) as u32, columns: layout.config.ntoken as u32, pad: [0; 2] };
            let bindings = vec![logits, targets, losses];
            let rows = u64::from(dims.rows);
            let score = planned(&kernel::SCORE, model.row_overrides(), Dims::Score(dims), bindings, rows, limits)?;
            model.push(score);
            plan = (Some(targets), Some(losses));
        }
    }
    let (targets, result) = plan;
    Ok(LanguageModelPlan { layers: model.finish(network, sizes), wanted, tokens, targets, result })
}

/// Plans the generation of `steps` tokens for each of `batch` rows. After an even number of steps the state is where
/// it was.
///
/// # Errors
/// [`Error::Limit`] naming what would be exceeded.
pub(crate) fn generation(
    layout: &LanguageModelLayout,
    batch: usize,
    steps: usize,
    limits: &Limits,
    tuning: Tuning,
) -> Result<GenerationPlan> {
    let config = Config { dropout: 0.0, ..layout.rnn_config.clone() };
    let sizes = Sizes { seq_len: 1, batch };
    let mut model = Model::new(layout, &config, sizes, limits, tuning);
    let token = model.planner.buffer("token", vec![(Axis::Row, batch)], Role::State);
    let network = model.network(1, false);
    let logits = model.logits(1, Role::Scratch);
    let settings = model.planner.buffer("sampling settings", vec![(Axis::Word, 8)], Role::Input);
    let tokens = model.planner.buffer("tokens", vec![(Axis::Step, steps), (Axis::Row, batch)], Role::Output);
    let step = |parity: usize| -> Result<Vec<Dispatch>> {
        let mut dispatches = model.embed(token, &network)?;
        for (layer, state) in network.states.iter().enumerate() {
            let (place, y) = (Place { layer, first_step: 0 }, network.outputs.of(layer)[0]);
            let x = [network.input_of(layer); 2];
            dispatches.extend(model.planner.input_projection(place, 1, x, network.scratch)?);
            dispatches.extend(model.planner.step(place, *state, parity, y, network.scratch)?);
        }
        dispatches.extend(model.decode(network.y, logits)?);
        for dispatch in &mut dispatches {
            dispatch.in_place = true;
        }
        let dims = Dims::Sample(SampleDims { batch: batch as u32, columns: layout.config.ntoken as u32, pad: [0; 2] });
        let bindings = vec![logits, settings, token, tokens];
        dispatches.push(planned(&kernel::SAMPLE, model.row_overrides(), dims, bindings, batch as u64, limits)?);
        Ok(dispatches)
    };
    let by_parity = [step(0)?, step(1)?];
    model.planner.recording.commands.push(Command::Steps { count: steps as u32, first_step: 0, by_parity });
    Ok(GenerationPlan { layers: model.finish(network, sizes), token, settings, tokens })
}

/// The most steps of one pass that the limits allow, at least 1.
///
/// # Errors
/// [`Error::Limit`] naming what one step of the whole batch would exceed.
pub(crate) fn max_steps(
    layout: &LanguageModelLayout,
    sizes: Sizes,
    wanted: Wanted,
    training: bool,
    limits: &Limits,
) -> Result<usize> {
    let (config, rnn) = (&layout.config, &layout.rnn_config);
    let bytes = |values: usize| (sizes.batch as u64).saturating_mul(values as u64).saturating_mul(4);
    let gates = rnn.hidden_size * rnn.gate_count();
    let logits = if wanted == Wanted::State { 0 } else { config.ntoken };
    for (what, values) in [
        ("the embedding of one time step", padded(config.ninp)),
        ("the input projection of one time step (gates_x)", gates),
        ("the output of one time step", padded(config.nhid)),
        ("the logits of one time step", logits),
    ] {
        if bytes(values) > limits.max_binding() {
            return Err(Error::Limit {
                limit: limits.max_binding_name(),
                what: what.to_owned(),
                needed: bytes(values),
                allowed: limits.max_binding(),
                advice: "use a smaller batch, or another device",
            });
        }
    }
    let widest = bytes(padded(config.ninp).max(gates).max(padded(config.nhid)).max(logits)).max(1);
    let work = (sizes.batch * gates.max(logits)).max(1) as u64 * padded(config.ninp.max(config.nhid)) as u64;
    let steps = (limits.max_binding().min(LOGITS_SIZE.max(widest)) / widest)
        .min((limits.max_work_per_submission / work).max(1))
        .min(sizes.seq_len.min(MAX_SEGMENT_STEPS) as u64);
    let mut steps = steps as usize;
    // What the budget allows is asked of the plans themselves.
    loop {
        let plan = pass(layout, Sizes { seq_len: steps, ..sizes }, wanted, training, limits, Tuning::default())?;
        let needed = plan.layers.size();
        if needed <= limits.memory_budget {
            return Ok(steps);
        }
        if steps == 1 {
            return Err(Error::Limit {
                limit: "memory_budget",
                what: format!("one step of a language model over {} rows", sizes.batch),
                needed,
                allowed: limits.memory_budget,
                advice: "raise the budget, or use a smaller batch",
            });
        }
        steps /= 2;
    }
}

/// The buffers of a network.
struct Network {
    x: BufferId,
    y: BufferId,
    lengths: BufferId,
    dropout: Option<BufferId>,
    states: Vec<super::LayerState>,
    outputs: Outputs,
    scratch: Scratch,
    steps: usize,
}

impl Network {
    fn input_of(&self, layer: usize) -> BufferId {
        if layer == 0 { self.x } else { self.outputs.of(layer - 1)[0] }
    }
}

/// A language model being planned.
struct Model<'a> {
    layout: &'a LanguageModelLayout,
    limits: &'a Limits,
    tuning: Tuning,
    sizes: Sizes,
    planner: Planner<'a>,
}

impl<'a> Model<'a> {
    fn new(
        layout: &'a LanguageModelLayout,
        config: &'a Config,
        sizes: Sizes,
        limits: &'a Limits,
        tuning: Tuning,
    ) -> Self {
        let mut planner = Planner::new(config, &layout.rnn, sizes, limits, tuning);
        planner.recording = Recording { buffers: layout.buffers.clone(), commands: Vec::new() };
        Self { layout, limits, tuning, sizes, planner }
    }

    fn push(&mut self, dispatch: Dispatch) {
        self.planner.recording.commands.push(Command::Dispatch(dispatch));
    }

    fn network(&mut self, steps: usize, training: bool) -> Network {
        let (planner, config) = (&mut self.planner, &self.layout.config);
        let whole = std::slice::from_ref(&(0..steps)).to_vec();
        let x = planner.sequence("embedding", &whole, &[(Axis::Feature, padded(config.ninp))], Role::Scratch)[0];
        let lengths = planner.buffer("lengths", vec![(Axis::Row, self.sizes.batch)], Role::Input);
        let dropout = training.then(|| planner.dropout_settings());
        let states = planner.states();
        let outputs = planner.outputs(&whole, Role::Scratch);
        let scratch = planner.scratch(steps, lengths, dropout);
        Network { x, y: outputs.of(config.nlayers - 1)[0], lengths, dropout, states, outputs, scratch, steps }
    }

    fn logits(&mut self, steps: usize, role: Role) -> BufferId {
        let axes = vec![(Axis::Step, steps), (Axis::Row, self.sizes.batch), (Axis::Column, self.layout.config.ntoken)];
        self.planner.buffer("logits", axes, role)
    }

    fn embed(&self, tokens: BufferId, network: &Network) -> Result<Vec<Dispatch>> {
        let rows = network.steps * self.sizes.batch;
        let shards = self.layout.encoder.iter();
        let width = self.layout.config.ninp;
        shards
            .map(|(shard, weight)| embed(rows, width, shard.clone(), [tokens, *weight, network.x], self.limits))
            .collect()
    }

    fn decode(&self, y: BufferId, logits: BufferId) -> Result<Vec<Dispatch>> {
        let LanguageModelConfig { ntoken, nhid, .. } = self.layout.config;
        let rows = self.planner.recording.spec(logits).len() / ntoken;
        let shard = |(columns, weight, bias): &(Range<usize>, BufferId, BufferId)| {
            let buffers = [y, *weight, *bias, logits];
            linear((rows, nhid, ntoken), columns.clone(), activation::NONE, buffers, self.limits, self.tuning)
        };
        self.layout.decoder.iter().map(shard).collect()
    }

    /// WORKGROUP_SIZE of the kernels that own a row of logits each.
    fn row_overrides(&self) -> Vec<(&'static str, u32)> {
        let most = self.limits.max_compute_invocations_per_workgroup.min(self.limits.max_compute_workgroup_size_x);
        let wanted = if self.layout.config.ntoken < 2048 { 64 } else { 256 };
        let size = [256, 64, 32].into_iter().find(|&size| size <= wanted && size <= most).unwrap_or(32);
        vec![("WORKGROUP_SIZE", size)]
    }

    fn finish(self, network: Network, sizes: Sizes) -> Plan {
        Plan {
            sizes,
            schedule: Choice { schedule: Schedule::Step, reason: "language models run step by step" },
            turns: sizes.seq_len,
            recording: self.planner.recording,
            segments: std::slice::from_ref(&(0..network.steps)).to_vec(),
            input: vec![network.x],
            lengths: network.lengths,
            dropout: network.dropout,
            states: network.states,
            output: vec![network.y],
        }
    }
}
