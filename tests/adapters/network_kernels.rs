//! The kernels of `shaders/network` against their definitions, at odd sizes and odd values.

use libtest_mimic::Failed;
use wgpu_rnn::Device;
use wgpu_rnn::internals::kernel::families::activation;
use wgpu_rnn::internals::kernel::network::{operation, order, padding};
use wgpu_rnn::internals::kernel::uniforms::{
    ContextDims, Dims, HistoryDims, LayerNormDims, MapDims, ScoresDims, SoftmaxDims, UnfoldDims,
};
use wgpu_rnn::internals::kernel::{Family, Overrides};

use crate::by_hand::{ByHand, close, from_words, same_bits};
use crate::{Target, ensure, seeded};

/// What lies between the rows of an output, which no kernel writes.
const BETWEEN: f32 = 7.0;

/// Values that are uniform in ±`bound`.
fn values(seed: u64, count: usize, bound: f32) -> Vec<f32> {
    seeded::tensor(seed, &[count], bound).into_data()
}

/// Runs a kernel whose last binding has `len` values, and returns them.
fn run(
    device: &Device,
    (family, workgroup_size): (Family, u32),
    dims: Dims,
    inputs: &[&[f32]],
    len: usize,
    workgroups: usize,
) -> Result<Vec<f32>, Failed> {
    let mut by_hand = ByHand::default();
    let mut bindings: Vec<_> = inputs.iter().map(|&values| by_hand.buffer(values)).collect();
    let y = by_hand.buffer(vec![BETWEEN; len]);
    bindings.push(y);
    let workgroups = device.limits().fold_workgroups("by hand", workgroups as u64)?;
    let kernel = (family, Overrides { workgroup_size, ..Overrides::default() });
    by_hand.dispatch(kernel, dims, &bindings, workgroups, 1);
    let [y] = by_hand.run(device, [y])?;
    Ok(y)
}

/// [`close`], where infinities are equal.
fn agree(what: &str, got: &[f32], want: &[f64], tolerance: f64) -> Result<(), Failed> {
    let (mut got, mut want) = (got.to_vec(), want.to_vec());
    for (at, (got, want)) in got.iter_mut().zip(&mut want).enumerate() {
        if want.is_infinite() && f64::from(*got) == *want {
            (*got, *want) = (0.0, 0.0);
        }
        ensure(!want.is_infinite(), format!("{what}: at {at} got {got:e}, want {want:e}"))?;
    }
    close(what, &got, &want, tolerance)
}

/// Values of an output: rows of `width` at a stride, and what lies between them.
fn rows(
    count: usize,
    stride: usize,
    width: usize,
    value: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let place = |at: usize| (at / stride, at % stride);
    let len = (count - 1) * stride + width;
    let of = |at| match place(at) {
        (row, column) if column < width => value(row, column),
        _ => BETWEEN.into(),
    };
    (0..len).map(of).collect()
}

/// The share of a normal distribution below the values of the next test.
fn normal(x: f64) -> f64 {
    let above = match x.abs() {
        a if a < 1e-6 => 0.5,
        0.5 => 0.691_462_461_274_013_1,
        1.0 => 0.841_344_746_068_542_9,
        3.0 => 0.998_650_101_968_369_9,
        a if a >= 10.0 => 1.0,
        a => a + f64::NAN,
    };
    if x < 0.0 { 1.0 - above } else { above }
}

fn defined(function: u32, slope: f64, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    // A gate of 0 closes for infinite x too.
    let gated = |gate: f64| if gate == 0.0 { 0.0 } else { x * gate };
    match function {
        activation::SIGMOID => sigmoid(x),
        activation::RELU if x < 0.0 => 0.0,
        activation::TANH => x.tanh(),
        activation::SILU => gated(sigmoid(x)),
        activation::GELU => gated(normal(x)),
        activation::GELU_TANH => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            gated(0.5 * (1.0 + inner.tanh()))
        }
        activation::LEAKY_RELU if x < 0.0 => slope * x,
        _ => x,
    }
}

/// Each function of `map`, from the subnormals to the infinities.
pub fn functions(target: &Target) -> Result<(), Failed> {
    comparisons_can_fail()?;
    let device = target.device()?;
    let magnitudes = [
        0.0,
        1e-40,
        1e-38,
        1e-20,
        0.5,
        1.0,
        3.0,
        10.0,
        45.0,
        87.0,
        89.0,
        100.0,
        1e4,
        1e13,
        1e19,
        1e30,
        3e38,
        f32::INFINITY,
        f32::NAN,
    ];
    let x: Vec<f32> = magnitudes.into_iter().flat_map(|x| [x, -x]).collect();
    let features = x.len() as u32;
    for function in activation::NONE..=activation::LEAKY_RELU {
        let dims = MapDims {
            rows: 1,
            features,
            x_stride: features,
            y_stride: features,
            other_stride: 0,
            other_step: 0,
            operation: operation::NONE,
            function,
            slope: 0.25,
            pad: [0; 3],
        };
        let y = run(&device, (Family::Map, 0), Dims::Map(dims), &[&x, &[0.0]], x.len(), 1)?;
        let want: Vec<f64> = x.iter().map(|&x| defined(function, 0.25, x.into())).collect();
        let what = format!("function {function} of {x:?} is {y:?}");
        agree(&what, &y, &want, 1e-6)?;
        let nan = y.iter().filter(|y| y.is_nan()).count();
        ensure(nan == 2, format!("{what}: {nan} values are NaN"))?;
    }
    Ok(())
}

/// Each operation of `map`, on rows of any stride, with an operand of its own rows, of one row, of
/// one value for each row, and of one value.
pub fn operations(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for (count, features, more) in [(1, 1, 0), (3, 5, 3), (67, 4, 0), (9, 65, 3)] {
        let (x_stride, y_stride) = (2 * features + more, features + more);
        let x = values(1, (count - 1) * x_stride + 2 * features, 1.0);
        for (of, stride, step) in [
            (operation::NONE, 0, 0),
            (operation::ADD, features + 1, 1),
            (operation::ADD, 0, 1),
            (operation::MULTIPLY, 3, 0),
            (operation::MULTIPLY, 0, 0),
            (operation::MAGNITUDE, 0, 0),
        ] {
            let other = values(2, (count - 1) * stride + (features - 1) * step + 1, 1.0);
            let dims = MapDims {
                rows: count as u32,
                features: features as u32,
                x_stride: x_stride as u32,
                y_stride: y_stride as u32,
                other_stride: stride as u32,
                other_step: step as u32,
                operation: of,
                function: activation::NONE,
                slope: 0.0,
                pad: [0; 3],
            };
            let want = rows(count, y_stride, features, |row, feature| {
                let at = row * x_stride + feature;
                let [x, imaginary] = [x[at], x[at + features]].map(f64::from);
                let other = f64::from(other[row * stride + feature * step]);
                match of {
                    operation::ADD => x + other,
                    operation::MULTIPLY => x * other,
                    operation::MAGNITUDE => x.hypot(imaginary),
                    _ => x,
                }
            });
            let workgroups = (count * features).div_ceil(64);
            let (dims, kernel) = (Dims::Map(dims), (Family::Map, 0));
            let y = run(&device, kernel, dims, &[&x, &other], want.len(), workgroups)?;
            agree(&format!("{dims:?}"), &y, &want, 1e-6)?;
        }
    }
    Ok(())
}

/// The windows of `unfold` in every padding mode, order and layout of x.
pub fn windows(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let modes =
        [padding::ZEROS, padding::REFLECT, padding::REPLICATE, padding::CIRCULAR, padding::HISTORY];
    // N, L, C and G; K, stride, dilation, positions before and after x.
    for ([n, l, c, g], [kernel, stride, dilation, before, after]) in [
        ([1_usize, 1, 1, 1], [1, 1, 1, 0, 0]),
        ([2, 5, 3, 1], [3, 1, 1, 1, 1]),
        ([3, 7, 2, 3], [3, 2, 2, 4, 3]),
        ([2, 4, 5, 2], [2, 1, 3, 3, 0]),
        ([5, 9, 1, 4], [4, 3, 1, 2, 5]),
    ] {
        let (channels, width) = (c * g, (kernel * c).next_multiple_of(4) + 4);
        let outputs = (before + l + after - dilation * (kernel - 1) - 1) / stride + 1;
        // Rows of positions, steps of rows, and channels one after the other.
        let layouts = [
            [(l + 1) * channels, channels, 1],
            [channels + 1, n * (channels + 1), 1],
            [l * channels + 3, 1, l],
        ];
        for (at, (mode, strides)) in
            modes.iter().flat_map(|&mode| layouts.map(|strides| (mode, strides))).enumerate()
        {
            let order = at as u32 % 4;
            if mode == padding::HISTORY && after > 0 {
                continue;
            }
            let last = (n - 1) * strides[0] + (l - 1) * strides[1] + (channels - 1) * strides[2];
            let x: Vec<f32> = (0..=last).map(|at| at as f32 + 1.0).collect();
            let kept = n * before.max(1) * channels;
            let history: Vec<f32> = (0..kept).map(|at| -1.0 - at as f32).collect();
            let value = |row: usize, place: usize, channel: usize| {
                let p = place as i64 - before as i64;
                let end = l as i64;
                let inside = match mode {
                    _ if (0..end).contains(&p) => p,
                    padding::REFLECT => {
                        if p < 0 {
                            -p
                        } else {
                            2 * (end - 1) - p
                        }
                    }
                    padding::REPLICATE => p.clamp(0, end - 1),
                    padding::CIRCULAR => p.rem_euclid(end),
                    padding::HISTORY => {
                        return history[(row * before + place) * channels + channel];
                    }
                    _ => return 0.0,
                };
                x[row * strides[0] + inside as usize * strides[1] + channel * strides[2]]
            };
            let mut want = Vec::new();
            for (group, row) in (0..g).flat_map(|group| (0..n * outputs).map(move |r| (group, r))) {
                let (row, output) = match order & order::TIME_MAJOR {
                    0 => (row / outputs, row % outputs),
                    _ => (row % n, row / n),
                };
                want.extend((0..width).map(|i| {
                    let (tap, channel) = match order & order::CHANNELS_FIRST {
                        0 => (i / c, i % c),
                        _ => (i % kernel, i / kernel),
                    };
                    let place = output * stride + tap * dilation;
                    if i < kernel * c { value(row, place, group * c + channel) } else { 0.0 }
                }));
            }
            let [x_row_stride, x_position_stride, x_channel_stride] = strides.map(|s| s as u32);
            let dims = Dims::Unfold(UnfoldDims {
                rows: n as u32,
                positions: l as u32,
                outputs: outputs as u32,
                channels: c as u32,
                groups: g as u32,
                kernel: kernel as u32,
                stride: stride as u32,
                dilation: dilation as u32,
                padding: before as u32,
                mode,
                x_row_stride,
                x_position_stride,
                x_channel_stride,
                width: width as u32,
                order,
                pad: 0,
            });
            let workgroups = want.len().div_ceil(64);
            let inputs: [&[f32]; 2] = [&x, &history];
            let y = run(&device, (Family::Unfold, 0), dims, &inputs, want.len(), workgroups)?;
            same_bits(&format!("{dims:?}"), &y, &want)?;
        }
    }
    Ok(())
}

/// `history` keeps the last valid steps of each row, for lengths from 0 to all steps.
pub fn histories(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for (kept, steps, channels, more) in [(1, 1, 1, 0), (3, 2, 5, 1), (2, 6, 3, 0), (4, 4, 17, 3)] {
        // A row for each length, and one whose length is beyond the steps.
        let (batch, stride) = (steps + 2, channels + more);
        let lengths: Vec<u32> = (0..batch as u32).rev().collect();
        let len = (steps * batch - 1) * stride + channels;
        let x: Vec<f32> = (0..len).map(|at| at as f32 + 1.0).collect();
        let before: Vec<f32> = (0..batch * kept * channels).map(|at| -1.0 - at as f32).collect();
        let want = (0..batch).flat_map(|row| {
            let old = before[row * kept * channels..][..kept * channels].chunks(channels);
            let valid = (lengths[row] as usize).min(steps);
            let new = (0..valid).map(|step| &x[(step * batch + row) * stride..][..channels]);
            let all: Vec<&[f32]> = old.chain(new).collect();
            all[valid..].concat()
        });
        let want: Vec<f32> = want.collect();
        let dims = Dims::History(HistoryDims {
            rows: batch as u32,
            length: kept as u32,
            channels: channels as u32,
            steps: steps as u32,
            x_row_stride: stride as u32,
            x_step_stride: (batch * stride) as u32,
            pad: [0; 2],
        });
        let lengths = from_words(&lengths);
        let inputs: [&[f32]; 3] = [&x, &before, &lengths];
        let workgroups = want.len().div_ceil(64);
        let y = run(&device, (Family::History, 0), dims, &inputs, want.len(), workgroups)?;
        same_bits(&format!("{dims:?}"), &y, &want)?;
    }
    Ok(())
}

/// `layer_norm` of random rows, of rows that are constant or nearly so at any magnitude, and of a
/// row with NaN, which stays in its row.
pub fn layer_norms(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for (features, workgroup_size) in [(1, 32), (5, 64), (63, 32), (65, 64), (300, 256), (1000, 64)]
    {
        let (count, stride) = (7, features + 3);
        let random = values(3, features, 2.0);
        let of_row = |row: usize, at: usize| match row {
            0 => random[at],
            1 => 0.0,
            2 => 1000.1,
            3 => -3.3e6,
            4 => 4096.0 + random[at] / 256.0,
            5 if at == features / 2 => f32::NAN,
            5 => 1.0,
            _ => random[at] * 1e-4,
        };
        let x: Vec<f32> = (0..count * stride)
            .map(|at| of_row(at / stride, (at % stride).min(features - 1)))
            .collect();
        let (scale, shift) = (values(4, features, 1.0), values(5, features, 1.0));
        let eps = 1e-5_f32;
        let want = rows(count, stride, features, |row, at| {
            let values = (0..features).map(|at| f64::from(x[row * stride + at]));
            let mean = values.clone().sum::<f64>() / features as f64;
            let variance = values.map(|x| (x - mean).powi(2)).sum::<f64>() / features as f64;
            let normal =
                (f64::from(x[row * stride + at]) - mean) / (variance + f64::from(eps)).sqrt();
            normal * f64::from(scale[at]) + f64::from(shift[at])
        });
        let dims = LayerNormDims {
            rows: count as u32,
            features: features as u32,
            stride: stride as u32,
            eps,
        };
        let kernel = (Family::LayerNorm, workgroup_size);
        let inputs: [&[f32]; 3] = [&x, &scale, &shift];
        let y = run(&device, kernel, Dims::LayerNorm(dims), &inputs, want.len(), count)?;
        agree(&format!("{dims:?} by {workgroup_size}"), &y, &want, 1e-5)?;
    }
    Ok(())
}

/// The softmax and its logarithm of large, small, equal and infinite logits, of a part of the
/// columns too. A row without a finite logit, or with NaN, is NaN where it is valid.
pub fn softmaxes(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let infinity = f32::INFINITY;
    for (columns, workgroup_size) in [(1, 32), (4, 64), (63, 32), (65, 64), (300, 256)] {
        let (count, stride) = (8, columns + 1);
        let random = values(6, columns, 3.0);
        let of_row = |row: usize, at: usize| match row {
            0 => random[at],
            1 => 5.0,
            2 => 1e4 * random[at],
            3 => -1e30 * (at % 2) as f32,
            4 if at.is_multiple_of(3) => -infinity,
            5 => -infinity,
            6 if at == columns - 1 => f32::NAN,
            _ => random[at],
        };
        let x: Vec<f32> = (0..count * stride)
            .map(|at| of_row(at / stride, (at % stride).min(columns - 1)))
            .collect();
        for (is_log, batch) in [(0, 0), (1, 0), (0, 3), (1, 3)] {
            let lengths = [columns as u32 / 2, 0, columns as u32 + 9];
            let want = rows(count, stride, columns, |row, at| {
                let valid = match batch {
                    0 => columns,
                    _ => (lengths[row % 3] as usize).clamp(1, columns),
                };
                let value = |at: usize| f64::from(x[row * stride + at]);
                let most = (0..valid).map(value).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = (0..valid).map(|at| (value(at) - most).exp()).sum();
                match is_log {
                    _ if at >= valid => 0.0,
                    0 => (value(at) - most).exp() / sum,
                    _ => value(at) - most - sum.ln(),
                }
            });
            let dims = SoftmaxDims {
                rows: count as u32,
                columns: columns as u32,
                stride: stride as u32,
                is_log,
                batch,
                pad: [0; 3],
            };
            let kernel = (Family::Softmax, workgroup_size);
            let words = from_words(&lengths);
            let inputs: [&[f32]; 2] = [&x, &words];
            let y = run(&device, kernel, Dims::Softmax(dims), &inputs, want.len(), count)?;
            agree(&format!("{dims:?} by {workgroup_size}"), &y, &want, 1e-6)?;
        }
    }
    Ok(())
}

/// `scores` of both kinds and `context`, at any strides.
pub fn attention(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for ([batch, steps, features], more, workgroup_size) in [
        ([1, 1, 1], 0, 32),
        ([2, 3, 5], 3, 64),
        ([3, 9, 64], 0, 32),
        ([4, 2, 70], 2, 64),
        ([1, 70, 300], 0, 256),
    ] {
        let stride = features + more;
        let memory = values(7, (steps * batch - 1) * stride + features, 1.0);
        let query = values(8, (batch - 1) * (stride + 1) + features, 1.0);
        let scale = values(9, features, 1.0);
        let shares = values(10, (batch - 1) * (steps + 2) + steps, 1.0);
        let remembered = |step: usize, row: usize, at: usize| {
            f64::from(memory[(step * batch + row) * stride + at])
        };
        for additive in [0, 1] {
            let want = rows(batch, steps + more, steps, |row, step| {
                let term = |at: usize| {
                    let (q, k) =
                        (f64::from(query[row * (stride + 1) + at]), remembered(step, row, at));
                    if additive == 1 { f64::from(scale[at]) * (q + k).tanh() } else { q * k }
                };
                (0..features).map(term).sum()
            });
            let dims = ScoresDims {
                batch: batch as u32,
                steps: steps as u32,
                features: features as u32,
                query_stride: stride as u32 + 1,
                keys_stride: stride as u32,
                y_stride: (steps + more) as u32,
                additive,
                pad: 0,
            };
            let kernel = (Family::Scores, workgroup_size);
            let inputs: [&[f32]; 3] = [&query, &memory, &scale];
            let y = run(&device, kernel, Dims::Scores(dims), &inputs, want.len(), batch * steps)?;
            agree(&format!("{dims:?} by {workgroup_size}"), &y, &want, 1e-5)?;
        }
        let want = rows(batch, stride, features, |row, at| {
            let share = |step: usize| f64::from(shares[row * (steps + 2) + step]);
            (0..steps).map(|step| share(step) * remembered(step, row, at)).sum()
        });
        let dims = ContextDims {
            batch: batch as u32,
            steps: steps as u32,
            features: features as u32,
            shares_stride: steps as u32 + 2,
            memory_stride: stride as u32,
            y_stride: stride as u32,
            pad: [0; 2],
        };
        let inputs: [&[f32]; 2] = [&shares, &memory];
        let workgroups = (batch * features).div_ceil(64);
        let kernel = (Family::Context, 0);
        let y = run(&device, kernel, Dims::Context(dims), &inputs, want.len(), workgroups)?;
        agree(&format!("{dims:?}"), &y, &want, 1e-5)?;
    }
    Ok(())
}

/// Values that are wrong are found where others are infinite.
fn comparisons_can_fail() -> Result<(), Failed> {
    let want = [f64::INFINITY, 1.0, f64::NAN];
    agree("equal", &[f32::INFINITY, 1.0, f32::NAN], &want, 1e-6)?;
    for wrong in [
        [1.0, 1.0, f32::NAN],
        [f32::INFINITY, f32::INFINITY, f32::NAN],
        [f32::NEG_INFINITY, 1.0, f32::NAN],
    ] {
        ensure(agree("wrong", &wrong, &want, 1e-6).is_err(), format!("{wrong:?} is wrong"))?;
    }
    Ok(())
}
