//! PyTorch's exports of several layers become one network, and other glue does not.

use rten_onnx::onnx::{ModelProto, NodeProto};
use wgpu_rnn::internals::params::onnx::{Chain, OnnxModel, Origin};

use crate::made::{
    HIDDEN, INPUT, declared, graph, int, integers, ints, model, node, tensor, text, weights,
};
use crate::read;

/// The parts of an export that a test changes.
#[derive(Clone)]
struct Export {
    opset: i64,
    layers: usize,
    both: bool,
    /// Whether `Transpose` and `Reshape` join one direction too, as the newer exporter writes.
    reshapes: bool,
    batch_first: bool,
    axis: i64,
    shape: [i64; 3],
    /// The source of h for all layers, and the offset of each slice.
    state: Option<(&'static str, usize)>,
    /// An attribute of the second layer alone.
    extra: Option<(&'static str, i64)>,
    /// Whether another node reads the first layer.
    branch: bool,
}

const PYTORCH: Export = Export {
    opset: 17,
    layers: 3,
    both: false,
    reshapes: false,
    batch_first: false,
    axis: 1,
    shape: [0, 0, -1],
    state: None,
    extra: None,
    branch: false,
};

fn made(export: &Export) -> ModelProto {
    let directions = 1 + usize::from(export.both);
    let mut nodes = Vec::new();
    let mut tensors = vec![
        integers("axes", &[export.axis]),
        integers("shape", &export.shape),
        integers("first", &[0]),
    ];
    let mut add = |operator: &str, inputs: &[&str], output: &str, attributes| -> String {
        nodes.push(node(operator, output, inputs, &[output], attributes));
        output.to_owned()
    };
    let mut x = "X".to_owned();
    if export.batch_first {
        x = add("Transpose", &[&x], "enter", vec![ints("perm", &[1, 0, 2])]);
    }
    let mut cells: Vec<NodeProto> = Vec::new();
    for layer in 0..export.layers {
        let input = if layer == 0 { INPUT } else { directions * HIDDEN };
        let suffix = format!("_{layer}");
        let named = |name: &str| format!("{name}{suffix}");
        tensors.extend(weights("GRU", directions, input, &suffix));
        let mut inputs = vec![x.clone(), named("W"), named("R"), named("B")];
        if let Some((source, offset)) = export.state {
            let bound = |layer: usize| i64::try_from((layer + offset) * directions).expect("small");
            let (start, end) = (named("start"), named("end"));
            tensors.push(integers(&start, &[bound(layer)]));
            tensors.push(integers(&end, &[bound(layer + 1)]));
            let slice = if export.opset < 10 {
                let list = |name, value| ints(name, &[value]);
                let bounds = [("axes", 0), ("starts", bound(layer)), ("ends", bound(layer + 1))];
                add("Slice", &[source], &named("h"), bounds.map(|(n, v)| list(n, v)).to_vec())
            } else {
                add("Slice", &[source, &start, &end, "first"], &named("h"), vec![])
            };
            inputs.extend([String::new(), slice]);
        }
        let mut attributes = vec![int("linear_before_reset", 1)];
        if export.both {
            attributes.push(text("direction", "bidirectional"));
        }
        if let (1, Some((name, value))) = (layer, export.extra) {
            attributes.retain(|attribute| attribute.name.as_deref() != Some(name));
            attributes.push(int(name, value));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        cells.push(node("GRU", &named("gru"), &inputs, &[&named("Y"), &named("Y_h")], attributes));
        let y = named("Y");
        x = if export.both || export.reshapes {
            let turned =
                add("Transpose", &[&y], &named("turned"), vec![ints("perm", &[0, 2, 1, 3])]);
            add("Reshape", &[&turned, "shape"], &named("joint"), vec![])
        } else if export.opset < 13 {
            add("Squeeze", &[&y], &named("joint"), vec![ints("axes", &[export.axis])])
        } else {
            add("Squeeze", &[&y, "axes"], &named("joint"), vec![])
        };
        // Exports ask for the batch size.
        add("Shape", &[&x], &named("sizes"), vec![]);
    }
    if export.branch {
        let inputs = ["joint_0", "W_1", "R_1", "B_1"];
        cells.push(node("GRU", "branch", &inputs, &["Z"], vec![int("linear_before_reset", 1)]));
    }
    if export.batch_first {
        add("Transpose", &[&x], "leave", vec![ints("perm", &[1, 0, 2])]);
    }
    // The order of nodes does not matter.
    cells.extend(nodes);
    model(export.opset, graph(cells, tensors))
}

fn chains(export: &Export) -> (OnnxModel, Vec<Chain>) {
    let model = read(&made(export));
    for index in 0..model.len() {
        model.node(index).unwrap_or_else(|error| panic!("{error}"));
    }
    let chains = model.chains();
    (model, chains)
}

#[test]
fn layers_become_one_network() {
    for opset in [9, 17] {
        for both in [false, true] {
            for batch_first in [false, true] {
                for (layers, reshapes) in [(1, false), (2, false), (3, false), (1, true), (3, true)]
                {
                    let export = Export { opset, both, reshapes, batch_first, layers, ..PYTORCH };
                    let (model, chains) = chains(&export);
                    let [chain] = chains.as_slice() else { panic!("one: {chains:?}") };
                    assert_eq!(chain.nodes, Vec::from_iter(0..layers));
                    assert_eq!(chain.batch_first, batch_first);
                    assert_eq!(chain.initial_h, Origin::Absent);
                    let name = model.name(layers - 1);
                    let loaded = model.network(&name).expect("layers of one module");
                    let config = loaded.params.config();
                    assert_eq!((config.num_layers, config.bidirectional), (layers, both));
                    assert_eq!((config.input_size, config.hidden_size), (INPUT, HIDDEN));
                    assert_eq!(config.batch_first, batch_first);
                }
            }
        }
    }
}

/// Keras has the batch first between its layers.
#[test]
fn layers_with_two_turns_between_them_become_one_network() {
    let joined = |orders: [&[i64]; 2]| {
        let mut export = made(&Export { batch_first: true, layers: 2, ..PYTORCH });
        let graph = export.graph.as_mut().expect("a graph");
        let turn = |name: &str, from: &str, order: &[i64]| {
            node("Transpose", name, &[from], &[name], vec![ints("perm", order)])
        };
        let above = graph.node.iter_mut().find(|node| node.name.as_deref() == Some("gru_1"));
        above.expect("the second layer").input[0] = "back".to_owned();
        graph.node.push(turn("there", "joint_0", orders[0]));
        graph.node.push(turn("back", "there", orders[1]));
        read(&export).chains()
    };
    let chains = joined([&[1, 0, 2], &[1, 0, 2]]);
    assert_eq!((chains.len(), chains[0].batch_first), (1, true), "{chains:?}");
    assert_eq!(joined([&[1, 0, 2], &[0, 2, 1]]).len(), 2, "another order");
    assert_eq!(joined([&[0, 1, 2], &[1, 0, 2]]).len(), 2, "one turn");
}

#[test]
fn states_of_layers_are_slices_of_one_value() {
    for opset in [9, 17] {
        for both in [false, true] {
            let export = Export { opset, both, state: Some(("h", 0)), ..PYTORCH };
            let (_, chains) = chains(&export);
            assert_eq!(chains.len(), 1, "{chains:?}");
            assert_eq!(chains[0].initial_h, Origin::Given("h".to_owned()));
            assert_eq!(chains[0].initial_c, Origin::Absent);
        }
    }
    let shifted = Export { state: Some(("h", 1)), ..PYTORCH };
    assert_eq!(chains(&shifted).1.len(), 3, "the states of other layers");
}

#[test]
fn other_glue_makes_no_network() {
    let both = Export { both: true, ..PYTORCH };
    for export in [
        Export { axis: 0, ..PYTORCH },
        Export { shape: [0, -1, 4], ..both.clone() },
        Export { shape: [0, 0, 2], ..both.clone() },
        // Numbers could exchange steps and batch: nothing says that the batch is 5.
        Export { shape: [2, 5, 4], ..both },
    ] {
        let (_, chains) = chains(&export);
        assert_eq!(chains.len(), 3, "{chains:?}");
    }
}

#[test]
fn layers_that_differ_make_no_network() {
    let export = Export { extra: Some(("linear_before_reset", 0)), ..PYTORCH };
    let (model, found) = chains(&export);
    assert_eq!(found.len(), 3);
    for (nodes, part) in [
        (&[0, 1][..], "expected GRU(2, 2) above the first layer, found GRU(2, 2, reset='before')"),
        (&[0, 0], "expected GRU(2, 2) above the first layer, found GRU(3, 2)"),
        (&[], "no node was named"),
    ] {
        let error = model.params(nodes).expect_err(part).to_string();
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    let (_, branched) = chains(&Export { branch: true, ..PYTORCH });
    let nodes: Vec<_> = branched.iter().map(|chain| chain.nodes.clone()).collect();
    assert_eq!(nodes, [vec![0], vec![1, 2], vec![3]], "two nodes read the first layer");
}

/// The newer exporter computes the shape when sizes change: the first two sizes are copied.
#[test]
fn a_computed_shape_is_read_where_it_copies_steps_and_batch() {
    let with = |steps: i64, of: &str, operator: &str| {
        let mut export = made(&Export { reshapes: true, layers: 2, ..PYTORCH });
        let graph = export.graph.as_mut().expect("a graph");
        for (name, value) in [("zero", steps), ("one", steps + 1), ("two", steps + 2)] {
            graph.initializer.push(integers(name, &[value]));
        }
        for node in &mut graph.node {
            if node.op_type.as_deref() == Some("Reshape") {
                node.input[1] = "computed".to_owned();
            }
        }
        graph.node.extend([
            node(operator, "shape", &[of], &["all"], vec![int("start", 0)]),
            node("Slice", "steps", &["all", "zero", "one"], &["steps"], vec![]),
            node("Slice", "batch", &["all", "one", "two"], &["batch"], vec![]),
            node("Mul", "product", &["steps", "batch"], &["features"], vec![]),
            node(
                "Concat",
                "",
                &["steps", "batch", "features"],
                &["computed"],
                vec![int("axis", 0)],
            ),
        ]);
        read(&export).chains().len()
    };
    assert_eq!(with(0, "turned_0", "Shape"), 1, "the features follow from the number of values");
    assert_eq!(with(1, "turned_0", "Shape"), 2, "other axes");
    assert_eq!(with(0, "X", "Shape"), 2, "the shape of another value");
    assert_eq!(with(0, "turned_0", "Relu"), 2, "no shape");
}

/// Numbers in the glue count where the file declares the batch size.
#[test]
fn a_fixed_shape_is_read_where_the_batch_is_declared() {
    for (shape, batch, want) in
        [([-1, 5, 2], 5, 1), ([7, 5, 2], 5, 1), ([-1, 5, 2], 7, 3), ([-1, 5, 4], 5, 3)]
    {
        let mut export = made(&Export { reshapes: true, shape, ..PYTORCH });
        let graph = export.graph.as_mut().expect("a graph");
        for layer in 0..3 {
            graph.value_info.push(declared(&format!("Y_{layer}"), &[None, Some(1), Some(batch)]));
        }
        assert_eq!(read(&export).chains().len(), want, "{shape:?} with a batch of {batch}");
    }
}

/// Numbers in the glue count where a state has the batch size.
#[test]
fn a_fixed_shape_is_read_where_the_batch_is_known() {
    let mut export = made(&Export { both: true, shape: [2, 5, 4], ..PYTORCH });
    let graph = export.graph.as_mut().expect("a graph");
    graph.initializer.push(tensor("zeros", &[2, 5, HIDDEN], &[0.0; 20]));
    for node in graph.node.iter_mut().filter(|node| node.op_type.as_deref() == Some("GRU")) {
        node.input.extend(["", "zeros"].map(str::to_owned));
    }
    let chains = read(&export).chains();
    assert_eq!(chains.len(), 1, "{chains:?}");
    assert_eq!(chains[0].initial_h, Origin::Absent);
}
