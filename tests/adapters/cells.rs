//! Cells: a loop over a cell equals the layer. The caller passes the state, or it stays on the
//! device.

use libtest_mimic::Failed;
use wgpu_rnn::{Cell, Config, Error, Kind, Params, Rnn, State, Tensor, TensorView};

use crate::bits::{alike, bits, states_alike};
use crate::{Target, ensure, seeded};

/// Input size, hidden size, T and B.
const SIZES: [[usize; 4]; 5] =
    [[1, 1, 1, 1], [3, 4, 5, 2], [8, 16, 3, 1], [5, 13, 7, 3], [16, 33, 4, 8]];

/// Returns step t of `[T, B, features]`, as `[B, features]`.
fn step(tensor: &Tensor, t: usize) -> Result<Tensor, Failed> {
    let &[_, batch, features] = tensor.shape() else {
        return Err("not a tensor of three axes".into());
    };
    let size = batch * features;
    Ok(Tensor::new([batch, features], tensor.data()[t * size..(t + 1) * size].to_vec())?)
}

/// Converts the state of a layer to that of a cell.
fn of_cell(state: &State) -> Result<State, Failed> {
    Ok(State { h: step(&state.h, 0)?, c: state.c.as_ref().map(|c| step(c, 0)).transpose()? })
}

pub fn loop_is_the_layer(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        for bias in [true, false] {
            for [input_size, hidden_size, seq_len, batch] in SIZES {
                let what =
                    format!("{kind} bias={bias} {input_size}x{hidden_size} T={seq_len} B={batch}");
                let params =
                    Params::init(&Config::new(kind, input_size, hidden_size).bias(bias), 3)?;
                let (rnn, cell) = (Rnn::new(&device, &params)?, Cell::new(&device, &params)?);
                let input = seeded::tensor(4, &[seq_len, batch, input_size], 1.0);
                let h = seeded::tensor(5, &[1, batch, hidden_size], 1.0);
                let c =
                    (kind == Kind::Lstm).then(|| seeded::tensor(6, &[1, batch, hidden_size], 1.0));
                let first = State { h, c };
                let (output, last) = rnn.forward(&input, Some(&first))?;

                let mut state = of_cell(&first)?;
                let mut stream = cell.stream(batch)?;
                stream.set_state(&state)?;
                for t in 0..seq_len {
                    let x = step(&input, t)?;
                    state = cell.forward(&x, Some(&state))?;
                    let want = step(&output, t)?;
                    ensure(alike(&state.h, &want), format!("{what}: h of the cell at t={t}"))?;
                    let h = if t % 2 == 0 {
                        stream.step(TensorView::new(x.shape(), x.data())?)?
                    } else {
                        let mut h = want.clone();
                        h.data_mut().fill(f32::NAN);
                        stream.step_into(&x, &mut h)?;
                        h
                    };
                    ensure(alike(&h, &want), format!("{what}: h of the stream at t={t}"))?;
                    ensure(
                        states_alike(&stream.state()?, &state),
                        format!("{what}: state of the stream at t={t}"),
                    )?;
                }
                ensure(states_alike(&state, &of_cell(&last)?), format!("{what}: the last state"))?;
                stream.reset();
                let (h, zero) =
                    (stream.step(&step(&input, 0)?)?, cell.forward(&step(&input, 0)?, None)?.h);
                ensure(alike(&h, &zero), format!("{what}: the first step after reset"))?;
            }
        }
    }
    Ok(())
}

/// A single row without its axis, and no rows at all.
pub fn shapes(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for &kind in Kind::ALL {
        let lstm = kind == Kind::Lstm;
        let cell = Cell::new(&device, &Params::init(&Config::new(kind, 3, 5), 1)?)?;
        let (row, one) = (
            seeded::tensor(2, &[1, 1, 3], 1.0).reshaped([3])?,
            seeded::tensor(2, &[1, 1, 3], 1.0).reshaped([1, 3])?,
        );
        let (flat, rows) = (cell.forward(&row, None)?, cell.forward(&one, None)?);
        ensure(flat.h.shape() == [5] && rows.h.shape() == [1, 5], format!("{kind}: shapes of h"))?;
        ensure(
            bits(flat.h.data()) == bits(rows.h.data()),
            format!("{kind}: one row with and without its axis"),
        )?;
        let (flat, rows) = (cell.forward(&row, Some(&flat))?, cell.forward(&one, Some(&rows))?);
        ensure(
            bits(flat.h.data()) == bits(rows.h.data()),
            format!("{kind}: the second step of one row"),
        )?;
        ensure(
            flat.c.as_ref().map(|c| c.shape().to_vec()) == lstm.then(|| vec![5]),
            format!("{kind}: shape of c"),
        )?;
        let mut stream = cell.stream(1)?;
        ensure(
            stream.step(&row)?.shape() == [5],
            format!("{kind}: a stream of one row without its axis"),
        )?;
        ensure(
            bits(stream.step(&one)?.data()) == bits(rows.h.data()),
            format!("{kind}: and with it"),
        )?;

        let none = cell.forward(&Tensor::zeros([0, 3])?, None)?;
        ensure(none.h.shape() == [0, 5], format!("{kind}: no rows: {:?}", none.h.shape()))?;
        let again = cell.forward(&Tensor::zeros([0, 3])?, Some(&none))?;
        ensure(again == none, format!("{kind}: no rows with a state"))?;
        let mut stream = cell.stream(0)?;
        ensure(
            stream.step(&Tensor::zeros([0, 3])?)? == none.h,
            format!("{kind}: a stream of no rows"),
        )?;
        ensure(stream.state()? == none, format!("{kind}: the state of a stream of no rows"))?;
    }
    Ok(())
}

pub fn refusals(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let rows = [
        (
            Config::lstm(3, 4).num_layers(2),
            "LSTMCell is one layer in one direction and has no num_layers=2; use LSTM",
        ),
        (
            Config::gru(3, 4).bidirectional(true).batch_first(true),
            "GRUCell is one layer in one direction and has no bidirectional=True, \
             batch_first=True; use GRU",
        ),
        (
            Config::lstm(3, 4).proj_size(2),
            "LSTMCell is one layer in one direction and has no proj_size=2; use LSTM",
        ),
        (
            Config::rnn(3, 4).dropout(0.5),
            "RNNCell is one layer in one direction and has no dropout=0.5; use RNN",
        ),
    ];
    for (config, want) in rows {
        let error = Cell::new(&device, &Params::init(&config, 0)?);
        let told = matches!(&error, Err(Error::Config(message)) if message == want);
        ensure(
            told,
            format!(
                "{config:?}: {:?}, want {want}",
                error.map(|_| "made").map_err(|e| e.to_string())
            ),
        )?;
    }
    let cell = Cell::new(&device, &Params::init(&Config::gru(3, 4), 0)?)?;
    let mut stream = cell.stream(2)?;
    let before =
        (stream.step(&seeded::tensor(1, &[1, 2, 3], 1.0).reshaped([2, 3])?)?, stream.state()?);
    for (input, want) in [
        (vec![1, 2, 3], "GRUCell: Expected input to be 1D or 2D, got 3D instead"),
        (vec![2, 7], "input has inconsistent input_size: got 7 expected 3"),
        (vec![3, 3], "Stream: Expected an input of 2 rows, got 3"),
        (vec![3], "Stream: Expected an input of 2 rows, got 1"),
    ] {
        let error = stream.step(&Tensor::zeros(input.clone())?).map_err(|error| error.to_string());
        ensure(error == Err(want.to_owned()), format!("{input:?}: {error:?}, want {want}"))?;
    }
    for shape in [&[2, 3][..], &[1, 4], &[8]] {
        let mut h = Tensor::zeros(shape)?;
        let error = stream.step_into(&Tensor::zeros([2, 3])?, &mut h).map_err(|e| e.to_string());
        let want = format!("CellStream: Expected an output of [2, 4], got {shape:?}");
        ensure(error == Err(want), format!("{error:?}"))?;
    }
    let wrong = State { h: Tensor::zeros([1, 4])?, c: None };
    let error = stream.set_state(&wrong).map_err(|error| error.to_string());
    let want = "Input batch size 2 doesn't match hidden0 batch size 1";
    ensure(error == Err(want.to_owned()), format!("{error:?}, want {want}"))?;
    ensure(before == (before.0.clone(), stream.state()?), "what is refused leaves the state")
}
