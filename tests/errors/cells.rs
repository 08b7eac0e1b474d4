//! Cells check less than modules do, and in other words.

use wgpu_rnn::internals::params::state_dict;
use wgpu_rnn::internals::params::validate;
use wgpu_rnn::{Cell, Config, Device, Error, Kind, Params, State, StateDict, Tensor};

use crate::message;
use crate::situations::{MODULES, Situation, state, zeros};

/// The sizes of the conformance data.
fn config(kind: Kind) -> Config {
    Config::new(kind, 10, 20)
}

fn forward(kind: Kind, input: &Tensor, state: Option<&State>) -> Result<State, Error> {
    Cell::new(&Device::cpu(), &Params::init(&config(kind), 0)?)?.forward(input, state)
}

/// What the conformance data does to cells.
pub fn cell_situations(all: &mut Vec<Situation>, kind: Kind) {
    let cell = kind.cell();
    let mut add = |what: &str, message: String, input: &[usize], h_0: Option<&[usize]>| {
        let (input, state) = (zeros(input), h_0.map(|shape| state(kind, shape)));
        all.push(Situation {
            name: format!("{cell} {what}"),
            refused: Some(message),
            call: Box::new(move || forward(kind, &input, state.as_ref()).map(drop)),
        });
    };
    add(
        "input 3-D",
        format!("{cell}: Expected input to be 1D or 2D, got 3D instead"),
        &[1, 3, 10],
        None,
    );
    add(
        "wrong input size",
        "input has inconsistent input_size: got 1 expected 10".to_owned(),
        &[3, 1],
        None,
    );
    let batch = "Input batch size 3 doesn't match hidden0 batch size 1".to_owned();
    add("hx batch 1 vs 3", batch, &[3, 10], Some(&[1, 20]));
    let hidden = "hidden0 has inconsistent hidden_size: got 1, expected 20".to_owned();
    add("hx hidden 1", hidden, &[3, 10], Some(&[3, 1]));
    let call = move || {
        for state in [None, Some(state(kind, &[0, 20]))] {
            let next = forward(kind, &zeros(&[0, 10]), state.as_ref())?;
            assert_eq!(next.h.shape(), [0, 20], "{cell}: h of no rows");
            let c = (kind == Kind::Lstm).then(|| vec![0, 20]);
            assert_eq!(next.c.map(|c| c.shape().to_vec()), c, "{cell}: c of no rows");
        }
        Ok(())
    };
    all.push(Situation { name: format!("{cell} batch 0"), refused: None, call: Box::new(call) });
}

/// The order is PyTorch's. The words are this crate's where PyTorch fails by accident or names the
/// wrong tensor.
pub fn a_cell_names_the_first_mistake() {
    type Shapes<'a> = Option<(&'a [usize], Option<&'a [usize]>)>;
    let rows: [(Kind, &[usize], Shapes<'_>, &str); 12] = [
        (Kind::Gru, &[], None, "GRUCell: Expected input to be 1D or 2D, got 0D instead"),
        (
            Kind::RnnRelu,
            &[1, 3, 10],
            Some((&[1, 3, 20], None)),
            "RNNCell: Expected input to be 1D or 2D, got 3D instead",
        ),
        (
            Kind::Gru,
            &[3, 7],
            Some((&[1, 3, 20], None)),
            "GRUCell: Expected hidden to be 1D or 2D, got 3D instead",
        ),
        (
            Kind::Lstm,
            &[3, 10],
            Some((&[3, 20], Some(&[1, 3, 20]))),
            "LSTMCell: Expected hx[1] to be 1D or 2D, got 3D instead",
        ),
        (
            Kind::Gru,
            &[3, 7],
            Some((&[1, 20], None)),
            "input has inconsistent input_size: got 7 expected 10",
        ),
        (Kind::Gru, &[7], None, "input has inconsistent input_size: got 7 expected 10"),
        (
            Kind::Gru,
            &[3, 10],
            Some((&[1, 7], None)),
            "Input batch size 3 doesn't match hidden0 batch size 1",
        ),
        (
            Kind::Lstm,
            &[3, 10],
            Some((&[3, 20], Some(&[1, 20]))),
            "Input batch size 3 doesn't match hidden1 batch size 1",
        ),
        (
            Kind::Lstm,
            &[10],
            Some((&[20], Some(&[7]))),
            "hidden1 has inconsistent hidden_size: got 7, expected 20",
        ),
        // A state of another rank than the input: PyTorch computes with one kind of it, and fails
        // by accident with the others.
        (
            Kind::RnnTanh,
            &[10],
            Some((&[20, 20], None)),
            "RNNCell: a 1D input takes a 1D hidden0, but got 2D",
        ),
        (
            Kind::RnnTanh,
            &[20, 10],
            Some((&[20], None)),
            "RNNCell: a 2D input takes a 2D hidden0, but got 1D",
        ),
        (
            Kind::Lstm,
            &[3, 10],
            Some((&[3, 20], None)),
            "LSTMCell: expected the initial state (h_0, c_0), got h_0 only",
        ),
    ];
    for (kind, input, state, want) in rows {
        assert_eq!(
            message(validate::cell(&config(kind), input, state)),
            want,
            "{kind} on {input:?} with {state:?}"
        );
    }
    let shape: &[usize] = &[3, 20];
    let found = validate::cell(&config(Kind::Gru), &[3, 10], Some((shape, Some(shape))));
    let want = "GRUCell: expected the initial state h_0 only, got (h_0, c_0); only LSTMCell has a \
                cell state";
    assert_eq!(message(found), want, "a GRU's cell with c_0");
}

/// A file of zeros under these names.
fn file(tensors: &[(&str, &[usize])]) -> StateDict {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cell.safetensors");
    let zeros: Vec<(&str, Tensor)> =
        tensors.iter().map(|(name, shape)| (*name, zeros(shape))).collect();
    let list: Vec<(&str, &Tensor)> = zeros.iter().map(|(name, tensor)| (*name, tensor)).collect();
    state_dict::save(&path, &list).expect("a file can be written");
    StateDict::open(&path).expect("a file can be read")
}

/// Names without a layer, all of them and no others; what is wrong is listed at once.
pub fn a_cell_is_loaded_strictly() {
    for kind in MODULES {
        for bias in [true, false] {
            let rows = kind.gate_count() * 4;
            let mut tensors: Vec<(&str, &[usize])> = Vec::new();
            let (weight_ih, weight_hh, vector) = ([rows, 3], [rows, 4], [rows]);
            tensors.extend([
                ("d.cell.weight_ih", &weight_ih[..]),
                ("d.cell.weight_hh", &weight_hh[..]),
            ]);
            if bias {
                tensors.extend([("d.cell.bias_ih", &vector[..]), ("d.cell.bias_hh", &vector[..])]);
            }
            let cell = Cell::load(&Device::cpu(), &file(&tensors), "d.cell.").expect("a cell");
            assert_eq!(cell.config(), &Config::new(kind, 3, 4).bias(bias), "{kind}: bias={bias}");
        }
    }
    let load =
        |tensors: &[(&str, &[usize])]| message(Params::from_cell_state_dict(&file(tensors), ""));
    let gru: [(&str, &[usize]); 4] =
        [("weight_ih", &[12, 3]), ("weight_hh", &[12, 4]), ("bias_ih", &[12]), ("bias_hh", &[12])];
    let mut wrong = gru[..3].to_vec();
    wrong[2].1 = &[11];
    wrong.push(("weight_ih_l0", &[12, 3]));
    wrong.push(("weight_hr", &[2, 4]));
    assert_eq!(
        load(&wrong),
        "Error(s) in loading state_dict for GRUCell:\n\tMissing key(s) in state_dict: \
         \"bias_hh\".\n\tUnexpected key(s) in state_dict: \"weight_hr\", \
         \"weight_ih_l0\".\n\tsize mismatch for bias_ih: copying a param with shape \
         torch.Size([11]) from checkpoint, the shape in current model is torch.Size([12]).\n\ta \
         tensor that the module does not use may change its results: load the module that uses \
         it, or load without it by LoadOptions::allow_unused (--allow-unused)",
        "everything at once"
    );
    assert_eq!(
        load(&[("weight_ih_l0", &[12, 3]), ("weight_hh_l0", &[12, 4])]),
        "Error(s) in loading state_dict for RNNCell, LSTMCell or GRUCell:\n\tMissing key(s) in \
         state_dict: \"weight_ih\", \"weight_hh\".\n\tUnexpected key(s) in state_dict: \
         \"weight_hh_l0\", \"weight_ih_l0\".\n\ta tensor that the module does not use may change \
         its results: load the module that uses it, or load without it by \
         LoadOptions::allow_unused (--allow-unused)",
        "the names of a layer"
    );
    assert!(
        load(&[("head.weight", &[3])]).contains("no recurrent weights at all"),
        "nothing to load"
    );
    let relu =
        Params::from_cell_state_dict(&file(&[("weight_ih", &[4, 3]), ("weight_hh", &[4, 4])]), "")
            .and_then(|params| {
                params.with(|mut config| {
                    config.kind = Kind::RnnRelu;
                    config
                })
            })
            .and_then(|params| Cell::new(&Device::cpu(), &params))
            .expect("a cell with relu");
    assert_eq!(relu.config().kind, Kind::RnnRelu, "a state dict does not tell the nonlinearity");
}
