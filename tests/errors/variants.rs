//! Each variant of [`Error`] that a caller can match is reached by the calls that it stands for.

use wgpu_rnn::device::{OpenOptions, Selection};
use wgpu_rnn::language_model::{
    GenerateOptions, LanguageModel, LanguageModelConfig, LanguageModelParams, Vocabulary,
};
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{
    Activation, Cell, Config, Device, Embedding, Error, Kind, Linear, LoadOptions, Params, Rnn,
    Schedule, State, WeightType, pad_sequence, unpad_sequence,
};

use crate::situations::zeros;
use crate::ticks;

fn rnn(config: &Config) -> Rnn {
    Rnn::new(&Device::cpu(), &params(config)).expect("a small module")
}

fn params(config: &Config) -> Params {
    Params::init(config, 0).expect("a valid configuration")
}

fn model() -> LanguageModel {
    let config = LanguageModelConfig::new(Kind::Gru, 7, 3, 4, 1);
    let params = LanguageModelParams::init(&config, 0).expect("a valid configuration");
    LanguageModel::new(&Device::cpu(), &params).expect("a small model")
}

/// Fails unless every call was refused with a variant.
#[track_caller]
fn all(variant: fn(&Error) -> bool, calls: Vec<(&str, Result<(), Error>)>) {
    for (what, result) in calls {
        match result {
            Ok(()) => panic!("{what}: accepted"),
            Err(error) => assert!(variant(&error), "{what}: {error:?}"),
        }
    }
}

pub fn shapes_and_lengths_that_do_not_fit() {
    let gru = rnn(&Config::gru(3, 4));
    let cell = Cell::new(&Device::cpu(), &params(&Config::gru(3, 4))).expect("a small cell");
    let linear = Linear::new(&Device::cpu(), &zeros(&[2, 3]), None, Activation::None);
    let mut stream = gru.stream(2).expect("a small stream");
    let state = State { h: zeros(&[1, 2, 5]), c: None };
    let input = zeros(&[6, 2, 3]);
    all(
        |error| matches!(error, Error::Shape(_)),
        vec![
            ("input of one axis", gru.forward(&zeros(&[3]), None).map(drop)),
            ("features", gru.forward(&zeros(&[6, 2, 4]), None).map(drop)),
            ("no steps", gru.forward(&zeros(&[0, 2, 3]), None).map(drop)),
            ("state", gru.forward(&input, Some(&state)).map(drop)),
            ("number of lengths", gru.forward_lengths(&input, &[6], None).map(drop)),
            ("a length", gru.forward_lengths(&input, &[6, 7], None).map(drop)),
            ("lengths of one row", gru.forward_lengths(&zeros(&[6, 3]), &[6], None).map(drop)),
            ("cell", cell.forward(&zeros(&[2, 4]), None).map(drop)),
            ("rows of a stream", stream.forward(&zeros(&[1, 3, 3])).map(drop)),
            ("state of a stream", stream.set_state(&state)),
            ("output", stream.forward_into(&zeros(&[1, 2, 3]), &mut zeros(&[1, 2, 3]))),
            ("features of a layer", linear.and_then(|it| it.forward(&zeros(&[2, 4]))).map(drop)),
            (
                "weight of a layer",
                Linear::new(&Device::cpu(), &zeros(&[2]), None, Activation::None).map(drop),
            ),
            ("table", Embedding::new(&Device::cpu(), &zeros(&[2]), None).map(drop)),
            ("sequences", pad_sequence(&[zeros(&[2, 3]), zeros(&[2, 4])], false).map(drop)),
            ("padded", unpad_sequence(&zeros(&[2, 3]), &[1, 2], false).map(drop)),
            ("tokens", model().forward(&[1, 2, 3], 2, None).map(drop)),
            ("text", model().score(&[1], 1).map(drop)),
            ("prompt", model().generate(&[&[]], &GenerateOptions::default()).map(drop)),
        ],
    );
}

pub fn options_and_values_out_of_range_or_contradictory() {
    let gru = rnn(&Config::gru(3, 4));
    let bidirectional = rnn(&Config::gru(3, 4).bidirectional(true));
    let reverse = rnn(&Config::gru(3, 4).reverse(true));
    let pool = gru.pool(&PoolOptions::new(1)).expect("a small pool");
    let slot = pool.open().expect("a free slot");
    let both = State { h: zeros(&[1, 2, 4]), c: Some(zeros(&[1, 2, 4])) };
    let table = Embedding::new(&Device::cpu(), &zeros(&[2, 3]), None).expect("a small table");
    let limit =
        |name: &str, value| Device::cpu_with(&OpenOptions::default().limit(name, value)).map(drop);
    let mut large = params(&Config::gru(3, 4));
    let mut values = |_: &str, shape: &[usize]| Ok(vec![1e5; shape.iter().product()]);
    large = Params::from_fn(&large.config().clone(), &mut values).expect("as many values");
    all(
        |error| matches!(error, Error::Option(_)),
        vec![
            ("c of a GRU", gru.forward(&zeros(&[6, 2, 3]), Some(&both)).map(drop)),
            ("a bidirectional stream", bidirectional.stream(1).map(drop)),
            ("a bidirectional pool", bidirectional.pool(&PoolOptions::new(1)).map(drop)),
            ("a reverse stream", reverse.stream(1).map(drop)),
            ("a reverse pool", reverse.pool(&PoolOptions::new(1)).map(drop)),
            ("no slots", gru.pool(&PoolOptions::new(0)).map(drop)),
            ("a slot twice", ticks::outputs(pool.tick(&[(slot, &[0.0; 3][..]); 2])).map(drop)),
            ("no snapshot", pool.restore(slot, b"not safetensors")),
            ("a row of a table", table.forward(&[2], &[1]).map(drop)),
            ("padding_idx", Embedding::new(&Device::cpu(), &zeros(&[2, 3]), Some(2)).map(drop)),
            ("a token", model().forward(&[7], 1, None).map(drop)),
            ("streams of a text", model().score(&[1, 2], 0).map(drop)),
            (
                "temperature",
                model()
                    .generate(&[&[1]], &GenerateOptions::default().temperature(f32::NAN))
                    .map(drop),
            ),
            ("top_p", model().generate(&[&[1]], &GenerateOptions::default().top_p(0.0)).map(drop)),
            ("stop", model().generate(&[&[1]], &GenerateOptions::default().stop(99)).map(drop)),
            ("a limit of zero", limit("memory_budget", 0)),
            ("no threads", Device::cpu_with(&OpenOptions::default().threads(0)).map(drop)),
            (
                "weights beyond f16",
                Rnn::with_options(
                    &Device::cpu(),
                    &large,
                    &LoadOptions::new().weights(WeightType::F16),
                )
                .map(drop),
            ),
            ("an empty token", Vocabulary::new(vec![String::new()]).map(drop)),
        ],
    );
}

pub fn unknown_names() {
    let vocabulary = Vocabulary::new(vec!["a".to_owned(), "b".to_owned()]).expect("two letters");
    all(
        |error| matches!(error, Error::UnknownName(_)),
        vec![
            ("schedule", "fast".parse::<Schedule>().map(drop)),
            ("type", "f8".parse::<WeightType>().map(drop)),
            ("kind", "transformer".parse::<Kind>().map(drop)),
            ("limit", Device::cpu_with(&OpenOptions::default().limit("speed", 1)).map(drop)),
            ("selector", Selection::of("all").map(drop)),
            ("empty selector", Selection::of("").map(drop)),
            ("character", vocabulary.encode("abc").map(drop)),
        ],
    );
}

pub fn full_pools_and_wrong_frames() {
    let pool = rnn(&Config::gru(3, 4)).pool(&PoolOptions::new(1)).expect("a small pool");
    let slot = pool.open().expect("a free slot");
    let full = pool.open().expect_err("the only slot is open");
    assert!(matches!(full, Error::PoolFull(_)), "{full:?}");
    let tick = |frame: &[f32]| ticks::outputs(pool.tick(&[(slot, frame)])).map(drop);
    all(
        |error| matches!(error, Error::FrameSize(_)),
        vec![("a part of a step", tick(&[0.0])), ("a step too many", tick(&[0.0; 6]))],
    );
}

pub fn closed_slots() {
    let pool = rnn(&Config::gru(3, 4)).pool(&PoolOptions::new(2)).expect("a small pool");
    let slot = pool.open().expect("a free slot");
    let snapshot = pool.snapshot(slot).expect("it is open");
    pool.close(slot).expect("it is open");
    let state = State { h: zeros(&[1, 4]), c: None };
    all(
        |error| matches!(error, Error::SlotClosed(_)),
        vec![
            ("close", pool.close(slot)),
            ("reset", pool.reset(slot)),
            ("tick", ticks::outputs(pool.tick(&[(slot, &[0.0; 3])])).map(drop)),
            ("state", pool.state(slot).map(drop)),
            ("set_state", pool.set_state(slot, &state)),
            ("snapshot", pool.snapshot(slot).map(drop)),
            ("restore", pool.restore(slot, &snapshot)),
        ],
    );
    pool.open().expect("the slot is free again");
    assert!(
        matches!(pool.state(slot), Err(Error::SlotClosed(_))),
        "opened anew under another name"
    );
}
