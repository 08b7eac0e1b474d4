//! Options of loading: each reaches its module, or is refused by name.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::language_model::{
    LanguageModel, LanguageModelConfig, LanguageModelParams, expected_tensors,
};
use wgpu_rnn::variant::{ActivationFunction, Variant};
use wgpu_rnn::{
    Activation, Cell, Config, Device, Error, ForwardOptions, Kind, Linear, LoadOptions,
    Nonlinearity, Params, Rnn, Schedule, StateDict, StateDictProblem, Tensor, WeightType,
};

fn parameters(config: &Config) -> Params {
    Params::init(config, 0).expect("a valid configuration")
}

/// A state dict in memory: values are multiples of 0.1, which f16 rounds.
fn state_dict(tensors: &[(String, Vec<usize>)]) -> StateDict {
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let value = |i: usize| 0.1 * (i % 9) as f32 - 0.4;
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| (0..count(shape)).flat_map(|i| value(i).to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), data);
        (name.as_str(), view.expect("4 bytes for each element"))
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).expect("a few tensors");
    StateDict::parse("in memory", file).expect("a valid file")
}

fn named(config: &Config, prefix: &str) -> Vec<(String, Vec<usize>)> {
    let all = wgpu_rnn::internals::params::expected_parameters(config);
    all.into_iter().map(|(name, shape)| (format!("{prefix}{name}"), shape)).collect()
}

/// Work for several threads in the input projection and in each step.
#[test]
fn no_result_depends_on_the_number_of_threads() {
    let lstm = parameters(&Config::lstm(64, 256).num_layers(2));
    let input = Tensor::new([8, 16, 64], (0..8 * 16 * 64).map(|i| (i as f32).sin()).collect());
    let input = input.expect("as many values");
    let run = |device: &Device| {
        let module = Rnn::new(device, &lstm).expect("a small module");
        module.forward(&input, None).expect("it runs")
    };
    let want = run(&Device::cpu());
    for threads in [1, 2, 3, usize::MAX] {
        let options = OpenOptions::default().threads(threads);
        let device = Device::open_with("cpu", &options).expect("the CPU is there");
        assert!(run(&device) == want, "other bits on {threads} threads");
    }
}

#[test]
fn the_cpu_is_no_software_adapter() {
    let device = Device::cpu();
    assert!(!device.is_software_adapter(), "it runs no kernels");
}

/// Functions of a cell leave no place for PyTorch's nonlinearity.
#[test]
fn a_nonlinearity_is_refused_where_the_cell_has_functions() {
    let mut variant = Variant::default();
    variant.functions = Some([[ActivationFunction::Softsign; 3]; 2]);
    let options = LoadOptions::new().nonlinearity(Nonlinearity::Relu);
    let load = |config: &Config| Rnn::with_options(&Device::cpu(), &parameters(config), &options);
    let error = load(&Config::rnn(2, 3).variant(variant)).expect_err("it has Softsign");
    assert!(error.to_string().contains("do not apply to RNN: nonlinearity"), "{error}");
    assert_eq!(load(&Config::rnn(2, 3)).expect("it has tanh").config().kind, Kind::RnnRelu);
}

/// Options reach the module; an option that does not apply is refused by its name.
#[test]
fn options_of_loading_apply_or_are_refused_by_name() {
    let device = Device::cpu();
    let base = parameters(&Config::rnn(3, 4).num_layers(2));
    let options = LoadOptions::new()
        .batch_first(true)
        .nonlinearity(Nonlinearity::Relu)
        .dropout(0.5)
        .schedule(Schedule::Step);
    let module = Rnn::with_options(&device, &base, &options).expect("all of them apply to an RNN");
    let want = Config::new(Kind::RnnRelu, 3, 4).num_layers(2).batch_first(true).dropout(0.5);
    assert_eq!(module.config(), &want, "the configuration of the module");
    let changed = base.clone().with(|_| want.clone()).expect("only what parameters leave open");
    let by_params = Rnn::new(&device, &changed).expect("a small module");
    let input = Tensor::new([2, 5, 3], (0..30).map(|i| (i as f32).sin()).collect());
    let input = input.expect("30 values");
    let training = ForwardOptions::new().training(3);
    for options in [ForwardOptions::new(), training] {
        assert_eq!(
            module.forward_with(&input, &options).expect("it runs"),
            by_params.forward_with(&input, &options).expect("it runs"),
            "as Params::with makes it: {options:?}"
        );
    }
    let out_of_range = Rnn::with_options(&device, &base, &LoadOptions::new().dropout(1.5));
    assert!(matches!(out_of_range, Err(Error::Config(_))), "{out_of_range:?}");

    let lstm = parameters(&Config::lstm(3, 4));
    let language_model = LanguageModelConfig::new(Kind::Lstm, 7, 3, 4, 1);
    let language_model = LanguageModelParams::init(&language_model, 0).expect("a valid one");
    let everything = options.clone().activation(Activation::Sigmoid);
    let refused = [
        (
            Rnn::with_options(&device, &lstm, &everything).map(drop),
            "LSTM: nonlinearity, activation",
        ),
        (
            Cell::with_options(&device, &lstm, &everything).map(drop),
            "LSTMCell: batch_first, nonlinearity, dropout, activation",
        ),
        (
            LanguageModel::with_options(&device, &language_model, &everything).map(drop),
            "RNNModel: batch_first, nonlinearity, activation",
        ),
    ];
    for (result, names) in refused {
        let error = result.expect_err(names);
        assert!(matches!(error, Error::Option(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("options that do not apply to {names}"));
    }
}

/// Loading with options is loading the parameters and putting them there with options.
#[test]
fn modules_are_loaded_with_options() {
    let device = Device::cpu();
    let relu = LoadOptions::new().nonlinearity(Nonlinearity::Relu);
    let file = state_dict(&named(&Config::rnn(3, 4), "a."));
    let half = relu.clone().batch_first(true).weights(WeightType::F16);
    let rnn = Rnn::load_with(&device, &file, "a.", &half).expect("all of them apply");
    assert_eq!(rnn.config(), &Config::new(Kind::RnnRelu, 3, 4).batch_first(true), "an RNN");
    assert_eq!(rnn.options(), &half, "as they were given");
    let plain = Rnn::load(&device, &file, "a.").expect("without options");
    assert_eq!(plain.config(), &Config::rnn(3, 4), "PyTorch's defaults");
    let input = Tensor::new([1, 1, 3], vec![-3.0, -2.0, -1.0]).expect("3 values");
    let (one, _) = rnn.forward(&input, None).expect("it runs");
    let (full, _) = Rnn::load_with(&device, &file, "a.", &relu)
        .expect("relu")
        .forward(&input, None)
        .expect("it runs");
    assert_ne!(one, full, "f16 rounds these weights");

    let tensors = named(&Config::rnn(3, 4), "").into_iter();
    let cell = tensors.map(|(name, shape)| (name.replace("_l0", ""), shape)).collect::<Vec<_>>();
    let file = state_dict(&cell);
    let cell = Cell::load_with(&device, &file, "", &relu).expect("it applies to an RNNCell");
    assert_eq!(cell.config().kind, Kind::RnnRelu, "a cell");
    let refused = Cell::load_with(&device, &file, "", &LoadOptions::new().batch_first(false));
    assert!(matches!(refused, Err(Error::Option(_))), "{refused:?}");

    let config = LanguageModelConfig::new(Kind::RnnTanh, 7, 3, 4, 2);
    let file = state_dict(&expected_tensors(&config));
    let options = relu.dropout(0.25);
    let model = LanguageModel::load_with(&device, &file, "", &options).expect("they apply");
    assert_eq!(model.config().rnn_type, Kind::RnnRelu, "a language model");
    assert_eq!(model.config().dropout, 0.25, "a language model");
    assert_eq!(model.rnn_config().kind, Kind::RnnRelu, "the module in it");
}

#[test]
fn a_linear_layer_is_loaded_from_a_prefix() {
    let device = Device::cpu();
    let file = |tensors: &[(&str, &[usize])]| {
        let owned = tensors.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec()));
        state_dict(&owned.collect::<Vec<_>>())
    };
    let both = file(&[("head.weight", &[2, 3]), ("head.bias", &[2]), ("other", &[1])]);
    let input = Tensor::new([1, 3], vec![1.0, 2.0, 3.0]).expect("3 values");
    let run = |options: &LoadOptions| {
        let linear = Linear::load_with(&device, &both, "head.", options).expect("it loads");
        linear.forward(&input).expect("it runs").into_data()
    };
    let weight = both.tensor("head.weight").expect("it is there");
    let bias = both.f32("head.bias").expect("it is there");
    let direct = Linear::new(&device, &weight, Some(&bias), Activation::None);
    let direct = direct.expect("it fits").forward(&input).expect("it runs").into_data();
    let linear = Linear::load(&device, &both, "head.").expect("it loads");
    assert_eq!(linear.forward(&input).expect("it runs").data(), direct, "as from tensors");
    let sigmoid = run(&LoadOptions::new().activation(Activation::Sigmoid));
    for (got, x) in sigmoid.iter().zip(&direct) {
        assert!((got - 1.0 / (1.0 + (-x).exp())).abs() < 1e-6, "{got} of {x}");
    }
    let half = run(&LoadOptions::new().weights(WeightType::F16));
    for row in 0..2 {
        let rounded = weight.row(row).iter().map(|&w| WeightType::F16.round(w));
        let want: f32 = rounded.zip(input.data()).map(|(w, x)| w * x).sum::<f32>() + bias[row];
        assert!((half[row] - want).abs() < 1e-6, "row {row}: {}, want {want}", half[row]);
        assert_ne!(half[row], direct[row], "f16 rounds these weights");
    }

    let without = file(&[("weight", &[2, 3])]);
    Linear::load(&device, &without, "").expect("a layer without bias");
    let refused = Linear::load_with(
        &device,
        &both,
        "head.",
        &LoadOptions::new().batch_first(true).schedule(Schedule::Step),
    );
    let message = refused.expect_err("neither applies").to_string();
    assert_eq!(message, "options that do not apply to Linear: batch_first, schedule");

    let wrong = file(&[("bias", &[3]), ("weight", &[2, 3]), ("weight.deep.er", &[1])]);
    let missing = file(&[("bias", &[3]), ("weights", &[2, 3])]);
    for (file, want) in [
        (
            wrong,
            vec![
                StateDictProblemKind::WrongShape("bias"),
                StateDictProblemKind::Unexpected("weight.deep.er"),
            ],
        ),
        (
            missing,
            vec![
                StateDictProblemKind::Missing("weight"),
                StateDictProblemKind::Unexpected("weights"),
            ],
        ),
    ] {
        let error = Linear::load(&device, &file, "").expect_err("it has problems");
        let Error::StateDict { module: "Linear", problems, .. } = &error else {
            panic!("{error:?}");
        };
        let found: Vec<_> = problems.iter().map(StateDictProblemKind::from).collect();
        assert_eq!(found, want, "{error}");
    }
    let flat = file(&[("weight", &[6])]);
    let flat = Linear::load(&device, &flat, "");
    assert!(matches!(flat, Err(Error::Shape(_))), "{flat:?}");
}

/// A problem and its tensor.
#[derive(Debug, PartialEq)]
enum StateDictProblemKind<'a> {
    Missing(&'a str),
    Unexpected(&'a str),
    WrongShape(&'a str),
    Other,
}

impl<'a> From<&'a StateDictProblem> for StateDictProblemKind<'a> {
    fn from(problem: &'a StateDictProblem) -> Self {
        match problem {
            StateDictProblem::Missing { name } => Self::Missing(name),
            StateDictProblem::Unexpected { name } => Self::Unexpected(name),
            StateDictProblem::WrongShape { name, .. } => Self::WrongShape(name),
            _ => Self::Other,
        }
    }
}
