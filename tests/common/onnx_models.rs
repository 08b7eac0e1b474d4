//! Models that tests write, with the library's writer.

use std::cell::RefCell;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// H of every node.
pub const HIDDEN: usize = 2;
/// I of every node.
pub const INPUT: usize = 3;

pub fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind), ..AttributeProto::default() }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::INT) }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::INTS) }
}

pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::FLOAT) }
}

pub fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, AttributeType::FLOATS) }
}

pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.to_owned()), ..attribute(name, AttributeType::STRING) }
}

pub fn texts(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|value| (*value).to_owned()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::STRINGS) }
}

pub fn tensor_of(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(value), ..attribute(name, AttributeType::TENSOR) }
}

pub fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph), ..attribute(name, AttributeType::GRAPH) }
}

pub fn node(
    operator: &str,
    name: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: Vec<AttributeProto>,
) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        name: Some(name.to_owned()),
        op_type: Some(operator.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        attribute: attributes,
        domain: None,
    }
}

fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).expect("a small size")).collect()
}

/// A tensor of raw bytes.
pub fn raw(name: &str, shape: &[usize], data_type: DataType, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims(shape),
        data_type: Some(data_type),
        raw_data: Some(RefCell::new(bytes)),
        ..TensorProto::default()
    }
}

pub fn tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw(name, shape, DataType::FLOAT, bytes)
}

pub fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims(&[values.len()]),
        data_type: Some(DataType::INT64),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// Different values of about ±1 for each seed.
pub fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7 + seed * 11) % 23) as f32 / 12.0 - 0.9).collect()
}

pub fn gates(operator: &str) -> usize {
    match operator {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    }
}

/// The tensors `W`, `R`, `B` and `P` of a node, with a suffix.
pub fn weights(operator: &str, directions: usize, input: usize, suffix: &str) -> Vec<TensorProto> {
    let rows = gates(operator) * HIDDEN;
    let shapes: [(&str, Vec<usize>); 4] = [
        ("W", vec![directions, rows, input]),
        ("R", vec![directions, rows, HIDDEN]),
        ("B", vec![directions, 2 * rows]),
        ("P", vec![directions, 3 * HIDDEN]),
    ];
    let make = |(seed, (name, shape)): (usize, &(&str, Vec<usize>))| {
        let count = shape.iter().product();
        tensor(&format!("{name}{suffix}"), shape, &values(count, seed + suffix.len()))
    };
    shapes.iter().enumerate().map(make).collect()
}

pub fn value_info(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), r#type: None }
}

pub fn graph(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node: nodes,
        initializer: tensors,
        input: ["X", "h", "c", "lengths"].map(value_info).to_vec(),
        output: vec![value_info("Y")],
        value_info: vec![],
    }
}

pub fn model(opset: i64, graph: GraphProto) -> ModelProto {
    let import = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    ModelProto {
        ir_version: Some(8),
        producer_name: Some("a test".to_owned()),
        graph: Some(graph),
        opset_import: vec![import("com.microsoft", 1), import("", opset)],
        ..ModelProto::default()
    }
}

pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.write_buf().expect("a buffer has no limit")
}

/// A model of one node with W, R and B. Its direction is that of the attribute.
pub fn one(opset: i64, operator: &str, attributes: Vec<AttributeProto>) -> ModelProto {
    let both = |a: &AttributeProto| a.s.as_deref() == Some("bidirectional");
    let directions = 1 + usize::from(attributes.iter().any(both));
    let made = node(operator, "cell", &["X", "W", "R", "B"], &["Y", "Y_h"], attributes);
    model(opset, graph(vec![made], weights(operator, directions, INPUT, "")))
}

/// A value with the sizes of its axes, of which some change.
pub fn declared(name: &str, sizes: &[Option<i64>]) -> ValueInfoProto {
    let dimension = |&dim_value: &Option<i64>| Dimension { dim_value, dim_param: None };
    let shape = TensorShapeProto { dim: sizes.iter().map(dimension).collect() };
    let tensor_type = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(shape) };
    let kind = TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() };
    ValueInfoProto { r#type: Some(kind), ..value_info(name) }
}
