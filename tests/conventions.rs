//! Arrays of Keras, cuDNN and TensorFlow compute what their own equations say.

#[path = "common/seeded.rs"]
mod seeded;

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::internals::reference;
use wgpu_rnn::variant::ActivationFunction::{HardSigmoid, Tanh};
use wgpu_rnn::{Config, Convention, Kind, Params, StateDict};

const STEPS: usize = 5;
const INPUT: usize = 3;
const HIDDEN: usize = 4;
const TENSORFLOW: Convention = Convention::TensorFlow { forget_bias: 1.0 };

/// Named arrays.
#[derive(Default, Clone)]
struct Arrays(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Arrays {
    /// Adds random arrays of these names and shapes.
    fn with(mut self, named: &[(&str, &[usize])]) -> Self {
        for (name, shape) in named {
            let values = seeded::tensor(self.0.len() as u64, shape, 1.0).into_data();
            self.0.insert((*name).to_owned(), (shape.to_vec(), values));
        }
        self
    }

    fn file(&self) -> StateDict {
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, (shape, values))| {
                (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            })
            .collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes);
            (name.as_str(), view.expect("bytes fill the shape"))
        });
        let file = safetensors::serialize(views.collect::<Vec<_>>(), None).expect("valid tensors");
        StateDict::parse("arrays.safetensors", file).expect("a valid file")
    }

    fn load(&self, convention: Convention, kind: Kind) -> wgpu_rnn::Result<Params> {
        Params::from_convention(convention, kind, &self.file(), &[&[""]])
    }

    fn refusal(&self, convention: Convention, kind: Kind) -> String {
        self.load(convention, kind).expect_err("there is no exact conversion").to_string()
    }

    fn get(&self, name: &str) -> Vec<f64> {
        let (_, values) = self.0.get(name).unwrap_or_else(|| panic!("there is {name}"));
        values.iter().map(|value| f64::from(*value)).collect()
    }

    /// v M of a matrix of inputs by outputs, as Keras and TensorFlow have it.
    fn row(&self, name: &str, v: &[f64]) -> Vec<f64> {
        let m = self.get(name);
        let columns = m.len() / v.len();
        (0..columns).map(|j| (0..v.len()).map(|i| v[i] * m[i * columns + j]).sum()).collect()
    }

    /// M v of a matrix of outputs by inputs, as cuDNN has it.
    fn column(&self, name: &str, v: &[f64]) -> Vec<f64> {
        let product = |row: &[f64]| row.iter().zip(v).map(|(m, v)| m * v).sum();
        self.get(name).chunks(v.len()).map(product).collect()
    }
}

fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len(), "vectors of one size");
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

fn sigmoid(v: &[f64]) -> Vec<f64> {
    v.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
}

fn tanh(v: &[f64]) -> Vec<f64> {
    v.iter().map(|x| x.tanh()).collect()
}

/// z∘h + (1 − z)∘n
fn mixed(z: &[f64], h: &[f64], n: &[f64]) -> Vec<f64> {
    (0..z.len()).map(|j| z[j] * h[j] + (1.0 - z[j]) * n[j]).collect()
}

/// Equal parts of a vector.
fn parts<const N: usize>(v: &[f64]) -> [&[f64]; N] {
    let mut parts = v.chunks(v.len() / N);
    std::array::from_fn(|_| parts.next().expect("N parts"))
}

fn input() -> Vec<f32> {
    seeded::tensor(99, &[STEPS, 1, INPUT], 1.0).into_data()
}

/// Fails unless the module gives the states of a source's own step, which changes h and c.
#[track_caller]
fn assert_computes(params: &Params, mut step: impl FnMut(&[f64], &mut Vec<f64>, &mut Vec<f64>)) {
    let config = params.config();
    let (mut h, mut c) = (vec![0.0; config.state_size()], vec![0.0; config.hidden_size]);
    let mut want = Vec::new();
    for x in input().chunks(INPUT) {
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        step(&x, &mut h, &mut c);
        want.extend_from_slice(&h);
    }
    let got = reference::forward(params, STEPS, 1, &input(), None, None, None).output;
    assert_close(&got, &want);
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "values");
    let worst = got.iter().zip(want).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 1e-12, "they differ by {worst}");
    assert!(want.iter().any(|value| value.abs() > 1e-3), "they are not all zero");
}

const KERAS_LSTM: [(&str, &[usize]); 3] = [
    ("kernel", &[INPUT, 4 * HIDDEN]),
    ("recurrent_kernel", &[HIDDEN, 4 * HIDDEN]),
    ("bias", &[4 * HIDDEN]),
];

#[test]
fn keras_lstm() {
    let arrays = Arrays::default().with(&KERAS_LSTM);
    let step = |arrays: &Arrays, x: &[f64], h: &mut Vec<f64>, c: &mut Vec<f64>| {
        let z = plus(&arrays.row("kernel", x), &arrays.row("recurrent_kernel", h));
        let z = plus(&z, &arrays.get("bias"));
        let [i, f, g, o] = parts(&z);
        *c = plus(&times(&sigmoid(f), c), &times(&sigmoid(i), &tanh(g)));
        *h = times(&sigmoid(o), &tanh(c));
    };
    let params = arrays.load(Convention::Keras, Kind::Lstm).expect("an LSTM");
    assert_eq!(params.config(), &Config::lstm(INPUT, HIDDEN));
    assert_computes(&params, |x, h, c| step(&arrays, x, h, c));

    let zero = Arrays::default().with(&KERAS_LSTM[..2]);
    let params = zero.load(Convention::Keras, Kind::Lstm).expect("use_bias=False");
    assert!(!params.config().bias, "it has none");
    let mut biased = zero.with(&[("bias", &[4 * HIDDEN])]);
    biased.0.insert("bias".to_owned(), (vec![4 * HIDDEN], vec![0.0; 4 * HIDDEN]));
    assert_computes(&params, |x, h, c| step(&biased, x, h, c));
}

/// Keras 2's `hard_sigmoid` is 0.2 x + 0.5, and Keras 3's is x / 6 + 0.5, within 0 and 1.
#[test]
fn keras_lstm_with_hard_sigmoid() {
    let arrays = Arrays::default().with(&KERAS_LSTM);
    for slope in [0.2_f32, 1.0 / 6.0] {
        let params = arrays.load(Convention::Keras, Kind::Lstm).and_then(|params| {
            params.with(|config| {
                let mut variant = config.variant;
                variant.functions =
                    Some([[HardSigmoid { alpha: slope, beta: 0.5 }, Tanh, Tanh]; 2]);
                config.variant(variant)
            })
        });
        let hard = |v: &[f64]| -> Vec<f64> {
            v.iter().map(|x| (f64::from(slope) * x + 0.5).clamp(0.0, 1.0)).collect()
        };
        assert_computes(&params.expect("the same arrays"), |x, h, c| {
            let z = plus(&arrays.row("kernel", x), &arrays.row("recurrent_kernel", h));
            let z = plus(&z, &arrays.get("bias"));
            let [i, f, g, o] = parts(&z);
            *c = plus(&times(&hard(f), c), &times(&hard(i), &tanh(g)));
            *h = times(&hard(o), &tanh(c));
        });
    }
}

fn keras_gru(bias: &[usize]) -> Arrays {
    Arrays::default().with(&[
        ("kernel", &[INPUT, 3 * HIDDEN]),
        ("recurrent_kernel", &[HIDDEN, 3 * HIDDEN]),
        ("bias", bias),
    ])
}

#[test]
fn keras_gru_with_reset_after() {
    let arrays = keras_gru(&[2, 3 * HIDDEN]);
    let params = arrays.load(Convention::Keras, Kind::Gru).expect("a GRU");
    assert_eq!(params.config(), &Config::gru(INPUT, HIDDEN));
    assert_computes(&params, |x, h, _| {
        let bias = arrays.get("bias");
        let [input_bias, recurrent_bias] = parts(&bias);
        let matrix_x = plus(&arrays.row("kernel", x), input_bias);
        let matrix_inner = plus(&arrays.row("recurrent_kernel", h), recurrent_bias);
        let ([x_z, x_r, x_h], [r_z, r_r, r_h]) = (parts(&matrix_x), parts(&matrix_inner));
        let (z, r) = (sigmoid(&plus(x_z, r_z)), sigmoid(&plus(x_r, r_r)));
        *h = mixed(&z, h, &tanh(&plus(x_h, &times(&r, r_h))));
    });
}

#[test]
fn keras_gru_with_reset_before() {
    let arrays = keras_gru(&[3 * HIDDEN]);
    let params = arrays.load(Convention::Keras, Kind::Gru).expect("a GRU");
    assert_eq!(params.config().to_string(), "GRU(3, 4, reset='before')");
    assert_computes(&params, |x, h, _| {
        let matrix_x = plus(&arrays.row("kernel", x), &arrays.get("bias"));
        let [x_z, x_r, x_h] = parts(&matrix_x);
        let all = arrays.row("recurrent_kernel", h);
        let [r_z, r_r, _] = parts(&all);
        let (z, r) = (sigmoid(&plus(x_z, r_z)), sigmoid(&plus(x_r, r_r)));
        let all = arrays.row("recurrent_kernel", &times(&r, h));
        let [_, _, r_h] = parts(&all);
        *h = mixed(&z, h, &tanh(&plus(x_h, r_h)));
    });
}

#[test]
fn keras_simple_rnn() {
    let arrays = Arrays::default().with(&[
        ("kernel", &[INPUT, HIDDEN]),
        ("recurrent_kernel", &[HIDDEN, HIDDEN]),
        ("bias", &[HIDDEN]),
    ]);
    for kind in [Kind::RnnTanh, Kind::RnnRelu] {
        let params = arrays.load(Convention::Keras, kind).expect("an RNN");
        assert_eq!(params.config(), &Config::new(kind, INPUT, HIDDEN));
        assert_computes(&params, |x, h, _| {
            let z = plus(&arrays.row("kernel", x), &arrays.row("recurrent_kernel", h));
            let z = plus(&z, &arrays.get("bias"));
            let relu = || z.iter().map(|x| x.max(0.0)).collect();
            *h = if kind == Kind::RnnRelu { relu() } else { tanh(&z) };
        });
    }
}

/// cuDNN's arrays: `gates` of W, `gates` of R, and the biases of these numbers.
fn cudnn(gates: usize, state: usize, biases: std::ops::Range<usize>) -> Arrays {
    let mut arrays = Arrays::default();
    for index in 0..2 * gates {
        let columns = if index < gates { INPUT } else { state };
        arrays = arrays.with(&[(&format!("weight_{index}"), &[HIDDEN, columns])]);
    }
    for index in biases {
        arrays = arrays.with(&[(&format!("bias_{index}"), &[HIDDEN])]);
    }
    arrays
}

impl Arrays {
    /// One of cuDNN's linear layers; a bias that is not there is zero.
    fn linear(&self, index: usize, v: &[f64]) -> Vec<f64> {
        let product = self.column(&format!("weight_{index}"), v);
        let bias = format!("bias_{index}");
        if self.0.contains_key(&bias) { plus(&product, &self.get(&bias)) } else { product }
    }
}

#[test]
fn cudnn_lstm() {
    for (projection, biases) in [(0, 0..8), (0, 0..4), (0, 4..8), (0, 0..0), (2, 0..8)] {
        let state = if projection > 0 { projection } else { HIDDEN };
        let has_bias = !biases.is_empty();
        let mut arrays = cudnn(4, state, biases);
        if projection > 0 {
            arrays = arrays.with(&[("weight_8", &[projection, HIDDEN])]);
        }
        let params = arrays.load(Convention::Cudnn, Kind::Lstm).expect("an LSTM");
        let config = Config::lstm(INPUT, HIDDEN).proj_size(projection).bias(has_bias);
        assert_eq!(params.config(), &config);
        assert_computes(&params, |x, h, c| {
            let sum = |gate: usize| plus(&arrays.linear(gate, x), &arrays.linear(gate + 4, h));
            let [i, f, g, o] = [sum(0), sum(1), sum(2), sum(3)];
            *c = plus(&times(&sigmoid(&f), c), &times(&sigmoid(&i), &tanh(&g)));
            let m = times(&sigmoid(&o), &tanh(c));
            *h = if projection > 0 { arrays.column("weight_8", &m) } else { m };
        });
    }
}

#[test]
fn cudnn_gru_and_rnn() {
    for biases in [0..6, 0..3, 3..6, 0..0] {
        let arrays = cudnn(3, HIDDEN, biases);
        let params = arrays.load(Convention::Cudnn, Kind::Gru).expect("a GRU");
        assert_computes(&params, |x, h, _| {
            let sum = |gate: usize| plus(&arrays.linear(gate, x), &arrays.linear(gate + 3, h));
            let (r, i) = (sigmoid(&sum(0)), sigmoid(&sum(1)));
            let new = tanh(&plus(&arrays.linear(2, x), &times(&r, &arrays.linear(5, h))));
            *h = mixed(&i, h, &new);
        });
    }
    let arrays = cudnn(1, HIDDEN, 0..2);
    let params = arrays.load(Convention::Cudnn, Kind::RnnTanh).expect("an RNN");
    assert_computes(&params, |x, h, _| {
        *h = tanh(&plus(&arrays.linear(0, x), &arrays.linear(1, h)))
    });
}

#[test]
fn tensorflow_lstm() {
    const DIAGONALS: [(&str, &[usize]); 3] =
        [("w_i_diag", &[HIDDEN]), ("w_f_diag", &[HIDDEN]), ("w_o_diag", &[HIDDEN])];
    for (peepholes, projection, forget_bias, clip) in [
        (false, 0, 1.0, None),
        (true, 0, 0.3, Some(0.4)),
        (true, 2, 1.0, None),
        (false, 2, 0.0, None),
    ] {
        let state = if projection > 0 { projection } else { HIDDEN };
        let kernel = [INPUT + state, 4 * HIDDEN];
        let mut arrays = Arrays::default().with(&[("kernel", &kernel), ("bias", &[4 * HIDDEN])]);
        if peepholes {
            arrays = arrays.with(&DIAGONALS);
        }
        if projection > 0 {
            arrays = arrays.with(&[("projection/kernel", &[HIDDEN, projection])]);
        }
        let convention = Convention::TensorFlow { forget_bias };
        let params = arrays.load(convention, Kind::Lstm).expect("an LSTM");
        let params = params.with(|config| {
            let mut variant = config.variant;
            variant.cell_clip = clip;
            config.variant(variant)
        });
        let params = params.expect("the same arrays");
        assert_eq!(params.config().variant.peepholes, peepholes);
        let mut clipped = false;
        assert_computes(&params, |x, h, c| {
            let z = plus(&arrays.row("kernel", &[x, h].concat()), &arrays.get("bias"));
            let [i, j, f, o] = parts(&z);
            let peep = |gate: &[f64], name: &str, c: &[f64]| match peepholes {
                true => plus(gate, &times(&arrays.get(name), c)),
                false => gate.to_vec(),
            };
            let f: Vec<f64> = f.iter().map(|f| f + f64::from(forget_bias)).collect();
            let (i, f) = (peep(i, "w_i_diag", c), peep(&f, "w_f_diag", c));
            *c = plus(&times(&sigmoid(&f), c), &times(&sigmoid(&i), &tanh(j)));
            if let Some(clip) = clip.map(f64::from) {
                clipped |= c.iter().any(|c| c.abs() > clip);
                c.iter_mut().for_each(|c| *c = c.clamp(-clip, clip));
            }
            let m = times(&sigmoid(&peep(o, "w_o_diag", c)), &tanh(c));
            *h = if projection > 0 { arrays.row("projection/kernel", &m) } else { m };
        });
        assert_eq!(clipped, clip.is_some(), "the clip acts");
    }
}

#[test]
fn tensorflow_gru_and_rnn() {
    let arrays = Arrays::default().with(&[
        ("gates/kernel", &[INPUT + HIDDEN, 2 * HIDDEN]),
        ("gates/bias", &[2 * HIDDEN]),
        ("candidate/kernel", &[INPUT + HIDDEN, HIDDEN]),
        ("candidate/bias", &[HIDDEN]),
    ]);
    let params = arrays.load(TENSORFLOW, Kind::Gru).expect("a GRU");
    assert_computes(&params, |x, h, _| {
        let value = plus(&arrays.row("gates/kernel", &[x, h].concat()), &arrays.get("gates/bias"));
        let value = sigmoid(&value);
        let [r, u] = parts(&value);
        let c = arrays.row("candidate/kernel", &[x, &times(r, h)].concat());
        *h = mixed(u, h, &tanh(&plus(&c, &arrays.get("candidate/bias"))));
    });
    let arrays =
        Arrays::default().with(&[("kernel", &[INPUT + HIDDEN, HIDDEN]), ("bias", &[HIDDEN])]);
    let params = arrays.load(TENSORFLOW, Kind::RnnTanh).expect("an RNN");
    assert_computes(&params, |x, h, _| {
        *h = tanh(&plus(&arrays.row("kernel", &[x, h].concat()), &arrays.get("bias")));
    });
}

#[test]
fn directions_and_layers_have_prefixes() {
    let prefixes = ["a/forward/", "a/backward/", "b/forward/", "b/backward/"];
    let mut arrays = Arrays::default();
    for (index, prefix) in prefixes.iter().enumerate() {
        let rows = if index < 2 { INPUT } else { 2 * HIDDEN };
        for (name, shape) in [("kernel", [rows, HIDDEN]), ("recurrent_kernel", [HIDDEN, HIDDEN])] {
            arrays = arrays.with(&[(&format!("{prefix}{name}"), &shape)]);
        }
    }
    let layers = [&prefixes[..2], &prefixes[2..]];
    let load = |layers: &[&[&str]]| {
        Params::from_convention(Convention::Keras, Kind::RnnTanh, &arrays.file(), layers)
    };
    let params = load(&layers).expect("two layers");
    let config = Config::rnn(INPUT, HIDDEN).num_layers(2).bidirectional(true).bias(false);
    assert_eq!(params.config(), &config);
    let mut x: Vec<Vec<f64>> =
        input().chunks(INPUT).map(|x| x.iter().map(|x| f64::from(*x)).collect()).collect();
    for layer in layers {
        let mut outputs = vec![Vec::new(); STEPS];
        for (direction, prefix) in layer.iter().enumerate() {
            let mut h = vec![0.0; HIDDEN];
            for step in 0..STEPS {
                let step = if direction == 1 { STEPS - 1 - step } else { step };
                let from_x = arrays.row(&format!("{prefix}kernel"), &x[step]);
                h = tanh(&plus(&from_x, &arrays.row(&format!("{prefix}recurrent_kernel"), &h)));
                outputs[step].extend_from_slice(&h);
            }
        }
        x = outputs;
    }
    let got = reference::forward(&params, STEPS, 1, &input(), None, None, None).output;
    assert_close(&got, &x.concat());

    let error = load(&[layers[1], layers[0]]).expect_err("the layers are exchanged").to_string();
    assert!(error.contains("the arrays below 'a/forward/' make RNN(3, 4, bias=False)"), "{error}");
    for wrong in [&[][..], &[&[][..]], &[&prefixes[..3]], &[&prefixes[..2], &prefixes[2..3]]] {
        let error = load(wrong).expect_err("no such module").to_string();
        assert!(error.contains("expected one prefix for each layer, or two"), "{error}");
    }
}

#[test]
fn arrays_without_an_exact_conversion_are_refused_by_name() {
    let keras = || Arrays::default().with(&KERAS_LSTM);
    let refused = |arrays: Arrays, convention, kind, parts: &[&str]| {
        let error = arrays.refusal(convention, kind);
        for part in parts {
            assert!(error.contains(part), "'{part}' is not in: {error}");
        }
    };
    let mut gru = keras_gru(&[3 * HIDDEN]);
    gru.0.remove("bias");
    refused(gru, Convention::Keras, Kind::Gru, &["reset gate is before", "[2, 12]", "[12]"]);
    let flat = Arrays::default().with(&KERAS_LSTM[..2]).with(&[("bias", &[8 * HIDDEN])]);
    refused(flat, Convention::Keras, Kind::Lstm, &["size mismatch for bias", "[32]", "[16]"]);
    let normalised = keras().with(&[("gamma", &[HIDDEN])]);
    refused(normalised, Convention::Keras, Kind::Lstm, &["Unexpected key(s)", "\"gamma\""]);
    refused(keras(), Convention::Keras, Kind::Gru, &["recurrent_kernel has shape [4, 16]"]);
    refused(keras(), Convention::Cudnn, Kind::Lstm, &["Missing key(s)", "\"weight_0\""]);
    let third = Arrays::default().with(&[("recurrent_kernel", &[1, HIDDEN, 4 * HIDDEN])]);
    refused(third, Convention::Keras, Kind::Lstm, &["expected a matrix"]);
    refused(cudnn(4, HIDDEN, 0..3), Convention::Cudnn, Kind::Lstm, &["\"bias_3\""]);
    let projected = cudnn(3, HIDDEN, 0..6).with(&[("weight_6", &[2, HIDDEN])]);
    refused(projected, Convention::Cudnn, Kind::Gru, &["Unexpected key(s)", "\"weight_6\""]);
    let short = || Arrays::default().with(&[("kernel", &[HIDDEN, 4 * HIDDEN])]);
    refused(short(), TENSORFLOW, Kind::Lstm, &["expected more rows than the state's 4"]);
    let infinite = Convention::TensorFlow { forget_bias: f32::INFINITY };
    refused(short(), infinite, Kind::Lstm, &["forget_bias is inf"]);
    let diagonal = Arrays::default()
        .with(&[("kernel", &[INPUT + HIDDEN, 4 * HIDDEN]), ("w_f_diag", &[HIDDEN])]);
    refused(diagonal, TENSORFLOW, Kind::Lstm, &["Missing key(s)", "\"w_i_diag\""]);
}
