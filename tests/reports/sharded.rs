//! 05-sharded: one state dict in several files.

use crate::Report;
use crate::pickles::{assert_same_tensors, refusal};

pub fn shards_are_one_state_dict() {
    let report = Report::of("05-sharded");
    let twin = report.expected["same_tensors_as"].as_str().expect("a path");
    assert_same_tensors(&report.path("model.safetensors.index.json"), &report.path(twin));
    assert_same_tensors(&report.folder, &report.path(twin));
}

pub fn a_shard_alone_is_refused() {
    let report = Report::of("05-sharded");
    let message = refusal(&report.path("model-00001-of-00002.safetensors"));
    assert!(message.contains("shard 1 of 2"), "{message}");
    assert!(message.contains("model.safetensors.index.json"), "a way out is named: {message}");
}
