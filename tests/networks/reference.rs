//! The definition of networks in f64 gives PyTorch's results, and devices match it.

use wgpu_rnn::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::diagnostics::{assert_matches, matches};
use wgpu_rnn::internals::reference::network;
use wgpu_rnn::network::Sequential;
use wgpu_rnn::{Device, StateDict};

use crate::networks::{Fixture, Input, fixtures};

#[test]
fn the_definition_gives_the_results_of_pytorch() {
    for fixture in fixtures() {
        let Fixture { name, definition, weights, prefix, input, output, atol, rtol, .. } = fixture;
        let params = definition.read(&weights, prefix).expect("its weights");
        let (values, shape): (Vec<f64>, _) = match &input {
            Input::Values(x) => (x.data().iter().map(|&x| x.into()).collect(), x.shape().to_vec()),
            Input::Tokens(t, shape) => (t.iter().map(|&t| t as f64).collect(), shape.clone()),
        };
        let want = network(&params, &values, [shape[0], shape[1]]).expect("a definition");
        let mut comparison = Comparison::default();
        let tolerance = Tolerance::new(atol, rtol);
        comparison.add(&name, output.shape(), output.data(), &want.values, tolerance);
        assert!(comparison.agrees(), "{name}: {comparison:?}");
    }
}

#[test]
fn the_cpu_matches_the_definition() {
    for fixture in fixtures().iter().filter(|fixture| fixture.name.starts_with("chain")) {
        let params = fixture.definition.read(&fixture.weights, fixture.prefix).expect("weights");
        assert_matches(&params, [Device::cpu()], Tolerance::F32);
    }
}

#[test]
fn networks_without_a_definition_say_so() {
    let fixture = fixtures().into_iter().find(|f| f.name == "gru_layers").expect("a GRU");
    let hidden = |file: &StateDict| {
        Sequential::new(5)
            .hidden("rnn.")
            .name("h")
            .from("input")
            .rnn("rnn.")
            .read(file, fixture.prefix)
    };
    let params = hidden(&fixture.weights).expect("a GRU");
    let error = matches(&params, [Device::cpu()], Tolerance::F32, &[(1, 1)]).expect_err("none");
    assert!(error.to_string().contains("hidden()"), "{error}");
}
