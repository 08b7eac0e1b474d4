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

use super::storage::Storage;
use crate::error::{Error, Result};
use crate::params::config::{Config, Kind};
use crate::params::variant::Variant;
use crate::params::{DirectionParams, Params};
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
    /// `[D, U, G, R]`.
    pub weight_hh: BufferId,
    /// `[D, H]`, for a GRU. Every shard has the bias of the whole layer.
    pub bias_hn: Option<BufferId>,
    /// Parts of lower layers before this layer's part in `weight_ih` and `bias`. Layer 0's input
    /// has another width, so layer 0 has separate buffers for these.
    pub input_base: usize,
    /// Parts of lower layers before this layer's part in `weight_hh` and `bias_hn`.
    pub state_base: usize,
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
    contents: Vec<BufferContent>,
    layers: Vec<Vec<LayerShard>>,
    projections: Vec<Vec<ProjectionShard>>,
}

/// The parts of a configuration that the layout depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LayoutConfig {
    storage: Storage,
    directions: usize,
    gates: usize,
    hidden_size: usize,
}

/// The contents of a weight buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BufferContent {
    /// Several layers one after another, or one layer with all of its directions.
    layers: Range<usize>,
    units: Range<usize>,
    part: Packed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packed {
    /// The number of parts of the input's features, and the features of each part.
    WeightIh {
        parts: usize,
        features: usize,
    },
    Bias,
    WeightHh {
        features: usize,
    },
    BiasHn,
    WeightHr {
        features: usize,
    },
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
        if config.reverse || config.variant != Variant::PYTORCH {
            return Err(Error::Unsupported(format!("{config}: a cell that PyTorch lacks")));
        }
        let (directions, gates) = (config.num_directions(), config.gate_count());
        let mut layout = Self {
            config: LayoutConfig { storage, directions, gates, hidden_size: config.hidden_size },
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
            let bias_hn = (config.kind == Kind::Gru)
                .then(|| layout.add(own.clone(), 0..config.hidden_size, Packed::BiasHn));
            let shards = units.into_iter().map(|units| LayerShard {
                weight_ih: layout.add(
                    own.clone(),
                    units.clone(),
                    Packed::WeightIh { parts, features },
                ),
                bias: layout.add(own.clone(), units.clone(), Packed::Bias),
                weight_hh: layout.add(
                    own.clone(),
                    units.clone(),
                    Packed::WeightHh { features: config.state_size() },
                ),
                bias_hn,
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
        let whole = (directions * config.hidden_size * 4) as u64;
        check_binding(whole, "one bias of a whole layer", limits)?;
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
        let weight_hh = add(&layers, Packed::WeightHh { features: config.hidden_size });
        let bias_hn = (config.kind == Kind::Gru).then(|| add(&layers, Packed::BiasHn));
        let shard = |layer: usize| {
            let (weight_ih, bias) = inputs[layer.min(1)];
            let (input_base, state_base) = (layer.saturating_sub(1), layer);
            vec![LayerShard {
                units: units.clone(),
                weight_ih,
                bias,
                weight_hh,
                bias_hn,
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
            Packed::WeightHh { features } => {
                ("weight_hh", vec![direction, unit, gate, words(padded(features))])
            }
            Packed::BiasHn => ("bias_hn", vec![direction, unit]),
            Packed::WeightHr { features } => {
                ("weight_hr", vec![direction, unit, words(padded(features))])
            }
        };
        let label = format!("{of} {name}, units {}..{}", units.start, units.end);
        self.buffers.push(BufferSpec { label, axes, role: Role::Weight });
        self.contents.push(BufferContent { layers, units, part });
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
        let (gates, hidden_size) = (self.config.gates, self.config.hidden_size);
        let mut packed = Vec::with_capacity(self.buffers[index].len() * 2);
        let directions = content
            .layers
            .clone()
            .flat_map(|layer| (0..self.config.directions).map(move |d| (layer, d)));
        for (layer, d) in directions {
            let direction = params.direction(layer, d);
            for j in content.units.clone() {
                // These parts have one row per unit; the others have one per gate.
                if content.part == Packed::BiasHn {
                    // Row n of b_hh.
                    packed.push(direction.bias_hh.get(2 * hidden_size + j).copied().unwrap_or(0.0));
                    continue;
                }
                if let Packed::WeightHr { features } = content.part {
                    pad(&mut packed, &direction.weight_hr[j * features..][..features]);
                    continue;
                }
                for gate in 0..gates {
                    // Only a GRU has three gates; its third gate is n.
                    let gru_n = gates == 3 && gate == 2;
                    pack_row(&mut packed, content.part, direction, gate * hidden_size + j, gru_n);
                }
            }
        }
        match content.part {
            Packed::Bias | Packed::BiasHn => packed,
            Packed::WeightIh { .. } | Packed::WeightHh { .. } | Packed::WeightHr { .. } => {
                self.config.storage.store(packed)
            }
        }
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
    let plain = !config.bidirectional && config.proj_size == 0 && config.num_layers > 1;
    plain && largest.saturating_mul(4) <= limits.max_binding()
}

/// Appends `values`, padded to whole quads.
fn pad(packed: &mut Vec<f32>, values: &[f32]) {
    packed.extend_from_slice(values);
    packed.resize(packed.len() + padded(values.len()) - values.len(), 0.0);
}

/// Appends the values of `part` for one row (PyTorch's row `gate · H + unit`) of one direction.
fn pack_row(
    packed: &mut Vec<f32>,
    part: Packed,
    direction: &DirectionParams,
    row: usize,
    gru_n: bool,
) {
    match part {
        Packed::WeightIh { parts, features } => {
            for p in 0..parts {
                pad(packed, &direction.weight_ih[(row * parts + p) * features..][..features]);
            }
        }
        Packed::WeightHh { features } => {
            pad(packed, &direction.weight_hh[row * features..][..features])
        }
        Packed::Bias => {
            let bias_ih = direction.bias_ih.get(row).copied().unwrap_or(0.0);
            let bias_hh = direction.bias_hh.get(row).copied().unwrap_or(0.0);
            // A GRU's b_hn stays inside the reset product: r∘(W_hn h + b_hn).
            packed.push(if gru_n { bias_ih } else { bias_ih + bias_hh });
        }
        Packed::BiasHn | Packed::WeightHr { .. } => {
            unreachable!("these have one row for each unit")
        }
    }
}

/// Cuts `count` rows of `words` 32-bit words into the fewest shards that one binding holds, of
/// nearly equal length. `what` names a row in the error.
///
/// # Errors
/// [`Error::Limit`] if a single row exceeds one binding.
pub(crate) fn cut_shards(
    count: usize,
    words: usize,
    what: &str,
    limits: &Limits,
) -> Result<Vec<Range<usize>>> {
    let row = words as u64 * 4;
    check_binding(row, what, limits)?;
    let most = limits.max_binding() / row;
    let shards = count.div_ceil(usize::try_from(most).unwrap_or(usize::MAX));
    let size = count.div_ceil(shards);
    Ok((0..count).step_by(size).map(|start| start..(start + size).min(count)).collect())
}

/// Checks that one binding holds `what`, of `needed` bytes.
///
/// # Errors
/// [`Error::Limit`] if it does not.
pub(crate) fn check_binding(needed: u64, what: &str, limits: &Limits) -> Result<()> {
    let allowed = limits.max_binding();
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::Limit {
        limit: limits.max_binding_name(),
        what: what.to_owned(),
        needed,
        allowed,
        advice: "use another device or the CPU",
    })
}
