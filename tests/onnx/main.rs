//! Recurrent nodes of ONNX models: every attribute is read, or refused by name.

mod attributes;
mod chains;
mod computed;
mod exports;
mod graphs;
mod hostile;
#[path = "../common/onnx_models.rs"]
mod made;
mod networks;
mod runtime;
mod tensors;

use rten_onnx::onnx::ModelProto;
use wgpu_rnn::internals::params::onnx::{OnnxModel, RecurrentNode};

/// Reads a model from memory.
fn read(model: &ModelProto) -> OnnxModel {
    OnnxModel::parse("made.onnx", &made::bytes(model)).unwrap_or_else(|error| panic!("{error}"))
}

/// The only node of a model.
fn only(model: &ModelProto) -> RecurrentNode {
    let model = read(model);
    assert_eq!(model.len(), 1, "one node");
    model.node(0).unwrap_or_else(|error| panic!("{error}")).clone()
}

/// Fails unless the only node of a model is refused with all of these texts.
fn assert_refused(model: &ModelProto, parts: &[&str]) {
    let model = read(model);
    let error = model.node(0).expect_err("the node must be refused").to_string();
    assert!(error.contains(&model.name(0)), "the node's name is not in: {error}");
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    model.tensors(&[0]).expect_err("it has no weights to load");
    model.params(&[0]).expect_err("it makes no module");
}
