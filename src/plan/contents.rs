//! The values of weight buffers.

use std::ops::Range;

use crate::kernel::variant::{Settings, VARIANT_WORDS};
use crate::params::config::{Config, Kind};
use crate::params::variant::Reset;
use crate::params::{DirectionParams, Params};
use crate::tensor::padded;

/// The content of a weight buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Several layers one after another, or one layer with all of its directions.
    pub(super) layers: Range<usize>,
    /// The hidden units, or those of a projected state.
    pub(super) units: Range<usize>,
    pub(super) part: Packed,
}

/// The parameters that a weight buffer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    /// The number of parts of the input's features, and the features of each part.
    WeightIh { parts: usize, features: usize },
    /// The sum of both biases; see [`keeps_bias_hn`].
    Bias,
    /// The first gate and the end of the gates, and the features of the state.
    WeightHh { gates: [usize; 2], features: usize },
    /// The bias that a GRU multiplies by its reset gate.
    BiasHn,
    /// The features of the state before the projection.
    WeightHr { features: usize },
    /// The settings of a cell that PyTorch lacks.
    Variant,
}

impl Packed {
    /// Returns whether the buffer has weights, which a weight type stores. Others are always f32 or
    /// words.
    pub(super) fn is_weight(self) -> bool {
        matches!(self, Self::WeightIh { .. } | Self::WeightHh { .. } | Self::WeightHr { .. })
    }
}

/// Returns whether the bias b_hn is apart from the others: r multiplies W_hn h + b_hn.
pub(super) fn keeps_bias_hn(config: &Config) -> bool {
    config.kind == Kind::Gru && config.variant.reset == Reset::AfterProduct
}

impl Content {
    /// Appends the values, of this number of directions.
    pub(super) fn pack(&self, directions: usize, params: &Params, packed: &mut Vec<f32>) {
        if self.part == Packed::Variant {
            return self.pack_variant(directions, params, packed);
        }
        for (layer, d) in self.blocks(directions) {
            let direction = params.direction(layer, d);
            for unit in self.units.clone() {
                self.pack_unit(params.config(), direction, unit, packed);
            }
        }
    }

    /// Returns the layers and directions in the order of the buffer.
    fn blocks(&self, directions: usize) -> impl Iterator<Item = (usize, usize)> {
        self.layers.clone().flat_map(move |layer| (0..directions).map(move |d| (layer, d)))
    }

    fn pack_unit(
        &self,
        config: &Config,
        direction: &DirectionParams,
        unit: usize,
        packed: &mut Vec<f32>,
    ) {
        // PyTorch's rows are gate · H + unit.
        let row = |gate: usize| gate * config.hidden_size + unit;
        let bias = |values: &[f32], row: usize| values.get(row).copied().unwrap_or(0.0);
        match self.part {
            Packed::WeightIh { parts, features } => {
                for row in (0..config.gate_count()).map(row) {
                    for part in 0..parts {
                        let start = (row * parts + part) * features;
                        pad(packed, &direction.weight_ih[start..][..features]);
                    }
                }
            }
            Packed::WeightHh { gates: [first, end], features } => {
                for row in (first..end).map(row) {
                    pad(packed, &direction.weight_hh[row * features..][..features]);
                }
            }
            Packed::Bias => packed.extend((0..config.gate_count()).map(|gate| {
                let (bias_ih, bias_hh) =
                    (bias(&direction.bias_ih, row(gate)), bias(&direction.bias_hh, row(gate)));
                // A GRU's last gate is n.
                if keeps_bias_hn(config) && gate == 2 { bias_ih } else { bias_ih + bias_hh }
            })),
            Packed::BiasHn => packed.push(bias(&direction.bias_hh, row(2))),
            Packed::WeightHr { features } => {
                pad(packed, &direction.weight_hr[unit * features..][..features]);
            }
            Packed::Variant => unreachable!("settings have no units"),
        }
    }

    /// Appends the settings of all layers and directions, then their peepholes.
    fn pack_variant(&self, directions: usize, params: &Params, packed: &mut Vec<f32>) {
        let config = params.config();
        let first = |block: usize| {
            self.layers.len() * directions * VARIANT_WORDS + block * 3 * config.hidden_size
        };
        for (block, (_, d)) in self.blocks(directions).enumerate() {
            let words = Settings::of(config, d, first(block)).words();
            packed.extend(words.map(f32::from_bits));
        }
        for (layer, d) in self.blocks(directions) {
            packed.extend_from_slice(&params.direction(layer, d).weight_p);
        }
    }
}

/// Appends `values`, padded to whole quads.
fn pad(packed: &mut Vec<f32>, values: &[f32]) {
    packed.extend_from_slice(values);
    packed.resize(packed.len() + padded(values.len()) - values.len(), 0.0);
}
