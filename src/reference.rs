//! The reference: the definition of the forward pass in `f64`, equation by equation. It shares no
//! code with plans, kernels or twins.
//!
//! The formulas are those in the documentation of `torch.nn.RNN`, `torch.nn.LSTM` and
//! `torch.nn.GRU`. Cells that PyTorch lacks follow the operators RNN, GRU and LSTM of ONNX.

mod network;

pub use network::{NetworkValue, network};

use crate::error::Result;
use crate::params::config::{Config, Kind};
use crate::params::language_model::LanguageModelParams;
use crate::params::validate;
use crate::params::variant::{ActivationFunction, Coupling, Functions, Reset, Variant};
use crate::params::{DirectionParams, Params};
use crate::tensor::{self, State, Tensor};

/// The results of a forward pass in PyTorch's order: time first, never batch first.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// The output, `[T, B, D·R]`.
    pub output: Vec<f64>,
    /// The last hidden state, `[L·D, B, R]`.
    pub h_n: Vec<f64>,
    /// The last cell state of an LSTM, `[L·D, B, H]`; empty for other modules.
    pub c_n: Vec<f64>,
}

impl Outputs {
    /// Returns the largest difference between two results of the same sizes. A NaN counts as no
    /// difference.
    pub fn largest_difference(&self, other: &Self) -> f64 {
        let pairs =
            [(&self.output, &other.output), (&self.h_n, &other.h_n), (&self.c_n, &other.c_n)];
        let all = pairs.into_iter().flat_map(|(a, b)| a.iter().zip(b));
        all.fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()))
    }
}

/// Runs `params` with the inputs and the layouts of
/// [`Rnn::forward_with`](crate::Rnn::forward_with).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) and [`Error::Option`](crate::Error::Option) in PyTorch's
/// words when the arguments do not fit. [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the
/// host's memory does not hold the values.
pub fn module(
    params: &Params,
    input: &Tensor,
    lengths: Option<&[usize]>,
    state: Option<&State>,
) -> Result<Outputs> {
    let config = params.config();
    let shapes = state.map(|s| (s.h.shape(), s.c.as_ref().map(Tensor::shape)));
    let checked = validate::forward(config, input.shape(), shapes)?;
    if let Some(lengths) = lengths {
        validate::lengths(lengths, checked)?;
    }
    let (seq_len, batch) = (checked.sizes.seq_len, checked.sizes.batch);
    room(params, checked.sizes)?;
    let swap = config.batch_first && input.shape().len() == 3;
    let x = if swap { swapped(input.data(), batch, seq_len) } else { input.data().to_vec() };
    let h_0 = state.map(|s| s.h.data());
    let c_0 = state.and_then(|s| s.c.as_ref()).map(Tensor::data);
    let mut outcome = forward(params, seq_len, batch, &x, h_0, c_0, lengths);
    if swap {
        outcome.output = swapped(&outcome.output, seq_len, batch);
    }
    Ok(outcome)
}

/// Checks that the host's memory holds a pass of these sizes.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when it does not.
pub(crate) fn room(params: &Params, sizes: validate::Sizes) -> Result<()> {
    let rows = sizes.seq_len.saturating_mul(sizes.batch);
    // The input as it is given, and in f64.
    let input = rows.saturating_mul(params.config().input_size).saturating_mul(2);
    let count = copies(params, sizes).saturating_add(input);
    tensor::room(count.saturating_mul(2), "the reference in f64")
}

/// Returns the most values of layers, states and weights that a pass holds at the same time.
fn copies(params: &Params, sizes: validate::Sizes) -> usize {
    let config = params.config();
    let width = config.num_directions() * config.hidden_size.max(config.state_size());
    let weights = params.values().map(<[f32]>::len).fold(0, usize::saturating_add);
    // A layer's input and output, the output with swapped axes, and h and c of each layer.
    let per_row = sizes.seq_len.saturating_mul(3).saturating_add(config.num_layers * 2);
    sizes.batch.saturating_mul(per_row).saturating_mul(width).saturating_add(weights)
}

/// Returns `[a, b, ·]` as `[b, a, ·]`.
fn swapped<T: Copy>(values: &[T], a: usize, b: usize) -> Vec<T> {
    if values.is_empty() {
        // Without values, one of a and b may be 0 and the other huge.
        return Vec::new();
    }
    let width = values.len() / (a * b);
    (0..b)
        .flat_map(|j| {
            (0..a).flat_map(move |i| values[(i * b + j) * width..][..width].iter().copied())
        })
        .collect()
}

/// Runs `params` over `input` (`[T, B, I]`), from `h_0` (`[L·D, B, R]`) and `c_0` (`[L·D, B, H]`)
/// or from zero.
///
/// `lengths` holds the valid steps of each row; without it every row has `seq_len`.
pub fn forward(
    params: &Params,
    seq_len: usize,
    batch: usize,
    input: &[f32],
    h_0: Option<&[f32]>,
    c_0: Option<&[f32]>,
    lengths: Option<&[usize]>,
) -> Outputs {
    let config = params.config();
    let layers = config.num_layers * config.num_directions();
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let h_n = h_0.map_or_else(|| vec![0.0; layers * batch * config.state_size()], wide);
    let cells = if config.kind == Kind::Lstm { layers * batch * config.hidden_size } else { 0 };
    let c_n = c_0.map_or_else(|| vec![0.0; cells], wide);
    advance(params, [seq_len, batch], wide(input), [h_n, c_n], lengths)
}

/// Runs `params` over x (`[T, B, I]`) from h and c, which become those after the last step.
fn advance(
    params: &Params,
    [seq_len, batch]: [usize; 2],
    mut x: Vec<f64>,
    [mut h_n, mut c_n]: [Vec<f64>; 2],
    lengths: Option<&[usize]>,
) -> Outputs {
    let config = params.config();
    let (directions, hidden) = (config.num_directions(), config.hidden_size);
    let (state, lstm) = (config.state_size(), config.kind == Kind::Lstm);
    for layer in 0..config.num_layers {
        let features = config.layer_input_size(layer);
        let mut y = vec![0.0; seq_len * batch * directions * state];
        for direction in 0..directions {
            let weights =
                Weights::of(config, params.direction(layer, direction), features, direction);
            for row in 0..batch {
                let length = lengths.map_or(seq_len, |lengths| lengths[row]);
                let at = (layer * directions + direction) * batch + row;
                let h = &mut h_n[at * state..][..state];
                let c = if lstm { &mut c_n[at * hidden..][..hidden] } else { &mut [] };
                for i in 0..length {
                    let forward = direction == 0 && !config.reverse;
                    let t = if forward { i } else { length - 1 - i };
                    let next = weights.step(&x[(t * batch + row) * features..][..features], h, c);
                    h.copy_from_slice(&next);
                    y[((t * batch + row) * directions + direction) * state..][..state]
                        .copy_from_slice(&next);
                }
            }
        }
        x = y;
    }
    Outputs { output: x, h_n, c_n }
}

/// Runs a language model over `tokens` (`[T, B]`), from `h_0` and `c_0` (`[nlayers, B, nhid]`) or
/// from zero. Returns its logits (`[T, B, ntoken]`) and the results of its recurrent module.
///
/// # Panics
/// When a token is not below `ntoken`, or the sizes do not fit.
pub fn language_model(
    params: &LanguageModelParams,
    tokens: &[u32],
    seq_len: usize,
    batch: usize,
    h_0: Option<&[f32]>,
    c_0: Option<&[f32]>,
) -> (Vec<f64>, Outputs) {
    assert_eq!(tokens.len(), seq_len * batch, "a token for each step and row");
    let embedded: Vec<f32> = tokens
        .iter()
        .flat_map(|&token| params.encoder_weight().row(token as usize))
        .copied()
        .collect();
    let outcome = forward(params.rnn(), seq_len, batch, &embedded, h_0, c_0, None);
    let nhid = params.config().nhid;
    let weight = matrix(params.decoder_weight().data(), nhid);
    let bias: Vec<f64> = params.decoder_bias().iter().map(|&v| f64::from(v)).collect();
    let logits = outcome.output.chunks(nhid).flat_map(|h| product(&weight, h, &bias)).collect();
    (logits, outcome)
}

/// Returns `-log softmax(logits)[target]`, in nats, for each target: `logits` is `[n, ntoken]` and
/// `targets` is `[n]`.
///
/// # Panics
/// When a target is not below `ntoken`, or the sizes do not fit.
pub fn negative_log_likelihood(logits: &[f64], targets: &[u32]) -> Vec<f64> {
    if targets.is_empty() {
        return Vec::new();
    }
    let rows = logits.chunks_exact(logits.len() / targets.len());
    assert_eq!(rows.len(), targets.len(), "a row of logits for each target");
    rows.zip(targets)
        .map(|(row, &target)| {
            // Subtracting the largest keeps exp from overflowing.
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|z| (z - most).exp()).sum();
            sum.ln() + (most - row[target as usize])
        })
        .collect()
}

/// Returns the mean negative log-likelihood, in nats, of all tokens of a text but the first.
///
/// The n − 1 predictions run in `streams` streams of ⌈(n − 1) / streams⌉ tokens, each from a zero
/// state. The last streams may be shorter or empty.
///
/// # Panics
/// When there is no prediction, no stream, or a token that is not below `ntoken`.
pub fn text_loss(params: &LanguageModelParams, text: &[u32], streams: usize) -> f64 {
    let predictions = text.len() - 1;
    let length = predictions.div_ceil(streams);
    let total: f64 = (0..predictions)
        .step_by(length)
        .map(|start| {
            let end = (start + length).min(predictions);
            let (logits, _) = language_model(params, &text[start..end], end - start, 1, None, None);
            negative_log_likelihood(&logits, &text[start + 1..=end]).into_iter().sum::<f64>()
        })
        .sum();
    total / predictions as f64
}

/// One direction of one layer in `f64`.
struct Weights {
    kind: Kind,
    hidden: usize,
    ih: Vec<Vec<f64>>,
    hh: Vec<Vec<f64>>,
    b_ih: Vec<f64>,
    b_hh: Vec<f64>,
    hr: Vec<Vec<f64>>,
    /// The peepholes of i, f and o; empty without them.
    p: Vec<f64>,
    variant: Variant,
    functions: Functions,
}

fn matrix(values: &[f32], columns: usize) -> Vec<Vec<f64>> {
    values.chunks(columns).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect()
}

fn product(matrix: &[Vec<f64>], vector: &[f64], bias: &[f64]) -> Vec<f64> {
    let row = |(i, row): (usize, &Vec<f64>)| {
        let sum: f64 = row.iter().zip(vector).map(|(w, v)| w * v).sum();
        sum + bias.get(i).copied().unwrap_or(0.0)
    };
    matrix.iter().enumerate().map(row).collect()
}

/// The functions of ONNX. Comparisons keep NaN, which `max` and `min` would drop.
fn apply(function: ActivationFunction, x: f64) -> f64 {
    let below = |x: f64, at: f64, then: f64| if x < at { then } else { x };
    match function {
        ActivationFunction::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        ActivationFunction::Tanh => x.tanh(),
        ActivationFunction::Relu => below(x, 0.0, 0.0),
        ActivationFunction::Affine { alpha, beta } => f64::from(alpha) * x + f64::from(beta),
        ActivationFunction::LeakyRelu { alpha } => below(x, 0.0, f64::from(alpha) * x),
        ActivationFunction::ThresholdedRelu { alpha } => below(x, f64::from(alpha), 0.0),
        ActivationFunction::ScaledTanh { alpha, beta } => {
            f64::from(alpha) * (f64::from(beta) * x).tanh()
        }
        ActivationFunction::HardSigmoid { alpha, beta } => {
            let y = below(f64::from(alpha) * x + f64::from(beta), 0.0, 0.0);
            if y > 1.0 { 1.0 } else { y }
        }
        ActivationFunction::Elu { alpha } => below(x, 0.0, f64::from(alpha) * x.exp_m1()),
        ActivationFunction::Softsign => {
            // The quotient has no value at infinity, where its limit is ±1.
            if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) }
        }
        // ln(1 + e^x) without overflow.
        ActivationFunction::Softplus => below(x, 0.0, 0.0) + (-x.abs()).exp().ln_1p(),
    }
}

/// Clips to ±`limit`. NaN stays.
fn clipped(x: f64, limit: Option<f32>) -> f64 {
    match limit.map(f64::from) {
        Some(limit) if x > limit => limit,
        Some(limit) if x < -limit => -limit,
        _ => x,
    }
}

impl Weights {
    fn of(config: &Config, p: &DirectionParams, features: usize, direction: usize) -> Self {
        let vector = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        Self {
            kind: config.kind,
            hidden: config.hidden_size,
            ih: matrix(&p.weight_ih, features),
            hh: matrix(&p.weight_hh, config.state_size()),
            b_ih: vector(&p.bias_ih),
            b_hh: vector(&p.bias_hh),
            hr: matrix(&p.weight_hr, config.hidden_size),
            p: vector(&p.weight_p),
            variant: config.variant,
            functions: config.variant.functions(config.kind, direction),
        }
    }

    /// Returns h' from x and h. An LSTM updates c in place.
    fn step(&self, x: &[f64], h: &[f64], c: &mut [f64]) -> Vec<f64> {
        let a = product(&self.ih, x, &self.b_ih);
        let r = product(&self.hh, h, &self.b_hh);
        let n = self.hidden;
        let [f, g, _] = self.functions;
        let gate = |x: f64| apply(f, clipped(x, self.variant.gate_clip));
        let candidate = |x: f64| apply(g, clipped(x, self.variant.gate_clip));
        match self.kind {
            Kind::RnnTanh | Kind::RnnRelu => (0..n).map(|j| gate(a[j] + r[j])).collect(),
            Kind::Gru => {
                let reset: Vec<f64> = (0..n).map(|j| gate(a[j] + r[j])).collect();
                let r_n: Vec<f64> = match self.variant.reset {
                    Reset::AfterProduct => (0..n).map(|j| reset[j] * r[2 * n + j]).collect(),
                    Reset::BeforeProduct => {
                        let h: Vec<f64> = reset.iter().zip(h).map(|(r, h)| r * h).collect();
                        product(&self.hh, &h, &self.b_hh).split_off(2 * n)
                    }
                };
                (0..n)
                    .map(|j| {
                        let update = gate(a[n + j] + r[n + j]);
                        let new = candidate(a[2 * n + j] + r_n[j]);
                        (1.0 - update) * new + update * h[j]
                    })
                    .collect()
            }
            Kind::Lstm => self.lstm_step(&a, &r, c),
        }
    }

    /// Returns h' of an LSTM from the products of x and of h.
    fn lstm_step(&self, a: &[f64], r: &[f64], c: &mut [f64]) -> Vec<f64> {
        let (n, variant) = (self.hidden, &self.variant);
        let [f, g, h] = self.functions;
        let clip = |x: f64| clipped(x, variant.gate_clip);
        let peephole = |gate: usize, c: f64, j: usize| match self.p.is_empty() {
            true => 0.0,
            false => self.p[gate * n + j] * c,
        };
        let step = |j: usize| {
            let sum = |gate: usize| a[gate * n + j] + r[gate * n + j];
            let mut input = apply(f, clip(sum(0) + peephole(0, c[j], j)));
            let mut forget = apply(f, clip(sum(1) + peephole(1, c[j], j)));
            match variant.coupling {
                None => {}
                Some(Coupling::ForgetFromInput) => forget = 1.0 - input,
                Some(Coupling::InputFromForget) => input = 1.0 - forget,
            }
            c[j] = clipped(forget * c[j] + input * apply(g, clip(sum(2))), variant.cell_clip);
            apply(f, clip(sum(3) + peephole(2, c[j], j))) * apply(h, c[j])
        };
        let m: Vec<f64> = (0..n).map(step).collect();
        if self.hr.is_empty() {
            return m;
        }
        let projected = product(&self.hr, &m, &[]).into_iter();
        projected.map(|h| clipped(h, variant.projection_clip)).collect()
    }
}
