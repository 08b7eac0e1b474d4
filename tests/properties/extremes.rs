//! Extreme arguments of public functions: each call returns a value or an error, and soon.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::bench::{self, Attempt, Shape, Workload};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::Command;
use wgpu_rnn::internals::plan::{Exchange, Profile, Request, Target, WeightLayout, plan};
use wgpu_rnn::language_model::LanguageModelParams;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, LanguageModelConfig};
use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::wgpu::DeviceType;
use wgpu_rnn::{
    Config, Device, Embedding, Error, Kind, Params, Rnn, Schedule, Tensor, WeightType,
    pad_sequence, unpad_sequence,
};

use crate::case::{check, check_part};

/// Sizes around every power of two at which arithmetic may overflow, and some ordinary ones.
fn sizes() -> impl Strategy<Value = usize> {
    let powers = (0..64_u32).prop_map(|power| 1_usize << power);
    let near = (powers, -2..=2_i32).prop_map(|(size, by)| size.saturating_add_signed(by as isize));
    prop_oneof![3 => near, 1 => select(vec![0, 1, 3, usize::MAX - 1, usize::MAX])]
}

/// Planning any sizes for the host and for GPUs ends with a plan of bounded length, or an error.
#[test]
fn any_sizes_are_planned_or_refused() {
    let configs = [
        Config::lstm(3, 5).num_layers(2),
        Config::gru(1, 1).bidirectional(true),
        Config::lstm(8, 16).proj_size(4),
    ];
    let schedules = select(Schedule::ALL.to_vec());
    let kinds = select(vec![None, Some(DeviceType::DiscreteGpu), Some(DeviceType::Cpu)]);
    check_part(
        2,
        (sizes(), sizes(), 0..3_usize, schedules, kinds),
        |(seq_len, batch, at, asked, kind)| {
            let (config, limits) = (
                &configs[at],
                &match kind {
                    None => Limits::host(),
                    Some(kind) => Limits::of(&wgpu::Limits::defaults(), kind == DeviceType::Cpu),
                },
            );
            let weights = &WeightLayout::new(config, limits).expect("small weights");
            let request =
                Request { config, weights, sizes: Sizes { seq_len, batch }, training: false };
            let target = if kind.is_some() { Target::Gpu } else { Target::Host };
            let calibration = &Calibration::typical_of(kind);
            let profile = Profile { limits, calibration, target, exchange: Exchange::OneStep };
            if let Ok(plan) = plan(&request, &profile, asked) {
                assert!(
                    plan.recording.commands.len() <= 1 << 19,
                    "T = {seq_len}: too many commands"
                );
                assert!(
                    plan.size() >= plan.recording.size(),
                    "T = {seq_len}, B = {batch}: the size"
                );
                let steps = |command: &Command| u64::from(command.count());
                assert!(plan.recording.commands.iter().map(steps).sum::<u64>() < 1 << 40);
            }
        },
    );
}

/// The functions of a module on the CPU.
#[test]
fn any_sizes_of_a_module_are_taken_or_refused() {
    let device = Device::cpu();
    let lstm = Rnn::new(&device, &Params::init(&Config::lstm(3, 4), 0).expect("a small module"));
    let lstm = lstm.expect("a small module");
    let step = Tensor::zeros([1, 1, 3]).expect("three values");
    check_part(4, (sizes(), sizes(), sizes()), |(a, b, c)| {
        _ = lstm.plan(a, b).map(|plan| plan.size());
        _ = lstm.explain(a, b).map(|explanation| explanation.to_string());
        let options = PoolOptions::new(a).steps(b).rows(c);
        if let Ok(plan) = lstm.plan_pool(&options)
            && plan.size() < 1 << 28
        {
            let pool = lstm.pool(&options).expect("it was planned, and is small");
            let results = pool.tick(&[(pool.open().expect("a slot"), &[])]);
            assert!(results.is_ok_and(|of_one| of_one[0].is_ok()), "nothing to do");
        }
        if let Ok(mut stream) = lstm.stream(a) {
            _ = stream.forward(&step);
        }
        _ = Tensor::new([a, b, c], Vec::new());
        _ = Tensor::new([a, b], vec![0.0; 6]).map(|x| lstm.forward(&x, None));
        _ = unpad_sequence(&step, &[a], b % 2 == 0);
    });
    // The states of 2^25 slots are the largest buffer of the CPU.
    let pool = |slots| lstm.plan_pool(&PoolOptions::new(slots).steps(1).rows(1));
    pool(1 << 25).expect("1 GiB of states");
    let refused = pool((1 << 25) + 1).expect_err("a slot more");
    assert!(matches!(refused, Error::Limit { .. }), "{refused}");
    for shape in [vec![1 << 61], vec![usize::MAX], vec![1 << 40, 1 << 30], vec![1 << 62, 2]] {
        let refused = Tensor::zeros(shape.clone()).expect_err("more than any memory");
        assert!(
            matches!(refused, Error::TensorSize { .. } | Error::OutOfMemory { .. }),
            "{shape:?}: {refused}"
        );
    }
    for empty in [vec![0, usize::MAX], vec![2, usize::MAX, 0], vec![usize::MAX, usize::MAX, 0]] {
        let tensor = Tensor::zeros(empty.clone()).expect("no values");
        assert!(tensor.data().is_empty(), "{empty:?}");
    }
    let four = Tensor::zeros([4]).expect("four values");
    for uncounted in [four.reshaped([1 << 33, 1 << 33]), Tensor::zeros([2, usize::MAX])] {
        let text = uncounted.expect_err("more than usize::MAX").to_string();
        assert!(text.ends_with(") holds more elements than can be counted"), "{text}");
    }
}

/// Sequences of steps without values: however many there are, no time passes.
#[test]
fn any_number_of_steps_without_values_is_padded() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape).expect("no values");
    for batch_first in [false, true] {
        let sequences = [zeros(&[1 << 40, 0]), zeros(&[0, 0])];
        let (padded, lengths) = pad_sequence(&sequences, batch_first).expect("no values");
        assert_eq!((lengths.as_slice(), padded.data().len()), (&[1 << 40, 0][..], 0));
        let split = unpad_sequence(&padded, &lengths, batch_first).expect("no values");
        assert_eq!(split, sequences, "there and back");
    }
    for (shape, lengths) in
        [([usize::MAX, 1, 0], vec![usize::MAX]), ([1 << 40, 3, 0], vec![1 << 40, 7, 1 << 39])]
    {
        let split = unpad_sequence(&zeros(&shape), &lengths, false).expect("no values");
        let shapes = split.iter().map(|one| one.shape()[0]).collect::<Vec<_>>();
        assert_eq!(shapes, lengths, "{shape:?}");
    }
}

/// A benchmark's steps and budget.
#[test]
fn any_benchmark_is_counted_and_ends() {
    let shape = |seq_len| Shape::new("test", Config::gru(1, 1).num_layers(3), seq_len, 1);
    assert_eq!(shape(usize::MAX).steps(), usize::MAX);
    let options = bench::Options::default().budget(Duration::MAX).repetitions(3);
    let workload = Workload::new(&shape(2), WeightType::F32).expect("a small network");
    let device = Device::cpu();
    match workload.measure(&device, device.calibration(), &options).expect("the CPU runs it") {
        Attempt::Measured(row) => assert_eq!(row.repetitions, 3),
        other => panic!("{other:?}"),
    }
}

/// Options, and the other modules.
#[test]
fn any_options_are_taken_or_refused() {
    let device = Device::cpu();
    let config = LanguageModelConfig::new(Kind::Gru, 5, 3, 4, 1);
    let params = LanguageModelParams::init(&config, 0).expect("a small model");
    let model = LanguageModel::new(&device, &params).expect("a small model");
    let table = Tensor::zeros([4, 3]).expect("twelve values");
    let embedding = Embedding::new(&device, &table, None).expect("a small table");
    check((sizes(), sizes(), select(Limits::NAMES.to_vec())), |(a, b, name)| {
        _ = model.forward(&[1, 2], a, None);
        _ = model.score(&[1, 2, 3], a);
        let options = GenerateOptions::default().chunk(a).position(b);
        _ = model.generate(&[&[1]], &options).map(|mut generator| generator.next());
        _ = embedding.forward(&[1, 2], &[a, b]);
        _ = Embedding::new(&device, &table, Some(a as i64));
        _ = OpenOptions::default().limit(name, a as u64);
        if let Ok(device) = Device::cpu_with(&OpenOptions::default().limit(name, a as u64)) {
            let module = Params::init(&Config::gru(2, 3), 0).expect("a small module");
            _ = Rnn::new(&device, &module).map(|rnn| rnn.plan(5, b).map(|plan| plan.size()));
        }
        for config in [Config::lstm(a, b), Config::gru(b, 3).num_layers(a), Config::lstm(3, b)] {
            if config.validate().is_ok() {
                let limits = Limits::host();
                _ = WeightLayout::new(&config.proj_size(a % 5), &limits).map(|w| w.size());
            }
        }
    });
    let huge = Config::lstm(1 << 22, 1 << 22);
    let refused = Params::init(&huge, 0).expect_err("256 TiB of weights");
    assert!(matches!(refused, Error::OutOfMemory { .. }), "{refused}");
}
