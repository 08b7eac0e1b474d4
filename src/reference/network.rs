//! The definition of a network in f64: each module as PyTorch's documentation states it.

use std::ops::Range;

use super::advance;
use crate::error::{Error, Result};
use crate::params::config::Kind;
use crate::params::network::conv::Padding;
use crate::params::network::{
    Conv1d, Function, Graph, NetworkParams, Node, Op, PaddingMode, StepShape, Weights,
};

/// A value of a network: `[T, B, F]`, or `[T, B, C, L]`.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkValue {
    /// T.
    pub steps: usize,
    /// The shape of a step.
    pub shape: StepShape,
    /// The values, row-major.
    pub values: Vec<f64>,
}

/// Runs a network over `input` (`[T, B, ·]`; for tokens their indices as f64) from zero states.
///
/// # Errors
/// [`Error::Unsupported`] for a network with attention or hidden states, whose steps depend on each
/// other; [`Error::Shape`] where a convolution has too few steps.
pub fn network(
    params: &NetworkParams,
    input: &[f64],
    [steps, batch]: [usize; 2],
) -> Result<NetworkValue> {
    let graph: &Graph = params.graph();
    if graph.is_stepwise() {
        return Err(Error::Unsupported(
            "the definition in f64 of a network with attention() or hidden()".to_owned(),
        ));
    }
    let of_values = graph.steps(steps, 0)?;
    let input = NetworkValue { steps, shape: graph.input, values: input.to_vec() };
    let mut values = vec![input];
    for (at, (node, weights)) in graph.nodes.iter().zip(params.weights()).enumerate() {
        let inputs: Vec<&NetworkValue> = node.inputs.iter().map(|&value| &values[value]).collect();
        let of_node = Call { node, weights, inputs: &inputs, batch };
        let computed = of_node.values(of_values[at + 1]);
        let (steps, shape) = (of_values[at + 1], node.shape);
        values.push(NetworkValue { steps, shape, values: computed });
    }
    Ok(values.swap_remove(graph.output))
}

/// One node with its inputs.
struct Call<'a> {
    node: &'a Node,
    weights: &'a Weights,
    inputs: &'a [&'a NetworkValue],
    batch: usize,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

impl Call<'_> {
    fn values(&self, steps: usize) -> Vec<f64> {
        let x = self.inputs[0];
        match (&self.node.op, self.weights) {
            (&Op::Linear { features, .. }, Weights::Product { weight, bias }) => {
                let rows = x.values.chunks_exact(features);
                rows.flat_map(|row| linear(weight.data(), bias, row)).collect()
            }
            (Op::Embedding { .. }, Weights::Table(table)) => {
                x.values.iter().flat_map(|&token| wide(table.row(token as usize))).collect()
            }
            (Op::Rnn(config), Weights::Rnn(params)) => {
                let layers = config.num_layers * config.num_directions() * self.batch;
                let cells = if config.kind == Kind::Lstm { config.hidden_size } else { 0 };
                let state = [vec![0.0; layers * config.state_size()], vec![0.0; layers * cells]];
                advance(params, [steps, self.batch], x.values.clone(), state, None).output
            }
            (Op::Conv1d { over_time, conv, .. }, Weights::Product { weight, bias }) => {
                self.conv1d(weight.data(), bias, conv, *over_time, steps)
            }
            (&Op::LayerNorm(eps), Weights::Vectors { scale, shift }) => {
                let rows = x.values.chunks_exact(scale.len());
                rows.flat_map(|row| layer_norm(row, f64::from(eps), scale, shift)).collect()
            }
            (Op::Scale, Weights::Vectors { scale, shift }) => {
                let length = x.shape.count() / scale.len();
                let channel = |at: usize| at / length % scale.len();
                let values = x.values.iter().enumerate();
                let of = |(at, x): (usize, &f64)| {
                    x * f64::from(scale[channel(at)]) + f64::from(shift[channel(at)])
                };
                values.map(of).collect()
            }
            (Op::Function(function), _) => {
                x.values.iter().map(|&x| activated(*function, x)).collect()
            }
            (&Op::Softmax { is_log }, _) => {
                let columns = x.shape.sizes().last().copied().unwrap_or(1);
                x.values.chunks_exact(columns).flat_map(|row| softmax(row, is_log)).collect()
            }
            (Op::Magnitude, _) => {
                let halves = x.values.chunks_exact(x.shape.count());
                halves
                    .flat_map(|step| {
                        let (re, im) = step.split_at(step.len() / 2);
                        re.iter().zip(im).map(|(re, im)| re.hypot(*im)).collect::<Vec<_>>()
                    })
                    .collect()
            }
            (Op::Concat, _) => {
                let step = |at: usize| {
                    self.inputs.iter().flat_map(move |x| {
                        let count = x.shape.count();
                        x.values[at * count..][..count].iter().copied()
                    })
                };
                (0..steps * self.batch).flat_map(step).collect()
            }
            (Op::Add, _) => self.joined(|a, b| a + b),
            (Op::Mul, _) => self.joined(|a, b| a * b),
            _ => x.values.clone(),
        }
    }

    fn joined(&self, join: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let (x, other) = (self.inputs[0], self.inputs[1]);
        let repeat = x.values.len() / other.values.len().max(1);
        x.values.iter().enumerate().map(|(at, &x)| join(x, other.values[at / repeat])).collect()
    }

    /// y[o, t] = b[o] + Σ w[o, c, k] · x[c, t · stride + k · dilation − padding], in groups.
    fn conv1d(
        &self,
        weight: &[f32],
        bias: &[f32],
        conv: &Conv1d,
        over_time: bool,
        steps: usize,
    ) -> Vec<f64> {
        let &Op::Conv1d { channels, out, kernel, .. } = &self.node.op else {
            unreachable!("a convolution")
        };
        let (x, batch) = (self.inputs[0], self.batch);
        let (in_channels, of_group) = (channels * conv.groups, out / conv.groups);
        let [before, _] = conv.sides(kernel);
        // Positions of a row, and the place of one in x and in y.
        let (rows, length, outputs): (Range<usize>, usize, usize) = match (x.shape, self.node.shape)
        {
            (StepShape::Channels([_, length]), StepShape::Channels([_, outputs])) => {
                (0..x.steps * batch, length, outputs)
            }
            _ => (0..batch, x.steps, steps),
        };
        let place = |row: usize, channel: usize, position: usize, count: [usize; 2]| {
            let [channels, length] = count;
            if over_time {
                (position * batch + row) * channels + channel
            } else {
                (row * channels + channel) * length + position
            }
        };
        let mut y = vec![0.0; rows.len() * out * outputs];
        for row in rows {
            for o in 0..out {
                for t in 0..outputs {
                    let mut sum = f64::from(bias[o]);
                    for c in 0..channels {
                        for k in 0..kernel {
                            let at = (t * conv.stride + k * conv.dilation) as isize;
                            let Some(at) = padded(at - before as isize, length, conv) else {
                                continue;
                            };
                            let channel = o / of_group * channels + c;
                            let w = f64::from(weight[(o * channels + c) * kernel + k]);
                            sum += w * x.values[place(row, channel, at, [in_channels, length])];
                        }
                    }
                    y[place(row, o, t, [out, outputs])] = sum;
                }
            }
        }
        y
    }
}

/// Returns the position that a convolution reads, or `None` for a zero.
fn padded(at: isize, length: usize, conv: &Conv1d) -> Option<usize> {
    let last = length as isize - 1;
    let inside = (0..=last).contains(&at);
    let at = match conv.padding_mode {
        _ if inside => at,
        _ if conv.padding == Padding::Causal => return None,
        PaddingMode::Zeros => return None,
        PaddingMode::Reflect if at < 0 => -at,
        PaddingMode::Reflect => 2 * last - at,
        PaddingMode::Replicate => at.clamp(0, last),
        PaddingMode::Circular => at.rem_euclid(length as isize),
    };
    usize::try_from(at).ok()
}

fn linear(weight: &[f32], bias: &[f32], x: &[f64]) -> Vec<f64> {
    let row = |(row, bias): (&[f32], &f32)| {
        row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(*bias)
    };
    weight.chunks_exact(x.len()).zip(bias).map(row).collect()
}

fn layer_norm(row: &[f64], eps: f64, scale: &[f32], shift: &[f32]) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let vectors = scale.iter().zip(shift);
    let value = |(x, (scale, shift)): (&f64, (&f32, &f32))| {
        (x - mean) / (variance + eps).sqrt() * f64::from(*scale) + f64::from(*shift)
    };
    row.iter().zip(vectors).map(value).collect()
}

fn softmax(row: &[f64], is_log: bool) -> Vec<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - most).exp()).sum();
    let of = |x: &f64| if is_log { x - most - sum.ln() } else { (x - most).exp() / sum };
    row.iter().map(of).collect()
}

fn activated(function: Function, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match function {
        Function::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Function::LeakyRelu(slope) => {
            if x < 0.0 {
                f64::from(slope) * x
            } else {
                x
            }
        }
        Function::Sigmoid => sigmoid(x),
        Function::Tanh => x.tanh(),
        Function::Silu => x * sigmoid(x),
        Function::Gelu => x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Function::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            x * 0.5 * (1.0 + inner.tanh())
        }
    }
}

/// The error function, within 1e-15: its series up to 3, a continued fraction of the rest beyond.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 3.0 {
        // 2/√π · e^−x² · Σ 2^n x^(2n+1) / (1 · 3 · .. · (2n + 1)); all terms are positive.
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > sum * 1e-17 && n < 200.0 {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        2.0 / std::f64::consts::PI.sqrt() * (-a * a).exp() * sum
    } else {
        // √π · e^x² · erfc(x) = 1 / (x + ½ / (x + 1 / (x + 1½ / (x + ..)))).
        let fraction = (1..=60).rev().fold(a, |below, n| a + 0.5 * f64::from(n) / below);
        1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_has_its_tabulated_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (3.5, 0.999_999_256_901_627_7),
        ] {
            assert!((erf(x) - want).abs() < 1e-14, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + want).abs() < 1e-14, "erf is odd at {x}");
        }
    }
}
