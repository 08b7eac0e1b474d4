//! The shapes that `bench` measures, in named suites.

use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;

/// A network and the sizes of its input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Shape {
    /// The name in reports.
    pub name: String,
    /// The network.
    pub config: Config,
    /// T and B.
    #[doc(hidden)]
    pub sizes: Sizes,
}

impl Shape {
    /// The network of `config` over an input of `seq_len` steps and `batch` rows.
    pub fn new(name: impl Into<String>, config: Config, seq_len: usize, batch: usize) -> Self {
        Self { name: name.into(), config, sizes: Sizes { seq_len, batch } }
    }

    /// A shape from `dims`: T, B, I, H, L and D.
    fn from_dims(name: &str, kind: Kind, dims: [usize; 6]) -> Self {
        let [seq_len, batch, input_size, hidden_size, num_layers, directions] = dims;
        let config = Config::new(kind, input_size, hidden_size)
            .num_layers(num_layers)
            .bidirectional(directions == 2);
        Self::new(name, config, seq_len, batch)
    }

    /// The number of dependent time steps: T · L, or `usize::MAX` where it overflows.
    pub fn steps(&self) -> usize {
        self.sizes.seq_len.saturating_mul(self.config.num_layers)
    }
}

/// A named set of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suite {
    /// The standard shapes that take little time.
    Quick,
    /// Published networks under their published names.
    Standard,
    /// One LSTM with T, H and B varied one at a time.
    Scaling,
    /// The shapes for comparisons with other systems.
    Peers,
    /// Pairs of shapes whose difference is the time of one part of a pass.
    Kernels,
}

impl Suite {
    /// The names that [`parse`](Self::parse) accepts.
    pub const NAMES: &'static [&'static str] =
        &["quick", "standard", "scaling", "peers", "kernels"];

    /// Returns the suite called `name`; `None` for an unknown name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Quick, Self::Standard, Self::Scaling, Self::Peers, Self::Kernels];
        Self::NAMES.iter().position(|known| *known == name).map(|at| all[at])
    }

    /// Returns the shapes of the suite.
    pub fn shapes(self) -> Vec<Shape> {
        match self {
            Self::Quick => {
                standard().into_iter().filter(|(quick, _)| *quick).map(|(_, shape)| shape).collect()
            }
            Self::Standard => standard().into_iter().map(|(_, shape)| shape).collect(),
            Self::Scaling => scaling(),
            Self::Peers => peers(),
            Self::Kernels => kernels(),
        }
    }
}

/// The standard shapes, each with a flag: whether the quick suite has it too.
///
/// Sizes are T, B, I, H, L, D.
fn standard() -> Vec<(bool, Shape)> {
    use Kind::{Gru, Lstm};
    [
        (true, "Silero VAD, offline", Lstm, [512, 1, 128, 128, 1, 1]),
        (true, "Silero VAD, 64 streams", Lstm, [1, 64, 128, 128, 1, 1]),
        (true, "RNNoise v0.2", Gru, [1, 1, 384, 384, 3, 1]),
        (false, "ocrs text recognition", Gru, [256, 100, 128, 256, 2, 2]),
        (false, "pyannote PyanNet", Lstm, [589, 32, 60, 128, 2, 2]),
        (false, "Kokoro-82M predictor", Lstm, [510, 1, 640, 256, 1, 2]),
        (true, "Encodec", Lstm, [75, 1, 512, 512, 2, 1]),
        (false, "Open-Unmix UMX", Lstm, [259, 1, 512, 256, 3, 2]),
        (false, "Bonito hac", Lstm, [1667, 64, 384, 384, 5, 1]),
        (false, "PyTorch word-LM example", Lstm, [35, 20, 200, 200, 2, 1]),
        (false, "AWD-LSTM (PTB)", Lstm, [70, 80, 400, 1150, 3, 1]),
        (false, "ANYmal actuator net", Lstm, [1, 49_152, 2, 8, 2, 1]),
        (false, "DeepBench LSTM", Lstm, [25, 64, 1024, 1024, 1, 1]),
        (true, "DeepFilterNet GRU", Gru, [100, 1, 256, 256, 1, 1]),
        (true, "PyTorch MPS report", Gru, [128, 1, 384, 256, 1, 2]),
    ]
    .into_iter()
    .map(|(quick, name, kind, dims)| (quick, Shape::from_dims(name, kind, dims)))
    .collect()
}

/// Variations of T = 100, H = 256, B = 1.
fn scaling() -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    let by_steps = [1, 10, 100, 1000].map(|t| (t, 256, 1));
    let by_units = [64, 128, 256, 512, 1024].map(|h| (100, h, 1));
    let by_rows = [1, 4, 16, 64].map(|b| (100, 256, b));
    for (t, h, b) in by_steps.into_iter().chain(by_units).chain(by_rows) {
        let shape = Shape::from_dims(&format!("T={t} H={h} B={b}"), Kind::Lstm, [t, b, h, h, 1, 1]);
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes
}

fn peers() -> Vec<Shape> {
    let dims = [
        (35, 2, 100, 20),
        (35, 2, 1027, 256),
        (100, 1, 128, 128),
        (100, 8, 256, 256),
        (100, 32, 512, 512),
        (100, 1, 1024, 1024),
    ];
    dims.map(|(t, b, i, h)| {
        Shape::from_dims(&format!("T={t} B={b} I={i} H={h}"), Kind::Lstm, [t, b, i, h, 1, 1])
    })
    .to_vec()
}

/// Pairs of shapes that differ in the number of steps, the shorter one first. They give the time of
/// a recurrent step: with four input features the input projection is small.
fn kernels() -> Vec<Shape> {
    let steps = [
        (1, 128, 128),
        (1, 256, 128),
        (1, 512, 128),
        (1, 1024, 128),
        (8, 256, 128),
        (8, 512, 128),
        (8, 1024, 128),
        (32, 512, 32),
        (64, 1024, 32),
        (256, 512, 16),
        (1024, 256, 16),
    ];
    let pair_of_steps = |(b, h, t)| [[t, b, 4, h, 1, 1], [5 * t, b, 4, h, 1, 1]];
    let named = |dims: [usize; 6]| {
        let [t, b, i, h, ..] = dims;
        Shape::from_dims(&format!("T={t} B={b} I={i} H={h}"), Kind::Lstm, dims)
    };
    steps.into_iter().flat_map(pair_of_steps).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::Suite;

    #[test]
    fn kernels_come_in_pairs_that_differ_in_one_size() {
        let shapes = Suite::Kernels.shapes();
        for pair in shapes.chunks(2) {
            let [small, large] = pair else { panic!("{} has no partner", pair[0].name) };
            let sizes = |shape: &super::Shape| {
                [shape.sizes.seq_len, shape.config.input_size, shape.sizes.batch]
                    .into_iter()
                    .chain([shape.config.hidden_size])
                    .collect::<Vec<usize>>()
            };
            let changes = sizes(small).iter().zip(sizes(large)).filter(|(a, b)| **a != *b).count();
            assert_eq!(changes, 1, "{} and {}", small.name, large.name);
            assert!(sizes(small) < sizes(large), "{} and {}", small.name, large.name);
        }
    }

    #[test]
    fn every_suite_parses_and_its_shapes_have_distinct_names() {
        for &name in Suite::NAMES {
            let shapes =
                Suite::parse(name).unwrap_or_else(|| panic!("{name} is not a suite")).shapes();
            assert!(!shapes.is_empty(), "{name} is empty");
            for (at, shape) in shapes.iter().enumerate() {
                shape.config.validate().unwrap_or_else(|error| panic!("{}: {error}", shape.name));
                assert!(
                    shape.sizes.seq_len > 0 && shape.sizes.batch > 0,
                    "{}: nothing to run",
                    shape.name
                );
                assert!(
                    !shapes[..at].iter().any(|other| other.name == shape.name),
                    "{} twice",
                    shape.name
                );
            }
        }
        assert_eq!(Suite::parse("fast"), None);
    }

    #[test]
    fn the_quick_suite_is_part_of_the_standard_one() {
        let (quick, standard) = (Suite::Quick.shapes(), Suite::Standard.shapes());
        assert!(quick.len() < standard.len(), "{} of {}", quick.len(), standard.len());
        assert!(quick.iter().all(|shape| standard.contains(shape)));
    }
}
