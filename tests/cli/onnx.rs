//! ONNX models, in each command that takes weights.

use rten_onnx::onnx::{DataLocation, DataType, ModelProto, StringStringEntryProto, TensorProto};
use wgpu_rnn::onnx::{OnnxModel, OnnxNetwork};
use wgpu_rnn::{Device, ForwardOptions, Rnn, State, Tensor};

use crate::bits::assert_same;
use crate::files::{Entry, Folder, f32s, weights as state_dict, written};
use crate::onnx_models::{
    HIDDEN, INPUT, bytes, float, graph, int, integers, model, node, one, raw, tensor, text, values,
    weights,
};
use crate::program::{Ran, wgpu_rnn};
use crate::seeded;

/// Two LSTMs that are layers, and a GRU with PyTorch's reset gate.
fn two_networks() -> ModelProto {
    let lstm = |name: &str, x: &str, suffix: &str, y: &str| {
        let named = |stem: &str| format!("{stem}{suffix}");
        node("LSTM", name, &[x, &named("W"), &named("R"), &named("B")], &[y], vec![])
    };
    let nodes = vec![
        lstm("rnn/LSTM", "X", "_0", "Y0"),
        node("Squeeze", "joint", &["Y0", "axes"], &["Y1"], vec![]),
        lstm("rnn/LSTM_1", "Y1", "_1", "Y"),
        node("GRU", "other", &["X", "W_2", "R_2"], &["Z"], vec![int("linear_before_reset", 1)]),
    ];
    let mut tensors = vec![integers("axes", &[1])];
    tensors.extend(weights("LSTM", 1, INPUT, "_0"));
    tensors.extend(weights("LSTM", 1, HIDDEN, "_1"));
    tensors.extend(weights("GRU", 1, INPUT, "_2"));
    model(17, graph(nodes, tensors))
}

/// A GRU with these inputs behind its bias, and these tensors.
fn with_inputs(inputs: &[&str], tensors: Vec<TensorProto>) -> ModelProto {
    let mut model = one(14, "GRU", vec![int("linear_before_reset", 1), int("layout", 1)]);
    let graph = model.graph.as_mut().expect("it has a graph");
    graph.node[0].input.extend(inputs.iter().map(|name| (*name).to_owned()));
    graph.initializer.extend(tensors);
    model
}

/// Runs a model on an input file of these tensors and lengths.
fn run(folder: &Folder, model: &ModelProto, args: &[&str], entries: &[Entry]) -> Ran {
    let model = folder.write("model.bin", bytes(model));
    let input = folder.save("input.safetensors", entries);
    let output = folder.path("output.safetensors");
    let files = ["run", "--weights", &model, "--input", &input, "--output", &output];
    wgpu_rnn(&[&files[..], args, &["--device", "cpu"]].concat())
}

/// Fails unless the program wrote what a network gives for this state and these lengths.
#[track_caller]
fn assert_wrote(
    folder: &Folder,
    network: &OnnxNetwork,
    input: &Tensor,
    state: Option<&State>,
    lengths: Option<&[usize]>,
) {
    let rnn = Rnn::new(&Device::cpu(), &network.params).expect("it fits");
    let mut options = ForwardOptions::new();
    (options.state, options.lengths) = (state, lengths);
    let want = rnn.forward_with(input, &options).expect("it runs");
    assert_same("the network", &written(&folder.path("output.safetensors")), &want);
}

fn parse(model: &ModelProto) -> OnnxModel {
    OnnxModel::parse("model.bin", &bytes(model)).expect("it is a model")
}

#[test]
fn run_takes_the_network_of_a_node() {
    let (folder, model) = (Folder::new(), two_networks());
    let input = seeded::tensor(1, &[5, 2, INPUT], 1.0);
    let entries = [f32s("input", &input)];
    for name in ["rnn/LSTM", "rnn/LSTM_1", "other"] {
        let ran = run(&folder, &model, &["--node", name], &entries).ended(0);
        assert!(!ran.stderr.contains("batch_first"), "a model has its layout: {}", ran.told());
        let network = parse(&model).network(name).expect("it is there");
        assert_wrote(&folder, &network, &input, None, None);
    }
    run(&folder, &model, &["--node", "rnn/LSTM", "--alone"], &entries).ended(0);
    let layer = parse(&model).layer("rnn/LSTM").expect("it is there");
    assert_wrote(&folder, &layer, &input, None, None);
    let names = "the model has: rnn/LSTM, rnn/LSTM_1, other";
    run(&folder, &model, &[], &entries).refused(&[names]);
    run(&folder, &model, &["--node", "Squeeze"], &entries).refused(&[names, "'Squeeze'"]);
}

#[test]
fn run_takes_the_states_and_lengths_that_a_model_holds() {
    let folder = Folder::new();
    let int32_data = vec![3, 0];
    let valid =
        TensorProto { int32_data, raw_data: None, ..raw("valid", &[2], DataType::INT32, vec![]) };
    let stored = tensor("stored", &[2, 1, HIDDEN], &values(4, 2));
    let model = with_inputs(&["valid", "stored"], vec![valid, stored]);
    let input = seeded::tensor(1, &[2, 5, INPUT], 1.0);
    run(&folder, &model, &[], &[f32s("input", &input)]).ended(0);
    let network = parse(&model).network("").expect("it is there");
    assert_eq!(network.lengths, Some(vec![3, 0]));
    assert_wrote(&folder, &network, &input, network.state.as_ref(), network.lengths.as_deref());

    // A state of the input file replaces that of the model.
    let h = seeded::tensor(2, &[1, 2, HIDDEN], 1.0);
    let ran = run(&folder, &model, &[], &[f32s("input", &input), f32s("h0", &h)]).ended(0);
    assert!(ran.stderr.contains("h0 of the input file replaces"), "{}", ran.told());
    let state = State { h, c: None };
    assert_wrote(&folder, &network, &input, Some(&state), network.lengths.as_deref());
    let other = [f32s("input", &seeded::tensor(1, &[3, 5, INPUT], 1.0))];
    run(&folder, &model, &[], &other).refused(&["(1, 3, 2)", "[1, 2, 2]"]);
}

#[test]
fn run_asks_for_the_values_that_a_model_reads() {
    let folder = Folder::new();
    let model = with_inputs(&["lengths", "h"], vec![]);
    let input = f32s("input", &seeded::tensor(1, &[2, 5, INPUT], 1.0));
    let refused = run(&folder, &model, &[], std::slice::from_ref(&input));
    refused.refused(&["there is no h0", "from 'h'", "give zeros"]);
    let h = f32s("h0", &seeded::tensor(2, &[1, 2, HIDDEN], 1.0));
    run(&folder, &model, &[], &[input, h]).refused(&["there is no lengths", "from 'lengths'"]);

    // An LSTM that reads h alone starts from c = 0.
    let mut model = one(14, "LSTM", vec![]);
    let graph = model.graph.as_mut().expect("it has a graph");
    graph.node[0].input.extend(["", "h"].map(str::to_owned));
    let input = seeded::tensor(1, &[5, 2, INPUT], 1.0);
    let h = seeded::tensor(2, &[1, 2, HIDDEN], 1.0);
    run(&folder, &model, &[], &[f32s("input", &input), f32s("h0", &h)]).ended(0);
    let state = State { h, c: Some(Tensor::zeros([1, 2, HIDDEN]).expect("it fits")) };
    let network = parse(&model).network("").expect("it is there");
    assert_wrote(&folder, &network, &input, Some(&state), None);
}

#[test]
fn options_that_do_not_apply_are_refused_by_name() {
    let (folder, model) = (Folder::new(), two_networks());
    let input = [f32s("input", &seeded::tensor(1, &[5, 2, INPUT], 1.0))];
    for (args, name) in [
        (&["--prefix", "rnn."][..], "--prefix"),
        (&["--nonlinearity", "relu"], "--nonlinearity"),
        (&["--batch-first"], "--batch-first"),
        (&["--key", "model"], "--key"),
        (&["--map", "a=b"], "--map"),
        (&["--fold"], "--fold"),
        (&["--allow-unused"], "--allow-unused"),
        (&["--weights", &folder.write("second", bytes(&model))], "several files"),
    ] {
        let text = format!("do not apply to an ONNX model: {name}");
        run(&folder, &model, args, &input).refused(&[&text]);
    }
    let weights = folder.save("w.safetensors", &state_dict(&wgpu_rnn::Config::gru(3, 2), ""));
    let files = ["--weights", &weights, "--input", &weights, "--output", &folder.path("o")];
    wgpu_rnn(&[&["run", "--node", "rnn"], &files[..]].concat())
        .refused(&["do not apply to a state dict: --node"]);
    let path = folder.path("model.bin");
    wgpu_rnn(&["inspect", &path, "--fold"]).refused(&["do not apply to an ONNX model: --fold"]);
    wgpu_rnn(&["generate", "--prompt", "a", "--weights", &path])
        .refused(&["the file is an ONNX model"]);
}

#[test]
fn compare_runs_a_network_of_a_model() {
    let folder = Folder::new();
    let path = folder.write("m.onnx", bytes(&two_networks()));
    let args = ["compare", "--weights", &path, "--device", "cpu", "--node"];
    for name in ["rnn/LSTM", "other"] {
        wgpu_rnn(&[&args[..], &[name]].concat()).ended(0).says(&["agrees", "output"]);
    }
    wgpu_rnn(&args[..5]).refused(&["rnn/LSTM, rnn/LSTM_1, other"]);
}

#[test]
fn bench_measures_a_network_of_a_model() {
    let folder = Folder::new();
    let path = folder.write("m.onnx", bytes(&two_networks()));
    let args = ["bench", "--weights", &path, "--device", "cpu", "--seq-len", "3", "--batch", "2"];
    let limits = ["--repetitions", "1", "--seconds", "1", "--json"];
    let ran = wgpu_rnn(&[&args[..], &["--node", "rnn/LSTM"], &limits].concat()).ended(0);
    let report = ran.json();
    let row = &report["rows"][0];
    assert_eq!((&row["num_layers"], &row["kind"]), (&2.into(), &"lstm".into()), "{report:#}");
    wgpu_rnn(&args).refused(&["rnn/LSTM, rnn/LSTM_1, other"]);
    wgpu_rnn(&["bench", "--weights", &path, "--kind", "gru"]).refused(&["cannot be used with"]);
}

#[test]
fn inspect_lists_nodes_and_networks() {
    let folder = Folder::new();
    let mut model = two_networks();
    let graph = model.graph.as_mut().expect("it has a graph");
    let attributes =
        vec![text("direction", "reverse"), float("clip", 0.5), int("linear_before_reset", 0)];
    let inputs = ["X", "W_2", "R_2", "", "", "h"];
    graph.node.push(node("GRU", "", &inputs, &["V"], attributes));
    graph.node.push(node("LSTM", "bad", &["X"], &["U"], vec![int("projection", 1)]));
    let path = folder.write("m.onnx", bytes(&model));
    wgpu_rnn(&["inspect", &path]).ended(0).says(&[
        "ONNX (operator set 17)",
        "rnn/LSTM: LSTM(3, 2, num_layers=2)",
        "layers: rnn/LSTM, rnn/LSTM_1",
        "GRU_4: GRU(3, 2, bias=False, reverse=True, gate_clip=0.5, reset='before')",
        "the caller gives h_0: 'h'",
        "other  GRU  3 -> 2  linear_before_reset=1",
        "GRU_4  GRU  3 -> 2  clip=0.5  direction=reverse",
        "X from input 'X'; Y to Squeeze 'joint'",
        "LSTM 'bad': attribute 'projection' is unknown",
    ]);
    let report = wgpu_rnn(&["inspect", "--json", &path]).ended(0).json();
    assert_eq!(report["type"], "ONNX (operator set 17)");
    assert_eq!(report["networks"][0]["nodes"][1], "rnn/LSTM_1", "{report:#}");
    assert_eq!(report["networks"][2]["inputs"]["h_0"], "h", "{report:#}");
    assert_eq!(report["nodes"][3]["attributes"]["clip"], "0.5", "{report:#}");
    assert_eq!(report["nodes"][4]["hidden_size"], serde_json::Value::Null, "{report:#}");
    assert_eq!(report["nodes"].as_array().map(Vec::len), Some(5), "{report:#}");
}

#[test]
fn no_result_is_written_over_external_data() {
    let folder = Folder::new();
    let mut model = one(14, "RNN", vec![]);
    let w = &mut model.graph.as_mut().expect("it has a graph").initializer[0];
    w.raw_data = None;
    w.data_location = Some(DataLocation::EXTERNAL);
    w.external_data = vec![StringStringEntryProto {
        key: Some("location".to_owned()),
        value: Some("output.safetensors".to_owned()),
    }];
    let data = folder.write("output.safetensors", [0; 4 * HIDDEN * INPUT]);
    let input = [f32s("input", &seeded::tensor(1, &[5, 2, INPUT], 1.0))];
    run(&folder, &model, &[], &input).refused(&["is the file of --weights"]);
    assert_eq!(std::fs::read(data).expect("it is there"), [0; 4 * HIDDEN * INPUT]);
}
