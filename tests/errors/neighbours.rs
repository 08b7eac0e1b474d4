//! Values of a neighbour: a module that differs in one attribute, or the same axes in another
//! order. Every call refuses them, and its module still works afterwards.

use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{
    Activation, Cell, Config, Device, Kind, Linear, Params, Rnn, State, StateDict, Tensor,
};

use crate::situations::zeros;
use crate::ticks;

const BATCH: usize = 3;

/// No two sizes are equal: equal ones would hide swapped axes.
fn base(kind: Kind) -> Config {
    Config::new(kind, 4, 5).num_layers(2)
}

/// Modules that differ from [`base`] in one attribute.
fn neighbours(kind: Kind) -> Vec<(&'static str, Config)> {
    let mut all = vec![
        ("one layer less", base(kind).num_layers(1)),
        ("one layer more", base(kind).num_layers(3)),
        ("another hidden size", Config::new(kind, 4, 6).num_layers(2)),
    ];
    if kind == Kind::Lstm {
        all.push(("a projection", base(kind).proj_size(2)));
        all.push(("no cell state", base(Kind::Gru)));
    } else {
        all.push(("a cell state", base(Kind::Lstm)));
    }
    all
}

fn state_of(config: &Config, batch: usize) -> State {
    let layers = config.num_layers * if config.bidirectional { 2 } else { 1 };
    let width = if config.proj_size > 0 { config.proj_size } else { config.hidden_size };
    let c = (config.kind == Kind::Lstm).then(|| zeros(&[layers, batch, config.hidden_size]));
    State { h: zeros(&[layers, batch, width]), c }
}

/// The state of one sequence, as pools have it.
fn without_rows(state: &State) -> State {
    let of_row = |tensor: &Tensor| match tensor.shape() {
        &[layers, _, width] => zeros(&[layers, width]),
        shape => zeros(shape),
    };
    State { h: of_row(&state.h), c: state.c.as_ref().map(of_row) }
}

fn rnn(config: &Config) -> Rnn {
    let params = Params::init(config, 0).expect("a valid configuration");
    Rnn::new(&Device::cpu(), &params).expect("a small module")
}

#[track_caller]
fn refused<T>(what: &str, result: Result<T, wgpu_rnn::Error>) {
    assert!(result.is_err(), "{what}: accepted");
}

pub fn a_state_of_a_neighbour_is_refused() {
    for kind in [Kind::RnnTanh, Kind::RnnRelu, Kind::Gru, Kind::Lstm] {
        let module = rnn(&base(kind));
        let mut stream = module.stream(BATCH).expect("a small stream");
        let pool = module.pool(&PoolOptions::new(1)).expect("a small pool");
        let slot = pool.open().expect("a free slot");
        let input = zeros(&[7, BATCH, 4]);
        let of = |shape: [usize; 3]| State {
            h: zeros(&shape),
            c: (kind == Kind::Lstm).then(|| zeros(&shape)),
        };
        let others =
            neighbours(kind).into_iter().map(|(what, other)| (what, state_of(&other, BATCH)));
        let mixed = |h: &State, c: &State| State { h: h.h.clone(), c: c.c.clone() };
        let (own, turned) = (of([2, BATCH, 5]), of([BATCH, 2, 5]));
        let own_row = without_rows(&own);
        let mut states: Vec<_> = others.collect();
        states.extend([
            ("batch first", turned.clone()),
            ("reversed axes", of([5, BATCH, 2])),
            ("another batch", of([2, BATCH + 1, 5])),
            ("both directions", state_of(&base(kind).bidirectional(true), BATCH)),
            ("no batch", State { h: zeros(&[2, 5]), c: own.c.as_ref().map(|_| zeros(&[2, 5])) }),
        ]);
        if kind == Kind::Lstm {
            states.extend([
                ("h batch first", mixed(&turned, &own)),
                ("c batch first", mixed(&own, &turned)),
            ]);
        }
        for (what, state) in &states {
            let what = format!("{kind}, {what}");
            refused(&what, module.forward(&input, Some(state)));
            refused(&what, stream.set_state(state));
            for state in [state, &without_rows(state)] {
                if *state != own_row {
                    refused(&what, pool.set_state(slot, state));
                }
            }
        }
        module.forward(&input, Some(&own)).expect("its own state");
        stream.set_state(&own).expect("its own state");
        pool.set_state(slot, &own_row).expect("its own state");
        stream.forward(&zeros(&[1, BATCH, 4])).expect("the refusals did no harm");
        ticks::outputs(pool.tick(&[(slot, &[0.0; 4])])).expect("the refusals did no harm");
    }
}

/// A snapshot names the kind: the states of an RNN and of a GRU have the same shapes.
pub fn a_snapshot_of_a_neighbour_is_refused() {
    let kinds = [Kind::RnnTanh, Kind::RnnRelu, Kind::Gru, Kind::Lstm];
    for kind in kinds {
        let module = rnn(&base(kind));
        let pool = module.pool(&PoolOptions::new(1)).expect("a small pool");
        let slot = pool.open().expect("a free slot");
        let mut others = neighbours(kind);
        others.extend(
            kinds.into_iter().filter(|&other| other != kind).map(|other| ("kind", base(other))),
        );
        for (what, other) in others {
            let module = rnn(&other);
            let other = module.pool(&PoolOptions::new(1)).expect("a small pool");
            let snapshot = other.snapshot(other.open().expect("a free slot")).expect("a state");
            refused(&format!("{kind}, {what}"), pool.restore(slot, &snapshot));
        }
        let own = pool.snapshot(slot).expect("a state");
        pool.restore(slot, &own).expect("its own snapshot");
    }
}

/// Transposed weights have as many values.
pub fn weights_with_reversed_shapes_are_refused() {
    for kind in [Kind::RnnTanh, Kind::Gru, Kind::Lstm] {
        let config = Config::new(kind, 4, 5);
        let shapes = wgpu_rnn::internals::params::expected_parameters(&config);
        for (turned, shape) in
            shapes.iter().filter(|(_, shape)| shape.len() == 2 && shape[0] != shape[1])
        {
            let tensors: Vec<_> = shapes
                .iter()
                .map(|(name, shape)| {
                    let mut shape = shape.clone();
                    if name == turned {
                        shape.reverse();
                    }
                    (name.as_str(), zeros(&shape))
                })
                .collect();
            let views: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
            let bytes = wgpu_rnn::internals::params::state_dict::to_bytes(
                "in memory".as_ref(),
                &views,
                std::collections::HashMap::new(),
            );
            let file = StateDict::parse("in memory", bytes.expect("a few tensors"));
            let file = file.expect("a valid file");
            refused(&format!("{kind}, {turned} {shape:?}"), Rnn::load(&Device::cpu(), &file, ""));
        }
    }
    let cpu = Device::cpu();
    let linear = Linear::new(&cpu, &zeros(&[3, 2]), Some(&[0.0; 2]), Activation::None);
    refused("the bias of a transposed layer", linear);
}

/// The state of a cell has no layers.
pub fn a_state_of_another_cell_is_refused() {
    for kind in [Kind::RnnTanh, Kind::Gru, Kind::Lstm] {
        let params = Params::init(&Config::new(kind, 4, 5), 0).expect("a valid configuration");
        let cell = Cell::new(&Device::cpu(), &params).expect("a small cell");
        let mut stream = cell.stream(BATCH).expect("a small stream");
        let of = |shape: &[usize]| State {
            h: zeros(shape),
            c: (kind == Kind::Lstm).then(|| zeros(shape)),
        };
        for shape in [&[5, BATCH][..], &[BATCH, 4], &[BATCH + 1, 5], &[1, BATCH, 5], &[5]] {
            let what = format!("{kind}, {shape:?}");
            refused(&what, cell.forward(&zeros(&[BATCH, 4]), Some(&of(shape))));
            refused(&what, stream.set_state(&of(shape)));
        }
        stream.set_state(&of(&[BATCH, 5])).expect("its own state");
    }
}
