//! Loading state dicts: names and shapes determine the module, and a wrong file is always refused.

#[path = "common/entries.rs"]
mod entries;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use entries::{Entry, entries, missing, state_dict, unexpected, without, wrong_shape};
use half::{bf16, f16};
use safetensors::Dtype;
use wgpu_rnn::internals::error::StateDictProblem;
use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::internals::params::state_dict::to_bytes;
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{Config, Device, Error, Kind, LoadOptions, Params, Rnn, State, StateDict, Tensor};

// --- bytes of a caller ---------------------------------------------------------------------------

/// A memory map, as another crate makes it. It counts the maps that are alive.
struct Map(Vec<u8>, Arc<AtomicUsize>);

impl Map {
    fn new(bytes: Vec<u8>) -> (Self, Arc<AtomicUsize>) {
        let alive = Arc::new(AtomicUsize::new(1));
        (Self(bytes, Arc::clone(&alive)), alive)
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

fn file_of(tensors: &[(&str, &Tensor)]) -> Vec<u8> {
    let no_metadata = HashMap::new();
    to_bytes(Path::new("in memory"), tensors, no_metadata).expect("a few tensors")
}

/// A state dict reads the caller's memory, and its clones share it until the last one ends.
#[test]
fn mapped_bytes_are_not_copied() {
    let tensor = Tensor::new([2, 2], vec![1.0, -2.0, 0.5, f32::MAX]).expect("four values");
    let (map, alive) = Map::new(file_of(&[("a", &tensor), ("b", &tensor)]));
    let memory = map.as_ref().as_ptr_range();
    let file = StateDict::from_bytes(map).expect("a valid file");
    let inside = |file: &StateDict| {
        let bytes = file.bytes("b").expect("it is there").as_ptr();
        memory.contains(&bytes)
    };
    assert!(inside(&file), "a tensor of the caller's memory");
    assert_eq!(file.tensor("b").expect("it is there"), tensor);
    let other = file.clone();
    drop(file);
    assert!(inside(&other) && alive.load(Ordering::Relaxed) == 1, "a clone shares the memory");
    assert_eq!(other.tensor("a").expect("it is there"), tensor);
    drop(other);
    assert_eq!(alive.load(Ordering::Relaxed), 0, "the memory is no longer needed");

    let constant = b"\x02\0\0\0\0\0\0\0{}";
    let file = StateDict::from_bytes(constant).expect("a constant of the program");
    assert_eq!(file.names().count(), 0);
    let shared: Arc<[u8]> = file_of(&[("a", &tensor)]).into();
    assert_eq!(StateDict::from_bytes(shared).expect("shared bytes").names().count(), 1);
    let error = StateDict::from_bytes(b"GGUF\x03\0\0\0").expect_err("another type").to_string();
    assert!(error.starts_with("a state dict in memory: the file is a GGUF file"), "{error}");
}

/// A state and a snapshot of it are the same tensors in one format.
#[test]
fn a_snapshot_of_a_pool_is_a_state() {
    let params = Params::init(&Config::lstm(2, 3), 0).expect("a small module");
    let rnn = Rnn::new(&Device::cpu(), &params).expect("a small module");
    let pool = rnn.pool(&PoolOptions::new(1)).expect("a small pool");
    let slot = pool.open().expect("its slot");
    pool.tick(&[(slot, &[0.5, -1.0])]).expect("a step");
    let snapshot = pool.snapshot(slot).expect("a snapshot");
    let state = State::from_bytes(&snapshot).expect("a state");
    assert_eq!(state, pool.state(slot).expect("the slot is open"));
    assert!(state.h.data().iter().any(|&value| value != 0.0), "after a step");
}

/// Memory that another program changes gives errors and other values, and nothing worse.
#[test]
fn bytes_that_change_are_errors() {
    /// Bytes of which another program cuts the end.
    struct Cut(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Cut {
        fn as_ref(&self) -> &[u8] {
            &self.0[..self.0.len().saturating_sub(self.1.load(Ordering::Relaxed))]
        }
    }
    let bytes = file_of(&[("a", &Tensor::zeros([4]).expect("four values"))]);
    for less in [1, 16, 100, usize::MAX] {
        let cut = Arc::new(AtomicUsize::new(0));
        let file =
            StateDict::from_bytes(Cut(bytes.clone(), Arc::clone(&cut))).expect("whole so far");
        file.f32("a").expect("whole so far");
        cut.store(less, Ordering::Relaxed);
        let error = file.f32("a").expect_err("it is shorter").to_string();
        assert!(error.ends_with("the file ends before its last tensor"), "{error}");
    }
}

// --- making files --------------------------------------------------------------------------------

/// Every tensor of `config`, its names behind `prefix`.
fn module(config: &Config, prefix: &str) -> Vec<Entry> {
    entries(expected_parameters(config), prefix)
}

/// The tensors of `config` under the names of a cell.
fn cell(config: &Config, prefix: &str) -> Vec<Entry> {
    let mut entries = module(config, prefix);
    entries.iter_mut().for_each(|entry| entry.name = entry.name.trim_end_matches("_l0").to_owned());
    entries
}

fn load(entries: &[Entry], prefix: &str) -> Result<Params, Error> {
    Params::from_state_dict(&state_dict(entries, &[]), prefix)
}

/// The config that is read off the tensors.
fn loaded(entries: &[Entry], prefix: &str) -> Config {
    load(entries, prefix)
        .unwrap_or_else(|error| panic!("prefix '{prefix}': {error}"))
        .config()
        .clone()
}

/// The message of tensors that must be refused.
fn refused(entries: &[Entry], prefix: &str) -> String {
    match load(entries, prefix) {
        Ok(params) => panic!("loaded as {:?}", params.config()),
        Err(error) => error.to_string(),
    }
}

/// The problems of tensors that must be refused one by one.
fn problems(entries: &[Entry], prefix: &str) -> Vec<StateDictProblem> {
    match load(entries, prefix) {
        Err(Error::StateDict { problems, .. }) => problems,
        other => panic!("a list of problems was expected, got {other:?}"),
    }
}

/// Changes the tensor of that name.
fn change(entries: &mut [Entry], name: &str, to: Entry) {
    let found = entries.iter_mut().find(|entry| entry.name == name);
    *found.unwrap_or_else(|| panic!("no tensor {name}")) = to;
}

// --- what is read off ----------------------------------------------------------------------------

#[test]
fn every_configuration_is_read_off_its_own_tensors() {
    for kind in [Kind::RnnTanh, Kind::Lstm, Kind::Gru] {
        // 1, and equal sizes, are where a wrong reading could still fit.
        for (input_size, hidden_size) in [(3, 4), (4, 4), (1, 1), (12, 3), (3, 12), (1, 3), (5, 2)]
        {
            for (num_layers, bidirectional, bias) in [
                (1, false, true),
                (1, true, false),
                (2, false, false),
                (2, true, true),
                (11, true, true),
            ] {
                for proj_size in [0, 1, hidden_size - 1] {
                    if proj_size > 0 && kind != Kind::Lstm || proj_size >= hidden_size {
                        continue;
                    }
                    let config = Config::new(kind, input_size, hidden_size)
                        .num_layers(num_layers)
                        .bidirectional(bidirectional)
                        .bias(bias)
                        .proj_size(proj_size);
                    assert_eq!(loaded(&module(&config, ""), ""), config, "without a prefix");
                    assert_eq!(loaded(&module(&config, "a.b."), "a.b."), config, "with a prefix");
                }
            }
        }
    }
}

#[test]
fn each_tensor_lands_in_its_place_whatever_the_order_of_the_file() {
    let config = Config::lstm(3, 4).num_layers(2).bidirectional(true).proj_size(2);
    let mut entries = module(&config, "");
    entries.reverse();
    let params = load(&entries, "").expect("a whole module");
    let mut tag = 0.0;
    for layer in 0..2 {
        for direction in 0..2 {
            let p = params.direction(layer, direction);
            for (name, values) in [
                ("weight_ih", &p.weight_ih),
                ("weight_hh", &p.weight_hh),
                ("bias_ih", &p.bias_ih),
                ("bias_hh", &p.bias_hh),
                ("weight_hr", &p.weight_hr),
            ] {
                let want: Vec<f32> = (0..values.len()).map(|i| tag + i as f32 / 8.0).collect();
                assert_eq!(values, &want, "{name} of layer {layer}, direction {direction}");
                tag += 1.0;
            }
        }
    }
}

#[test]
fn a_cell_is_a_single_layer() {
    for kind in [Kind::RnnTanh, Kind::Lstm, Kind::Gru] {
        for bias in [true, false] {
            let config = Config::new(kind, 3, 4).bias(bias);
            for prefix in ["", "decoder.cell."] {
                assert_eq!(
                    loaded(&cell(&config, prefix), prefix),
                    config,
                    "{kind} with prefix '{prefix}'"
                );
            }
        }
    }
    let whole = cell(&Config::gru(3, 4), "");
    assert_eq!(
        problems(&without(whole.clone(), &["bias_hh"]), ""),
        [missing("bias_hh")],
        "a cell's problems have a cell's names"
    );
    let mut two_layers = whole;
    two_layers.push(Entry::new("weight_ih_l1", &[12, 4], 0.0));
    assert_eq!(
        problems(&two_layers, ""),
        [unexpected("weight_ih_l1")],
        "a cell has no second layer"
    );
}

#[test]
fn other_modules_of_the_same_file_do_not_matter() {
    let (encoder, decoder) =
        (Config::lstm(3, 4).bidirectional(true), Config::gru(8, 5).num_layers(2));
    let mut entries = module(&encoder, "encoder.rnn.");
    entries.extend(module(&decoder, "decoder.rnn."));
    entries.extend(cell(&Config::rnn(2, 2), "encoder.attention."));
    for name in ["encoder.rnn_norm.weight", "decoder.weight", "weight", "fc.weight"] {
        entries.push(Entry::new(name, &[7], 0.0));
    }
    assert_eq!(loaded(&entries, "encoder.rnn."), encoder, "the encoder");
    assert_eq!(loaded(&entries, "decoder.rnn."), decoder, "the decoder");
    assert_eq!(loaded(&entries, "encoder.attention."), Config::rnn(2, 2), "the cell beside it");
    let rnn = Rnn::load(&Device::cpu(), &state_dict(&entries, &[]), "decoder.rnn.")
        .expect("a model on the CPU");
    assert_eq!(rnn.config(), &decoder, "the model has the configuration of its weights");
}

/// A prefix owns every tensor below it. An option of loading allows unused ones.
#[test]
fn tensors_below_a_prefix_are_used_or_refused_at_every_depth() {
    let device = Device::cpu();
    let allow = LoadOptions::new().allow_unused(true);
    let config = Config::lstm(3, 4);
    for prefix in ["", "encoder."] {
        for (below, whole) in [
            ("norm.weight", module(&config, prefix)),
            ("a.b.c.weight_ih_l9_reverse", module(&config, prefix)),
            ("norm.weight", cell(&config, prefix)),
            ("attention.bias_ih_l0", module(&config.clone().bias(false), prefix)),
        ] {
            let name = format!("{prefix}{below}");
            let mut entries = whole.clone();
            entries.push(Entry::new(&name, &[4], 0.0));
            assert_eq!(problems(&entries, prefix), [unexpected(&name)], "{name}");
            let message = refused(&entries, prefix);
            for part in
                [&format!("Unexpected key(s) in state_dict: \"{name}\".\n"), "--allow-unused"]
            {
                assert!(message.contains(part), "'{part}' is not in {message}");
            }
            let file = state_dict(&entries, &[]);
            let rnn = Rnn::load_with(&device, &file, prefix, &allow).expect("allowed");
            assert_eq!(*rnn.config(), loaded(&whole, prefix), "{name}: the same module");
            let (params, note) = Params::read(&file, prefix, true).expect("allowed");
            assert_eq!(params, load(&whole, prefix).expect("whole"), "{name}: the same values");
            let want = format!("test.safetensors holds tensors that are not used: {name}");
            assert_eq!(note, Some(want), "the note");
        }
    }
    let entries = [module(&config, "lstm."), vec![Entry::new("fc.weight", &[2, 4], 0.0)]].concat();
    assert_eq!(Params::read(&state_dict(&entries, &[]), "lstm.", true).expect("whole").1, None);
    assert!(refused(&entries, "").ends_with("recurrent weights are under: lstm."), "the prefix");
}

/// The parts of a reparametrised weight are never unused.
#[test]
fn reparametrised_weights_are_named_and_folded_on_request() {
    let plain = module(&Config::gru(3, 4), "m.");
    let (name, shape) = ("m.weight_hh_l0", [12, 4]);
    let part = |ending: &str, shape: &[usize]| Entry::new(&format!("m.{ending}"), shape, 2.0);
    let norm = "is stored by weight_norm as";
    for (parts, why, stale) in [
        (vec![part("weight_hh_l0_g", &[12, 1]), part("weight_hh_l0_v", &shape)], norm, false),
        (
            vec![
                part("parametrizations.weight_hh_l0.original0", &[12, 1]),
                part("parametrizations.weight_hh_l0.original1", &shape),
            ],
            norm,
            false,
        ),
        (vec![part("weight_hh_l0_raw", &shape)], "is stored by WeightDrop as", true),
    ] {
        let mut entries = without(plain.clone(), &[name]);
        entries.extend(parts.clone());
        let file = state_dict(&entries, &[]);
        let names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
        for allow in [false, true] {
            let message = Params::read(&file, "m.", allow).expect_err("not folded").to_string();
            let listed = format!("Unexpected key(s) in state_dict: \"{}\".", names.join("\", \""));
            let advice = format!("{name} {why} {}: fold", names.join(" and "));
            for part in
                ["Missing key(s) in state_dict: \"m.weight_hh_l0\".", &listed, &advice, "--fold"]
            {
                assert!(message.contains(part), "'{part}' is not in {message}");
            }
        }
        let folded = Params::from_state_dict(&file.folded().expect("parts that fit"), "m.");
        assert_eq!(folded.expect("folded").config(), &Config::gru(3, 4), "{names:?}");
        if stale {
            // A copy that dropout has changed is there as well.
            entries.push(Entry::new(name, &shape, 0.0));
            let file = state_dict(&entries, &[]);
            let message = Params::read(&file, "m.", true).expect_err("two weights").to_string();
            assert!(message.contains("weight_hh_l0_raw"), "{message}");
            let folded = file.folded().expect("parts that fit");
            assert_eq!(folded.f32(name).expect("F32")[0], 2.0, "the raw weight decides");
        }
    }
    // WeightDrop around a module: the raw weight is outside the module's prefix.
    let mut wrapped = module(&Config::gru(3, 4), "m.module.");
    wrapped.push(part("weight_hh_l0_raw", &shape));
    let message = refused(&wrapped, "m.module.");
    assert!(
        message.contains("m.module.weight_hh_l0 is stored by WeightDrop as m.weight"),
        "{message}"
    );
    let folded = state_dict(&wrapped, &[]).folded().expect("parts that fit");
    assert_eq!(folded.f32("m.module.weight_hh_l0").expect("F32")[0], 2.0, "its target");
    // Two matrices of such names, of which neither scales the other.
    let others = ["m.a_g", "m.a_v"].map(|name| Entry::new(name, &[4, 3], 1.0));
    let kept = state_dict(&others, &[]).folded().expect("nothing to fold");
    assert!(kept.names().eq(["m.a_g", "m.a_v"]), "other tensors stay");
    // One weight that only Python can compute; then all weights in parts.
    let mut other = without(plain.clone(), &[name]);
    other.push(part("parametrizations.weight_hh_l0.original", &shape));
    let message = refused(&other, "m.");
    assert!(message.contains("remove_parametrizations"), "{message}");
    let all = [part("weight_ih_l0_raw", &[12, 3]), part("weight_hh_l0_raw", &shape)];
    let message = refused(&all, "m.");
    assert!(message.contains("no recurrent weights") && message.contains("--fold"), "{message}");
}

#[test]
fn a_wrong_prefix_is_answered_with_the_right_ones() {
    let mut entries = module(&Config::lstm(3, 4), "encoder.rnn.");
    entries.extend(cell(&Config::gru(3, 4), "decoder."));
    let all = "recurrent weights are under: decoder., encoder.rnn.";
    for prefix in ["", "encoder.", "encoder.rnn", "rnn.", "decoder.rnn."] {
        let message = refused(&entries, prefix);
        assert!(
            message.contains(&format!("under the prefix '{prefix}'")) && message.ends_with(all),
            "prefix '{prefix}': {message}"
        );
    }
    let message = refused(&module(&Config::lstm(3, 4), ""), "lstm.");
    assert!(message.ends_with("the file's recurrent weights have no prefix"), "{message}");
    let message = refused(&[Entry::new("linear.weight", &[2, 2], 0.0)], "");
    assert!(message.ends_with("the file holds no recurrent weights at all"), "{message}");
    let message = refused(&[], "");
    assert!(message.contains("no recurrent weights"), "an empty file: {message}");
}

// --- element types -------------------------------------------------------------------------------

/// `entries` with each value stored by `store`.
fn converted(entries: &[Entry], dtype: Dtype, store: impl Fn(f32) -> Vec<u8>) -> Vec<Entry> {
    let convert = |entry: &Entry| {
        let values =
            entry.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Entry { dtype, bytes: values.flat_map(&store).collect(), ..entry.clone() }
    };
    entries.iter().map(convert).collect()
}

#[test]
fn half_precision_is_widened_exactly() {
    // Every f16 and every bf16 there is.
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let one = |name: &str, dtype| Entry {
        name: name.to_owned(),
        dtype,
        shape: vec![256, 256],
        bytes: bytes.clone(),
    };
    let file = state_dict(&[one("f16", Dtype::F16), one("bf16", Dtype::BF16)], &[]);
    let (f16s, bf16s) =
        (file.f32("f16").expect("F16 loads"), file.f32("bf16").expect("BF16 loads"));
    for (i, bits) in all.into_iter().enumerate() {
        let want = half_by_definition(bits, 5);
        assert!(same(f16s[i], want), "f16 {bits:#06x}: got {:e}, want {want:e}", f16s[i]);
        let want = half_by_definition(bits, 8);
        assert!(same(bf16s[i], want), "bf16 {bits:#06x}: got {:e}, want {want:e}", bf16s[i]);
    }
}

/// Equal, the sign of zero included, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// A 16-bit float with so many bits of exponent, by IEEE 754's definition.
fn half_by_definition(bits: u16, exponent_bits: u32) -> f32 {
    let fraction_bits = 15 - exponent_bits;
    let bias = (1 << (exponent_bits - 1)) - 1;
    let exponent = i32::from((bits >> fraction_bits) & ((1 << exponent_bits) - 1));
    let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1_u32 << fraction_bits);
    let magnitude = match exponent {
        0 => fraction * 2.0_f64.powi(1 - bias),
        e if e == (1 << exponent_bits) - 1 && fraction == 0.0 => f64::INFINITY,
        e if e == (1 << exponent_bits) - 1 => f64::NAN,
        e => (1.0 + fraction) * 2.0_f64.powi(e - bias),
    };
    (if bits >> 15 == 1 { -magnitude } else { magnitude }) as f32
}

#[test]
fn a_module_in_half_precision_loads_and_one_in_double_precision_is_refused() {
    let config = Config::gru(3, 4);
    let entries = module(&config, "");
    // The values are small multiples of 1/8, which both types hold exactly.
    let want = load(&entries, "").expect("F32");
    let halves = converted(&entries, Dtype::F16, |v| f16::from_f32(v).to_le_bytes().to_vec());
    assert_eq!(load(&halves, "").expect("F16"), want, "F16");
    let brains = converted(&entries, Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec());
    assert_eq!(load(&brains, "").expect("BF16"), want, "BF16");

    let doubles = converted(&entries, Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec());
    let message = refused(&doubles, "");
    for name in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"] {
        let line = format!("unsupported dtype for {name}: found F64, expected F32, F16 or BF16");
        assert!(message.contains(&line), "{name}: {message}");
    }
    assert!(
        message.contains("convert it with tensor.to(torch.float32)"),
        "a way out is named: {message}"
    );
    let message = state_dict(&doubles, &[])
        .f32("bias_ih_l0")
        .expect_err("F64 is not narrowed silently")
        .to_string();
    assert!(message.contains("'bias_ih_l0' has dtype F64, expected F32, F16 or BF16"), "{message}");

    let mixed = [halves[..2].to_vec(), entries[2..].to_vec()].concat();
    assert_eq!(load(&mixed, "").expect("F16 weights and F32 biases"), want, "types may be mixed");
}

/// `nn.Module.forward` refuses what it would have to convert; so does reading an input from a file.
#[test]
fn an_input_of_another_type_is_not_converted() {
    let one = |dtype, size: usize| Entry {
        name: "x".to_owned(),
        dtype,
        shape: vec![1],
        bytes: vec![0; size],
    };
    for (dtype, size, torch) in [
        (Dtype::F16, 2, "torch.float16"),
        (Dtype::BF16, 2, "torch.bfloat16"),
        (Dtype::F64, 8, "torch.float64"),
        (Dtype::I64, 8, "torch.int64"),
        (Dtype::I32, 4, "torch.int32"),
        (Dtype::BOOL, 1, "torch.bool"),
    ] {
        let message =
            state_dict(&[one(dtype, size)], &[]).input("x").expect_err("not F32").to_string();
        assert!(
            message.starts_with(&format!(
                "RNN x dtype ({torch}) does not match weight dtype (torch.float32)."
            )),
            "{dtype}: {message}"
        );
    }
    let x = state_dict(&[one(Dtype::F32, 4)], &[]).input("x").expect("F32 is what a model takes");
    assert_eq!(x, Tensor::zeros([1]).expect("one value"), "the values themselves");
    let error = state_dict(&[], &[]).input("x").expect_err("there is no x");
    assert!(error.to_string().contains("there is no tensor 'x'"), "{error}");
}

// --- strictness ----------------------------------------------------------------------------------

#[test]
fn every_problem_is_listed_in_one_error() {
    let config = Config::lstm(3, 4).num_layers(2).bidirectional(true);
    let mut entries = module(&config, "rnn.");
    entries = without(entries, &["rnn.bias_hh_l0"]);
    entries = without(entries, &["rnn.weight_hh_l1_reverse"]);
    change(&mut entries, "rnn.weight_ih_l1", Entry::new("rnn.weight_ih_l1", &[16, 4], 0.0));
    change(&mut entries, "rnn.bias_ih_l1", Entry::new("rnn.bias_ih_l1", &[16, 1], 0.0));
    let dtype = Entry { dtype: Dtype::I32, ..Entry::new("rnn.bias_ih_l1_reverse", &[16], 0.0) };
    change(&mut entries, "rnn.bias_ih_l1_reverse", dtype);
    entries.push(Entry::new("rnn.weight", &[1], 0.0));
    entries.push(Entry::new("rnn.weight_hr_l1", &[2, 4], 0.0));
    entries.push(Entry::new("elsewhere.weight", &[1], 0.0));
    let Err(error @ Error::StateDict { .. }) = load(&entries, "rnn.") else {
        panic!("eight things are wrong");
    };
    let want = [
        "Error(s) in loading state_dict for LSTM:",
        "Missing key(s) in state_dict: \"rnn.bias_hh_l0\", \"rnn.weight_hh_l1_reverse\".",
        "Unexpected key(s) in state_dict: \"rnn.weight\", \"rnn.weight_hr_l1\".",
        "size mismatch for rnn.weight_ih_l1: copying a param with shape torch.Size([16, 4]) from \
         checkpoint, the shape in current model is torch.Size([16, 8]).",
        "size mismatch for rnn.bias_ih_l1: copying a param with shape torch.Size([16, 1]) from \
         checkpoint, the shape in current model is torch.Size([16]).",
        "unsupported dtype for rnn.bias_ih_l1_reverse: found I32, expected F32, F16 or BF16; a \
         quantized weight needs its scale: save scale * (tensor.to(torch.float32) - zero_point), \
         or tensor.dequantize(). A change of type alone gives wrong numbers",
        "a tensor that the module does not use may change its results: load the module that uses \
         it, or load without it by LoadOptions::allow_unused (--allow-unused)",
    ];
    assert_eq!(error.to_string(), want.join("\n\t"), "PyTorch's lines and order, then advice");
}

#[test]
fn a_direction_a_bias_or_a_layer_is_there_whole_or_not_at_all() {
    let one = module(&Config::lstm(3, 4), "");
    let reverse = |entries: &[Entry], names: &[(&str, &[usize])]| {
        let more = names.iter().map(|(name, shape)| Entry::new(name, shape, 0.0));
        entries.iter().cloned().chain(more).collect::<Vec<_>>()
    };
    assert_eq!(
        problems(&reverse(&one, &[("weight_ih_l0_reverse", &[16, 3])]), ""),
        ["weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse"].map(missing),
        "one tensor of the reverse direction claims all of it"
    );
    let plain = module(&Config::gru(3, 4).bias(false), "");
    assert_eq!(
        problems(&reverse(&plain, &[("bias_ih_l0", &[12])]), ""),
        [missing("bias_hh_l0")],
        "one bias claims the other"
    );
    let two = module(&Config::rnn(3, 4).num_layers(2), "");
    assert_eq!(
        problems(&without(two, &["weight_ih_l1"]), ""),
        [missing("weight_ih_l1")],
        "one tensor of a layer claims all of it"
    );
    let three = module(&Config::rnn(3, 4).num_layers(3).bias(false), "");
    let gap = without(three, &["weight_ih_l1", "weight_hh_l1"]);
    assert_eq!(
        problems(&gap, ""),
        ["weight_ih_l1", "weight_hh_l1"].map(missing),
        "layers 0 and 2 without 1"
    );
    let mut half_projected = module(&Config::lstm(3, 4).num_layers(2).proj_size(2), "");
    half_projected = without(half_projected, &["weight_hr_l1"]);
    assert_eq!(
        problems(&half_projected, ""),
        [missing("weight_hr_l1")],
        "a projection is in every layer"
    );
}

#[test]
fn the_two_tensors_that_tell_the_sizes_are_named_when_missing_or_odd() {
    let lstm = module(&Config::lstm(3, 4), "rnn.");
    for name in ["rnn.weight_ih_l0", "rnn.weight_hh_l0"] {
        assert_eq!(
            problems(&without(lstm.clone(), &[name]), "rnn."),
            [missing(name)],
            "without {name}"
        );
    }
    assert_eq!(
        problems(&without(cell(&Config::lstm(3, 4), ""), &["weight_hh"]), ""),
        [missing("weight_hh")],
        "a cell without weight_hh"
    );
    let with = |name: &str, shape: &[usize]| {
        let mut entries = lstm.clone();
        change(&mut entries, name, Entry::new(name, shape, 0.0));
        refused(&entries, "rnn.")
    };
    for (name, shape, parts) in [
        // Not 1, 3 or 4 times 4 rows.
        ("rnn.weight_ih_l0", &[8, 3][..], &["[8, 3]", "[16, 4]", "hidden_size 4"][..]),
        ("rnn.weight_ih_l0", &[20, 3], &["[20, 3]", "[16, 4]", "hidden_size 4"]),
        ("rnn.weight_ih_l0", &[17, 3], &["[17, 3]", "[16, 4]", "hidden_size 4"]),
        ("rnn.weight_ih_l0", &[5, 3], &["[5, 3]", "[16, 4]", "hidden_size 4"]),
        ("rnn.weight_ih_l0", &[13, 3], &["[13, 3]", "[16, 4]", "hidden_size 4"]),
        ("rnn.weight_hh_l0", &[16, 5], &["[16, 3]", "[16, 5]", "hidden_size 5"]),
        // Rows that make another module of weight_ih.
        (
            "rnn.weight_hh_l0",
            &[12, 4],
            &["weight_hh_l0: copying a param with shape torch.Size([12, 4])", "Size([16, 4])"],
        ),
        // Ranks.
        ("rnn.weight_ih_l0", &[16], &["weight_ih_l0", "matrices", "[16]", "[16, 4]"]),
        ("rnn.weight_ih_l0", &[], &["weight_ih_l0", "matrices", "[]"]),
        ("rnn.weight_hh_l0", &[1, 16, 4], &["weight_hh_l0", "matrices", "[1, 16, 4]"]),
        // Sizes of zero.
        ("rnn.weight_ih_l0", &[16, 0], &["input_size must be greater than zero", "[16, 0]"]),
        ("rnn.weight_ih_l0", &[0, 3], &["[0, 3]", "hidden_size 4"]),
        ("rnn.weight_hh_l0", &[16, 0], &["hidden_size must be greater than zero", "[16, 0]"]),
    ] {
        let message = with(name, shape);
        for part in parts {
            assert!(
                message.contains(part),
                "{name} of shape {shape:?} must be answered with '{part}': {message}"
            );
        }
    }
    let mut flat = module(&Config::lstm(3, 4).proj_size(2), "");
    change(&mut flat, "weight_hr_l0", Entry::new("weight_hr_l0", &[8], 0.0));
    let message = refused(&flat, "");
    assert!(message.contains("weight_hr_l0 must be a matrix, found shape [8]"), "{message}");
    let mut wide = module(&Config::lstm(3, 4).proj_size(2), "");
    change(&mut wide, "weight_hr_l0", Entry::new("weight_hr_l0", &[3, 4], 0.0));
    assert_eq!(
        problems(&wide, ""),
        [wrong_shape("weight_hr_l0", &[2, 4], &[3, 4])],
        "rows of the projection"
    );
    let gru_with_projection =
        [module(&Config::gru(3, 4), ""), vec![Entry::new("weight_hr_l0", &[2, 4], 0.0)]].concat();
    assert_eq!(
        refused(&gru_with_projection, ""),
        "proj_size argument is only supported for LSTM, not RNN or GRU",
        "three gates and a projection"
    );
}

/// The number in a name is not a size of anything until the tensors say so.
#[test]
fn absurd_layer_numbers_are_refused_at_once() {
    let base = module(&Config::gru(3, 4), "");
    let with = |name: &str| [base.clone(), vec![Entry::new(name, &[12, 4], 0.0)]].concat();
    for name in [
        "weight_ih_l4000000000",
        "weight_ih_l18446744073709551614",
        "weight_ih_l18446744073709551615",
        "weight_ih_l5_reverse",
    ] {
        let message = refused(&with(name), "");
        assert!(
            message.contains("layers are named") && message.contains("5 tensors"),
            "{name}: {message}"
        );
    }
    for name in [
        "weight_ih_l18446744073709551616",
        "weight_ih_l99999999999999999999999999",
        "weight_ih_l-1",
        "weight_ih_l",
        "weight_ih_lx",
        "weight_ih_l0_",
        "weight_ih_l 1",
        "weight_xx_l1",
        "_l1",
    ] {
        assert_eq!(problems(&with(name), ""), [unexpected(name)], "'{name}' is no layer's");
    }
    // A number in another form than PyTorch's claims a layer, but names none of its tensors.
    for name in ["weight_ih_l01", "weight_ih_l+1"] {
        let found = problems(&with(name), "");
        assert!(
            found.contains(&unexpected(name)) && found.contains(&missing("weight_ih_l1")),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn only_what_the_tensors_do_not_tell_can_be_changed() {
    let params = Params::init(&Config::rnn(3, 4).num_layers(2), 0).expect("a valid configuration");
    let changed = params.clone().with(|mut config| {
        config.kind = Kind::RnnRelu;
        config.batch_first(true).dropout(0.5)
    });
    let changed = changed.expect("nonlinearity, batch_first and dropout");
    assert_eq!(
        (changed.config().kind, changed.config().batch_first, changed.config().dropout),
        (Kind::RnnRelu, true, 0.5),
        "the changes are there"
    );
    assert_eq!(changed.direction(1, 0), params.direction(1, 0), "the values stay");

    type Change = fn(&mut Config);
    let structural: [(&str, Change); 7] = [
        ("input_size", |config| config.input_size = 4),
        ("hidden_size", |config| config.hidden_size = 5),
        ("num_layers", |config| config.num_layers = 1),
        ("bias", |config| config.bias = false),
        ("bidirectional", |config| config.bidirectional = true),
        ("kind", |config| config.kind = Kind::Gru),
        ("kind and proj_size", |config| (config.kind, config.proj_size) = (Kind::Lstm, 2)),
    ];
    for (what, change) in structural {
        let changed = params.clone().with(|mut config| {
            change(&mut config);
            config
        });
        let message = changed.expect_err(what).to_string();
        assert!(
            message.contains("only nonlinearity, batch_first, dropout, reverse"),
            "{what}: {message}"
        );
    }
    let message = params.with(|config| config.dropout(2.0)).expect_err("out of range").to_string();
    assert!(message.starts_with("dropout should be a number in range [0, 1]"), "{message}");
}
