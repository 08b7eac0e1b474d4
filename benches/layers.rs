//! Layers, and the parts that bound them: a linear layer is one matrix product, and a step of a
//! stream is one time step from host memory to host memory.
//!
//! `cargo bench` runs them on the CPU. `WGPU_RNN_BENCH_DEVICE=NAME` adds an adapter, by a value of
//! `wgpu-rnn bench --device`. A part of a name selects benchmarks: `cargo bench -- linear`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use wgpu_rnn::{Activation, Config, Device, Kind, Linear, Params, Rnn, Tensor};

type Outcome = wgpu_rnn::Result<()>;

/// The CPU and the adapter that the environment names, each with its name.
fn devices() -> Vec<(String, Device)> {
    let named = std::env::var("WGPU_RNN_BENCH_DEVICE").ok().filter(|name| !name.is_empty());
    let selectors = std::iter::once("cpu".to_owned()).chain(named);
    let open = |selector: String| match Device::open(&selector) {
        Ok(device) => (selector, device),
        Err(error) => panic!("WGPU_RNN_BENCH_DEVICE: {error}"),
    };
    selectors.map(open).collect()
}

/// A tensor of values from -1 to 1 without a pattern that a cache or a predictor could use.
fn values<const N: usize>(shape: [usize; N]) -> wgpu_rnn::Result<Tensor> {
    let mut state = 1_u32;
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let data = std::iter::repeat_with(draw).take(shape.iter().product()).collect();
    Tensor::new(shape, data)
}

/// Whole sequences: T, B and H of one layer, with as many input features as units.
fn forward(criterion: &mut Criterion, name: &str, device: &Device) -> Outcome {
    let mut group = criterion.benchmark_group(format!("{name}/forward"));
    for (kind, [t, b, h]) in [
        (Kind::Lstm, [100, 1, 128]),
        (Kind::Lstm, [100, 32, 128]),
        (Kind::Gru, [100, 1, 128]),
        (Kind::Gru, [100, 32, 128]),
        (Kind::Lstm, [100, 1, 512]),
    ] {
        let rnn = Rnn::new(device, &Params::init(&Config::new(kind, h, h), 0)?)?;
        let input = values([t, b, h])?;
        rnn.forward(&input, None)?;
        group.throughput(Throughput::Elements(t as u64));
        let id = BenchmarkId::new(kind.to_string(), format!("T={t} B={b} H={h}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| rnn.forward(black_box(&input), None).expect("it ran before"));
        });
    }
    group.finish();
    Ok(())
}

/// One time step of a stream, which keeps its state on the device.
fn step(criterion: &mut Criterion, name: &str, device: &Device) -> Outcome {
    let mut group = criterion.benchmark_group(format!("{name}/step"));
    for (b, h) in [(1, 128), (1, 512), (32, 128)] {
        let rnn = Rnn::new(device, &Params::init(&Config::lstm(h, h), 0)?)?;
        let mut stream = rnn.stream(b)?;
        let input = values([1, b, h])?;
        stream.forward(&input)?;
        group.bench_function(BenchmarkId::new("lstm", format!("B={b} H={h}")), |bencher| {
            bencher.iter(|| stream.forward(black_box(&input)).expect("it ran before"));
        });
    }
    group.finish();
    Ok(())
}

/// Matrix products `[M, K] · [K, N]`. The throughput counts multiply-adds.
fn linear(criterion: &mut Criterion, name: &str, device: &Device) -> Outcome {
    let mut group = criterion.benchmark_group(format!("{name}/linear"));
    for [m, n, k] in [[1, 512, 128], [32, 512, 128], [1, 2048, 512], [128, 2048, 512]] {
        let layer = Linear::new(device, &values([n, k])?, Some(&vec![0.5; n]), Activation::None)?;
        let input = values([m, k])?;
        layer.forward(&input)?;
        group.throughput(Throughput::Elements((m * n * k) as u64));
        group.bench_function(format!("M={m} N={n} K={k}"), |bencher| {
            bencher.iter(|| layer.forward(black_box(&input)).expect("it ran before"));
        });
    }
    group.finish();
    Ok(())
}

fn all(criterion: &mut Criterion) {
    for (name, device) in devices() {
        for run in [forward, step, linear] {
            if let Err(error) = run(criterion, &name, &device) {
                panic!("{name}: {error}");
            }
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    all(&mut criterion);
    criterion.final_summary();
}
