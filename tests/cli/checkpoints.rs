//! Files of `torch.save` and sharded checkpoints, in each command that takes weights.

use serde_json::json;
use wgpu_rnn::StateDict;

use crate::files::{Folder, f32s, language_model};
use crate::generate::letters;
use crate::pickles::{dict, pickle, saved, storage, tensor, text};
use crate::program::wgpu_rnn;
use crate::seeded;

fn checkpoint(name: &str) -> String {
    format!("{}/tests/fixtures/checkpoints/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs an LSTM of the fixtures, and returns what it wrote and its notes.
fn run(weights: &[&str]) -> (Vec<u8>, String) {
    let folder = Folder::new();
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(1, &[3, 2], 1.0))]);
    let output = folder.path("output.safetensors");
    let rest = ["--prefix", "rnn.", "--input", &input, "--output", &output, "--device", "cpu"];
    let ran = wgpu_rnn(&[&["run"], weights, &rest].concat()).ended(0);
    (std::fs::read(output).expect("the output"), ran.stderr)
}

#[test]
fn run_reads_checkpoints_by_key() {
    let (want, stderr) = run(&["--weights", &checkpoint("f32.safetensors")]);
    assert!(!stderr.contains("checkpoint:"), "safetensors has no keys: {stderr}");
    let path = checkpoint("2.9/checkpoint.ckpt");
    let (found, stderr) = run(&["--weights", &path]);
    assert_eq!(found, want, "the only dict");
    let note = format!("note: {path} is a checkpoint: its dict 'state_dict' is used; --key names");
    assert!(stderr.contains(&note), "the key is announced: {stderr}");
    let (found, stderr) = run(&["--weights", &path, "--key", "state_dict"]);
    assert_eq!(found, want, "a given key");
    assert!(!stderr.contains("checkpoint:"), "a given key needs no note: {stderr}");
    let (found, _) = run(&["--weights", &checkpoint("1.13/two.pth"), "--key", "ema.net"]);
    assert_eq!(found, want, "a dict in a dict");

    let files = ["--input", "i", "--output", "o", "--device", "cpu"];
    let two = checkpoint("1.13/two.pth");
    wgpu_rnn(&[&["run", "--weights", &two], &files[..]].concat()).refused(&[
        "several dicts of tensors",
        "--key",
        "model.net, ema.net",
    ]);
    let module = checkpoint("2.9/whole_module.pt");
    wgpu_rnn(&[&["run", "--weights", &module], &files[..]].concat())
        .refused(&["torch.nn.modules.linear.Linear", "torch.save(model.state_dict()"]);
}

#[test]
fn compare_and_inspect_read_checkpoints() {
    let two = checkpoint("2.9/two.pth");
    let args = ["--weights", &two, "--key", "model.net", "--prefix", "rnn.", "--device", "cpu"];
    wgpu_rnn(&[&["compare"], &args[..]].concat()).ended(0).says(&["agrees"]);

    let path = checkpoint("2.9/checkpoint.ckpt");
    wgpu_rnn(&["inspect", &path]).ended(0).says(&[
        "PyTorch (zip), the dict 'state_dict'",
        "rnn.: LSTM(2, 3)",
        "rnn.weight_ih_l0",
        "epoch: 3",
    ]);
    let report = wgpu_rnn(&["inspect", "--json", &path]).ended(0).json();
    assert_eq!(report["type"], "PyTorch (zip)", "{report:#}");
    assert_eq!(report["key"], "state_dict", "{report:#}");
    let report = wgpu_rnn(&["inspect", "--json", &checkpoint("f32.safetensors")]).ended(0).json();
    assert_eq!(
        (&report["type"], &report["key"]),
        (&json!("safetensors"), &json!(null)),
        "{report:#}"
    );
    wgpu_rnn(&["inspect", "--key", "ema.net", &two]).ended(0).says(&["the dict 'ema.net'"]);
    wgpu_rnn(&["inspect", &checkpoint("1.13/legacy.pt")]).refused(&["PyTorch's legacy format"]);
}

#[test]
fn several_files_are_one_state_dict() {
    let folder = Folder::new();
    let shard = |number: usize| format!("model-0000{number}-of-00003.safetensors");
    let file = StateDict::open(checkpoint("f32.safetensors")).expect("the fixture is there");
    let entry = |name: &str| f32s(name, &file.tensor(name).expect("F32"));
    let (mut shards, names) = (Vec::new(), ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]);
    for (name, number) in names.into_iter().zip(1..) {
        shards.push(folder.save(&shard(number), &[entry(name)]));
    }
    shards.push(folder.save(&shard(3), &["rnn.bias_ih_l0", "rnn.bias_hh_l0"].map(entry)));
    let weights: Vec<&str> = shards.iter().flat_map(|path| ["--weights", path]).collect();
    let (want, _) = run(&["--weights", &checkpoint("f32.safetensors")]);
    assert_eq!(run(&weights).0, want, "three shards");

    let alone = ["inspect", shards[1].as_str()];
    wgpu_rnn(&alone).refused(&["this is shard 2 of 3", "open all of them together"]);
    let map = json!({
        names[0]: shard(1),
        names[1]: shard(2),
        "rnn.bias_ih_l0": shard(3),
        "rnn.bias_hh_l0": shard(3),
    });
    let index = json!({ "weight_map": map }).to_string();
    let index = folder.write("model.safetensors.index.json", index);
    assert_eq!(run(&["--weights", &index]).0, want, "an index");
    wgpu_rnn(&["inspect", &index]).ended(0).says(&["safetensors in 3 shards", "LSTM(2, 3)"]);
}

/// A language model in a checkpoint scores a text as its safetensors file does.
#[test]
fn perplexity_and_generate_read_checkpoints() {
    let folder = Folder::new();
    let original = language_model("lstm_l2_text101_s7.safetensors");
    let file = StateDict::open(&original).expect("the fixture is there");
    let names: Vec<&str> = file.names().filter(|name| name.starts_with("model.")).collect();
    let (mut storages, mut tensors) = (Vec::new(), Vec::new());
    for (i, name) in names.into_iter().enumerate() {
        let found = file.tensor(name).expect("F32");
        let shape: Vec<i64> = found.shape().iter().map(|&size| size as i64).collect();
        let strides = match shape.as_slice() {
            &[_, columns] => vec![columns, 1],
            _ => vec![1],
        };
        let len = found.data().len() as i64;
        let storage = storage(&i.to_string(), "FloatStorage", len);
        tensors.push((name, tensor(storage, 0, &shape, &strides)));
        storages.push(file.bytes(name).expect("its bytes"));
    }
    let state_dict = dict(&tensors);
    let pairs = [("epoch", text("three")), ("state_dict", state_dict.clone()), ("ema", state_dict)];
    let storages: Vec<&[u8]> = storages.iter().map(|bytes| &bytes[..]).collect();
    let model = folder.write("model.pt", saved(&pickle(&dict(&pairs)), &storages));
    let (vocabulary, words) = (letters(&folder), folder.write("text.txt", "abcabc"));
    let shared = ["--prefix", "model.", "--vocabulary", &vocabulary, "--device", "cpu"];
    let args = |command: &'static str, weights: &[&str], rest: &[&str]| {
        wgpu_rnn(&[&[command], weights, &shared, rest].concat()).ended(0)
    };
    let keyed = ["--weights", &model, "--key", "state_dict"];
    let plain = ["--weights", original.as_str()];
    let loss = |weights: &[&str]| {
        args("perplexity", weights, &[&words, "--json"]).json()["results"][0]["loss"].clone()
    };
    assert_eq!(loss(&keyed), loss(&plain), "the loss");
    let generated =
        |weights: &[&str]| args("generate", weights, &["--prompt", "a", "--length", "5"]).stdout;
    assert_eq!(generated(&keyed), generated(&plain), "the text");
    wgpu_rnn(&["perplexity", "--weights", &model, &words])
        .refused(&["several dicts of tensors", "state_dict, ema"]);
}
