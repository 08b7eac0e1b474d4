//! One test for each attribute and operator: it is read, or the node is refused by its name.

use rten_onnx::onnx::{AttributeProto, AttributeType};
use wgpu_rnn::internals::params::onnx::{Direction, Operator};
use wgpu_rnn::variant::ActivationFunction;

use crate::made::{attribute, float, floats, int, one, text, texts};
use crate::{assert_refused, only, read};

const OPERATORS: [&str; 3] = ["RNN", "GRU", "LSTM"];

fn shown(functions: &[Vec<ActivationFunction>]) -> Vec<String> {
    functions.iter().flatten().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_those_of_the_specification() {
    for (operator, kind, functions) in [
        ("RNN", Operator::Rnn, &["Tanh"][..]),
        ("GRU", Operator::Gru, &["Sigmoid", "Tanh"]),
        ("LSTM", Operator::Lstm, &["Sigmoid", "Tanh", "Tanh"]),
    ] {
        for opset in [1, 7, 14, 22] {
            let node = only(&one(opset, operator, vec![]));
            assert_eq!((node.operator, node.direction), (kind, Direction::Forward));
            assert_eq!((node.input_size, node.hidden_size), (3, 2));
            assert_eq!(shown(&node.activations), functions);
            assert_eq!(node.clip, None);
            assert!(!node.batch_first && !node.input_forget && !node.linear_before_reset);
        }
    }
}

#[test]
fn direction_is_read_or_refused() {
    for operator in OPERATORS {
        for (value, direction) in [
            ("forward", Direction::Forward),
            ("reverse", Direction::Reverse),
            ("bidirectional", Direction::Bidirectional),
        ] {
            let node = only(&one(14, operator, vec![text("direction", value)]));
            assert_eq!(node.direction, direction);
            assert_eq!(node.activations.len(), node.direction.count());
        }
        for value in ["backward", "Reverse", ""] {
            let refused = one(14, operator, vec![text("direction", value)]);
            assert_refused(
                &refused,
                &["'direction'", "expected forward, reverse or bidirectional"],
            );
        }
    }
}

#[test]
fn hidden_size_must_be_that_of_the_weights() {
    for operator in OPERATORS {
        assert_eq!(only(&one(14, operator, vec![int("hidden_size", 2)])).hidden_size, 2);
        for size in [3, 0, -2, i64::MAX] {
            let refused = one(14, operator, vec![int("hidden_size", size)]);
            assert_refused(&refused, &["'hidden_size'", "expected 2"]);
        }
    }
}

#[test]
fn layout_is_read_from_operator_set_14_on() {
    for operator in OPERATORS {
        for (layout, batch_first) in [(0, false), (1, true)] {
            let node = only(&one(14, operator, vec![int("layout", layout)]));
            assert_eq!(node.batch_first, batch_first);
        }
        assert_refused(&one(14, operator, vec![int("layout", 2)]), &["'layout' is 2"]);
        let early = one(13, operator, vec![int("layout", 0)]);
        assert_refused(&early, &["'layout'", "14 and later", "has 13"]);
    }
}

#[test]
fn output_sequence_is_read_up_to_operator_set_6() {
    for operator in OPERATORS {
        for value in [0, 1] {
            only(&one(6, operator, vec![int("output_sequence", value)]));
        }
        assert_refused(&one(6, operator, vec![int("output_sequence", 2)]), &["'output_sequence'"]);
        let late = one(7, operator, vec![int("output_sequence", 1)]);
        assert_refused(&late, &["'output_sequence'", "1 to 6", "has 7"]);
    }
}

#[test]
fn clip_is_read_or_refused() {
    for operator in OPERATORS {
        assert_eq!(only(&one(14, operator, vec![float("clip", 0.25)])).clip, Some(0.25));
        for clip in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let refused = one(14, operator, vec![float("clip", clip)]);
            assert_refused(&refused, &["'clip'", "expected a finite number above 0"]);
        }
    }
}

#[test]
fn input_forget_belongs_to_lstm() {
    for (value, want) in [(0, false), (1, true)] {
        assert_eq!(only(&one(14, "LSTM", vec![int("input_forget", value)])).input_forget, want);
    }
    assert_refused(&one(14, "LSTM", vec![int("input_forget", 7)]), &["'input_forget' is 7"]);
    for operator in ["RNN", "GRU"] {
        let refused = one(14, operator, vec![int("input_forget", 0)]);
        assert_refused(&refused, &["'input_forget' is unknown", operator]);
    }
}

#[test]
fn linear_before_reset_belongs_to_gru_from_operator_set_3_on() {
    for (value, want) in [(0, false), (1, true)] {
        let node = only(&one(3, "GRU", vec![int("linear_before_reset", value)]));
        assert_eq!(node.linear_before_reset, want);
    }
    let early = one(2, "GRU", vec![int("linear_before_reset", 1)]);
    assert_refused(&early, &["'linear_before_reset'", "3 and later"]);
    let refused = one(14, "GRU", vec![int("linear_before_reset", 2)]);
    assert_refused(&refused, &["'linear_before_reset' is 2"]);
    for operator in ["RNN", "LSTM"] {
        let refused = one(14, operator, vec![int("linear_before_reset", 1)]);
        assert_refused(&refused, &["'linear_before_reset' is unknown", operator]);
    }
}

#[test]
fn activations_are_read_by_name_with_their_defaults() {
    for (name, want) in [
        ("Affine", "Affine(1, 0)"),
        ("Elu", "Elu(1)"),
        ("HardSigmoid", "HardSigmoid(0.2, 0.5)"),
        ("LeakyRelu", "LeakyRelu(0.01)"),
        ("Relu", "Relu"),
        ("Sigmoid", "Sigmoid"),
        ("Softplus", "Softplus"),
        ("Softsign", "Softsign"),
        ("Tanh", "Tanh"),
        ("ThresholdedRelu", "ThresholdedRelu(1)"),
        ("hardsigmoid", "HardSigmoid(0.2, 0.5)"),
    ] {
        for (operator, count) in [("RNN", 1), ("GRU", 2), ("LSTM", 3)] {
            let node = only(&one(14, operator, vec![texts("activations", &vec![name; count])]));
            assert_eq!(shown(&node.activations), vec![want; count]);
        }
    }
    let refused = one(14, "RNN", vec![texts("activations", &["ScaledTanh"])]);
    assert_refused(&refused, &["'activation_alpha'", "ScaledTanh", "no default"]);
    let scaled = floats("activation_alpha", &[2.0]);
    let refused = one(14, "RNN", vec![texts("activations", &["ScaledTanh"]), scaled]);
    assert_refused(&refused, &["'activation_beta'", "ScaledTanh", "no default"]);
    let refused = one(14, "RNN", vec![texts("activations", &["Mish"])]);
    assert_refused(&refused, &["'activations'", "'Mish'", "expected Sigmoid, Tanh"]);
}

#[test]
fn activations_have_one_list_for_each_direction() {
    use ActivationFunction::{Elu, Relu, Sigmoid, Softplus, Softsign, Tanh};
    let both = || text("direction", "bidirectional");
    let names = ["Relu", "Elu", "Tanh", "Sigmoid", "Softsign", "Softplus"];
    let node = only(&one(14, "LSTM", vec![both(), texts("activations", &names)]));
    assert_eq!(node.activations[0], [Relu, Elu { alpha: 1.0 }, Tanh]);
    assert_eq!(node.activations[1], [Sigmoid, Softsign, Softplus]);
    for (operator, count) in [("RNN", 3), ("GRU", 1), ("GRU", 4), ("LSTM", 2), ("LSTM", 6)] {
        let refused = one(14, operator, vec![texts("activations", &vec!["Tanh"; count])]);
        assert_refused(&refused, &["'activations'", &format!("has {count} functions")]);
    }
    for (operator, count) in [("RNN", 1), ("GRU", 2), ("LSTM", 3)] {
        let listed = texts("activations", &vec!["Tanh"; count]);
        assert_refused(&one(14, operator, vec![both(), listed]), &["'activations'", "expected"]);
    }
    // The specification's own default of an RNN, in any direction.
    let written = one(14, "RNN", vec![texts("activations", &["Tanh", "Tanh"])]);
    assert_eq!(shown(&only(&written).activations), ["Tanh"]);
    assert_refused(&one(14, "RNN", vec![texts("activations", &["Relu", "Relu"])]), &["has 2"]);
}

#[test]
fn alpha_and_beta_go_to_the_functions_that_take_them_in_order() {
    let node = only(&one(
        14,
        "LSTM",
        vec![
            texts("activations", &["Elu", "Tanh", "HardSigmoid"]),
            floats("activation_alpha", &[0.5, 0.25]),
            floats("activation_beta", &[0.75]),
        ],
    ));
    assert_eq!(shown(&node.activations), ["Elu(0.5)", "Tanh", "HardSigmoid(0.25, 0.75)"]);
    let listed = texts("activations", &["LeakyRelu", "Affine"]);
    let node = only(&one(14, "GRU", vec![listed, floats("activation_alpha", &[0.3])]));
    assert_eq!(shown(&node.activations), ["LeakyRelu(0.3)", "Affine(1, 0)"], "then the default");
    // Values that no function takes change nothing.
    let node = only(&one(14, "RNN", vec![floats("activation_alpha", &[0.3])]));
    assert_eq!(shown(&node.activations), ["Tanh"]);
    let listed = texts("activations", &["Sigmoid", "Elu"]);
    let refused = one(14, "GRU", vec![listed.clone(), floats("activation_alpha", &[0.0, 0.5])]);
    assert_refused(&refused, &["'activation_alpha' has 2 values", "take 1"]);
    let refused = one(14, "GRU", vec![listed, floats("activation_alpha", &[f32::NAN])]);
    assert_refused(&refused, &["'activation_alpha' has NaN for Elu"]);
    let listed = texts("activations", &["HardSigmoid", "Tanh"]);
    let refused = one(14, "GRU", vec![listed, floats("activation_beta", &[0.5, 0.5])]);
    assert_refused(&refused, &["'activation_beta' has 2 values", "take 1"]);
}

#[test]
fn unknown_attributes_are_refused_by_name() {
    for operator in OPERATORS {
        for name in ["projection", "", "Clip", "dropout"] {
            let refused = one(14, operator, vec![float(name, 1.0)]);
            assert_refused(&refused, &[&format!("'{name}' is unknown"), "activations, clip"]);
        }
        let twice = one(14, operator, vec![float("clip", 1.0), float("clip", 2.0)]);
        assert_refused(&twice, &["'clip' occurs twice"]);
    }
}

#[test]
fn attributes_of_another_type_are_refused_by_name() {
    let wrong = [
        (int("clip", 1), "a number"),
        (float("hidden_size", 2.0), "an integer"),
        (int("direction", 1), "a text"),
        (text("activations", "Tanh"), "texts"),
        (float("activation_alpha", 0.5), "numbers"),
        (texts("activation_beta", &["0.5"]), "numbers"),
        (text("layout", "1"), "an integer"),
    ];
    for operator in OPERATORS {
        for (attribute, expected) in &wrong {
            let name = attribute.name.clone().expect("it has one");
            let refused = one(14, operator, vec![attribute.clone()]);
            // The lists are read only where a function takes a value.
            assert_refused(&refused, &[&format!("'{name}' has type"), expected]);
        }
    }
    let mut untyped = float("clip", 0.5);
    untyped.r#type = None;
    assert_eq!(only(&one(14, "GRU", vec![untyped])).clip, Some(0.5), "as old exporters write");
    // A writer of Protocol Buffers 3 leaves zeros out.
    let zero = attribute("layout", AttributeType::INT);
    assert!(!only(&one(14, "GRU", vec![zero])).batch_first);
}

/// The module that a node makes, as it is printed.
fn module(operator: &str, attributes: Vec<AttributeProto>) -> String {
    let params = read(&one(14, operator, attributes)).params(&[0]);
    params.unwrap_or_else(|error| panic!("{error}")).config().to_string()
}

#[test]
fn a_module_has_every_attribute_of_its_node() {
    let after = || int("linear_before_reset", 1);
    let both = || text("direction", "bidirectional");
    for (operator, attributes, want) in [
        ("LSTM", vec![], "LSTM(3, 2)"),
        ("LSTM", vec![both()], "LSTM(3, 2, bidirectional=True)"),
        ("LSTM", vec![int("layout", 1)], "LSTM(3, 2, batch_first=True)"),
        ("LSTM", vec![float("clip", 0.5)], "LSTM(3, 2, gate_clip=0.5)"),
        ("LSTM", vec![int("input_forget", 1)], "LSTM(3, 2, coupling='f = 1 - i')"),
        ("GRU", vec![after()], "GRU(3, 2)"),
        ("GRU", vec![], "GRU(3, 2, reset='before')"),
        ("RNN", vec![text("direction", "reverse")], "RNN(3, 2, reverse=True)"),
        ("RNN", vec![texts("activations", &["relu"])], "RNN(3, 2, nonlinearity='relu')"),
        ("RNN", vec![texts("activations", &["Elu"])], "RNN(3, 2, activations=[Elu(1)])"),
        (
            "RNN",
            vec![both(), texts("activations", &["Relu", "Tanh"])],
            "RNN(3, 2, bidirectional=True, activations=[Relu], reverse_activations=[Tanh])",
        ),
        (
            "GRU",
            vec![after(), both(), texts("activations", &["Sigmoid", "Tanh", "Relu", "Tanh"])],
            "GRU(3, 2, bidirectional=True, activations=[Sigmoid, Tanh], \
             reverse_activations=[Relu, Tanh])",
        ),
    ] {
        assert_eq!(module(operator, attributes), want);
    }
    // PyTorch's functions, written out in any case, leave PyTorch's cell.
    for (operator, attributes, names) in [
        ("RNN", vec![], &["TANH"][..]),
        ("GRU", vec![after()], &["sigmoid", "tanh"]),
        ("LSTM", vec![], &["Sigmoid", "Tanh", "tanH"]),
    ] {
        let written = [attributes, vec![texts("activations", names)]].concat();
        assert_eq!(module(operator, written), format!("{operator}(3, 2)"));
    }
}
