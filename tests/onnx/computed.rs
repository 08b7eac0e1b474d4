//! Weights in PyTorch's order compute what ONNX's formulas compute with ONNX's order.

use rten_onnx::onnx::{AttributeProto, ModelProto, TensorProto};
use wgpu_rnn::internals::reference;

use crate::made::{
    HIDDEN, INPUT, gates, graph, int, model, node, one, text, texts, values, weights,
};
use crate::read;

const STEPS: usize = 4;
const BATCH: usize = 2;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The tensors of a node, by name.
fn floats(tensors: &[TensorProto], name: &str) -> Vec<f64> {
    let tensor = tensors.iter().find(|tensor| tensor.name.as_deref() == Some(name));
    let bytes = tensor.expect("it is there").raw_data.as_ref().expect("raw bytes").borrow();
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect()
}

/// The last states h of each direction and row, by the formulas of ONNX.
fn by_formula(operator: &str, tensors: &[TensorProto], directions: usize, x: &[f32]) -> Vec<f64> {
    let (rows, relu) = (gates(operator) * HIDDEN, operator == "RNN");
    let (w, r, b) = (floats(tensors, "W"), floats(tensors, "R"), floats(tensors, "B"));
    let mut last = Vec::new();
    for direction in 0..directions {
        for row in 0..BATCH {
            let (mut h, mut c) = ([0.0; HIDDEN], [0.0; HIDDEN]);
            for step in 0..STEPS {
                let step = if direction == 1 { STEPS - 1 - step } else { step };
                let x = &x[(step * BATCH + row) * INPUT..][..INPUT];
                let bias = |gate: usize, unit: usize, half: usize| {
                    b[direction * 2 * rows + half * rows + gate * HIDDEN + unit]
                };
                let from_x = |gate: usize, unit: usize| {
                    let start = (direction * rows + gate * HIDDEN + unit) * INPUT;
                    let products = x.iter().zip(&w[start..]).map(|(x, w)| f64::from(*x) * w);
                    products.sum::<f64>() + bias(gate, unit, 0)
                };
                let from_h = |gate: usize, unit: usize| {
                    let start = (direction * rows + gate * HIDDEN + unit) * HIDDEN;
                    let products = h.iter().zip(&r[start..]).map(|(h, r)| h * r);
                    products.sum::<f64>() + bias(gate, unit, 1)
                };
                let sum = |gate, unit| from_x(gate, unit) + from_h(gate, unit);
                let mut next = [0.0; HIDDEN];
                for unit in 0..HIDDEN {
                    next[unit] = match operator {
                        "RNN" if relu => sum(0, unit).max(0.0),
                        "GRU" => {
                            let (z, r) = (sigmoid(sum(0, unit)), sigmoid(sum(1, unit)));
                            let n = (from_x(2, unit) + r * from_h(2, unit)).tanh();
                            (1.0 - z) * n + z * h[unit]
                        }
                        _ => {
                            let (i, o) = (sigmoid(sum(0, unit)), sigmoid(sum(1, unit)));
                            let (f, g) = (sigmoid(sum(2, unit)), sum(3, unit).tanh());
                            c[unit] = f * c[unit] + i * g;
                            o * c[unit].tanh()
                        }
                    };
                }
                h = next;
            }
            last.extend(h);
        }
    }
    last
}

fn attributes(operator: &str, directions: usize) -> Vec<AttributeProto> {
    let mut attributes = match operator {
        "RNN" => vec![texts("activations", &vec!["Relu"; directions])],
        "GRU" => vec![int("linear_before_reset", 1)],
        _ => vec![],
    };
    if directions == 2 {
        attributes.push(text("direction", "bidirectional"));
    }
    attributes
}

#[test]
fn a_node_computes_what_onnx_defines() {
    for operator in ["RNN", "GRU", "LSTM"] {
        for directions in [1, 2] {
            let made: ModelProto = one(14, operator, attributes(operator, directions));
            let params = read(&made).params(&[0]).unwrap_or_else(|error| panic!("{error}"));
            let x = values(STEPS * BATCH * INPUT, 5);
            let got = reference::forward(&params, STEPS, BATCH, &x, None, None, None);
            let tensors = &made.graph.as_ref().expect("a graph").initializer;
            let want = by_formula(operator, tensors, directions, &x);
            let pairs = got.h_n.iter().zip(&want);
            let worst = pairs.fold(0.0_f64, |worst, (got, want)| worst.max((got - want).abs()));
            assert_eq!(got.h_n.len(), want.len());
            assert!(worst < 1e-12, "{operator} of {directions} directions: {worst}");
            // The formula tells an order of gates from another.
            let other = if operator == "GRU" { "LSTM" } else { "GRU" };
            assert_ne!(
                want,
                by_formula(other, &weights(other, directions, INPUT, ""), directions, &x)
            );
        }
    }
}

#[test]
fn peepholes_have_the_order_i_f_o() {
    let cell = node("LSTM", "cell", &["X", "W", "R", "", "", "", "", "P"], &["Y"], vec![]);
    let made = model(14, graph(vec![cell], weights("LSTM", 1, INPUT, "")));
    let tensors = read(&made).tensors(&[0]).expect("it can be read");
    let p = tensors.iter().find(|tensor| tensor.name == "weight_p_l0").expect("it has peepholes");
    assert_eq!(p.shape, [3 * HIDDEN]);
    // ONNX has i, o, f.
    let [i0, i1, o0, o1, f0, f1] = *values(6, 3) else { panic!("six values") };
    assert_eq!(p.values, [i0, i1, f0, f1, o0, o1]);
    let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["weight_ih_l0", "weight_hh_l0", "weight_p_l0"], "no bias");
}
