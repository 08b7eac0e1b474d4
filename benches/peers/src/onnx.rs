//! Writes a network as an ONNX model: an LSTM, GRU or RNN node for each layer.
//!
//! Field numbers are from onnx.proto3. Time is the first axis, the default of the operators.

use crate::shape::{Kind, Shape};

/// Types of TensorProto and AttributeProto.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
const ATTRIBUTE_INT: u64 = 2;
const ATTRIBUTE_STRING: u64 = 3;
const ATTRIBUTE_INTS: u64 = 7;
const ATTRIBUTE_STRINGS: u64 = 8;

/// Returns the bytes of a model from `x`, `[T, B, I]`, to `y`, `[T, B, D·H]`.
pub fn model(shape: &Shape) -> Vec<u8> {
    let (directions, hidden) = (shape.directions(), shape.hidden_size);
    let (operator, gates) = match shape.kind {
        Kind::Lstm => ("LSTM", 4),
        Kind::Gru => ("GRU", 3),
        Kind::RnnTanh | Kind::RnnRelu => ("RNN", 1),
    };
    let direction = if shape.bidirectional { "bidirectional" } else { "forward" };
    let mut attributes = vec![integer("hidden_size", hidden), string("direction", direction)];
    match shape.kind {
        // The GRU of PyTorch; the default of ONNX needs one more product a step.
        Kind::Gru => attributes.push(integer("linear_before_reset", 1)),
        Kind::RnnRelu => attributes.push(strings("activations", &vec!["Relu"; directions])),
        Kind::RnnTanh | Kind::Lstm => {}
    }
    let mut graph = Message::default();
    graph.text(2, "network");
    let mut input = "x".to_owned();
    for layer in 0..shape.num_layers {
        let named = |name: &str| format!("{name}{layer}");
        let [w, r, b, y, sizes] = ["w", "r", "b", "y", "sizes"].map(named);
        let rows = gates * hidden;
        graph.message(5, &weights(&w, &[directions, rows, shape.layer_input_size(layer)], hidden));
        graph.message(5, &weights(&r, &[directions, rows, hidden], hidden));
        graph.message(5, &weights(&b, &[directions, 2 * rows], hidden));
        graph.message(1, &node(operator, &[&input, &w, &r, &b], &y, &attributes));
        // `[T, D, B, H]` to `[T, B, D·H]`. With one direction no value moves.
        let mut stacked = y;
        if shape.bidirectional {
            let turned = named("turned");
            graph.message(
                1,
                &node("Transpose", &[&stacked], &turned, &[integers("perm", &[0, 2, 1, 3])]),
            );
            stacked = turned;
        }
        let output = if layer + 1 == shape.num_layers { "y".to_owned() } else { named("x") };
        graph.message(5, &sizes_of(&sizes, &shape.dims(false, shape.output_size())));
        graph.message(1, &node("Reshape", &[&stacked, &sizes], &output, &[]));
        input = output;
    }
    graph.message(11, &value("x", &shape.dims(false, shape.input_size)));
    graph.message(12, &value("y", &shape.dims(false, shape.output_size())));
    let mut operators = Message::default();
    operators.integer(2, 13);
    let mut model = Message::default();
    model.integer(1, 7);
    model.message(7, &graph);
    model.message(8, &operators);
    model.0
}

/// A NodeProto with one output, whose name is also the name of the node.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let mut node = Message::default();
    inputs.iter().for_each(|input| node.text(1, input));
    node.text(2, output);
    node.text(3, output);
    node.text(4, operator);
    attributes.iter().for_each(|attribute| node.message(5, attribute));
    node
}

/// An AttributeProto of a name and a type.
fn attribute(name: &str, of: u64) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name);
    attribute.integer(20, of);
    attribute
}

fn integer(name: &str, value: usize) -> Message {
    let mut attribute = attribute(name, ATTRIBUTE_INT);
    attribute.integer(3, value as u64);
    attribute
}

fn string(name: &str, value: &str) -> Message {
    let mut attribute = attribute(name, ATTRIBUTE_STRING);
    attribute.text(4, value);
    attribute
}

fn integers(name: &str, values: &[u64]) -> Message {
    let mut attribute = attribute(name, ATTRIBUTE_INTS);
    values.iter().for_each(|&value| attribute.integer(8, value));
    attribute
}

fn strings(name: &str, values: &[&str]) -> Message {
    let mut attribute = attribute(name, ATTRIBUTE_STRINGS);
    values.iter().for_each(|value| attribute.text(9, value));
    attribute
}

/// A TensorProto with numbers in ±1/√H, the range of PyTorch.
fn weights(name: &str, dims: &[usize], hidden: usize) -> Message {
    let bound = 1.0 / (hidden as f32).sqrt();
    let count = dims.iter().product::<usize>() as u32;
    let values =
        (0..count).map(|i| (i.wrapping_mul(2_654_435_769) as f32 / 2_147_483_648.0 - 1.0) * bound);
    tensor(name, dims, FLOAT, values.flat_map(f32::to_le_bytes).collect())
}

/// A TensorProto with sizes for Reshape.
fn sizes_of(name: &str, sizes: &[usize]) -> Message {
    tensor(
        name,
        &[sizes.len()],
        INT64,
        sizes.iter().flat_map(|&size| (size as u64).to_le_bytes()).collect(),
    )
}

fn tensor(name: &str, dims: &[usize], of: u64, bytes: Vec<u8>) -> Message {
    let mut tensor = Message::default();
    dims.iter().for_each(|&size| tensor.integer(1, size as u64));
    tensor.integer(2, of);
    tensor.text(8, name);
    tensor.bytes(9, &bytes);
    tensor
}

/// A ValueInfoProto of f32.
fn value(name: &str, dims: &[usize]) -> Message {
    let mut shape = Message::default();
    for &size in dims {
        let mut dim = Message::default();
        dim.integer(1, size as u64);
        shape.message(1, &dim);
    }
    let mut tensor = Message::default();
    tensor.integer(1, FLOAT);
    tensor.message(2, &shape);
    let mut of = Message::default();
    of.message(1, &tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, &of);
    value
}

/// The bytes of a protocol buffer message. A repeated field is written once for each value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}
