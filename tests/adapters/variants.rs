//! Cells that PyTorch lacks, against the definition in f64.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::reference;
use wgpu_rnn::variant::{ActivationFunction, Coupling, Functions, Reset, Variant};
use wgpu_rnn::{
    Config, Device, Error, Kind, LoadOptions, Params, Rnn, Schedule, State, Tensor, WeightType,
};

use crate::{Target, ensure, seeded};

/// Every function takes each of the three places, in one direction or the other.
fn functions(place: usize) -> [Functions; 2] {
    let of = |at: usize| {
        let function = ActivationFunction::ALL[at % ActivationFunction::ALL.len()];
        function.with(Some([0.4, 0.9][at % 2]), Some(0.3))
    };
    [[of(place), of(place + 1), of(place + 2)], [of(place + 3), of(place + 5), of(place + 7)]]
}

/// Differences of each part, alone and together.
fn variants(kind: Kind) -> Vec<Variant> {
    let plain = Variant::default();
    let with = |change: &dyn Fn(&mut Variant)| {
        let mut variant = plain;
        change(&mut variant);
        variant
    };
    let mut all: Vec<_> = (0..ActivationFunction::ALL.len())
        .map(|place| {
            with(&|v| {
                v.functions = Some(functions(place));
                // Gates of an unbounded function let a state grow without end.
                v.gate_clip = (kind.gate_count() > 1).then_some(0.9);
            })
        })
        .collect();
    all.push(with(&|v| v.gate_clip = Some(0.3)));
    match kind {
        Kind::Lstm => all.extend([
            with(&|v| v.peepholes = true),
            with(&|v| v.cell_clip = Some(0.1)),
            with(&|v| v.coupling = Some(Coupling::ForgetFromInput)),
            with(&|v| v.coupling = Some(Coupling::InputFromForget)),
            with(&|v| {
                v.functions = Some(functions(2));
                v.gate_clip = Some(0.7);
                v.cell_clip = Some(0.4);
                v.peepholes = true;
                v.coupling = Some(Coupling::ForgetFromInput);
            }),
        ]),
        Kind::Gru => all.extend([
            with(&|v| v.reset = Reset::BeforeProduct),
            with(&|v| {
                v.functions = Some(functions(4));
                v.gate_clip = Some(0.7);
                v.reset = Reset::BeforeProduct;
            }),
        ]),
        _ => {}
    }
    all
}

/// The modules of a test: every variant, in several shapes, and variants with a projection.
fn modules() -> Vec<(Config, usize)> {
    let shapes =
        [(3, 13, 1, true, 3), (17, 33, 2, false, 5), (5, 40, 2, true, 1), (8, 6, 1, false, 17)];
    let mut all = Vec::new();
    for &kind in Kind::ALL {
        for (at, variant) in variants(kind).into_iter().enumerate() {
            let (input_size, hidden_size, layers, both, batch) = shapes[at % shapes.len()];
            let config = Config::new(kind, input_size, hidden_size).num_layers(layers);
            all.push((config.bidirectional(both).variant(variant), batch));
        }
    }
    for mut variant in variants(Kind::Lstm).into_iter().rev().take(3) {
        variant.projection_clip = Some(0.05);
        let config = Config::lstm(5, 21).proj_size(6).num_layers(2).bidirectional(true);
        all.push((config.variant(variant), 4));
    }
    all
}

/// A state within ±0.5.
fn state(config: &Config, batch: usize) -> Result<State, Failed> {
    let layers = config.num_layers * config.num_directions();
    let of = |seed, width| seeded::tensor(seed, &[layers, batch, width], 0.5);
    let c = (config.kind == Kind::Lstm).then(|| of(6, config.hidden_size));
    Ok(State { h: of(5, config.state_size()), c })
}

/// Compares a forward pass of rows of several lengths with the definition.
fn check(rnn: &Rnn, params: &Params, batch: usize) -> Result<f64, Failed> {
    let (config, seq_len) = (params.config(), 6);
    let input = seeded::tensor(8, &[seq_len, batch, config.input_size], 2.0);
    let lengths: Vec<usize> = (0..batch).map(|row| [6, 0, 1, 4][row % 4]).collect();
    let first = state(config, batch)?;
    let (output, state) = rnn.forward_lengths(&input, &lengths, Some(&first))?;
    let want = reference::module(params, &input, Some(&lengths), Some(&first))?;
    let mut comparison = Comparison::default();
    let mut add = |name: &str, got: &Tensor, want: &[f64]| {
        comparison.add(name, got.shape(), got.data(), want, Tolerance::F32);
    };
    add("output", &output, &want.output);
    add("h_n", &state.h, &want.h_n);
    if let Some(c) = &state.c {
        add("c_n", c, &want.c_n);
    }
    let what = format!("{config}, {batch} rows: {}", comparison.describe());
    ensure(comparison.agrees() && comparison.count > 0, what)?;
    Ok(comparison.max_abs)
}

/// Whether a schedule refuses a module, by a name that the error has.
fn refused(schedule: Schedule, config: &Config) -> Option<&'static str> {
    let early = config.variant.reset == Reset::BeforeProduct;
    match schedule {
        Schedule::Auto | Schedule::Step | Schedule::StepTiled => None,
        _ if config.proj_size > 0 => Some("has no projection (proj_size)"),
        _ if early => Some("has no reset gate before the product (Reset::BeforeProduct)"),
        Schedule::Persistent => Some("has PyTorch's cells only"),
        _ => None,
    }
}

pub fn against_the_definition(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut worst = 0.0_f64;
    for (config, batch) in modules() {
        let config = target.suited(config);
        let params = Params::init(&config, 7)?;
        let rnn = Rnn::with_options(&device, &params, &target.options());
        match (rnn, refused(target.schedule, &config)) {
            (Ok(rnn), None) => worst = worst.max(check(&rnn, &params, batch)?),
            (Err(Error::Unsupported(error)), Some(why)) => {
                ensure(error.contains(why), format!("{config}: {error}, want '{why}'"))?;
            }
            (result, want) => {
                let found = result.err().map(|error| error.to_string());
                return Err(format!("{config}: {found:?}, want {want:?}").into());
            }
        }
    }
    println!("{device}: variants: largest error against the definition {worst:.2e}");
    Ok(())
}

/// Shards of units and rounded weights, by `auto`.
pub fn in_shards_and_f16(target: &Target) -> Result<(), Failed> {
    let small = OpenOptions::default().limit("max_storage_buffer_binding_size", 4_096);
    let device = target.open(&small)?;
    let plain = Variant::default();
    let mut early = plain;
    early.reset = Reset::BeforeProduct;
    let mut peepholes = plain;
    (peepholes.peepholes, peepholes.projection_clip) = (true, Some(0.05));
    let gru = Config::gru(9, 37).num_layers(2).bidirectional(true).variant(early);
    let lstm = Config::lstm(9, 37).proj_size(11).num_layers(2).variant(peepholes);
    for config in [gru, lstm] {
        for weights in WeightType::ALL {
            let params = Params::init(&config, 3)?;
            let options = LoadOptions::new().weights(*weights);
            let rnn = Rnn::with_options(&device, &params, &options)?;
            check(&rnn, &params.rounded(*weights)?, 5)?;
        }
    }
    Ok(())
}

/// A reverse module gives the reverse direction of a bidirectional one, by the same schedule to the
/// last bit.
pub fn reverse_is_the_reverse_direction(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        for batch_first in [false, true] {
            let both = Config::new(kind, 5, 9).bidirectional(true).batch_first(batch_first);
            let alone = Config::new(kind, 5, 9).reverse(true).batch_first(batch_first);
            let params = Params::init(&both, 4)?;
            let reverse = params.direction(0, 1).clone();
            let own = Params::from_fn(&alone, |name, _| {
                Ok(match name {
                    "weight_ih_l0" => reverse.weight_ih.clone(),
                    "weight_hh_l0" => reverse.weight_hh.clone(),
                    "bias_ih_l0" => reverse.bias_ih.clone(),
                    _ => reverse.bias_hh.clone(),
                })
            })?;
            let shape = if batch_first { [4, 7, 5] } else { [7, 4, 5] };
            let (input, lengths) = (seeded::tensor(2, &shape, 1.0), [7, 0, 3, 6]);
            let of = |device: &Device, params| Rnn::with_options(device, params, &target.options());
            let (want, want_state) =
                of(&device, &params)?.forward_lengths(&input, &lengths, None)?;
            let (got, state) = of(&device, &own)?.forward_lengths(&input, &lengths, None)?;
            let second = |values: &[f32]| -> Vec<f32> {
                values.chunks(18).flat_map(|row| row[9..].to_vec()).collect()
            };
            // `auto` may take another schedule for two directions.
            let allowed = if target.schedule == Schedule::Auto { 1e-6 } else { 0.0 };
            let alike = |got: &[f32], want: &[f32]| {
                let near = |(got, want): (&f32, &f32)| (got - want).abs() <= allowed;
                got.len() == want.len() && got.iter().zip(want).all(near)
            };
            ensure(alike(got.data(), &second(want.data())), format!("{kind}: the output"))?;
            let rows = want_state.h.data().len() / 2;
            let h_n = &want_state.h.data()[rows..];
            ensure(alike(state.h.data(), h_n), format!("{kind}: h_n"))?;
        }
    }
    Ok(())
}
