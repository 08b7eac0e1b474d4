//! Loading and writing: names and shapes determine the model, and a wrong file is always refused.

use half::{bf16, f16};
use safetensors::Dtype;
use wgpu_rnn::internals::error::StateDictProblem;
use wgpu_rnn::language_model::{LanguageModelConfig, LanguageModelParams, expected_tensors};
use wgpu_rnn::{Error, Kind, StateDict};

use crate::entries::{Entry, entries, missing, state_dict, unexpected, without, wrong_shape};

fn config(rnn_type: Kind) -> LanguageModelConfig {
    LanguageModelConfig::new(rnn_type, 5, 3, 2, 2)
}

/// Every tensor of `config`, its names behind `prefix`, no two alike.
fn model(config: &LanguageModelConfig, prefix: &str) -> Vec<Entry> {
    entries(expected_tensors(config), prefix)
}

fn load(entries: &[Entry], metadata: &[(&str, &str)]) -> Result<LanguageModelParams, Error> {
    LanguageModelParams::from_state_dict(&state_dict(entries, metadata), "", None)
}

fn loaded(entries: &[Entry], metadata: &[(&str, &str)]) -> LanguageModelConfig {
    load(entries, metadata).unwrap_or_else(|error| panic!("{metadata:?}: {error}")).config().clone()
}

/// The problems of tensors that must be refused one by one.
fn problems(result: Result<LanguageModelParams, Error>) -> Vec<StateDictProblem> {
    match result {
        Err(Error::StateDict { problems, module: "RNNModel", .. }) => problems,
        other => panic!("a list of problems was expected, got {other:?}"),
    }
}

// --- what is read off ----------------------------------------------------------------------------

#[test]
fn the_recurrent_module_is_told_or_read_off_the_metadata_or_the_shapes() {
    for (kind, by_shape) in [
        (Kind::RnnTanh, Kind::RnnTanh),
        (Kind::RnnRelu, Kind::RnnTanh),
        (Kind::Lstm, Kind::Lstm),
        (Kind::Gru, Kind::Gru),
    ] {
        assert_eq!(
            loaded(&model(&config(kind), ""), &[]),
            config(by_shape),
            "{kind} by its shapes"
        );
    }
    let rnn = model(&config(Kind::RnnTanh), "");
    assert_eq!(loaded(&rnn, &[("rnn_type", "RNN_RELU")]), config(Kind::RnnRelu), "by the metadata");
    let file = state_dict(&rnn, &[("rnn_type", "RNN_RELU")]);
    let params =
        LanguageModelParams::from_state_dict(&file, "", Some(Kind::RnnTanh)).expect("an RNN");
    assert_eq!(params.config(), &config(Kind::RnnTanh), "what is told comes before the metadata");
    let message = load(&rnn, &[("rnn_type", "relu")]).expect_err("no such module").to_string();
    assert!(message.contains("options are ['LSTM', 'GRU', 'RNN_TANH' or 'RNN_RELU']"), "{message}");
}

#[test]
fn every_tensor_goes_to_its_place() {
    let config = config(Kind::Gru);
    let entries = model(&config, "lm.");
    let params = LanguageModelParams::from_state_dict(&state_dict(&entries, &[]), "lm.", None)
        .expect("a whole model");
    let tensors = params.to_tensors();
    assert_eq!(tensors.len(), entries.len(), "tensors written");
    for ((name, tensor), entry) in tensors.iter().zip(&entries) {
        assert_eq!(format!("lm.{name}"), entry.name, "order");
        assert_eq!(tensor.shape(), entry.shape, "shape of {name}");
        let bytes: Vec<u8> = tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(bytes, entry.bytes, "values of {name}");
    }
    assert_eq!(params.encoder_weight(), &tensors[0].1, "encoder.weight");
    assert_eq!(params.decoder_weight(), &tensors[tensors.len() - 2].1, "decoder.weight");
    assert_eq!(params.decoder_bias(), tensors[tensors.len() - 1].1.data(), "decoder.bias");
}

#[test]
fn halves_are_widened() {
    let config = config(Kind::Lstm);
    let mut entries = model(&config, "");
    let wide = load(&entries, &[]).expect("floats");
    for (i, entry) in entries.iter_mut().enumerate() {
        let values: Vec<f32> = entry
            .bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let half = |value: &f32| f16::from_f32(*value).to_le_bytes();
        let brain = |value: &f32| bf16::from_f32(*value).to_le_bytes();
        (entry.dtype, entry.bytes) = match i % 2 {
            0 => (Dtype::F16, values.iter().flat_map(half).collect()),
            _ => (Dtype::BF16, values.iter().flat_map(brain).collect()),
        };
    }
    let narrow = load(&entries, &[]).expect("halves");
    // Eighths up to 32 are exact in both.
    assert_eq!(narrow, wide, "the same values");
}

// --- tied weights --------------------------------------------------------------------------------

#[test]
fn weights_are_tied_where_both_are_equal_to_the_last_bit() {
    let config = LanguageModelConfig::new(Kind::Gru, 5, 3, 3, 1);
    let mut entries = model(&config, "");
    assert!(!loaded(&entries, &[]).tie_weights, "different values");
    let decoder = entries.len() - 2;
    entries[decoder].bytes = entries[0].bytes.clone();
    let params = load(&entries, &[]).expect("equal weights");
    assert_eq!(params.config(), &config.clone().tie_weights(true), "equal values");
    assert_eq!(params.decoder_weight(), params.encoder_weight(), "one weight");
    // The first value is 0: with its sign it is equal, but not to the last bit.
    entries[decoder].bytes[3] = 0x80;
    assert!(!loaded(&entries, &[]).tie_weights, "0 and -0");
}

#[test]
fn tied_weights_may_be_stored_once_where_the_metadata_says_so() {
    let config = LanguageModelConfig::new(Kind::Lstm, 5, 3, 3, 1);
    let whole = model(&config, "");
    for (absent, present) in
        [("decoder.weight", "encoder.weight"), ("encoder.weight", "decoder.weight")]
    {
        let entries = without(whole.clone(), &[absent]);
        let params = load(&entries, &[(absent, present)])
            .unwrap_or_else(|error| panic!("without {absent}: {error}"));
        assert!(params.config().tie_weights, "without {absent}");
        let stored = state_dict(&entries, &[]).tensor(present).expect("the one that is there");
        assert_eq!(
            (params.encoder_weight(), params.decoder_weight()),
            (&stored, &stored),
            "without {absent}"
        );
        for metadata in [&[][..], &[(present, absent)], &[(absent, "rnn.weight_hh_l0")]] {
            assert_eq!(
                problems(load(&entries, metadata)),
                [missing(absent)],
                "{metadata:?} says nothing of it"
            );
        }
        assert!(!loaded(&whole, &[(absent, present)]).tie_weights, "both are there, and differ");
    }
    let both = without(whole, &["encoder.weight", "decoder.weight"]);
    let circle = [("encoder.weight", "decoder.weight"), ("decoder.weight", "encoder.weight")];
    assert_eq!(
        problems(load(&both, &circle)),
        [missing("encoder.weight"), missing("decoder.weight")],
        "neither is there"
    );
    let narrow =
        without(model(&LanguageModelConfig::new(Kind::Lstm, 5, 3, 2, 1), ""), &["decoder.weight"]);
    let message =
        load(&narrow, &[("decoder.weight", "encoder.weight")]).expect_err("3 is not 2").to_string();
    assert_eq!(message, "When using the tied flag, nhid must be equal to emsize");
}

// --- refusals ------------------------------------------------------------------------------------

#[test]
fn everything_wrong_is_listed_at_once() {
    let mut entries = model(&config(Kind::Lstm), "");
    entries = without(entries, &["encoder.weight", "rnn.bias_hh_l0", "rnn.weight_hh_l1"]);
    for entry in &mut entries {
        match entry.name.as_str() {
            "decoder.bias" => *entry = Entry::new("decoder.bias", &[4], 0.0),
            "rnn.weight_ih_l1" => *entry = Entry::new("rnn.weight_ih_l1", &[8], 0.0),
            "decoder.weight" => entry.dtype = Dtype::I32,
            _ => {}
        }
    }
    for name in [
        "encoder.bias",
        "rnn.weight_hr_l0",
        "rnn.weight_ih_l0_reverse",
        "rnn.deep.weight_ih_l0",
        "pos",
    ] {
        entries.push(Entry::new(name, &[1], 0.0));
    }
    let found = problems(load(&entries, &[]));
    let want = [
        missing("encoder.weight"),
        missing("rnn.bias_hh_l0"),
        wrong_shape("rnn.weight_ih_l1", &[8, 2], &[8]),
        missing("rnn.weight_hh_l1"),
        StateDictProblem::Dtype { name: "decoder.weight".to_owned(), found: "I32".to_owned() },
        wrong_shape("decoder.bias", &[5], &[4]),
        unexpected("encoder.bias"),
        unexpected("pos"),
        unexpected("rnn.deep.weight_ih_l0"),
        unexpected("rnn.weight_hr_l0"),
        unexpected("rnn.weight_ih_l0_reverse"),
    ];
    assert_eq!(found, want);
}

#[test]
fn a_module_that_does_not_fit_the_shapes_is_refused() {
    let file = state_dict(&model(&config(Kind::Gru), ""), &[]);
    let found = problems(LanguageModelParams::from_state_dict(&file, "", Some(Kind::Lstm)));
    assert_eq!(found.len(), 8, "every recurrent parameter: {found:?}");
    assert_eq!(found[0], wrong_shape("rnn.weight_ih_l0", &[8, 3], &[6, 3]), "held against an LSTM");
    let mut entries = model(&config(Kind::Gru), "");
    entries.iter_mut().filter(|entry| entry.name.starts_with("rnn.")).for_each(|entry| {
        entry.shape[0] = 5;
        entry.bytes.truncate(entry.shape.iter().product::<usize>() * 4);
    });
    assert_eq!(problems(load(&entries, &[])).len(), 8, "rows that no module has");
}

#[test]
fn where_no_size_can_be_told_the_names_are() {
    let entries = [Entry::new("encoder.weight", &[4], 0.0), Entry::new("decoder.bias", &[4], 0.0)];
    let found = problems(load(&entries, &[]));
    let rnn = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        .map(|name| missing(&format!("rnn.{name}")));
    let want: Vec<_> = rnn.into_iter().chain([missing("decoder.weight")]).collect();
    assert_eq!(found, want);

    let mut flat = model(&LanguageModelConfig::new(Kind::RnnTanh, 2, 2, 2, 1), "");
    flat.iter_mut().for_each(|entry| entry.shape = vec![entry.shape.iter().product()]);
    let message = load(&flat, &[]).expect_err("no matrices").to_string();
    assert!(
        message.contains("encoder.weight") && message.contains("must be matrices"),
        "{message}"
    );
}

#[test]
fn sizes_out_of_range_are_refused_in_pytorchs_words() {
    let sized = |ntoken, ninp, nhid| {
        let config = LanguageModelConfig::new(Kind::Lstm, ntoken, ninp, nhid, 1);
        load(&model(&config, ""), &[]).expect_err("a size of 0").to_string()
    };
    assert_eq!(sized(0, 2, 2), "ntoken must be greater than zero");
    assert_eq!(sized(2, 0, 2), "input_size must be greater than zero");
    assert_eq!(sized(2, 2, 0), "hidden_size must be greater than zero");
    let mut entries = model(&config(Kind::Gru), "");
    for index in ["4000000000", "18446744073709551615"] {
        entries.push(Entry::new(&format!("rnn.weight_ih_l{index}"), &[1], 0.0));
        let message = load(&entries, &[]).expect_err("a stray layer").to_string();
        assert!(message.contains("layers are named under the prefix 'rnn.'"), "{message}");
    }
    // Sizes whose products overflow, in tensors without elements.
    let huge = usize::MAX / 8;
    let mut entries = model(&LanguageModelConfig::new(Kind::Lstm, 2, 2, 2, 1), "");
    for entry in &mut entries {
        if entry.name == "rnn.weight_hh_l0" {
            (entry.shape, entry.bytes) = (vec![0, huge], Vec::new());
        }
    }
    let message = load(&entries, &[]).expect_err("too large").to_string();
    assert!(message.starts_with("hidden_size is"), "{message}");
}

#[test]
fn a_wrong_prefix_names_the_right_ones() {
    let file = state_dict(&model(&config(Kind::Gru), "model."), &[]);
    let message = |prefix| {
        LanguageModelParams::from_state_dict(&file, prefix, None).expect_err("no model").to_string()
    };
    let start =
        "no language model (encoder.weight, rnn.*, decoder.weight, decoder.bias) under the prefix";
    assert_eq!(message(""), format!("{start} ''; language models are under: model."));
    assert_eq!(
        message("model.rnn."),
        format!("{start} 'model.rnn.'; language models are under: model.")
    );
    let bare = state_dict(&model(&config(Kind::Gru), ""), &[]);
    let error = LanguageModelParams::from_state_dict(&bare, "model.", None)
        .expect_err("no model")
        .to_string();
    assert_eq!(error, format!("{start} 'model.'; the file's language model has no prefix"));
    let other = state_dict(&[Entry::new("conv.weight", &[1], 0.0)], &[]);
    let error =
        LanguageModelParams::from_state_dict(&other, "", None).expect_err("no model").to_string();
    assert_eq!(
        error,
        format!("{start} ''; the file holds no language model of these names, but conv.weight")
    );
}

/// Other models have the same tensors under other names.
#[test]
fn other_names_are_answered_with_the_renaming_that_fits() {
    let config = LanguageModelConfig::new(Kind::Gru, 5, 3, 2, 1);
    let under = |names: [&str; 3], prefix: &str| {
        let mut entries = model(&config, prefix);
        for entry in &mut entries {
            for (old, new) in ["encoder.", "rnn.", "decoder."].into_iter().zip(names) {
                entry.name =
                    entry.name.replace(&format!("{prefix}{old}"), &format!("{prefix}{new}"));
            }
        }
        entries
    };
    let whole = under(["embedding.", "gru.", "fc."], "");
    let message = load(&whole, &[]).expect_err("other names").to_string();
    let fits = "names that fit: --map embedding.=encoder. --map gru.=rnn. --map fc.=decoder.";
    for part in ["embedding.weight, fc.bias, fc.weight, gru.bias_hh_l0", fits] {
        assert!(message.contains(part), "'{part}' is not in {message}");
    }
    let pairs = [("embedding.", "encoder."), ("gru.", "rnn."), ("fc.", "decoder.")];
    let renamed = state_dict(&whole, &[]).renamed(&pairs).expect("names of the file");
    let loaded = LanguageModelParams::from_state_dict(&renamed, "", None).expect("renamed");
    assert_eq!(loaded.config(), &config, "the model");

    // Some names are right, or the whole model has another prefix.
    let some = under(["embedding.", "rnn.", "fc."], "");
    let message = load(&some, &[]).expect_err("two other names").to_string();
    let missing = "Missing key(s) in state_dict: \"encoder.weight\", \"decoder.weight\".";
    let fits = "names that fit: --map embedding.=encoder. --map fc.=decoder. (";
    assert!(message.contains(missing) && message.contains(fits), "{message}");
    let file = state_dict(&under(["e.", "lstm.", "d."], "net."), &[]);
    let message = |prefix| {
        LanguageModelParams::from_state_dict(&file, prefix, None).expect_err("names").to_string()
    };
    let fits = "--map net.e.=net.encoder. --map net.lstm.=net.rnn. --map net.d.=net.decoder.";
    assert!(message("net.").contains(fits), "{}", message("net."));
    assert!(message("").contains("--map net.e.=encoder. --map net.lstm.=rnn."), "{}", message(""));

    // Nothing is proposed where the roles could be exchanged.
    let square = LanguageModelConfig::new(Kind::Gru, 5, 3, 3, 1);
    let mut entries = model(&square, "");
    entries.iter_mut().for_each(|entry| {
        entry.name = entry.name.replace("encoder", "a").replace("decoder", "b");
    });
    let message = load(&entries, &[]).expect_err("names").to_string();
    assert!(!message.contains("--map"), "{message}");
}

#[test]
fn a_decoder_without_bias_and_an_embedding_with_padding_are_read() {
    let config = LanguageModelConfig::new(Kind::Lstm, 5, 3, 2, 1);
    let plain = without(model(&config, ""), &["decoder.bias"]);
    let params = load(&plain, &[]).expect("no bias");
    assert_eq!(params.config(), &config, "the same model");
    assert_eq!(params.decoder_bias(), [0.0; 5], "a bias of zero");

    let with_rows = |rows: usize, zero: Option<usize>| {
        let mut entries = plain.clone();
        let mut encoder = Entry::new("encoder.weight", &[rows, 3], 1.0);
        if let Some(row) = zero {
            encoder.bytes[12 * row..12 * (row + 1)].fill(0);
        }
        entries[0] = encoder;
        load(&entries, &[])
    };
    let padded = with_rows(6, Some(5)).expect("the last row is padding");
    assert_eq!(padded.config(), &config, "without the row");
    assert_eq!(padded.encoder_weight(), with_rows(5, None).expect("5 rows").encoder_weight());
    let message = with_rows(6, Some(0)).expect_err("the first row is padding").to_string();
    assert!(message.contains("its padding is row 0") && message.contains("last row"), "{message}");
    for (rows, zero) in [(6, None), (7, Some(6)), (4, Some(3))] {
        let found = problems(with_rows(rows, zero));
        assert!(!found.is_empty(), "{rows} rows, zero {zero:?}");
    }
}

// --- writing -------------------------------------------------------------------------------------

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for &kind in Kind::ALL {
        for tied in [false, true] {
            let config = LanguageModelConfig::new(kind, 4, 3, 3, 2).tie_weights(tied);
            let params = LanguageModelParams::init(&config, 7).expect("a valid configuration");
            let path = folder.path().join(format!("{kind}-{tied}.safetensors"));
            params.save(&path).unwrap_or_else(|error| panic!("{error}"));
            let file = StateDict::open(&path).unwrap_or_else(|error| panic!("{error}"));
            let back = LanguageModelParams::from_state_dict(&file, "", None)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(back, params, "{kind}, tied {tied}");
            let names: Vec<_> =
                expected_tensors(&config).into_iter().map(|(name, _)| name).collect();
            assert_eq!(
                file.names().count(),
                names.len(),
                "as many as PyTorch's state dict has: {names:?}"
            );
        }
    }
}

#[test]
fn a_function_of_name_and_shape_makes_parameters() {
    let config = LanguageModelConfig::new(Kind::Gru, 4, 3, 3, 1).tie_weights(true);
    let mut asked = Vec::new();
    let params = LanguageModelParams::from_fn(&config, |name, shape| {
        asked.push(name.to_owned());
        Ok(vec![asked.len() as f32; shape.iter().product()])
    });
    let params = params.expect("full tensors");
    let rnn = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        .map(|name| format!("rnn.{name}"));
    let want: Vec<_> = ["encoder.weight".to_owned()]
        .into_iter()
        .chain(rnn)
        .chain(["decoder.bias".to_owned()])
        .collect();
    assert_eq!(asked, want, "tied weights are asked for once");
    assert_eq!(
        (params.encoder_weight().data()[0], params.decoder_bias()[0]),
        (1.0, 6.0),
        "in this order"
    );
    let short = LanguageModelParams::from_fn(&config, |_, shape| {
        Ok(vec![0.0; shape.iter().product::<usize>() - 1])
    });
    assert!(matches!(short, Err(Error::TensorSize { .. })), "a value too few: {short:?}");
}
