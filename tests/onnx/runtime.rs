//! Random models against the results of ONNX Runtime, from `tests/fixtures/onnx_models.py`.
//!
//! `tests/fixtures/onnx` has some. `WGPU_RNN_ONNX=FOLDER` adds a folder with more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::internals::params::validate::whole_state;
use wgpu_rnn::internals::reference;
use wgpu_rnn::onnx::OnnxModel;
use wgpu_rnn::variant::ActivationFunction;
use wgpu_rnn::{Device, ForwardOptions, Rnn, StateDict, Tensor};

/// ONNX Runtime computes in f32, with its own functions.
const TOLERANCE: Tolerance = Tolerance::new(2e-5, 2e-5);

/// The values of ONNX Runtime for one model, in the layout of this library.
struct Case {
    name: String,
    network: wgpu_rnn::onnx::OnnxNetwork,
    input: Tensor,
    lengths: Option<Vec<usize>>,
    state: Option<wgpu_rnn::State>,
    /// `output`, `h_n` and `c_n`, each with its shape.
    want: Vec<(&'static str, Vec<usize>, Vec<f64>)>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Returns `[T, D, B, H]` as `[T, B, D·H]`.
fn turned(y: &Tensor) -> Tensor {
    let &[steps, directions, batch, hidden] = y.shape() else { panic!("four axes") };
    let mut values = Vec::new();
    for step in 0..steps {
        for row in 0..batch {
            for direction in 0..directions {
                let at = ((step * directions + direction) * batch + row) * hidden;
                values.extend_from_slice(&y.data()[at..at + hidden]);
            }
        }
    }
    Tensor::new([steps, batch, directions * hidden], values).expect("the same values")
}

fn case(model: &Path) -> Case {
    let network = OnnxModel::open(model).and_then(|model| model.network("cell"));
    let network = network.unwrap_or_else(|error| panic!("{error}"));
    let file = StateDict::open(model.with_extension("safetensors")).expect("it is beside");
    let get = |name: &str| file.tensor(name).unwrap_or_else(|error| panic!("{error}"));
    let given = |role| network.inputs.iter().any(|(given, _)| *given == role);
    let part = |role, stored: Option<&Tensor>| match given(role) {
        true => Some(get(role)),
        false => stored.cloned(),
    };
    let stored = network.state.as_ref();
    let h = part("h_0", stored.map(|state| &state.h));
    let c = part("c_0", stored.and_then(|state| state.c.as_ref()));
    let config = network.params.config();
    let state = whole_state(config, h, c).expect("a small state");
    let lengths = match given("lengths") {
        true => Some(file.lengths().expect("lengths")),
        false => network.lengths.clone(),
    };
    let y = get("Y");
    let y = match y.shape() {
        &[b, t, d, h] if config.batch_first => {
            Tensor::new([b, t, d * h], y.into_data()).expect("the same")
        }
        _ => turned(&y),
    };
    let states = [
        ("Y_h", state.as_ref().map(|state| &state.h)),
        ("Y_c", state.as_ref().and_then(|state| state.c.as_ref())),
    ];
    let [h_n, c_n] = states.map(|(name, initial)| {
        file.get(name).map(|_| of_zero_rows(get(name), initial, lengths.as_deref()))
    });
    let named = [("output", Some(y)), ("h_n", h_n), ("c_n", c_n)];
    let want = named.into_iter().filter_map(|(name, tensor)| {
        let tensor = tensor?;
        Some((name, tensor.shape().to_vec(), wide(tensor.data())))
    });
    let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Case { name, want: want.collect(), input: get("X"), network, lengths, state }
}

/// ONNX Runtime returns zeros as the last state of a row of length 0. The specification changes a
/// state in steps only, and this row has none: it keeps its initial state.
fn of_zero_rows(mut last: Tensor, initial: Option<&Tensor>, lengths: Option<&[usize]>) -> Tensor {
    let &[directions, batch, hidden] = last.shape() else { panic!("three axes") };
    for (row, _) in lengths.iter().flat_map(|l| l.iter()).enumerate().filter(|(_, l)| **l == 0) {
        for direction in 0..directions {
            let range = (direction * batch + row) * hidden..(direction * batch + row + 1) * hidden;
            let found = &mut last.data_mut()[range.clone()];
            assert!(found.iter().all(|value| *value == 0.0), "ONNX Runtime has changed: {found:?}");
            if let Some(initial) = initial {
                found.copy_from_slice(&initial.data()[range]);
            }
        }
    }
    last
}

/// The models of a folder, sorted.
fn models(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut models: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    models.sort();
    models
}

fn compared(case: &Case, got: [(&[usize], Vec<f32>); 3]) -> Comparison {
    let mut comparison = Comparison::default();
    for ((name, shape, want), (found, got)) in case.want.iter().zip(got) {
        assert_eq!(shape, found, "{}: the shape of {name}", case.name);
        comparison.add(name, shape, &got, want, TOLERANCE);
    }
    comparison
}

fn by_reference(case: &Case) -> Comparison {
    let outputs = reference::module(
        &case.network.params,
        &case.input,
        case.lengths.as_deref(),
        case.state.as_ref(),
    );
    let outputs = outputs.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
    let shapes: Vec<&[usize]> = case.want.iter().map(|(_, shape, _)| shape.as_slice()).collect();
    let shape = |index: usize| shapes.get(index).copied().unwrap_or_default();
    let got = [&outputs.output, &outputs.h_n, &outputs.c_n];
    compared(case, std::array::from_fn(|index| (shape(index), narrow(got[index]))))
}

/// Runs a case on the CPU engine.
fn by_engine(case: &Case) -> Comparison {
    let rnn = Rnn::new(&Device::cpu(), &case.network.params);
    let rnn = rnn.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let mut options = ForwardOptions::new();
    options.lengths = case.lengths.as_deref();
    options.state = case.state.as_ref();
    let (output, state) = rnn.forward_with(&case.input, &options).expect("it runs");
    let of = |tensor: &Tensor| tensor.data().to_vec();
    let c = state.c.as_ref();
    let got = [
        (output.shape(), of(&output)),
        (state.h.shape(), of(&state.h)),
        (c.map_or(&[], Tensor::shape), c.map(of).unwrap_or_default()),
    ];
    compared(case, got)
}

/// Fails unless at least `least` models are there, and all agree.
fn agree(folder: &Path, least: usize) {
    let models = models(folder);
    assert!(models.len() >= least, "only {} models are in {}", models.len(), folder.display());
    let (mut worst, mut problems) = ([0.0_f64; 2], Vec::new());
    for model in &models {
        let case = case(model);
        let both = [by_reference(&case), by_engine(&case)];
        for (worst, comparison) in worst.iter_mut().zip(both) {
            *worst = worst.max(comparison.max_abs);
            if !comparison.agrees() {
                let config = case.network.params.config();
                problems.push(format!("{} {config}: {}", case.name, comparison.describe()));
            }
        }
    }
    println!(
        "{} models; largest differences: reference {:.1e}, engine {:.1e}",
        models.len(),
        worst[0],
        worst[1]
    );
    assert!(problems.is_empty(), "{} disagree:\n{}", problems.len(), problems.join("\n"));
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx"))
}

#[test]
fn random_models_agree_with_onnx_runtime() {
    agree(fixtures(), 80);
    if let Some(folder) = std::env::var_os("WGPU_RNN_ONNX") {
        agree(Path::new(&folder), 1);
    }
}

#[test]
fn random_models_have_every_attribute() {
    let mut found = BTreeSet::new();
    for path in models(fixtures()) {
        let model = OnnxModel::open(&path).unwrap_or_else(|error| panic!("{error}"));
        let node = model.node(0).unwrap_or_else(|error| panic!("{error}"));
        let operator = node.operator.name();
        for (name, value) in node.attributes() {
            let value = if name == "direction" { value } else { String::new() };
            found.insert(format!("{operator} {name} {value}"));
        }
        found.extend(node.activations.iter().flatten().map(|f| f.name().to_owned()));
        let Case { network, lengths, .. } = case(&path);
        for (role, is_there) in [
            ("stored state", network.state.is_some()),
            ("stored lengths", network.lengths.is_some()),
            ("P", node.p.is_some()),
            ("no B", node.b.is_none()),
            ("empty row", lengths.is_some_and(|lengths| lengths.contains(&0))),
        ] {
            found.extend(is_there.then(|| format!("{operator} {role}")));
        }
        found.extend(network.inputs.iter().map(|(role, _)| format!("{operator} gives {role}")));
    }
    let mut want: Vec<String> = ActivationFunction::ALL.map(|f| f.name().to_owned()).to_vec();
    for operator in ["RNN", "GRU", "LSTM"] {
        for what in [
            "direction reverse",
            "direction bidirectional",
            "layout ",
            "activations ",
            "clip ",
            "stored state",
            "stored lengths",
            "no B",
            "empty row",
            "gives h_0",
            "gives lengths",
        ] {
            want.push(format!("{operator} {what}"));
        }
    }
    want.extend(["GRU linear_before_reset ", "LSTM input_forget ", "LSTM P"].map(str::to_owned));
    want.push("LSTM gives c_0".to_owned());
    let missing: Vec<_> = want.iter().filter(|want| !found.contains(*want)).collect();
    assert!(missing.is_empty(), "no model has {missing:?}; all have {found:?}");
}

#[test]
fn a_wrong_value_disagrees() {
    let mut case = case(&models(fixtures())[0]);
    assert!(by_reference(&case).agrees(), "it agrees as it is");
    let (_, _, values) = &mut case.want[0];
    *values.last_mut().expect("it has steps") += 1e-3;
    assert!(!by_reference(&case).agrees(), "the last value differs");
    assert!(!by_engine(&case).agrees(), "the last value");
}
