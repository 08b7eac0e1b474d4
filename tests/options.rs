//! Options of loading: each reaches its module, or is refused by name.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::language_model::{
    LanguageModel, LanguageModelConfig, LanguageModelParams, expected_tensors,
};
use wgpu_rnn::variant::{ActivationFunction, Variant};
use wgpu_rnn::{
    Activation, Cell, Config, Device, Embedding, Error, ForwardOptions, Kind, Linear, LoadOptions,
    Nonlinearity, Params, Rnn, Schedule, StateDict, StateDictProblem, Tensor, WeightType,
};

fn parameters(config: &Config) -> Params {
    Params::init(config, 0).expect("a valid configuration")
}

/// A state dict in memory: values are multiples of 0.1, which f16 rounds.
fn state_dict(tensors: &[(String, Vec<usize>)]) -> StateDict {
    let all: Vec<_> = tensors.iter().map(|(name, shape)| (name, shape, Dtype::F32)).collect();
    typed_state_dict(&all)
}

/// A state dict in memory. Tensors of other types than F32 hold zeros.
fn typed_state_dict(tensors: &[(&String, &Vec<usize>, Dtype)]) -> StateDict {
    let value = |i: usize| 0.1 * (i % 9) as f32 - 0.4;
    let bytes = |shape: &[usize], dtype: Dtype| {
        let count = shape.iter().product::<usize>();
        match dtype {
            Dtype::F32 => (0..count).flat_map(|i| value(i).to_le_bytes()).collect(),
            other => vec![0; count * other.bitsize() / 8],
        }
    };
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape, dtype)| bytes(shape, *dtype)).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, dtype), data)| {
        let view = TensorView::new(*dtype, (*shape).clone(), data);
        (name.as_str(), view.expect("all bytes of each element"))
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

/// A module that a state dict loads.
struct Loaded {
    /// The class, as errors name it.
    module: &'static str,
    /// The tensors, with the prefix `m.`.
    tensors: Vec<(String, Vec<usize>)>,
    /// The options that apply, among those of [`every_option`].
    options: &'static [&'static str],
    load: fn(&StateDict, &LoadOptions) -> Result<(), Error>,
}

fn every_module() -> Vec<Loaded> {
    let (rnn, lstm, gru) = (Config::rnn(3, 4), Config::lstm(3, 4).num_layers(2), Config::gru(3, 4));
    let without_layer = |config: &Config| {
        let named = named(config, "m.").into_iter();
        named.map(|(name, shape)| (name.replace("_l0", ""), shape)).collect::<Vec<_>>()
    };
    let cell = |module, kind: &Config, options| Loaded {
        module,
        tensors: without_layer(kind),
        options,
        load: |file, options| Cell::load_with(&Device::cpu(), file, "m.", options).map(drop),
    };
    let layer = |module, config: &Config, options| Loaded {
        module,
        tensors: named(config, "m."),
        options,
        load: |file, options| Rnn::load_with(&Device::cpu(), file, "m.", options).map(drop),
    };
    let model = LanguageModelConfig::new(Kind::Lstm, 7, 3, 4, 1);
    let model = expected_tensors(&model).into_iter();
    let plain = |names: &[(&str, &[usize])]| {
        names.iter().map(|(name, shape)| (format!("m.{name}"), shape.to_vec())).collect()
    };
    vec![
        layer("RNN", &rnn, &["batch_first", "nonlinearity", "dropout", "schedule"]),
        layer("LSTM", &lstm, &["batch_first", "dropout", "schedule"]),
        layer("GRU", &gru, &["batch_first", "dropout", "schedule"]),
        cell("RNNCell", &rnn, &["nonlinearity", "schedule"]),
        cell("LSTMCell", &Config::lstm(3, 4), &["schedule"]),
        cell("GRUCell", &gru, &["schedule"]),
        Loaded {
            module: "Linear",
            tensors: plain(&[("weight", &[2, 3]), ("bias", &[2])]),
            options: &["activation"],
            load: |file, options| Linear::load_with(&Device::cpu(), file, "m.", options).map(drop),
        },
        Loaded {
            module: "Embedding",
            tensors: plain(&[("weight", &[5, 3])]),
            options: &["padding_idx", "max_norm", "norm_type"],
            load: |file, options| {
                Embedding::load_with(&Device::cpu(), file, "m.", options).map(drop)
            },
        },
        Loaded {
            module: "RNNModel",
            tensors: model.map(|(name, shape)| (format!("m.{name}"), shape)).collect(),
            options: &["dropout", "schedule"],
            load: |file, options| {
                LanguageModel::load_with(&Device::cpu(), file, "m.", options).map(drop)
            },
        },
    ]
}

/// Each option that some module refuses, by its name.
fn every_option() -> Vec<(&'static str, LoadOptions)> {
    let new = LoadOptions::new;
    vec![
        ("batch_first", new().batch_first(true)),
        ("nonlinearity", new().nonlinearity(Nonlinearity::Relu)),
        ("dropout", new().dropout(0.5)),
        ("activation", new().activation(Activation::Sigmoid)),
        ("padding_idx", new().padding_idx(1)),
        ("max_norm", new().max_norm(0.5)),
        ("norm_type", new().norm_type(1.0)),
        ("schedule", new().schedule(Schedule::Step)),
    ]
}

/// Every module loads by the same rules, from a prefix that owns all tensors below it.
#[test]
fn every_module_is_loaded_alike() {
    for Loaded { module, tensors, options, load } in every_module() {
        // Another module's tensors do not matter.
        let outside = ("other.weight".to_owned(), vec![1]);
        let all = [tensors.as_slice(), &[outside]].concat();
        let file = state_dict(&all);
        load(&file, &LoadOptions::new()).expect(module);
        load(&file, &LoadOptions::new().weights(WeightType::F16)).expect(module);
        for (name, option) in every_option() {
            match load(&file, &option) {
                Ok(()) => assert!(options.contains(&name), "{module} takes {name}"),
                Err(error) => assert_eq!(
                    (error.to_string(), options.contains(&name)),
                    (format!("options that do not apply to {module}: {name}"), false)
                ),
            }
        }

        let problems =
            |all: &[(String, Vec<usize>)]| problems_of(load(&state_dict(all), &LoadOptions::new()));
        for at in 0..tensors.len() {
            // A linear layer may have no bias, and so may the decoder of a language model.
            let (name, shape) = &tensors[at];
            if !["m.bias", "m.decoder.bias"].contains(&name.as_str()) {
                let mut without = all.clone();
                without.remove(at);
                let found = problems(&without);
                let missing = StateDictProblem::Missing { name: name.clone() };
                assert!(found.contains(&missing), "{module} without {name}: {found:?}");
            }
            for dtype in [Dtype::F64, Dtype::I8, Dtype::BOOL] {
                let mut typed: Vec<_> =
                    all.iter().map(|(name, shape)| (name, shape, Dtype::F32)).collect();
                typed[at].2 = dtype;
                let found = problems_of(load(&typed_state_dict(&typed), &LoadOptions::new()));
                let (name, found_type) = (name.clone(), dtype.to_string());
                let want = [StateDictProblem::Dtype { name, found: found_type }];
                assert_eq!(found, want, "{module}: {dtype}");
            }
            if name.contains("bias") {
                let mut longer = all.clone();
                longer[at].1 = vec![shape[0] + 1];
                let want = StateDictProblem::WrongShape {
                    name: name.clone(),
                    expected: shape.clone(),
                    found: vec![shape[0] + 1],
                };
                assert_eq!(problems(&longer), [want], "{module}");
            }
        }
        for extra in ["m.weights", "m.weight.deep.er", "m.num_batches_tracked"] {
            let with = [all.as_slice(), &[(extra.to_owned(), vec![1])]].concat();
            let want = [StateDictProblem::Unexpected { name: extra.to_owned() }];
            assert_eq!(problems(&with), want, "{module}");
            let allowed = load(&state_dict(&with), &LoadOptions::new().allow_unused(true));
            allowed.expect("the caller allows it");
        }
        // A weight must be a matrix.
        let mut flat = all.clone();
        flat[0].1 = vec![flat[0].1.iter().product()];
        let error = load(&state_dict(&flat), &LoadOptions::new()).expect_err(module);
        let named = matches!(
            error,
            Error::StateDict { .. } | Error::NoRecurrentWeights(_) | Error::Shape(_)
        );
        assert!(named, "{module}: {error:?}");
    }
}

fn problems_of(loaded: Result<(), Error>) -> Vec<StateDictProblem> {
    match loaded {
        Err(Error::StateDict { problems, .. }) => problems,
        other => panic!("expected problems of a state dict, got {other:?}"),
    }
}

/// A table with half the bytes gives rounded rows.
#[test]
fn an_embedding_is_loaded_from_a_prefix() {
    let device = Device::cpu();
    let file = state_dict(&[("emb.weight".to_owned(), vec![5, 3])]);
    let weight = file.tensor("emb.weight").expect("it is there");
    for (weights, padding_idx) in [(WeightType::F32, None), (WeightType::F16, Some(-1))] {
        let mut options = LoadOptions::new().weights(weights);
        options.padding_idx = padding_idx;
        let table = Embedding::load_with(&device, &file, "emb.", &options).expect("it loads");
        assert_eq!(table.padding_idx(), padding_idx.map(|_| 4), "the last row");
        let rows = table.forward(&[4, 0], &[2]).expect("two rows");
        let want = weight.row(4).iter().chain(weight.row(0)).map(|&value| weights.round(value));
        assert_eq!(rows.data(), want.collect::<Vec<_>>(), "{weights:?}");
    }
    let beyond = Tensor::new([1, 1], vec![70_000.0]).expect("one value");
    let options = LoadOptions::new().weights(WeightType::F16);
    let error = Embedding::from_pretrained(&device, &beyond, &options).expect_err("beyond f16");
    assert!(matches!(error, Error::Option(_)), "{error:?}");
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
