//! Fresh parameters are those that PyTorch initialises a module with, bit for bit.
//!
//! `fixtures/initialisation.json` says what PyTorch draws; `fixtures/initialisation.py` made it.

#[path = "common/parameters.rs"]
mod parameters;

use parameters::in_order;
use serde_json::Value;
use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::language_model::{LanguageModelConfig, LanguageModelParams, parse_rnn_type};
use wgpu_rnn::{Config, Kind, Params, Tensor};

/// The tensors of a freshly initialised module's state dict.
fn initialised(module: &str, arguments: &Value, seed: u64) -> Vec<(String, Tensor)> {
    if module == "RNNModel" {
        let config = language_model_config(arguments);
        let params = LanguageModelParams::init(&config, seed)
            .unwrap_or_else(|error| panic!("{config:?}: {error}"));
        return params.to_tensors();
    }
    let config = config(module, arguments);
    let params = Params::init(&config, seed).unwrap_or_else(|error| panic!("{config:?}: {error}"));
    let (values, places) = (in_order(&params), expected_parameters(&config));
    assert_eq!(values.len(), places.len(), "{config:?}: number of parameters");
    let tensors = values.into_iter().zip(places);
    tensors
        .map(|(values, (name, shape))| {
            (name, Tensor::new(shape, values.to_vec()).expect("its shape"))
        })
        .collect()
}

/// Fails where the arguments have names other than these, so that none is passed over.
fn assert_known(arguments: &Value, known: &[&str]) {
    for name in arguments.as_object().expect("arguments by name").keys() {
        assert!(known.contains(&name.as_str()), "this test does not know the argument {name}");
    }
}

/// The configuration that the arguments of `RNNModel` describe.
fn language_model_config(arguments: &Value) -> LanguageModelConfig {
    assert_known(
        arguments,
        &["rnn_type", "ntoken", "ninp", "nhid", "nlayers", "dropout", "tie_weights"],
    );
    let size = |name: &str| arguments[name].as_u64().expect("a size") as usize;
    let rnn_type =
        parse_rnn_type(arguments["rnn_type"].as_str().expect("a name")).expect("PyTorch took it");
    LanguageModelConfig::new(rnn_type, size("ntoken"), size("ninp"), size("nhid"), size("nlayers"))
        .dropout(arguments["dropout"].as_f64().unwrap_or(0.0))
        .tie_weights(arguments["tie_weights"].as_bool().unwrap_or(false))
}

/// The configuration that the arguments of a module of `torch.nn` describe.
fn config(module: &str, arguments: &Value) -> Config {
    let size = |name: &str| arguments[name].as_u64().map(|size| size as usize);
    let flag = |name: &str| arguments[name].as_bool();
    let kind = match (module, arguments["nonlinearity"].as_str()) {
        ("LSTM", None) => Kind::Lstm,
        ("GRU", None) => Kind::Gru,
        ("RNN", nonlinearity) => {
            Kind::rnn_with(nonlinearity.unwrap_or("tanh")).expect("PyTorch took it")
        }
        _ => panic!("unknown module {module} with {arguments}"),
    };
    assert_known(
        arguments,
        &[
            "input_size",
            "hidden_size",
            "num_layers",
            "bias",
            "bidirectional",
            "proj_size",
            "nonlinearity",
        ],
    );
    Config::new(kind, size("input_size").expect("a size"), size("hidden_size").expect("a size"))
        .num_layers(size("num_layers").unwrap_or(1))
        .bias(flag("bias").unwrap_or(true))
        .bidirectional(flag("bidirectional").unwrap_or(false))
        .proj_size(size("proj_size").unwrap_or(0))
}

/// Bits as the fixture writes them.
fn hex(values: &[f32]) -> Vec<String> {
    values.iter().map(|value| format!("{:08x}", value.to_bits())).collect()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

#[test]
fn fresh_parameters_are_those_that_pytorch_draws() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/initialisation.json");
    let text = std::fs::read_to_string(path).expect("the fixture can be read");
    let fixture: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    let cases = fixture["cases"].as_array().expect("a list of modules");
    assert!(cases.len() >= 17, "the fixture has {} modules", cases.len());
    for case in cases {
        let module = case["module"].as_str().expect("a name");
        let seed: u64 = case["seed"].as_str().and_then(|seed| seed.parse().ok()).expect("a seed");
        let what = format!("seed {seed}, {module}({})", case["arguments"]);
        let tensors = initialised(module, &case["arguments"], seed);
        let wanted = case["parameters"].as_array().expect("a list of parameters");
        assert_eq!(tensors.len(), wanted.len(), "{what}: number of parameters");
        for ((name, tensor), want) in tensors.into_iter().zip(wanted) {
            let (shape, values) = (tensor.shape(), tensor.data());
            assert_eq!(want["name"], name, "{what}: the order of parameters");
            assert_eq!(want["shape"], serde_json::json!(shape), "{what}: shape of {name}");
            let ends = strings(&want["first"]).len();
            assert_eq!(
                hex(&values[..ends]),
                strings(&want["first"]),
                "{what}: first values of {name}"
            );
            assert_eq!(
                hex(&values[values.len() - ends..]),
                strings(&want["last"]),
                "{what}: last values of {name}"
            );
            let checksum = values.iter().zip(1_u64..).fold(0_u64, |sum, (value, position)| {
                sum.wrapping_add(position.wrapping_mul(u64::from(value.to_bits())))
            });
            assert_eq!(want["checksum"], format!("{checksum:016x}"), "{what}: checksum of {name}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_parameters_each_time_and_another_seed_others() {
    let config = Config::lstm(3, 4).num_layers(2);
    let init = |seed| Params::init(&config, seed).expect("a valid configuration");
    assert_eq!(init(5), init(5), "the same seed");
    assert_ne!(init(5), init(6), "another seed");
}
