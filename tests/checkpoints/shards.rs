//! One state dict in several files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use wgpu_rnn::internals::params::state_dict;
use wgpu_rnn::{StateDict, Tensor};

use crate::pickles::{dict, pickle, saved, two_values};
use crate::{assert_refused, refusal};

const NAMES: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// A folder with two shards of a tensor each, and its files.
struct Shards {
    folder: TempDir,
}

impl Shards {
    fn new() -> Self {
        let shards = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (i, name) in NAMES.into_iter().enumerate() {
            shards.save(name, &[if i == 0 { "a" } else { "b" }], i as f32);
        }
        shards
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with a tensor of one value for each name.
    fn save(&self, name: &str, tensors: &[&str], value: f32) {
        let tensor = Tensor::new([1], vec![value]).expect("one value");
        let tensors: Vec<_> = tensors.iter().map(|name| (*name, &tensor)).collect();
        state_dict::save(self.path(name), &tensors).expect("a file in a new folder");
    }

    /// Writes an index with this map of tensors to files, and returns its path.
    fn index(&self, weight_map: Value) -> PathBuf {
        let index = json!({ "metadata": { "total_size": 8 }, "weight_map": weight_map });
        let path = self.path("model.safetensors.index.json");
        std::fs::write(&path, index.to_string()).expect("a file in a new folder");
        path
    }
}

/// Fails unless the state dict holds a = 0 and b = 1.
#[track_caller]
fn assert_whole(file: Result<StateDict, wgpu_rnn::Error>, file_type: &str) {
    let file = file.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b"], "the tensors of both");
    assert_eq!(file.f32("a").expect("it is there"), [0.0], "the value of the first shard");
    assert_eq!(file.f32("b").expect("it is there"), [1.0], "the value of the second shard");
    assert_eq!(file.file_type(), file_type, "the type");
}

#[test]
fn an_index_a_folder_or_a_list_is_one_state_dict() {
    let shards = Shards::new();
    let files = NAMES.map(|name| shards.path(name));
    assert_whole(StateDict::open_files(&files, None), "safetensors in 2 files");
    let index = shards.index(json!({ "a": NAMES[0], "b": NAMES[1] }));
    assert_whole(StateDict::open(&index), "safetensors in 2 shards");
    assert_whole(StateDict::open(shards.folder.path()), "safetensors in 2 shards");
    // Files without such names are one state dict, too, and may be of several types.
    shards.save("encoder.safetensors", &["a"], 0.0);
    let other = saved(&pickle(&dict(&[("w", two_values())])), &[&[0; 8]]);
    std::fs::write(shards.path("decoder.pt"), other).expect("a file in a new folder");
    let both = ["encoder.safetensors", "decoder.pt"].map(|name| shards.path(name));
    let file = StateDict::open_files(&both, None).expect("two files");
    assert_eq!(file.names().collect::<Vec<_>>(), ["a", "w"], "the tensors of both");
    assert_eq!(file.f32("w").expect("it is there"), [0.0; 2], "of the second file");
}

#[test]
fn a_shard_alone_names_the_others() {
    let shards = Shards::new();
    let first = shards.path(NAMES[0]);
    assert_refused(&first, "this is shard 1 of 2, which holds a part of the weights");
    assert_refused(&first, "open all of them together");
    let index = shards.index(json!({ "a": NAMES[0], "b": NAMES[1] }));
    assert_refused(&first, &format!("open {}, or the folder", index.display()));
    let twice = StateDict::open_files(&[&first, &first], None).expect_err("the second is missing");
    assert!(twice.to_string().contains("this is shard 1 of 2"), "{twice}");
    for whole in ["model-00001-of-00001.safetensors", "epoch-3-of-10.safetensors"] {
        shards.save(whole, &["a"], 0.0);
        let file = StateDict::open(shards.path(whole)).expect("no other file is missing");
        assert_eq!(file.names().count(), 1, "{whole}");
    }
}

#[test]
fn an_index_that_does_not_fit_its_files_is_refused() {
    let shards = Shards::new();
    for (map, part) in [
        (json!({}), "the index names no file"),
        (json!({ "a": NAMES[0] }), ""),
        (json!({ "a": NAMES[0], "b": NAMES[0] }), "'b' is missing, which the index names"),
        (json!({ "a": NAMES[0], "x": NAMES[1] }), "the index does not name 'b' in this file"),
        (json!({ "a": NAMES[0], "b": "other.safetensors" }), "other.safetensors"),
        (json!({ "a": format!("../{}", NAMES[0]) }), "is no file in the folder of the index"),
        (json!({ "a": "/etc/passwd" }), "is no file in the folder of the index"),
        (json!({ "a": ".." }), "is no file in the folder of the index"),
        (json!({ "a": 1 }), "not the index of a sharded checkpoint"),
        (json!([]), "not the index of a sharded checkpoint"),
    ] {
        let index = shards.index(map.clone());
        if part.is_empty() {
            let file = StateDict::open(&index).expect("an index of one of the files");
            assert_eq!(file.names().collect::<Vec<_>>(), ["a"], "{map}");
        } else {
            assert_refused(&index, part);
        }
    }
    shards.save(NAMES[1], &["a", "b"], 1.0);
    let files = NAMES.map(|name| shards.path(name));
    let message = StateDict::open_files(&files, None).expect_err("a is in both").to_string();
    assert!(message.contains("the tensor 'a' is also in another file"), "{message}");
}

#[test]
fn a_folder_without_weights_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_refused(folder.path(), "the folder has none of model.safetensors.index.json");
    let none: [&Path; 0] = [];
    let message = StateDict::open_files(&none, None).expect_err("no file").to_string();
    assert!(message.contains("no file of weights was named"), "{message}");
    let message = refusal(&folder.path().join("missing.pt"));
    assert!(message.contains("missing.pt"), "{message}");
}
