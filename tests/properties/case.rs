//! Random networks and inputs, and properties of all of them.

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::{Config, Device, Kind, Params, Rnn, State, Tensor};

use crate::parts::{Outcome, swapped};
use crate::seeded;

/// A network and the sizes of its input; the seed stands for all values.
#[derive(Debug, Clone)]
pub struct Case {
    pub config: Config,
    pub seq_len: usize,
    pub batch: usize,
    /// Weights are uniform in ±gain/√H; PyTorch's are with a gain of 1.
    pub gain: f32,
    /// Whether there is an initial state.
    pub state: bool,
    pub seed: u64,
}

pub fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..40_usize, 1..40_usize, 1..13_usize, 1..10_usize, 1..4_usize);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let values = (prop::sample::select(vec![1.0_f32, 0.1, 4.0]), any::<bool>(), any::<u32>());
    let projected = (any::<bool>(), any::<prop::sample::Index>());
    let networks = (prop::sample::select(Kind::ALL.to_vec()), sizes, flags, values, projected);
    networks.prop_map(|(kind, sizes, flags, values, (projected, index))| {
        let (input_size, hidden_size, seq_len, batch, num_layers) = sizes;
        let (bidirectional, bias, batch_first) = flags;
        let (gain, state, seed) = values;
        let config = Config::new(kind, input_size, hidden_size)
            .num_layers(num_layers)
            .bidirectional(bidirectional)
            .bias(bias)
            .batch_first(batch_first)
            .proj_size(if projected && kind == Kind::Lstm { index.index(hidden_size) } else { 0 });
        Case { config, seq_len, batch, gain, state, seed: u64::from(seed) }
    })
}

impl Case {
    /// The same case with another configuration.
    pub fn with(&self, change: impl FnOnce(Config) -> Config) -> Self {
        Self { config: change(self.config.clone()), ..self.clone() }
    }

    pub fn params(&self) -> Params {
        let bound = self.gain / (self.config.hidden_size as f32).sqrt();
        let mut generator = Mt19937::new(self.seed);
        Params::from_fn(&self.config, |_, shape| {
            Ok(generator.uniform_vec(shape.iter().product(), -bound, bound))
        })
        .expect("a valid configuration")
    }

    /// The same values whichever axis comes first.
    pub fn input(&self) -> Tensor {
        let input =
            seeded::tensor(self.seed ^ 1, &[self.seq_len, self.batch, self.config.input_size], 2.0);
        if self.config.batch_first { swapped(&input) } else { input }
    }

    pub fn initial(&self) -> Option<State> {
        let config = &self.config;
        let shape = |units| [config.num_layers * config.num_directions(), self.batch, units];
        let c = || seeded::tensor(self.seed ^ 3, &shape(config.hidden_size), 2.0);
        self.state.then(|| State {
            h: seeded::tensor(self.seed ^ 2, &shape(config.state_size()), 1.0),
            c: (config.kind == Kind::Lstm).then(c),
        })
    }

    pub fn forward(&self) -> Outcome {
        forward(&self.params(), &self.input(), self.initial().as_ref())
    }
}

pub fn forward(params: &Params, input: &Tensor, state: Option<&State>) -> Outcome {
    let rnn = Rnn::new(&Device::cpu(), params).expect("the CPU takes any small network");
    rnn.forward(input, state).expect("shapes that fit")
}

/// Runs a property over many cases.
pub fn check<S: Strategy>(strategy: S, property: impl Fn(S::Value)) {
    check_part(1, strategy, property);
}

/// [`check`] over a part of the usual number of cases, for a property that takes long.
pub fn check_part<S: Strategy>(part: u32, strategy: S, property: impl Fn(S::Value)) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    config.cases = config.cases.div_ceil(part);
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    let result = TestRunner::new(config).run(&strategy, |case| {
        property(case);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
