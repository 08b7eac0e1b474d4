//! `wgpu-rnn inspect`.

use safetensors::SafeTensors;
use wgpu_rnn::Config;

use crate::files::{Folder, fixture, language_model, weights};
use crate::program::{assert_keys, wgpu_rnn};

#[test]
fn a_language_model_and_its_recurrent_module_are_told() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/shakespeare.safetensors");
    let ran = wgpu_rnn(&["inspect", model]).ended(0);
    let ran = ran.says(&[
        "RNNModel('LSTM', 65, 64, 320, 2",
        "LSTM(64, 320, num_layers=2)",
        "encoder.weight",
        "F16",
    ]);
    assert!(ran.stdout.contains("[65, 64]"), "shapes: {}", ran.told());
    let report = wgpu_rnn(&["inspect", "--json", model]).ended(0).json();
    assert_keys("the report", &report, &["path", "case", "modules", "tensors", "metadata"]);
    assert_eq!(report["modules"][1]["prefix"], "rnn.", "{report:#}");
    assert_eq!(report["metadata"]["rnn_type"], "LSTM", "{report:#}");
    assert!(report["case"].is_null(), "{report:#}");
}

/// `save_model` stores tied weights once, under either name. `generate` runs both.
#[test]
fn a_tied_language_model_is_told_under_either_name() {
    let folder = Folder::new();
    let file = std::fs::read(language_model("gru_l1_tied_text27_s8.safetensors"));
    let file = file.expect("the fixture is there");
    let file = SafeTensors::deserialize(&file).expect("a valid fixture");
    let names = ["model.encoder.weight", "model.decoder.weight"];
    for (kept, dropped) in [(names[0], names[1]), (names[1], names[0])] {
        let model = |name: &str| name.starts_with("model.") && name != dropped;
        let tensors = file.iter().filter(|(name, _)| model(name));
        let note = [(dropped.to_owned(), kept.to_owned())];
        let bytes = safetensors::serialize(tensors, Some(note.into_iter().collect()));
        let path = folder.write("tied.safetensors", bytes.expect("tensors of valid sizes"));
        wgpu_rnn(&["inspect", &path]).ended(0).says(&["model.: RNNModel('GRU', 13, 7, 7, 1"]);
    }
}

#[test]
fn a_case_is_told_with_its_module() {
    let case = fixture("grid_lstm_l2_b3_t11_bf.safetensors");
    let report = wgpu_rnn(&["inspect", "--json", &case]).ended(0).json();
    let module = report["case"]["module"].as_str().unwrap_or_default();
    assert!(
        module.starts_with("LSTM(") && module.contains("num_layers=2, batch_first=True"),
        "{report:#}"
    );
}

#[test]
fn modules_that_cannot_be_loaded_say_why() {
    let folder = Folder::new();
    let mut entries = weights(&Config::gru(3, 5).num_layers(2), "encoder.");
    entries.retain(|(name, ..)| name != "encoder.weight_hh_l1");
    let path = folder.save("weights.safetensors", &entries);
    wgpu_rnn(&["inspect", &path])
        .ended(0)
        .says(&["encoder.:", "Missing key(s) in state_dict: \"encoder.weight_hh_l1\""]);
}

#[test]
fn what_is_no_safetensors_file_is_refused() {
    let folder = Folder::new();
    let path = folder.path("notes.txt");
    std::fs::write(&path, "not a model").expect("a file in a new folder");
    let ran = wgpu_rnn(&["inspect", &path]).ended(2);
    assert!(ran.stderr.contains("not a valid safetensors file"), "{}", ran.told());
    let ran = wgpu_rnn(&["inspect", "missing.safetensors"]).ended(2);
    assert!(ran.stderr.contains("missing.safetensors"), "{}", ran.told());
}
