//! Checks for arbitrary bytes: each gives an error or a right result, and never a panic. The fuzz
//! targets and `tests/fuzz.rs` run them.

#[path = "../tests/common/pickles.rs"]
mod pickles;

use std::sync::{LazyLock, Mutex};

use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::case::{CaseFile, Content};
use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::diagnostics::verify;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::reference;
use wgpu_rnn::language_model::LanguageModelParams;
use wgpu_rnn::onnx::OnnxModel;
use wgpu_rnn::pool::{Pool, PoolOptions, Slot};
use wgpu_rnn::{
    Config, Device, Error, ForwardOptions, Kind, LoadOptions, Params, Rnn, Schedule, State,
    StateDict, Tensor, WeightType,
};

/// The most multiply-adds that a check runs. It only reads larger models.
const CHEAP: usize = 200_000;

/// Reads the tensors of a file in every way.
fn tensors(file: &StateDict) {
    for name in file.names() {
        let entry = file.get(name).expect("it was listed");
        if let Ok(values) = file.f32(name) {
            assert_eq!(
                values.len(),
                entry.shape().iter().product::<usize>(),
                "{name}: one value for each element of the shape"
            );
        }
        // Any result is fine, but no panic.
        let _ = (file.i64(name), file.tensor(name), file.input(name));
    }
    let _ = file.lengths();
}

/// Reads a file of weights of any type. Returns whether it holds tensors.
pub fn checkpoint(data: &[u8]) -> bool {
    let Ok(file) = StateDict::parse("fuzz", data.to_vec()) else { return false };
    tensors(&file);
    let _ = (file.key(), file.file_type(), file.all_metadata());
    file.names().next().is_some()
}

/// Reads a pickle in a file of `torch.save` that has some storages. Returns whether it holds
/// tensors.
pub fn pickle(data: &[u8]) -> bool {
    let sizes = [96, 144, 48, 48, 60, 20, 8, 16];
    let storages = sizes.map(|size| (0..size).collect::<Vec<u8>>());
    checkpoint(&pickles::saved(data, &storages.each_ref().map(Vec::as_slice)))
}

/// Reads a file of weights in every way. Returns whether it holds a network.
pub fn state_dict(data: &[u8]) -> bool {
    let Ok(file) = StateDict::parse("fuzz", data.to_vec()) else { return false };
    tensors(&file);
    // Any result is fine, but no panic.
    let _ = file.clone().folded();
    let _ = file.clone().renamed(&[("rnn.", "encoder.rnn.")]);
    let mut found = false;
    for prefix in ["", "rnn.", "encoder.rnn."] {
        let _ = Params::read(&file, prefix, true);
        let cell = Params::from_cell_state_dict(&file, prefix);
        for params in [Params::from_state_dict(&file, prefix), cell].into_iter().flatten() {
            params.config().validate().expect("what was loaded is a module");
            found = true;
        }
        found |= LanguageModelParams::from_state_dict(&file, prefix, None).is_ok();
    }
    found
}

/// Reads an ONNX model in every way. Each network that loads must be a module. Returns whether one
/// loads.
pub fn onnx(data: &[u8]) -> bool {
    let Ok(model) = OnnxModel::parse("fuzz.onnx", data) else { return false };
    for index in 0..model.len() {
        // Any result is fine, but no panic.
        let _ = (model.name(index), model.source(index), model.readers(index));
        if let Ok(node) = model.node(index) {
            let _ = node.attributes();
        }
    }
    let chains = model.chains();
    let nodes: usize = chains.iter().map(|chain| chain.nodes.len()).sum();
    let readable = (0..model.len()).filter(|&index| model.node(index).is_ok()).count();
    assert_eq!(nodes, readable, "each readable node is in one network");
    let mut found = false;
    for index in 0..model.len().min(4) {
        let name = model.name(index);
        for network in [model.network(&name), model.layer(&name)].into_iter().flatten() {
            let config = network.params.config();
            config.validate().expect("what was loaded is a module");
            if let Some(State { h, c }) = &network.state {
                let states = config.num_layers * config.num_directions();
                assert_eq!(h.shape()[0], states, "a state for each layer and direction");
                assert_eq!(c.is_some(), config.kind == Kind::Lstm, "an LSTM has both");
            }
            found = true;
        }
    }
    let _ = model.network("");
    found
}

/// Reads a case. Each case that reads must run and end with a report. Returns whether it ran.
pub fn case(data: &[u8]) -> bool {
    let Ok(file) = StateDict::parse("fuzz", data.to_vec()) else { return false };
    if is_large_recipe(&file) {
        return false;
    }
    let Ok(file) = CaseFile::read(&file) else { return false };
    let Content::Case(case) = &file.content else { return false };
    let rows = case.input.data().len() / case.params.config().input_size.max(1);
    let weights: usize = case.params.values().map(<[f32]>::len).sum();
    if rows.saturating_mul(weights) > CHEAP {
        return false;
    }
    let report = verify::run_file(&Device::cpu(), &file, &LoadOptions::new());
    assert!(
        report.reason.is_some() || report.comparison.is_some(),
        "a report says something: {report:?}"
    );
    report.comparison.is_some()
}

/// Whether a recipe declares many weights or inputs that the file does not hold: reading it would
/// generate them.
fn is_large_recipe(file: &StateDict) -> bool {
    let size = |key| {
        file.metadata(key).and_then(|text| text.parse::<usize>().ok()).unwrap_or_default().max(1)
    };
    let sizes = ["input_size", "hidden_size", "num_layers", "seq_len", "batch"].map(size);
    file.metadata("format") == Some("rnncase-recipe/1")
        && sizes.into_iter().fold(1, usize::saturating_mul) > CHEAP
}

/// Restores snapshots of a pool's slot. An accepted snapshot becomes the state; a refused one
/// changes nothing. Returns whether the slot accepted it.
pub fn snapshot(data: &[u8]) -> bool {
    let stored = |state: State| state.to_bytes().expect("a few bytes");
    if let Ok(bytes) = State::from_bytes(data).map(stored) {
        let again = State::from_bytes(&bytes).expect("its own bytes");
        assert_eq!(stored(again), bytes, "a state that was read is stored as it was");
    }
    static POOL: LazyLock<Mutex<(Pool, Slot)>> = LazyLock::new(|| {
        let params = Params::init(&Config::lstm(2, 3), 0).expect("a valid configuration");
        let pool = Rnn::new(&Device::cpu(), &params)
            .and_then(|rnn| rnn.pool(&PoolOptions::new(1)))
            .expect("a small pool");
        let slot = pool.open().expect("it has a slot");
        Mutex::new((pool, slot))
    });
    let bits = |tensor: &Tensor| -> Vec<u32> {
        tensor.data().iter().map(|value| value.to_bits()).collect()
    };
    let (pool, slot) = &*POOL.lock().expect("no check has panicked before");
    let state = || {
        let state = pool.state(*slot).expect("the slot is open");
        (bits(&state.h), state.c.as_ref().map(bits))
    };
    let before = state();
    match pool.restore(*slot, data) {
        Ok(()) => {
            let file = StateDict::parse("fuzz", data.to_vec()).expect("it was taken");
            let given = |name| bits(&file.tensor(name).expect("it was taken"));
            assert_eq!(state(), (given("h"), Some(given("c"))), "the state is the file's");
            true
        }
        Err(Error::Option(_) | Error::Shape(_)) => {
            assert_eq!(state(), before, "what is refused changes nothing");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// Reads numbers from bytes; 0 after the last byte.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first.into()
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// Returns a small size in most cases, and any size in some.
    fn size(&mut self) -> usize {
        match self.byte() {
            small @ 0..=247 => small % 12,
            248..=252 => self.byte(),
            253 => usize::MAX,
            _ => self.byte() << 24,
        }
    }
}

/// Runs configurations, options and arguments. Each gives an error before any work, or the
/// definition's numbers. Returns whether it gave numbers.
pub fn config(data: &[u8]) -> bool {
    let mut bytes = Bytes(data);
    let kind = Kind::ALL[bytes.byte() % Kind::ALL.len()];
    let mut config = Config::new(kind, bytes.size(), bytes.size())
        .num_layers(bytes.size())
        .bias(!bytes.flag())
        .batch_first(bytes.flag())
        .bidirectional(bytes.flag());
    if bytes.flag() {
        config = config.proj_size(bytes.size());
    }
    let (seq_len, batch) = (bytes.size(), bytes.size());
    // Eight places leave room, so kept inputs mean the same with one schedule more.
    let schedule = Schedule::ALL.get(bytes.byte() % 8).copied().unwrap_or_default();
    let weights = if bytes.flag() { WeightType::F16 } else { WeightType::F32 };
    let mut options = OpenOptions::default();
    for _ in 0..bytes.byte() % 3 {
        let name = Limits::NAMES[bytes.byte() % Limits::NAMES.len()];
        options = options.limit(name, 1 << (bytes.byte() % 40));
    }
    // Sizes alone decide whether a huge module is refused; the check makes nothing of that size.
    if config.validate().is_err() || !is_cheap(&config, Sizes { seq_len, batch }) {
        return false;
    }
    let Ok(device) = Device::cpu_with(&options) else { return false };
    let params = Params::init(&config, 1).expect("a valid configuration has parameters");
    let Ok(rnn) = Rnn::with_options(
        &device,
        &params,
        &LoadOptions::new().schedule(schedule).weights(weights),
    ) else {
        return false;
    };
    let mut random = Mt19937::new(2);
    let mut tensor = |shape: &[usize]| {
        let values = random.uniform_vec(shape.iter().product(), -1.0, 1.0);
        Tensor::new(shape, values).expect("one value for each element of the shape")
    };
    let input = tensor(
        &if config.batch_first { [batch, seq_len] } else { [seq_len, batch] }
            .into_iter()
            .chain([config.input_size])
            .collect::<Vec<_>>(),
    );
    let layers = config.num_layers * config.num_directions();
    let state = bytes.flag().then(|| State {
        h: tensor(&[layers, batch, config.state_size()]),
        c: (kind == Kind::Lstm).then(|| tensor(&[layers, batch, config.hidden_size])),
    });
    let lengths: Option<Vec<usize>> =
        bytes.flag().then(|| (0..batch).map(|_| bytes.byte() % (seq_len + 1)).collect());
    let mut given = ForwardOptions::new();
    given.lengths = lengths.as_deref();
    given.state = state.as_ref();
    match rnn.forward_with(&input, &given) {
        Err(Error::Shape(_) | Error::Option(_) | Error::Limit { .. } | Error::Unsupported(_)) => {
            false
        }
        Err(error) => panic!("{config:?}, {seq_len} x {batch}: {error}"),
        Ok((output, last)) => {
            let rounded = params.rounded(weights).expect("what the module was made of");
            let want = reference::module(&rounded, &input, lengths.as_deref(), state.as_ref())
                .expect("it ran");
            let mut comparison = Comparison::default();
            for (name, got, want) in [
                ("output", Some(&output), &want.output),
                ("h_n", Some(&last.h), &want.h_n),
                ("c_n", last.c.as_ref(), &want.c_n),
            ] {
                if let Some(got) = got {
                    comparison.add(name, got.shape(), got.data(), want, Tolerance::F32);
                }
            }
            let what =
                || format!("{config:?}, {seq_len} x {batch}, {schedule}, {weights:?}, {options:?}");
            assert!(comparison.agrees(), "{}: {}", what(), comparison.describe());
            true
        }
    }
}

fn is_cheap(config: &Config, Sizes { seq_len, batch }: Sizes) -> bool {
    let wide = [config.input_size, config.hidden_size, config.num_layers]
        .into_iter()
        .max()
        .unwrap_or_default();
    let sizes = [wide, wide, config.num_layers, seq_len.max(1), batch.max(1), 8];
    sizes.into_iter().fold(1, usize::saturating_mul) <= 20 * CHEAP
}
