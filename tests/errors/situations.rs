//! The table: a call of a module, and PyTorch's answer.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgpu_rnn::internals::params::validate;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Rnn, State, StateDict, Tensor};

use crate::bits::assert_same;
use crate::cells::cell_situations;
use crate::seeded;
use crate::values::{nan_in_row_1_at_step_2, same_as_the_definition};
use crate::warnings::warnings_of;

/// A call and what PyTorch makes of it.
pub struct Situation {
    /// As the conformance data has it: module, then what is done to it.
    pub name: String,
    /// PyTorch's message; `None` where PyTorch accepts. The call itself then asserts the result.
    pub refused: Option<String>,
    pub call: Box<dyn Fn() -> Result<(), Error>>,
}

/// The modules that the conformance data covers, under its names.
pub const MODULES: [Kind; 3] = [Kind::RnnTanh, Kind::Gru, Kind::Lstm];

/// The sizes of the conformance data: two layers from 3 to 5 features, six steps of four rows.
pub fn two_layers(kind: Kind) -> Config {
    Config::new(kind, 3, 5).num_layers(2)
}

pub const INPUT: [usize; 3] = [6, 4, 3];

pub fn rnn(config: &Config) -> Result<Rnn, Error> {
    Rnn::new(&Device::cpu(), &Params::init(config, 0)?)
}

pub fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape).expect("a small shape")
}

/// A state of zeros; an LSTM's c is as long as its h, and as wrong.
pub fn state(kind: Kind, shape: &[usize]) -> State {
    State { h: zeros(shape), c: (kind == Kind::Lstm).then(|| zeros(shape)) }
}

/// Everything in the conformance data that PyTorch and this crate agree on.
pub fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    for kind in MODULES {
        constructor_situations(&mut all, kind);
        forward_situations(&mut all, kind);
        dtype_situations(&mut all, kind);
        value_situations(&mut all, kind);
        cell_situations(&mut all, kind);
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
        add(
            "proj_size == hidden_size",
            "proj_size has to be smaller than hidden_size",
            base().proj_size(5),
        );
    } else {
        let only_lstm = "proj_size argument is only supported for LSTM, not RNN or GRU";
        add(&format!("proj_size on {module}"), only_lstm, base().proj_size(2));
        add("proj_size == hidden_size", only_lstm, base().proj_size(5));
    }
    let range = "dropout should be a number in range [0, 1] representing the probability of an \
                 element being zeroed";
    add("dropout 1.5", range, base().dropout(1.5));
    add("dropout -0.1", range, base().dropout(-0.1));
    add("num_layers 0", "num_layers must be greater than zero", base().num_layers(0));
    add("hidden_size 0", "hidden_size must be greater than zero", Config::new(kind, 3, 0));
    add("input_size 0", "input_size must be greater than zero", Config::new(kind, 0, 5));
    let name = format!("{module} dropout with one layer");
    let call = move || {
        let said = warnings_of(|| Config::new(kind, 3, 5).dropout(0.5).validate())?;
        let want = "dropout option adds dropout after all but last recurrent layer, so non-zero \
                    dropout expects num_layers greater than 1, but got dropout=0.5 and \
                    num_layers=1";
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
            call: Box::new(move || {
                rnn(&two_layers(kind))?.forward(&input, state.as_ref()).map(drop)
            }),
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
    let hidden = |shapes: &str| {
        format!("Expected {} size {shapes}", if lstm { "hidden[0]" } else { "hidden" })
    };
    add("batch mismatch input", hidden("(2, 7, 5), got [2, 4, 5]"), &[6, 7, 3], Some(&[2, 4, 5]));
    add("batch mismatch hidden", hidden("(2, 4, 5), got [2, 7, 5]"), &INPUT, Some(&[2, 7, 5]));
    add("wrong hidden size", hidden("(2, 4, 5), got [2, 4, 7]"), &INPUT, Some(&[2, 4, 7]));
    add("wrong hidden[0]", hidden("(2, 4, 5), got [7, 4, 5]"), &INPUT, Some(&[7, 4, 5]));
    let rank = |input: &str, want: usize, got: usize| {
        if lstm {
            format!(
                "For {input} input, hx and cx should also be {want}-D but got ({got}-D, {got}-D) \
                 tensors"
            )
        } else {
            format!("For {input} input, hx should also be {want}-D but got {got}-D tensor")
        }
    };
    add("2-D hidden with batched input", rank("batched 3-D", 3, 2), &INPUT, Some(&[2, 5]));
    add("3-D hidden with unbatched input", rank("unbatched 2-D", 2, 3), &[6, 3], Some(&[2, 1, 5]));
    add(
        "seq_len 0",
        "Expected sequence length to be larger than 0 in RNN".to_owned(),
        &[0, 4, 3],
        None,
    );

    let call = move || {
        let rnn = rnn(&two_layers(kind))?;
        for state in [None, Some(state(kind, &[2, 0, 5]))] {
            let (output, last) = rnn.forward(&zeros(&[6, 0, 3]), state.as_ref())?;
            assert_eq!(output.shape(), [6, 0, 5], "{kind}: output of no rows");
            assert_eq!(last.h.shape(), [2, 0, 5], "{kind}: h_n of no rows");
            assert_eq!(
                last.c.map(|c| c.shape().to_vec()),
                lstm.then(|| vec![2, 0, 5]),
                "{kind}: c_n of no rows"
            );
        }
        Ok(())
    };
    all.push(Situation { name: format!("{module} batch 0"), refused: None, call: Box::new(call) });
}

/// A tensor of this crate is f32; another type can only come from a file.
fn dtype_situations(all: &mut Vec<Situation>, kind: Kind) {
    for (what, dtype, torch) in
        [("f64 input to f32 model", Dtype::F64, "float64"), ("int input", Dtype::I64, "int64")]
    {
        let data = vec![0_u8; 8 * INPUT.iter().product::<usize>()];
        let view = TensorView::new(dtype, INPUT.to_vec(), &data).expect("8 bytes for each element");
        let file = safetensors::serialize([("input", view)], None).expect("one small tensor");
        all.push(Situation {
            name: format!("{} {what}", kind.module()),
            refused: Some(format!(
                "RNN input dtype (torch.{torch}) does not match weight dtype (torch.float32). \
                 Convert input: input.to(torch.float32), or convert model: \
                 model.to(torch.{torch}). \
                 Here every model runs in float32: convert the input"
            )),
            call: Box::new(move || {
                StateDict::parse("in memory", file.clone())?.input("input").map(drop)
            }),
        });
    }
}

/// Values that PyTorch computes with like any other.
fn value_situations(all: &mut Vec<Situation>, kind: Kind) {
    let module = kind.module();
    let mut add = |what: &str, call: fn(Kind) -> Result<(), Error>| {
        all.push(Situation {
            name: format!("{module} {what}"),
            refused: None,
            call: Box::new(move || call(kind)),
        });
    };
    add("NaN input", |kind| same_as_the_definition(kind, f32::NAN, f32::is_nan));
    add("+inf input", |kind| same_as_the_definition(kind, f32::INFINITY, f32::is_nan));
    add("1e38 input", |kind| same_as_the_definition(kind, 1e38, |value| value.abs() <= 1.0));
    add("NaN in one batch row at t=2", |kind| nan_in_row_1_at_step_2(&two_layers(kind)));
}

/// What an LSTM with a projection expects of its states.
fn lstm_situations(all: &mut Vec<Situation>) {
    let config = || two_layers(Kind::Lstm).proj_size(2);
    for (name, message, h_0, c_0) in [
        (
            "LSTM proj h0 with hidden_size",
            "Expected hidden[0] size (2, 4, 2), got [2, 4, 5]",
            [2, 4, 5],
            [2, 4, 5],
        ),
        (
            "LSTM proj c0 with proj_size",
            "Expected hidden[1] size (2, 4, 5), got [2, 4, 2]",
            [2, 4, 2],
            [2, 4, 2],
        ),
    ] {
        let call = move || validate::forward(&config(), &INPUT, Some((&h_0, Some(&c_0)))).map(drop);
        all.push(Situation {
            name: name.to_owned(),
            refused: Some(message.to_owned()),
            call: Box::new(call),
        });
    }
    let call = move || {
        let config = config();
        config.validate()?;
        let checked = validate::forward(&config, &INPUT, Some((&[2, 4, 2], Some(&[2, 4, 5]))))?;
        assert_eq!(
            (checked.sizes.seq_len, checked.sizes.batch),
            (6, 4),
            "an LSTM with projection: T and B"
        );
        Ok(())
    };
    all.push(Situation {
        name: "LSTM proj_size on LSTM".to_owned(),
        refused: None,
        call: Box::new(call),
    });
}

/// A GRU's state dict with one tensor missing, one too many, or one of another shape.
fn state_dict_situations(all: &mut Vec<Situation>) {
    type Tensors = Vec<(String, Vec<usize>)>;
    let mut add = |what: &str, problem: &str, change: fn(&mut Tensors)| {
        let call = move || {
            let mut tensors = wgpu_rnn::internals::params::expected_parameters(&Config::gru(3, 5));
            change(&mut tensors);
            Params::from_state_dict(&in_memory(&tensors), "").map(drop)
        };
        all.push(Situation {
            name: format!("load_state_dict {what}"),
            refused: Some(format!("Error(s) in loading state_dict for GRU:\n\t{problem}")),
            call: Box::new(call),
        });
    };
    add("missing key", "Missing key(s) in state_dict: \"bias_hh_l0\".", |tensors| {
        tensors.retain(|(name, _)| name != "bias_hh_l0")
    });
    add(
        "unexpected key",
        "Unexpected key(s) in state_dict: \"bogus\".\n\ta tensor that the module does not use may \
         change its results: load the module that uses it, or load without it by \
         LoadOptions::allow_unused (--allow-unused)",
        |tensors| tensors.push(("bogus".to_owned(), vec![1])),
    );
    // weight_ih_l0 and weight_hh_l0 are what the sizes are read from; a bias can only be wrong.
    add(
        "wrong shape",
        "size mismatch for bias_ih_l0: copying a param with shape torch.Size([14]) from \
         checkpoint, the shape in current model is torch.Size([15]).",
        |tensors| {
            tensors
                .iter_mut()
                .filter(|(name, _)| name == "bias_ih_l0")
                .for_each(|(_, shape)| *shape = vec![14]);
        },
    );
}

/// A state dict of zeros.
fn in_memory(tensors: &[(String, Vec<usize>)]) -> StateDict {
    let data: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), data).expect("4 bytes for each element"),
        )
    });
    let file =
        safetensors::serialize(views.collect::<Vec<_>>(), None).expect("a few small tensors");
    StateDict::parse("in memory", file).expect("a valid file")
}
