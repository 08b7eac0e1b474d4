//! 01-layernorm-cell, 06-reparametrised, 07-quantized: names and types that a module lacks.

use wgpu_rnn::{Cell, Device, LoadOptions, Params, Rnn};

use crate::Report;

/// Fails unless both hold the same values within the report's tolerance.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: the number of values");
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(got) - f64::from(want)).abs();
        assert!(difference <= tolerance, "{what}[{at}]: got {got}, want {want}");
    }
}

pub fn tensors_below_a_cell_are_refused() {
    let report = Report::of("01-layernorm-cell");
    let weights = report.open("weights.safetensors");
    let prefix = report.expected["prefix"].as_str().expect("a prefix");
    assert_eq!(report.expected["run"], "error", "what the report expects");
    let device = Device::cpu();
    let refusals = [
        Cell::load(&device, &weights, prefix).expect_err("a cell").to_string(),
        Rnn::load(&device, &weights, prefix).expect_err("a layer").to_string(),
    ];
    let listed = report.texts("names").join("\", \"");
    let listed = format!("Unexpected key(s) in state_dict: \"{listed}\".");
    for message in refusals {
        assert!(message.contains(&listed), "{listed} is not in {message}");
        assert!(message.contains("--allow-unused"), "{message}");
    }
    let allow = LoadOptions::new().allow_unused(true);
    let cell = Cell::load_with(&device, &weights, prefix, &allow).expect("allowed");
    assert_eq!(cell.config().hidden_size, 6, "the cell alone");
}

pub fn reparametrised_weights_are_folded_on_request() {
    let report = Report::of("06-reparametrised");
    let tolerance = report.expected["atol"].as_f64().expect("a tolerance");
    let input = report.open("input.safetensors").tensor("input").expect("an input");
    let files = report.expected["folded_on_request"].as_object().expect("a map of files");
    assert_eq!(files.len(), 3, "the files of the report");
    for (file, output) in files {
        let weights = report.open(file);
        let message = Params::from_state_dict(&weights, "").expect_err(file).to_string();
        for part in ["weight_hh_l0", "--fold"] {
            assert!(message.contains(part), "{file}: '{part}' is not in {message}");
        }
        let folded = weights.folded().unwrap_or_else(|error| panic!("{file}: {error}"));
        let rnn = Rnn::load(&Device::cpu(), &folded, "").unwrap_or_else(|e| panic!("{file}: {e}"));
        let (got, state) = rnn.forward(&input, None).expect("it runs");
        let want = report.open(output.as_str().expect("a name"));
        for (name, got) in [("output", got), ("hn", state.h)] {
            let want = want.tensor(name).expect("a result");
            assert_close(&format!("{file}: {name}"), got.data(), want.data(), tolerance);
        }
    }
}

pub fn quantized_weights_are_refused() {
    let report = Report::of("07-quantized");
    assert!(report.expected["error"].is_string(), "the report expects an error");
    let weights = report.open("int8.safetensors");
    let message = Params::from_state_dict(&weights, "").expect_err("integers").to_string();
    for name in ["weight_ih_l0", "weight_hh_l0"] {
        let part = format!("unsupported dtype for {name}: found I8");
        assert!(message.contains(&part), "'{part}' is not in {message}");
    }
    for part in ["scale", "dequantize()", "A change of type alone gives wrong numbers"] {
        assert!(message.contains(part), "'{part}' is not in {message}");
    }
}
