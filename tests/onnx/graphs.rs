//! Nodes in bodies, nodes of other domains, and the list of nodes.

use rten_onnx::onnx::{GraphProto, ModelProto, NodeProto};
use wgpu_rnn::onnx::OnnxModel;

use crate::made::{INPUT, body, bytes, graph, model, node, one, value_info, weights};
use crate::{assert_refused, read};

/// A body that reads weights of the graph around it.
fn inner(nodes: Vec<NodeProto>) -> GraphProto {
    GraphProto { node: nodes, output: vec![value_info("Z")], ..GraphProto::default() }
}

fn cell(name: &str, output: &str) -> NodeProto {
    node("LSTM", name, &["X", "W", "R", "B"], &[output], vec![])
}

fn in_bodies() -> ModelProto {
    let deep =
        node("Loop", "repeat", &["", ""], &["Z"], vec![body("body", inner(vec![cell("", "Z")]))]);
    let branch = node(
        "If",
        "",
        &["lengths"],
        &["Y2"],
        vec![
            body("then_branch", inner(vec![cell("first", "Z")])),
            body("else_branch", inner(vec![node("Relu", "", &["X"], &["V"], vec![]), deep])),
        ],
    );
    let nodes = vec![cell("outer", "Y"), branch];
    model(17, graph(nodes, weights("LSTM", 1, INPUT, "")))
}

#[test]
fn nodes_in_bodies_have_paths_and_read_tensors_around_them() {
    let model = read(&in_bodies());
    let mut names: Vec<String> = (0..model.len()).map(|index| model.name(index)).collect();
    names.sort();
    assert_eq!(names, ["If_1/else_branch/repeat/body/LSTM_0", "If_1/then_branch/first", "outer"]);
    let outer = model.find("outer").expect("it is listed");
    for name in &names {
        let index = model.find(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(model.operator(index), "LSTM");
        assert_eq!(
            model.tensors(&[index]).expect("its weights are in the file"),
            model.tensors(&[outer]).expect("its weights are in the file"),
            "{name} reads the same weights"
        );
    }
}

#[test]
fn a_name_that_no_node_or_several_have_is_refused_with_the_names() {
    let model = read(&in_bodies());
    for name in ["first", "If_1", "none"] {
        let error = model.find(name).expect_err("no node has it").to_string();
        for part in [&format!("'{name}'"), "outer", "If_1/then_branch/first"] {
            assert!(error.contains(part), "'{part}' is not in: {error}");
        }
    }
    let twice = graph(vec![cell("a", "Y"), cell("a", "Y2")], weights("LSTM", 1, INPUT, ""));
    let error = read(&crate::made::model(14, twice)).find("a").expect_err("two have it");
    assert!(error.to_string().contains("a, a"), "{error}");
    let none = crate::made::model(14, graph(vec![], vec![]));
    assert!(read(&none).is_empty(), "no recurrent node");
    let error = read(&none).find("a").expect_err("there is none").to_string();
    assert!(error.contains("the model has: none"), "{error}");
}

#[test]
fn sources_and_readers_are_listed() {
    let nodes = vec![
        node("Transpose", "first", &["X"], &["X2"], vec![]),
        node("GRU", "cell", &["X2", "W", "R"], &["Y", "last"], vec![]),
        node("Squeeze", "joint", &["Y"], &["Y3"], vec![]),
        node("Relu", "", &["last"], &["Y4"], vec![]),
        node("GRU", "other", &["h", "W", "R"], &[], vec![]),
    ];
    let model = read(&model(14, graph(nodes, weights("GRU", 1, INPUT, ""))));
    assert_eq!(model.source(0), "Transpose 'first'");
    let readers = model.readers(0);
    let want = [("Y", "Squeeze 'joint'"), ("Y", "output 'Y'"), ("Y_h", "Relu 'Relu_3'")];
    assert_eq!(readers, want.map(|(role, text)| (role, text.to_owned())));
    assert_eq!((model.source(1).as_str(), model.readers(1)), ("input 'h'", vec![]));
}

#[test]
fn operators_of_other_domains_are_refused_by_name() {
    for operator in ["DynamicQuantizeLSTM", "Attention", "MultiHeadAttention", "LSTM", "GRU"] {
        let mut model = one(14, "LSTM", vec![]);
        let node = &mut model.graph.as_mut().expect("a graph").node[0];
        node.op_type = Some(operator.to_owned());
        node.domain = Some("com.microsoft".to_owned());
        assert_refused(&model, &[operator, "domain 'com.microsoft'"]);
    }
    let mut same = one(14, "LSTM", vec![]);
    same.graph.as_mut().expect("a graph").node[0].domain = Some("ai.onnx".to_owned());
    read(&same).node(0).expect("this is ONNX's own domain");
}

#[test]
fn recurrent_operators_in_functions_are_reported() {
    let mut bytes = bytes(&one(14, "GRU", vec![]));
    // A function (field 25) with two nodes (field 7) of operators (field 4).
    let function: &[u8] = b"\x0a\x01f\x3a\x06\x22\x04LSTM\x3a\x05\x22\x03Add";
    bytes.extend([0xca, 1, u8::try_from(function.len()).expect("it is short")]);
    bytes.extend(function);
    let model = OnnxModel::parse("f.onnx", &bytes).expect("functions are no error");
    assert_eq!(model.in_functions(), ["LSTM"]);
    assert_eq!(model.len(), 1);
}

#[test]
fn a_model_needs_a_graph_and_an_operator_set() {
    let refused = |model: ModelProto, part: &str| {
        let error = OnnxModel::parse("m.onnx", &bytes(&model)).expect_err(part).to_string();
        assert!(error.contains(part), "'{part}' is not in: {error}");
    };
    refused(ModelProto { graph: None, ..one(14, "GRU", vec![]) }, "no graph");
    refused(ModelProto { opset_import: vec![], ..one(14, "GRU", vec![]) }, "no operator set");
    refused(one(0, "GRU", vec![]), "no operator set");
    let twice = graph(vec![cell("a", "Y"), cell("b", "Y")], weights("LSTM", 1, INPUT, ""));
    refused(model(14, twice), "'Y' is made twice");
    let mut tensors = weights("LSTM", 1, INPUT, "");
    tensors.extend(weights("LSTM", 1, INPUT, ""));
    refused(model(14, graph(vec![], tensors)), "'W' is made twice");
    // Old models list initialisers among the inputs.
    let mut old = one(8, "GRU", vec![]);
    old.graph.as_mut().expect("a graph").input.push(value_info("W"));
    read(&old).tensors(&[0]).expect("the initialiser counts");
}
