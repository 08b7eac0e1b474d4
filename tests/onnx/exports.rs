//! Exports of PyTorch by both of its exporters, from `tests/fixtures/onnx_exports.py`.

use std::path::Path;

use wgpu_rnn::internals::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::onnx::OnnxModel;
use wgpu_rnn::{Device, ForwardOptions, Rnn, State, StateDict};

/// Runs the network of an export, and compares it with PyTorch's results.
fn check(model: &Path) -> Comparison {
    let name = model.display();
    let network = OnnxModel::open(model).and_then(|model| model.network(""));
    let network = network.unwrap_or_else(|error| panic!("{name}: {error}"));
    let file = StateDict::open(model.with_extension("safetensors")).expect("it is beside");
    let get = |name: &str| file.get(name).map(|_| file.tensor(name).expect("f32 values"));
    let state = get("h_0").map(|h| State { h, c: get("c_0") });
    let roles: Vec<&str> = network.inputs.iter().map(|(role, _)| *role).collect();
    let given = [("h_0", state.is_some()), ("c_0", get("c_0").is_some())];
    let given = given.iter().filter(|(_, given)| *given).map(|(role, _)| *role);
    assert_eq!(roles, given.collect::<Vec<_>>(), "{name}: the state that the caller gives");
    let rnn = Rnn::new(&Device::cpu(), &network.params).expect("a small module");
    let mut options = ForwardOptions::new();
    options.state = state.as_ref().or(network.state.as_ref());
    options.lengths = network.lengths.as_deref();
    let (output, last) =
        rnn.forward_with(&get("input").expect("an input"), &options).expect("it runs");
    let mut comparison = Comparison::default();
    let results = [("output", Some(&output)), ("h_n", Some(&last.h)), ("c_n", last.c.as_ref())];
    for (role, got) in results {
        let (Some(want), Some(got)) = (get(role), got) else {
            assert_eq!((role, got.is_none()), ("c_n", true), "{name}: an LSTM has c_n");
            continue;
        };
        let wide: Vec<f64> = want.data().iter().map(|value| f64::from(*value)).collect();
        comparison.add_tensor(role, got, (want.shape(), &wide), Tolerance::F32);
    }
    comparison
}

#[test]
fn exports_of_pytorch_give_its_results() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx_exports"));
    let entries =
        std::fs::read_dir(folder).expect("the fixtures").map(|e| e.expect("a file").path());
    let models: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
    assert_eq!(models.len(), 26, "exports of eight modules");
    for model in models {
        let comparison = check(&model);
        let problem = comparison.describe();
        assert!(comparison.agrees() && comparison.count > 0, "{}: {problem}", model.display());
    }
}

#[test]
fn a_wrong_result_of_an_export_is_found() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx_exports"));
    let copy = tempfile::tempdir().expect("a folder");
    let model = copy.path().join("a.onnx");
    std::fs::copy(folder.join("lstm_script.onnx"), &model).expect("a copy");
    let other = folder.join("lstm_dynamo.safetensors");
    std::fs::copy(other, model.with_extension("safetensors")).expect("a copy");
    assert!(!check(&model).agrees(), "the results of another module");
}
