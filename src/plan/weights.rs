//! The packing of weights into buffers.
//!
//! Rows are interleaved by gate (`unit · G + gate`), so a workgroup finds all gates of its units in
//! adjacent rows. Rows are padded to whole quads, so neighbouring invocations read neighbouring 16
//! bytes.
//!
//! A layer whose weights exceed one binding is cut into shards of hidden units. Each shard has
//! separate dispatches for its projection and its steps. Unidirectional layers share their buffers
//! if these fit one binding, so one dispatch finds the weights of all layers.

use std::ops::Range;

use super::contents::{Content, Packed, keeps_bias_hn};
use super::second::{SecondProduct, second_product};
use super::shards::{check_binding, cut_shards};
use super::storage::Storage;
use crate::error::Result;
use crate::kernel::variant::VARIANT_WORDS;
use crate::params::Params;
use crate::params::config::Config;
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Role};
use crate::tensor::padded;

/// The weight buffers of some hidden units of one layer. Each buffer holds both directions.
///
/// The layers of a stack share buffers ([`WeightLayout::is_stack`]). The shapes are those of this
/// layer's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerShard {
    /// The hidden units of the shard.
    pub units: Range<usize>,
    /// `[D, U, G, P·Q]`. A bidirectional layer's input has two parts, and the features of each are
    /// padded.
    pub weight_ih: BufferId,
    /// `[D, U, G]`: `b_ih + b_hh`. For a GRU's n, only `b_in`.
    pub bias: BufferId,
    /// `[D, U, G, R]`; without n for a GRU whose reset gate comes before the product.
    pub weight_hh: BufferId,
    /// `[D, U, 1, R]`: n of a GRU whose reset gate comes before the product.
    pub weight_hn: Option<BufferId>,
    /// `[D, H]`, for a GRU as PyTorch has it. Every shard has the bias of the whole layer.
    pub bias_hn: Option<BufferId>,
    /// `[D, 16]`, then `[D, 3, H]` with peepholes: the settings of a cell that PyTorch lacks. Every
    /// shard has those of the whole layer.
    pub variant: Option<BufferId>,
    /// Parts of lower layers before this layer's part in `weight_ih` and `bias`. Layer 0's input
    /// has another width, so layer 0 has separate buffers for these.
    pub input_base: usize,
    /// Parts of lower layers before this layer's part in `weight_hh` and `bias_hn`.
    pub state_base: usize,
}

impl LayerShard {
    /// Returns the bindings that only the shard's cell has: `c`, which an LSTM's caller gives, or
    /// the bias b_hn; then the settings of a variant.
    pub(super) fn own(&self, c: Option<BufferId>) -> impl Iterator<Item = BufferId> {
        c.or(self.bias_hn).into_iter().chain(self.variant)
    }
}

/// The weight buffer of some units of one layer's projected state, with both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionShard {
    /// The units among the R of the projected state.
    pub units: Range<usize>,
    /// `[D, U, H]`.
    pub weight_hr: BufferId,
}

/// The weight buffers of a model, without their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightLayout {
    config: LayoutConfig,
    buffers: Vec<BufferSpec>,
    contents: Vec<Content>,
    layers: Vec<Vec<LayerShard>>,
    projections: Vec<Vec<ProjectionShard>>,
}

/// The parts of a configuration that the layout depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LayoutConfig {
    storage: Storage,
    directions: usize,
    gates: usize,
    variant_words: usize,
}

impl WeightLayout {
    /// Lays out the weights of `config` as f32, in buffers that `limits` allow.
    ///
    /// # Errors
    /// [`Error::Limit`] if the weights of a single hidden unit exceed one binding.
    pub fn new(config: &Config, limits: &Limits) -> Result<Self> {
        Self::stored(config, Storage::default(), limits)
    }

    /// Lays out the weights of `config` with this storage, in buffers that `limits` allow.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new).
    pub fn stored(config: &Config, storage: Storage, limits: &Limits) -> Result<Self> {
        let (directions, gates) = (config.num_directions(), config.gate_count());
        let mut layout = Self {
            config: LayoutConfig {
                storage,
                directions,
                gates,
                variant_words: variant_words(config),
            },
            buffers: Vec::new(),
            contents: Vec::new(),
            layers: Vec::new(),
            projections: Vec::new(),
        };
        if stacks(config, storage, limits) {
            layout.stack(config);
            return Ok(layout);
        }
        for layer in 0..config.num_layers {
            let (parts, features) =
                if layer == 0 { (1, config.input_size) } else { (directions, config.state_size()) };
            let row = (parts * padded(features)).max(padded(config.state_size()));
            let unit = storage.words(directions * gates * row);
            let units = cut_shards(
                config.hidden_size,
                unit,
                &format!("the weights of one hidden unit of layer {layer}"),
                limits,
            )?;
            let own = layer..layer + 1;
            let whole = 0..config.hidden_size;
            let mut of_whole = |part| layout.add(own.clone(), whole.clone(), part);
            let bias_hn = keeps_bias_hn(config).then(|| of_whole(Packed::BiasHn));
            let variant = config.is_variant().then(|| of_whole(Packed::Variant));
            let (gates_hh, gates_hn) = products(config);
            let features = [features, config.state_size()];
            let shards = units.into_iter().map(|units| LayerShard {
                weight_ih: layout.add(
                    own.clone(),
                    units.clone(),
                    Packed::WeightIh { parts, features: features[0] },
                ),
                bias: layout.add(own.clone(), units.clone(), Packed::Bias),
                weight_hh: layout.add(
                    own.clone(),
                    units.clone(),
                    Packed::WeightHh { gates: gates_hh, features: features[1] },
                ),
                weight_hn: gates_hn.map(|gates| {
                    let part = Packed::WeightHh { gates, features: features[1] };
                    layout.add(own.clone(), units.clone(), part)
                }),
                bias_hn,
                variant,
                input_base: 0,
                state_base: 0,
                units,
            });
            let shards = shards.collect();
            layout.layers.push(shards);
            if config.proj_size > 0 {
                let unit = storage.words(directions * padded(config.hidden_size));
                let what = format!("the projection of one unit of layer {layer}");
                let shards =
                    cut_shards(config.proj_size, unit, &what, limits)?.into_iter().map(|units| {
                        ProjectionShard {
                            weight_hr: layout.add(
                                own.clone(),
                                units.clone(),
                                Packed::WeightHr { features: config.hidden_size },
                            ),
                            units,
                        }
                    });
                let shards = shards.collect();
                layout.projections.push(shards);
            }
        }
        let whole = directions * config.hidden_size.max(variant_words(config));
        check_binding(whole as u64 * 4, "one bias or the settings of a whole layer", limits)?;
        Ok(layout)
    }

    /// Lays out layers that share their buffers.
    fn stack(&mut self, config: &Config) {
        let (layers, units) = (0..config.num_layers, 0..config.hidden_size);
        let above = 1..config.num_layers;
        let mut add = |layers: &Range<usize>, part| self.add(layers.clone(), units.clone(), part);
        let mut input = |layers, features| {
            (add(layers, Packed::WeightIh { parts: 1, features }), add(layers, Packed::Bias))
        };
        let inputs = [input(&(0..1), config.input_size), input(&above, config.hidden_size)];
        let gates = [0, config.gate_count()];
        let weight_hh = add(&layers, Packed::WeightHh { gates, features: config.hidden_size });
        let bias_hn = keeps_bias_hn(config).then(|| add(&layers, Packed::BiasHn));
        let variant = config.is_variant().then(|| add(&layers, Packed::Variant));
        let shard = |layer: usize| {
            let (weight_ih, bias) = inputs[layer.min(1)];
            let (input_base, state_base) = (layer.saturating_sub(1), layer);
            vec![LayerShard {
                units: units.clone(),
                weight_ih,
                bias,
                weight_hh,
                weight_hn: None,
                bias_hn,
                variant,
                input_base,
                state_base,
            }]
        };
        self.layers = layers.map(shard).collect();
    }

    fn add(&mut self, layers: Range<usize>, units: Range<usize>, part: Packed) -> BufferId {
        let (direction, of) = if layers.len() > 1 {
            ((Axis::Layer, layers.len()), format!("layers {}..{}", layers.start, layers.end))
        } else {
            ((Axis::Direction, self.config.directions), format!("layer {}", layers.start))
        };
        let (unit, gate) = ((Axis::Unit, units.len()), (Axis::Gate, self.config.gates));
        let words = |features: usize| (Axis::Feature, self.config.storage.words(features));
        let (name, axes) = match part {
            Packed::WeightIh { parts, features } => {
                ("weight_ih", vec![direction, unit, gate, words(parts * padded(features))])
            }
            Packed::Bias => ("bias", vec![direction, unit, gate]),
            Packed::WeightHh { gates: [first, end], features } => {
                let name = if first == 0 { "weight_hh" } else { "weight_hn" };
                let gate = (Axis::Gate, end - first);
                (name, vec![direction, unit, gate, words(padded(features))])
            }
            Packed::BiasHn => ("bias_hn", vec![direction, unit]),
            Packed::WeightHr { features } => {
                ("weight_hr", vec![direction, unit, words(padded(features))])
            }
            Packed::Variant => {
                ("variant", vec![(Axis::Word, direction.1 * self.config.variant_words)])
            }
        };
        let label = format!("{of} {name}, units {}..{}", units.start, units.end);
        self.buffers.push(BufferSpec { label, axes, role: Role::Weight });
        self.contents.push(Content { layers, units, part });
        BufferId(self.buffers.len() - 1)
    }

    /// Returns the weight buffers. Every recording starts with them.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Returns whether the layers share their buffers. They do if they are unidirectional without
    /// projection and one binding holds them all.
    pub fn is_stack(&self) -> bool {
        matches!(&self.layers[..], [lower, upper, ..] if lower[0].weight_hh == upper[0].weight_hh)
    }

    /// Returns the shards of a layer.
    pub fn layer(&self, layer: usize) -> &[LayerShard] {
        &self.layers[layer]
    }

    /// Returns the shards of a layer's projection; empty without a projection.
    pub fn projection(&self, layer: usize) -> &[ProjectionShard] {
        self.projections.get(layer).map_or(&[], Vec::as_slice)
    }

    /// Returns the storage of the weights. Biases are always f32.
    pub fn storage(&self) -> Storage {
        self.config.storage
    }

    /// Returns the bytes of all weight buffers.
    pub fn size(&self) -> u64 {
        self.buffers.iter().map(BufferSpec::size).sum()
    }

    /// Returns the values of weight buffer `index`.
    pub fn pack(&self, index: usize, params: &Params) -> Vec<f32> {
        let content = &self.contents[index];
        let mut packed = Vec::with_capacity(self.buffers[index].len() * 2);
        content.pack(self.config.directions, params, &mut packed);
        if content.part.is_weight() { self.config.storage.store(packed) } else { packed }
    }
}

/// Returns the words of the settings of one direction with its peepholes.
fn variant_words(config: &Config) -> usize {
    VARIANT_WORDS + if config.variant.peepholes { 3 * config.hidden_size } else { 0 }
}

/// Returns the gates that `weight_hh` has, and those that `weight_hn` has: `[first, end]`.
fn products(config: &Config) -> ([usize; 2], Option<[usize; 2]>) {
    let gates = config.gate_count();
    match second_product(config) {
        Some(SecondProduct::Candidate) => ([0, gates - 1], Some([gates - 1, gates])),
        _ => ([0, gates], None),
    }
}

/// Returns whether the layers of `config` can share their buffers.
fn stacks(config: &Config, storage: Storage, limits: &Limits) -> bool {
    let row = |features: usize| {
        storage.words(config.gate_count() * config.hidden_size * padded(features)) as u64
    };
    // Among the shared buffers, weight_hh is the largest.
    let largest = row(config.input_size)
        .max(row(config.hidden_size).saturating_mul(config.num_layers as u64));
    let one_product = second_product(config).is_none();
    let settings = (config.num_layers * variant_words(config)) as u64;
    let largest = largest.max(settings);
    let plain = !config.bidirectional && one_product && config.num_layers > 1;
    plain && largest.saturating_mul(4) <= limits.max_binding()
}
