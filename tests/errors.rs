//! What PyTorch refuses is refused in PyTorch's words; what it accepts is accepted, with its result.
//!
//! The texts are those of PyTorch 2.15.0, the numbers in them included. Each situation has the name under which the
//! conformance data records what PyTorch did, so that the table below and that record can be held against each other.

mod common {
    pub mod bits;
    pub mod conformance;
    pub mod seeded;
}

use std::cell::RefCell;
use std::sync::Once;

use common::bits::assert_same;
use common::{conformance, seeded};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, State, StateDict, Tensor, check, oracle};

/// A call and what PyTorch makes of it.
struct Situation {
    /// As the conformance data has it: module, then what is done to it.
    name: String,
    /// PyTorch's message; `None` where PyTorch accepts. The call itself then asserts the result.
    refused: Option<String>,
    call: Box<dyn Fn() -> Result<(), Error>>,
}

/// The modules that the conformance data covers, under its names.
const MODULES: [Kind; 3] = [Kind::RnnTanh, Kind::Gru, Kind::Lstm];

/// The sizes of the conformance data: two layers from 3 to 5 features, six steps of four rows.
fn two_layers(kind: Kind) -> Config {
    Config::new(kind, 3, 5).num_layers(2)
}

const INPUT: [usize; 3] = [6, 4, 3];

fn rnn(config: &Config) -> Result<Rnn, Error> {
    Rnn::new(&Device::cpu(), &Params::init(config, 0)?)
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape).expect("a small shape")
}

/// A state of zeros; an LSTM's c is as long as its h, and as wrong.
fn state(kind: Kind, shape: &[usize]) -> State {
    State { h: zeros(shape), c: (kind == Kind::Lstm).then(|| zeros(shape)) }
}

/// Everything in the conformance data that this version can express.
fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    for kind in MODULES {
        constructor_situations(&mut all, kind);
        forward_situations(&mut all, kind);
        dtype_situations(&mut all, kind);
        value_situations(&mut all, kind);
    }
    lstm_situations(&mut all);
    state_dict_situations(&mut all);
    all.push(Situation {
        name: "RNN unknown nonlinearity".to_owned(),
        refused: Some("Unknown nonlinearity 'sigmoid'. Select from 'tanh' or 'relu'.".to_owned()),
        call: Box::new(|| Kind::rnn_with("sigmoid").map(drop)),
    });
    all
}

fn constructor_situations(all: &mut Vec<Situation>, kind: Kind) {
    let module = kind.module();
    let mut add = |what: &str, message: &str, config: Config| {
        all.push(Situation {
            name: format!("{module} {what}"),
            refused: Some(message.to_owned()),
            call: Box::new(move || config.validate()),
        });
    };
    let base = || two_layers(kind);
    if kind == Kind::Lstm {
        add("proj_size == hidden_size", "proj_size has to be smaller than hidden_size", base().proj_size(5));
    } else {
        let only_lstm = "proj_size argument is only supported for LSTM, not RNN or GRU";
        add(&format!("proj_size on {module}"), only_lstm, base().proj_size(2));
        add("proj_size == hidden_size", only_lstm, base().proj_size(5));
    }
    let range = "dropout should be a number in range [0, 1] representing the probability of an element being zeroed";
    add("dropout 1.5", range, base().dropout(1.5));
    add("dropout -0.1", range, base().dropout(-0.1));
    add("num_layers 0", "num_layers must be greater than zero", base().num_layers(0));
    add("hidden_size 0", "hidden_size must be greater than zero", Config::new(kind, 3, 0));
    add("input_size 0", "input_size must be greater than zero", Config::new(kind, 0, 5));
    let name = format!("{module} dropout with one layer");
    let call = move || {
        let said = warnings_of(|| Config::new(kind, 3, 5).dropout(0.5).validate())?;
        let want = "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects \
                    num_layers greater than 1, but got dropout=0.5 and num_layers=1";
        assert_eq!(said, [want], "{kind}: one warning, in PyTorch's words");
        let input = seeded::tensor(1, &INPUT, 1.0);
        let with = rnn(&Config::new(kind, 3, 5).dropout(0.5))?.forward(&input, None)?;
        let without = rnn(&Config::new(kind, 3, 5))?.forward(&input, None)?;
        assert_same(&format!("{kind} with dropout"), &with, &without);
        Ok(())
    };
    all.push(Situation { name, refused: None, call: Box::new(call) });
}

fn forward_situations(all: &mut Vec<Situation>, kind: Kind) {
    let module = kind.module();
    let lstm = kind == Kind::Lstm;
    let mut add = |what: &str, message: String, input: &[usize], h_0: Option<&[usize]>| {
        let (input, state) = (zeros(input), h_0.map(|shape| state(kind, shape)));
        all.push(Situation {
            name: format!("{module} {what}"),
            refused: Some(message),
            call: Box::new(move || rnn(&two_layers(kind))?.forward(&input, state.as_ref()).map(drop)),
        });
    };
    let ranks = |dims: usize| {
        let tensor = if module == "RNN" { " tensor" } else { "" };
        format!("{module}: Expected input to be 2D or 3D, got {dims}D{tensor} instead")
    };
    add("input 1-D", ranks(1), &[6], None);
    add("input 4-D", ranks(4), &[1, 6, 4, 3], None);
    add(
        "wrong input size",
        "input.size(-1) must be equal to input_size. Expected 3, got 7".to_owned(),
        &[6, 4, 7],
        None,
    );
    let hidden = |shapes: &str| format!("Expected {} size {shapes}", if lstm { "hidden[0]" } else { "hidden" });
    add("batch mismatch input", hidden("(2, 7, 5), got [2, 4, 5]"), &[6, 7, 3], Some(&[2, 4, 5]));
    add("batch mismatch hidden", hidden("(2, 4, 5), got [2, 7, 5]"), &INPUT, Some(&[2, 7, 5]));
    add("wrong hidden size", hidden("(2, 4, 5), got [2, 4, 7]"), &INPUT, Some(&[2, 4, 7]));
    add("wrong hidden[0]", hidden("(2, 4, 5), got [7, 4, 5]"), &INPUT, Some(&[7, 4, 5]));
    let rank = |input: &str, want: usize, got: usize| {
        if lstm {
            format!("For {input} input, hx and cx should also be {want}-D but got ({got}-D, {got}-D) tensors")
        } else {
            format!("For {input} input, hx should also be {want}-D but got {got}-D tensor")
        }
    };
    add("2-D hidden with batched input", rank("batched 3-D", 3, 2), &INPUT, Some(&[2, 5]));
    add("3-D hidden with unbatched input", rank("unbatched 2-D", 2, 3), &[6, 3], Some(&[2, 1, 5]));
    add("seq_len 0", "Expected sequence length to be larger than 0 in RNN".to_owned(), &[0, 4, 3], None);

    let call = move || {
        let rnn = rnn(&two_layers(kind))?;
        for state in [None, Some(state(kind, &[2, 0, 5]))] {
            let (output, last) = rnn.forward(&zeros(&[6, 0, 3]), state.as_ref())?;
            assert_eq!(output.shape(), [6, 0, 5], "{kind}: output of no rows");
            assert_eq!(last.h.shape(), [2, 0, 5], "{kind}: h_n of no rows");
            assert_eq!(last.c.map(|c| c.shape().to_vec()), lstm.then(|| vec![2, 0, 5]), "{kind}: c_n of no rows");
        }
        Ok(())
    };
    all.push(Situation { name: format!("{module} batch 0"), refused: None, call: Box::new(call) });
}

/// A tensor of this crate is f32; another type can only come from a file.
fn dtype_situations(all: &mut Vec<Situation>, kind: Kind) {
    for (what, dtype, torch) in [("f64 input to f32 model", Dtype::F64, "float64"), ("int input", Dtype::I64, "int64")]
    {
        let data = vec![0_u8; 8 * INPUT.iter().product::<usize>()];
        let view = TensorView::new(dtype, INPUT.to_vec(), &data).expect("8 bytes for each element");
        let file = safetensors::serialize([("input", view)], None).expect("one small tensor");
        all.push(Situation {
            name: format!("{} {what}", kind.module()),
            refused: Some(format!(
                "RNN input dtype (torch.{torch}) does not match weight dtype (torch.float32). Convert input: \
                 input.to(torch.float32), or convert model: model.to(torch.{torch})"
            )),
            call: Box::new(move || StateDict::parse("in memory", file.clone())?.input("input").map(drop)),
        });
    }
}

/// Values that PyTorch computes with like any other.
fn value_situations(all: &mut Vec<Situation>, kind: Kind) {
    let module = kind.module();
    let mut add = |what: &str, call: fn(Kind) -> Result<(), Error>| {
        all.push(Situation { name: format!("{module} {what}"), refused: None, call: Box::new(move || call(kind)) });
    };
    add("NaN input", |kind| same_as_the_definition(kind, f32::NAN, f32::is_nan));
    add("+inf input", |kind| same_as_the_definition(kind, f32::INFINITY, f32::is_nan));
    add("1e38 input", |kind| same_as_the_definition(kind, 1e38, |value| value.abs() <= 1.0));
    add("NaN in one batch row at t=2", |kind| nan_in_row_1_at_step_2(&two_layers(kind)));
}

/// An input of `value` everywhere gives outputs that `are` so, and the oracle's: NaN, too, exactly where it has NaN.
fn same_as_the_definition(kind: Kind, value: f32, are: fn(f32) -> bool) -> Result<(), Error> {
    let config = two_layers(kind);
    let params = Params::init(&config, 0)?;
    let input = Tensor::new(INPUT, vec![value; INPUT.iter().product()])?;
    let (output, last) = Rnn::new(&Device::cpu(), &params)?.forward(&input, None)?;
    let want = oracle::forward(&params, INPUT[0], INPUT[1], input.data(), None, None, None);
    for (name, got, want) in [("output", &output, &want.output), ("h_n", &last.h, &want.h_n)] {
        assert_eq!(got.data().len(), want.len(), "{kind} on {value}: {name}");
        for (at, (&got, &want)) in got.data().iter().zip(want).enumerate() {
            let close = (f64::from(got) - want).abs() <= 2e-6 || (got.is_nan() && want.is_nan());
            assert!(close, "{kind} on {value}: {name} at offset {at} is {got}, want {want}");
        }
    }
    let odd = output.data().iter().filter(|value| !are(**value)).count();
    assert_eq!(odd, 0, "{kind} on {value}: outputs that are not as PyTorch's");
    Ok(())
}

/// NaN stays in its row, and there in the steps that the direction visits after it.
fn nan_in_row_1_at_step_2(config: &Config) -> Result<(), Error> {
    let rnn = rnn(config)?;
    let (clean_input, what) = (seeded::tensor(3, &INPUT, 1.0), format!("{config:?}"));
    let clean = rnn.forward(&clean_input, None)?;
    let mut input = clean_input.clone();
    let [seq_len, batch, features] = INPUT;
    input.data_mut()[(2 * batch + 1) * features + 1] = f32::NAN;
    let (output, last) = rnn.forward(&input, None)?;
    let width = config.hidden_size;
    for t in 0..seq_len {
        for b in 0..batch {
            for d in 0..config.num_directions() {
                let steps_after = if d == 0 { t >= 2 } else { t <= 2 };
                // A layer above both directions of another reads NaN at every step.
                let reached = b == 1 && (steps_after || (config.bidirectional && config.num_layers > 1));
                let columns = d * width..(d + 1) * width;
                let (got, want) = (&output.row(t * batch + b)[columns.clone()], &clean.0.row(t * batch + b)[columns]);
                if reached {
                    assert!(got.iter().all(|v| v.is_nan()), "{what}: NaN expected at t={t}, b={b}, d={d}: {got:?}");
                } else {
                    let same = got.iter().zip(want).all(|(g, w)| g.to_bits() == w.to_bits());
                    assert!(same, "{what}: t={t}, b={b}, d={d} differs: got {got:?}, want {want:?}");
                }
            }
        }
    }
    for layer in 0..config.num_layers * config.num_directions() {
        for b in 0..batch {
            let (got, want) = (last.h.row(layer * batch + b), clean.1.h.row(layer * batch + b));
            if b == 1 {
                assert!(got.iter().all(|v| v.is_nan()), "{what}: h_n of row 1 is NaN, got {got:?}");
            } else {
                assert_eq!(got, want, "{what}: h_n of row {b}");
            }
        }
    }
    assert_same(&format!("{what}: a clean call after one with NaN"), &rnn.forward(&clean_input, None)?, &clean);
    Ok(())
}

/// What an LSTM with a projection expects of its states.
fn lstm_situations(all: &mut Vec<Situation>) {
    let config = || two_layers(Kind::Lstm).proj_size(2);
    for (name, message, h_0, c_0) in [
        ("LSTM proj h0 with hidden_size", "Expected hidden[0] size (2, 4, 2), got [2, 4, 5]", [2, 4, 5], [2, 4, 5]),
        ("LSTM proj c0 with proj_size", "Expected hidden[1] size (2, 4, 5), got [2, 4, 2]", [2, 4, 2], [2, 4, 2]),
    ] {
        let call = move || check::forward(&config(), &INPUT, Some((&h_0, Some(&c_0)))).map(drop);
        all.push(Situation { name: name.to_owned(), refused: Some(message.to_owned()), call: Box::new(call) });
    }
    let call = move || {
        let config = config();
        config.validate()?;
        let checked = check::forward(&config, &INPUT, Some((&[2, 4, 2], Some(&[2, 4, 5]))))?;
        assert_eq!((checked.sizes.seq_len, checked.sizes.batch), (6, 4), "an LSTM with projection: T and B");
        Ok(())
    };
    all.push(Situation { name: "LSTM proj_size on LSTM".to_owned(), refused: None, call: Box::new(call) });
}

/// A GRU's state dict with one tensor missing, one too many, or one of another shape.
fn state_dict_situations(all: &mut Vec<Situation>) {
    type Tensors = Vec<(String, Vec<usize>)>;
    let mut add = |what: &str, problem: &str, change: fn(&mut Tensors)| {
        let call = move || {
            let mut tensors = wgpu_rnn::params::expected_parameters(&Config::gru(3, 5));
            change(&mut tensors);
            Params::from_state_dict(&in_memory(&tensors), "").map(drop)
        };
        all.push(Situation {
            name: format!("load_state_dict {what}"),
            refused: Some(format!("Error(s) in loading state_dict for GRU:\n\t{problem}")),
            call: Box::new(call),
        });
    };
    add("missing key", "missing key: bias_hh_l0", |tensors| tensors.retain(|(name, _)| name != "bias_hh_l0"));
    add("unexpected key", "unexpected key: bogus", |tensors| tensors.push(("bogus".to_owned(), vec![1])));
    // weight_ih_l0 and weight_hh_l0 are what the sizes are read from; a bias can only be wrong.
    add("wrong shape", "size mismatch for bias_ih_l0: expected (15,), found (14,)", |tensors| {
        tensors.iter_mut().filter(|(name, _)| name == "bias_ih_l0").for_each(|(_, shape)| *shape = vec![14]);
    });
}

/// A state dict of zeros.
fn in_memory(tensors: &[(String, Vec<usize>)]) -> StateDict {
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).expect("4 bytes for each element"))
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).expect("a few small tensors");
    StateDict::parse("in memory", file).expect("a valid file")
}

thread_local! {
    /// What this thread has warned of, while somebody listens.
    static WARNINGS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() == log::Level::Warn && record.target().starts_with("wgpu_rnn") {
            WARNINGS.with_borrow_mut(|heard| heard.iter_mut().for_each(|heard| heard.push(record.args().to_string())));
        }
    }

    fn flush(&self) {}
}

/// The warnings that `call` logs.
fn warnings_of(call: impl FnOnce() -> Result<(), Error>) -> Result<Vec<String>, Error> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        log::set_logger(&Listener).expect("nothing else in this program listens");
        log::set_max_level(log::LevelFilter::Warn);
    });
    WARNINGS.set(Some(Vec::new()));
    let result = call();
    let heard = WARNINGS.take().unwrap_or_default();
    result.map(|()| heard)
}

#[test]
fn what_pytorch_refuses_is_refused_in_its_words_and_the_rest_is_accepted() {
    for situation in situations() {
        let got = (situation.call)().map_err(|error| error.to_string());
        let want = situation.refused.map_or(Ok(()), Err);
        assert_eq!(got, want, "{}", situation.name);
    }
}

/// Of two mistakes PyTorch names the one that it checks first. As PyTorch 1.13 answers, too.
#[test]
fn of_several_mistakes_the_first_in_pytorchs_order_is_named() {
    let rnn_config = two_layers(Kind::RnnTanh);
    let lstm_config = two_layers(Kind::Lstm);
    let proj = two_layers(Kind::Gru).proj_size(9).dropout(3.0);
    assert_eq!(
        message(proj.validate()),
        "proj_size argument is only supported for LSTM, not RNN or GRU",
        "nn.GRU looks for proj_size before anything else"
    );
    assert_eq!(
        message(two_layers(Kind::Lstm).proj_size(7).num_layers(0).dropout(3.0).validate()),
        "dropout should be a number in range [0, 1] representing the probability of an element being zeroed",
        "dropout comes before the sizes"
    );
    type Shapes<'a> = Option<(&'a [usize], Option<&'a [usize]>)>;
    let rows: [(&Config, &[usize], Shapes<'_>, &str); 10] = [
        (&rnn_config, &[6], Some((&[2, 5], None)), "RNN: Expected input to be 2D or 3D, got 1D tensor instead"),
        (
            &rnn_config,
            &[6, 4, 7],
            Some((&[2, 5], None)),
            "For batched 3-D input, hx should also be 3-D but got 2-D tensor",
        ),
        (
            &rnn_config,
            &[6, 4, 7],
            Some((&[2, 4, 7], None)),
            "input.size(-1) must be equal to input_size. Expected 3, got 7",
        ),
        (&rnn_config, &[0, 4, 7], None, "input.size(-1) must be equal to input_size. Expected 3, got 7"),
        (&rnn_config, &[0, 4, 3], Some((&[2, 4, 7], None)), "Expected hidden size (2, 4, 5), got [2, 4, 7]"),
        (&rnn_config, &[0, 0, 3], None, "Expected sequence length to be larger than 0 in RNN"),
        (
            &lstm_config,
            &INPUT,
            Some((&[2, 4, 7], Some(&[2, 4, 6]))),
            "Expected hidden[0] size (2, 4, 5), got [2, 4, 7]",
        ),
        (
            &lstm_config,
            &INPUT,
            Some((&[2, 4, 5], Some(&[2, 4, 6]))),
            "Expected hidden[1] size (2, 4, 5), got [2, 4, 6]",
        ),
        (
            &lstm_config,
            &INPUT,
            Some((&[2, 4, 5], Some(&[2, 5]))),
            "For batched 3-D input, hx and cx should also be 3-D but got (3-D, 2-D) tensors",
        ),
        (
            &lstm_config,
            &[6, 3],
            Some((&[2, 5], Some(&[2, 1, 5]))),
            "For unbatched 2-D input, hx and cx should also be 2-D but got (2-D, 3-D) tensors",
        ),
    ];
    for (config, input, state, want) in rows {
        assert_eq!(message(check::forward(config, input, state)), want, "{config:?} on {input:?} with {state:?}");
    }
}

/// An unbatched state is compared after PyTorch has given it its batch axis; `batch_first` moves the input's axes only.
#[test]
fn shapes_are_compared_as_pytorch_lays_them_out() {
    let unbatched = check::forward(&two_layers(Kind::Gru), &[6, 3], Some((&[2, 7], None)));
    assert_eq!(message(unbatched), "Expected hidden size (2, 1, 5), got [2, 1, 7]", "a 2-D state");
    let unbatched = check::forward(&two_layers(Kind::Lstm), &[6, 3], Some((&[2, 5], Some(&[1, 5]))));
    assert_eq!(message(unbatched), "Expected hidden[1] size (2, 1, 5), got [1, 1, 5]", "a 2-D cell state");
    let both = two_layers(Kind::RnnRelu).bidirectional(true).batch_first(true);
    let found = check::forward(&both, &[4, 6, 3], Some((&[4, 6, 5], None)));
    assert_eq!(message(found), "Expected hidden size (4, 4, 5), got [4, 6, 5]", "the batch is the input's first axis");
    let checked = check::forward(&both, &[4, 6, 3], Some((&[4, 4, 5], None))).expect("the state is never batch first");
    assert_eq!((checked.sizes.seq_len, checked.sizes.batch, checked.unbatched), (6, 4, false), "T and B");
    let checked = check::forward(&both, &[6, 3], None).expect("batch_first means nothing without a batch");
    assert_eq!((checked.sizes.seq_len, checked.sizes.batch, checked.unbatched), (6, 1, true), "T and B");
}

/// Where PyTorch fails by accident (`tuple index out of range`, `'tuple' object has no attribute 'dim'`).
#[test]
fn a_state_of_another_module_is_refused_by_name() {
    let shape: &[usize] = &[2, 4, 5];
    let found = check::forward(&two_layers(Kind::Lstm), &INPUT, Some((shape, None)));
    assert_eq!(message(found), "LSTM: expected the initial state (h_0, c_0), got h_0 only", "an LSTM without c_0");
    for kind in [Kind::RnnTanh, Kind::RnnRelu, Kind::Gru] {
        let found = check::forward(&two_layers(kind), &INPUT, Some((shape, Some(shape))));
        let want = format!(
            "{}: expected the initial state h_0 only, got (h_0, c_0); only LSTM has a cell state",
            kind.module()
        );
        assert_eq!(message(found), want, "{kind} with c_0");
    }
}

#[test]
fn nan_stays_in_its_row_in_every_kind_and_direction() {
    for kind in Kind::ALL {
        for (num_layers, bidirectional) in [(1, false), (1, true), (2, true), (3, false)] {
            let config = Config::new(kind, 3, 5).num_layers(num_layers).bidirectional(bidirectional);
            nan_in_row_1_at_step_2(&config).unwrap_or_else(|error| panic!("{config:?}: {error}"));
        }
    }
}

/// PyTorch's relu hands NaN on, where `max(x, 0)` would make it 0.
#[test]
fn a_nan_weight_is_loaded_computed_with_and_found_on_request() {
    let params = Params::from_fn(&Config::new(Kind::RnnRelu, 3, 5), |name, shape| {
        let mut values = vec![0.25; shape.iter().product()];
        if name == "weight_ih_l0" {
            values[4] = f32::NAN; // of unit 1
        }
        Ok(values)
    })
    .expect("NaN is a value");
    assert_eq!(params.non_finite(), ["weight_ih_l0"], "the tensor is named");
    let input = seeded::tensor(2, &INPUT, 1.0);
    let (output, _) =
        Rnn::new(&Device::cpu(), &params).and_then(|rnn| rnn.forward(&input, None)).expect("a forward pass");
    let first = output.row(0).iter().map(|v| v.is_nan()).collect::<Vec<_>>();
    assert_eq!(first, [false, true, false, false, false], "only unit 1 reads it at the first step");
    assert!(output.row(INPUT[1]).iter().all(|v| v.is_nan()), "every unit reads unit 1 at the next step");
}

/// The message of what must be an error.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("PyTorch refuses this").to_string()
}

/// What the conformance data covers and this version lacks: the feature, the modules, and what is done to them.
const NOT_YET: [(&str, [&str; 3], &[&str]); 2] = [
    (
        "packed sequences",
        ["RNN", "GRU", "LSTM"],
        &[
            "packed length 0",
            "packed length > T",
            "packed unsorted with enforce_sorted",
            "packed wrong number of lengths",
        ],
    ),
    (
        "cells",
        ["RNNCell", "GRUCell", "LSTMCell"],
        &["input 3-D", "wrong input size", "hx batch 1 vs 3", "hx hidden 1", "batch 0"],
    ),
];

/// What the types of Rust leave no way to write: the argument's type, and what would be done to each module.
const RULED_OUT: [(&str, &str); 2] = [("usize", "proj_size negative"), ("f64", "dropout True")];

/// What PyTorch refuses by accident and this crate in words of its own.
const OWN_WORDS: [&str; 1] = ["LSTM h0 only"];

#[test]
fn the_table_is_what_pytorch_was_seen_to_do() {
    let Some(path) = conformance::part("errors/pytorch_2.15.0_errors.json") else { return };
    let text = std::fs::read_to_string(&path).expect("the file can be read");
    let seen: serde_json::Value = serde_json::from_str(&text).expect("the file is JSON");
    let seen = seen.as_array().expect("a list of calls");
    let table = situations();
    let elsewhere: Vec<String> = NOT_YET
        .iter()
        .flat_map(|(_, modules, whats)| {
            modules.iter().flat_map(|module| whats.iter().map(move |what| format!("{module} {what}")))
        })
        .chain(RULED_OUT.iter().flat_map(|(_, what)| MODULES.map(|kind| format!("{} {what}", kind.module()))))
        .chain(OWN_WORDS.map(str::to_owned))
        .collect();
    let mut problems = Vec::new();
    let mut compared = 0;
    for call in seen {
        let text = |key: &str| call[key].as_str().unwrap_or_default();
        let name = text("case");
        let Some(situation) = table.iter().find(|situation| situation.name == name) else {
            if !elsewhere.iter().any(|known| known == name) {
                problems.push(format!("'{name}' is in no list of this test"));
            }
            continue;
        };
        compared += 1;
        let want = (text("outcome") != "ok").then(|| text("message"));
        // The data keep the first line of a message.
        let ours = situation.refused.as_ref().and_then(|message| message.lines().next());
        if ours != want {
            problems.push(format!("'{name}': the table has {ours:?}, PyTorch said {want:?}"));
        }
    }
    for name in table.iter().map(|situation| &situation.name).chain(&elsewhere) {
        let times = seen.iter().filter(|call| call["case"] == name.as_str()).count();
        if times != 1 {
            problems.push(format!("'{name}' of this test occurs {times} times in the data"));
        }
    }
    assert!(problems.is_empty(), "{} of {} calls:\n{}", problems.len(), seen.len(), problems.join("\n"));
    assert_eq!(compared, table.len(), "every row of the table was held against the data");
}
