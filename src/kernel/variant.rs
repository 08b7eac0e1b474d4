//! The settings of cells that PyTorch lacks, as words of a buffer. `shaders/lib/variant.wgsl` reads
//! them.

use crate::params::config::Config;
use crate::params::variant::{ActivationFunction, Coupling, Functions};

/// Words of the settings of one direction.
pub const VARIANT_WORDS: usize = 16;

/// The first words of the parts.
const ALPHA: usize = 3;
const BETA: usize = 6;
const GATE_CLIP: usize = 9;
const CELL_CLIP: usize = 10;
const PROJECTION_CLIP: usize = 11;
const COUPLING: usize = 12;
const PEEPHOLES: usize = 13;

/// The settings of one direction of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The functions of the gates, the candidate and the cell state.
    pub functions: Functions,
    /// The limit of the operands of gates and candidate.
    pub gate_clip: Option<f32>,
    /// The limit of the cell state.
    pub cell_clip: Option<f32>,
    /// The limit of the projected state.
    pub projection_clip: Option<f32>,
    /// The gates of which one follows from the other.
    pub coupling: Option<Coupling>,
    /// The first word of the weights of the cell state in i, f and o, `[3, H]`.
    pub peepholes: Option<usize>,
}

impl Settings {
    /// Returns the settings of a direction. `first` is the first word of its peepholes, if the
    /// cell has any.
    pub fn of(config: &Config, direction: usize, first: usize) -> Self {
        let variant = &config.variant;
        Self {
            functions: variant.functions(config.kind, direction),
            gate_clip: variant.gate_clip,
            cell_clip: variant.cell_clip,
            projection_clip: variant.projection_clip,
            coupling: variant.coupling,
            peepholes: variant.peepholes.then_some(first),
        }
    }

    /// Returns the words. The place of peepholes is never 0, since settings come first.
    pub fn words(&self) -> [u32; VARIANT_WORDS] {
        let mut words = [0; VARIANT_WORDS];
        for (at, function) in self.functions.into_iter().enumerate() {
            let [alpha, beta] = function.parameters().map(|value| value.unwrap_or(0.0).to_bits());
            words[at] = number(function);
            words[ALPHA + at] = alpha;
            words[BETA + at] = beta;
        }
        for (at, clip) in [
            (GATE_CLIP, self.gate_clip),
            (CELL_CLIP, self.cell_clip),
            (PROJECTION_CLIP, self.projection_clip),
        ] {
            words[at] = clip.unwrap_or(0.0).to_bits();
        }
        words[COUPLING] = match self.coupling {
            None => 0,
            Some(Coupling::ForgetFromInput) => 1,
            Some(Coupling::InputFromForget) => 2,
        };
        words[PEEPHOLES] = self.peepholes.unwrap_or(0) as u32;
        words
    }

    /// Reads the words, which the host carries as floats.
    pub fn read(words: &[f32; VARIANT_WORDS]) -> Self {
        let clip = |at: usize| (words[at] > 0.0).then_some(words[at]);
        let function = |at: usize| {
            let known = ActivationFunction::ALL.get(words[at].to_bits() as usize);
            let function = known.copied().unwrap_or(ActivationFunction::Softplus);
            function.with(Some(words[ALPHA + at]), Some(words[BETA + at]))
        };
        Self {
            functions: [function(0), function(1), function(2)],
            gate_clip: clip(GATE_CLIP),
            cell_clip: clip(CELL_CLIP),
            projection_clip: clip(PROJECTION_CLIP),
            coupling: match words[COUPLING].to_bits() {
                1 => Some(Coupling::ForgetFromInput),
                2 => Some(Coupling::InputFromForget),
                _ => None,
            },
            peepholes: Some(words[PEEPHOLES].to_bits() as usize).filter(|&first| first > 0),
        }
    }
}

/// The number of a function: its place among all.
fn number(function: ActivationFunction) -> u32 {
    let place = ActivationFunction::ALL.iter().position(|known| known.name() == function.name());
    place.unwrap_or_default() as u32
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::params::config::Config;
    use crate::params::variant::{ActivationFunction, Coupling, Variant};

    #[test]
    fn settings_are_read_as_they_are_written() {
        for (at, function) in ActivationFunction::ALL.into_iter().enumerate() {
            let function = function.with(Some(0.25), Some(-3.0));
            let other = ActivationFunction::ALL[(at + 4) % 11];
            let variant = Variant {
                functions: Some([[function, other, function], [other; 3]]),
                gate_clip: (at % 2 == 0).then_some(0.5),
                cell_clip: (at % 3 == 0).then_some(1.5),
                projection_clip: (at % 4 == 0).then_some(2.5),
                peepholes: at % 2 == 1,
                coupling: [None, Some(Coupling::ForgetFromInput), Some(Coupling::InputFromForget)]
                    [at % 3],
                ..Variant::default()
            };
            let config = Config::lstm(3, 4).variant(variant);
            for direction in [0, 1] {
                let settings = Settings::of(&config, direction, 32);
                let words = settings.words().map(f32::from_bits);
                assert_eq!(Settings::read(&words), settings, "{config}, direction {direction}");
            }
        }
    }
}
