//! Networks: their names, and the states and lengths that a file holds or the caller gives.

use rten_onnx::onnx::{DataType, ModelProto, TensorProto};
use wgpu_rnn::Tensor;

use crate::made::{
    HIDDEN, INPUT, graph, int, integers, model, node, one, raw, tensor, text, values, weights,
};
use crate::read;

fn graph_of(model: &mut ModelProto) -> &mut rten_onnx::onnx::GraphProto {
    model.graph.as_mut().expect("it has a graph")
}

/// An LSTM with these names of sequence_lens, initial_h and initial_c, and these tensors.
fn lstm(layout: i64, inputs: [&str; 3], tensors: Vec<TensorProto>) -> ModelProto {
    let mut model = one(14, "LSTM", vec![int("layout", layout)]);
    let graph = graph_of(&mut model);
    graph.node[0].input.extend(inputs.map(str::to_owned));
    graph.initializer.extend(tensors);
    model
}

fn lengths(name: &str, values: &[i32]) -> TensorProto {
    TensorProto {
        int32_data: values.to_vec(),
        raw_data: None,
        ..raw(name, &[values.len()], DataType::INT32, vec![])
    }
}

#[test]
fn a_stored_state_is_loaded_and_the_other_one_is_zero() {
    let stored = || tensor("stored", &[1, 3, HIDDEN], &values(6, 1));
    let values = Tensor::new([1, 3, HIDDEN], values(6, 1)).expect("it fits");
    let zeros = Tensor::zeros([1, 3, HIDDEN]).expect("it fits");
    let network = |inputs| read(&lstm(0, inputs, vec![stored()])).network("").expect("one node");
    let state = network(["", "stored", ""]).state.expect("it has h");
    assert_eq!((&state.h, state.c.as_ref()), (&values, Some(&zeros)));
    let state = network(["", "", "stored"]).state.expect("it has c");
    assert_eq!((&state.h, state.c.as_ref()), (&zeros, Some(&values)));
    let both = network(["", "stored", "stored"]);
    assert_eq!(both.state.expect("it has both").c, Some(values));
    assert_eq!((network(["", "", ""]).state, both.inputs), (None, vec![]));
}

#[test]
fn a_stored_state_of_layout_1_is_turned() {
    let both = || vec![int("layout", 1), text("direction", "bidirectional")];
    let with = |shape: &[usize]| {
        let mut model = one(14, "GRU", both());
        let graph = graph_of(&mut model);
        graph.node[0].input.extend(["", "stored"].map(str::to_owned));
        graph.initializer.push(tensor("stored", shape, &values(12, 1)));
        model
    };
    let network = read(&with(&[3, 2, HIDDEN])).network("cell").expect("[B, D, H]");
    let found = network.state.expect("it has h");
    assert_eq!(found.h.shape(), [2, 3, HIDDEN]);
    let v = values(12, 1);
    let want = [&v[0..2], &v[4..6], &v[8..10], &v[2..4], &v[6..8], &v[10..12]].concat();
    assert_eq!((found.h.data(), found.c), (&*want, None));
    assert!(network.params.config().batch_first);
    let error = read(&with(&[2, 3, HIDDEN])).node(0).expect_err("[D, B, H]").to_string();
    assert!(error.contains("expected [batch, 2, 2]"), "{error}");
}

#[test]
fn stored_lengths_are_loaded() {
    let with = |values: &[i32]| lstm(0, ["valid", "", ""], vec![lengths("valid", values)]);
    let network = read(&with(&[4, 0, 2])).network("").expect("three rows");
    assert_eq!(network.lengths, Some(vec![4, 0, 2]));
    let error = read(&with(&[4, -1])).network("").expect_err("-1 steps").to_string();
    assert!(error.contains("sequence_lens holds -1"), "{error}");
}

#[test]
fn values_that_the_caller_gives_are_listed() {
    let given = read(&lstm(0, ["lengths", "h", "c"], vec![])).network("").expect("one node");
    let want = [("h_0", "h"), ("c_0", "c"), ("lengths", "lengths")];
    assert_eq!(given.inputs, want.map(|(role, name)| (role, name.to_owned())));
    assert_eq!((given.state, given.lengths), (None, None));
    let stored = vec![tensor("stored", &[1, 1, HIDDEN], &values(2, 1))];
    let mixed = read(&lstm(0, ["", "h", "stored"], stored)).network("").expect("one node");
    assert_eq!(mixed.inputs, [("h_0", "h".to_owned())]);
    let state = mixed.state.expect("c is stored");
    assert_eq!((state.h.data(), state.c.expect("c").into_data()), (&[0.0; 2][..], values(2, 1)));
}

/// Three GRUs, of which the second is above the first. The states are these values.
fn three(states: [&str; 3], tensors: Vec<TensorProto>) -> ModelProto {
    let cell = |name: &str, x: &str, layer: &str, state: &str| {
        let inputs = [x, &format!("W{layer}"), &format!("R{layer}"), "", "", state];
        node("GRU", name, &inputs, &[&format!("Y{name}")], vec![])
    };
    let mut all = vec![integers("axes", &[1])];
    all.extend(weights("GRU", 1, INPUT, "_0"));
    all.extend(weights("GRU", 1, HIDDEN, "_1"));
    all.extend([0, 1, 2].map(|bound| integers(&format!("at_{bound}"), &[bound])));
    all.extend(tensors);
    let [first, second, third] = states;
    let nodes = vec![
        cell("first", "X", "_0", first),
        node("Squeeze", "joint", &["Yfirst", "axes"], &["joint"], vec![]),
        cell("second", "joint", "_1", second),
        cell("alone", "X", "_0", third),
        node("Slice", "s0", &["all", "at_0", "at_1", "at_0"], &["of_0"], vec![]),
        node("Slice", "s1", &["all", "at_1", "at_2", "at_0"], &["of_1"], vec![]),
    ];
    model(14, graph(nodes, all))
}

#[test]
fn stored_states_of_layers_are_one_state() {
    let of = |name: &str, rows: usize, seed| {
        tensor(name, &[rows, 3, HIDDEN], &values(rows * 3 * HIDDEN, seed))
    };
    let each = three(["a", "b", ""], vec![of("a", 1, 1), of("b", 1, 2)]);
    let network = read(&each).network("first").expect("two layers");
    assert_eq!(network.nodes, ["first", "second"]);
    let h = network.state.expect("each has one").h;
    assert_eq!(
        (h.shape(), h.data()),
        (&[2, 3, HIDDEN][..], &*[values(6, 1), values(6, 2)].concat())
    );
    let common = three(["of_0", "of_1", ""], vec![of("all", 2, 3)]);
    let h = read(&common).network("second").expect("two layers").state.expect("slices").h;
    assert_eq!((h.shape(), h.data()), (&[2, 3, HIDDEN][..], &*values(12, 3)));
    // One layer has a state, and the batch of the other is not known.
    let single = read(&three(["a", "", ""], vec![of("a", 1, 1)]));
    assert_eq!(single.network("first").expect("a layer").nodes, ["first"]);
    let network = read(&three(["of_0", "of_1", ""], vec![of("all", 3, 3)])).network("first");
    let h = network.expect("two of three").state.expect("slices").h;
    assert_eq!(h.data(), &values(18, 3)[..12]);
}

#[test]
fn a_path_selects_the_network_of_the_node() {
    let model = read(&three(["", "", ""], vec![]));
    assert_eq!(model.networks(), ["first", "alone"]);
    for (path, nodes) in [
        ("first", &["first", "second"][..]),
        ("second", &["first", "second"]),
        ("alone", &["alone"]),
    ] {
        assert_eq!(model.network(path).expect("it is there").nodes, nodes);
        let layer = model.layer(path).expect("it is there");
        assert_eq!((layer.nodes, layer.params.config().num_layers), (vec![path.to_owned()], 1));
    }
    for path in ["", "third"] {
        let error = model.network(path).expect_err("none or several").to_string();
        assert!(error.contains("the model has: first, second, alone"), "{error}");
    }
}

#[test]
fn without_a_path_the_only_network_counts() {
    let mut only = three(["", "", ""], vec![]);
    graph_of(&mut only).node.remove(3);
    assert_eq!(read(&only).network("").expect("one network").nodes, ["first", "second"]);
    let refused = read(&one(14, "LSTM", vec![int("projection", 1)]));
    let error = refused.network("").expect_err("it is refused").to_string();
    assert!(error.contains("LSTM 'cell': attribute 'projection' is unknown"), "{error}");
    // A node that is not read counts, too.
    let quantized = graph_of(&mut only);
    let mut other = node("DynamicQuantizeLSTM", "other", &["X"], &["Z"], vec![]);
    other.domain = Some("com.microsoft".to_owned());
    quantized.node.push(other);
    let error = read(&only).network("").expect_err("two").to_string();
    assert!(error.contains("name one recurrent node; the model has: first, second"), "{error}");
    let none = read(&model(14, graph(vec![], vec![])));
    let error = none.network("").expect_err("none").to_string();
    assert!(error.contains("the model has: none"), "{error}");
}
