//! The checks of a forward call. All run before any work, in PyTorch's order and words.

use crate::error::{Error, Result, tuple};
use crate::params::config::{Config, Kind};
use crate::tensor::{State, Tensor};

/// The run-time sizes of one forward call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// Time steps T.
    pub seq_len: usize,
    /// Rows B; 1 for an unbatched input.
    pub batch: usize,
}

/// The result of [`forward`]: the sizes, and whether the caller's tensors lack the batch axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// T and B.
    pub sizes: Sizes,
    /// Whether the input is 2-D. If so, output and states are 2-D too.
    pub unbatched: bool,
}

/// Returns the initial state of a source that may give each of h and c alone: the other is zero.
/// `None` without either.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold the zeros.
pub fn whole_state(config: &Config, h: Option<Tensor>, c: Option<Tensor>) -> Result<Option<State>> {
    let zeros = |like: &Tensor, width: usize| {
        let mut shape = like.shape().to_vec();
        shape.pop();
        shape.push(width);
        Tensor::zeros(shape)
    };
    let h = match (h, &c) {
        (None, None) => return Ok(None),
        (Some(h), _) => h,
        (None, Some(c)) => zeros(c, config.state_size())?,
    };
    let c = match c {
        None if config.kind == Kind::Lstm => Some(zeros(&h, config.hidden_size)?),
        c => c,
    };
    Ok(Some(State { h, c }))
}

/// Checks `input` and the optional initial state against `config`.
///
/// `input`, `h_0` and `c_0` are shapes. An LSTM takes both states or none; the others take only
/// `h_0`.
///
/// # Errors
/// In PyTorch's words: [`Error::Shape`] when a shape does not fit, [`Error::Option`] when the state
/// lacks `c` or has a `c` that the module does not use.
pub fn forward(
    config: &Config,
    input: &[usize],
    state: Option<(&[usize], Option<&[usize]>)>,
) -> Result<Checked> {
    let refuse = |message: String| Err(Error::Shape(message));
    let module = config.kind.module();
    if input.len() != 2 && input.len() != 3 {
        // nn.RNN has the word "tensor" here; nn.LSTM and nn.GRU do not.
        let tensor = if module == "RNN" { " tensor" } else { "" };
        return refuse(format!(
            "{module}: Expected input to be 2D or 3D, got {}D{tensor} instead",
            input.len()
        ));
    }
    let unbatched = input.len() == 2;
    if let Some((h_0, c_0)) = state {
        check_state_ranks(config, unbatched, h_0, c_0)?;
    }
    let features = input[input.len() - 1];
    if features != config.input_size {
        return refuse(format!(
            "input.size(-1) must be equal to input_size. Expected {}, got {features}",
            config.input_size
        ));
    }
    let (seq_len, batch) = match (unbatched, config.batch_first) {
        (true, _) => (input[0], 1),
        (false, false) => (input[0], input[1]),
        (false, true) => (input[1], input[0]),
    };
    if let Some((h_0, c_0)) = state {
        let layers = config.num_layers * config.num_directions();
        let lstm = config.kind == Kind::Lstm;
        let check = |name: &str, features: usize, found: &[usize]| {
            let expected = [layers, batch, features];
            let mut found = found.to_vec();
            if unbatched {
                // PyTorch adds the batch axis before it compares, so its text shows three sizes.
                found.insert(1, 1);
            }
            if found == expected {
                return Ok(());
            }
            Err(Error::Shape(format!("Expected {name} size {}, got {found:?}", tuple(&expected))))
        };
        check(if lstm { "hidden[0]" } else { "hidden" }, config.state_size(), h_0)?;
        if let Some(c_0) = c_0 {
            check("hidden[1]", config.hidden_size, c_0)?;
        }
    }
    if seq_len == 0 {
        return refuse("Expected sequence length to be larger than 0 in RNN".to_owned());
    }
    Ok(Checked { sizes: Sizes { seq_len, batch }, unbatched })
}

/// Checks the valid steps of each row: one length for each row, none longer than the input. They
/// may come in any order and, beyond PyTorch, be 0.
///
/// # Errors
/// [`Error::Shape`], in PyTorch's words where PyTorch has the check.
pub fn lengths(lengths: &[usize], checked: Checked) -> Result<()> {
    let Sizes { seq_len, batch } = checked.sizes;
    if checked.unbatched {
        return Err(Error::Shape(
            "lengths need a batched 3-D input, but got a 2-D tensor".to_owned(),
        ));
    }
    if lengths.len() != batch {
        return Err(Error::Shape(format!(
            "Expected `len(lengths)` to be equal to batch_size, but got {} (batch_size={batch})",
            lengths.len()
        )));
    }
    match lengths.iter().position(|&length| length > seq_len) {
        None => Ok(()),
        Some(row) => Err(Error::Shape(format!(
            "lengths[{row}] is {}, but the input has {seq_len} time steps",
            lengths[row]
        ))),
    }
}

/// Checks `input` (`[B, I]` or `[I]`) and the optional state (`[B, H]` or `[H]`) of one call of a
/// cell.
///
/// # Errors
/// [`Error::Shape`] when a shape does not fit, [`Error::Option`] when the state lacks `c` or has a
/// `c` that the cell does not use, in PyTorch's words where PyTorch has the check.
pub fn cell(
    config: &Config,
    input: &[usize],
    state: Option<(&[usize], Option<&[usize]>)>,
) -> Result<Checked> {
    let cell = config.kind.cell();
    let refuse = |message: String| Err(Error::Shape(message));
    let lstm = config.kind == Kind::Lstm;
    if input.len() != 1 && input.len() != 2 {
        return refuse(format!(
            "{cell}: Expected input to be 1D or 2D, got {}D instead",
            input.len()
        ));
    }
    let states: Vec<&[usize]> = match state {
        None => Vec::new(),
        Some((_, None)) if lstm => {
            return Err(Error::Option(format!(
                "{cell}: expected the initial state (h_0, c_0), got h_0 only"
            )));
        }
        Some((_, Some(_))) if !lstm => {
            return Err(Error::Option(format!(
                "{cell}: expected the initial state h_0 only, got (h_0, c_0); \
                 only LSTMCell has a cell state"
            )));
        }
        Some((h_0, c_0)) => std::iter::once(h_0).chain(c_0).collect(),
    };
    for (which, found) in states.iter().enumerate() {
        if found.len() != 1 && found.len() != 2 {
            let name = if lstm { format!("hx[{which}]") } else { "hidden".to_owned() };
            return refuse(format!(
                "{cell}: Expected {name} to be 1D or 2D, got {}D instead",
                found.len()
            ));
        }
    }
    let features = input[input.len() - 1];
    if features != config.input_size {
        return refuse(format!(
            "input has inconsistent input_size: got {features} expected {}",
            config.input_size
        ));
    }
    let (unbatched, batch) = if input.len() == 1 { (true, 1) } else { (false, input[0]) };
    // PyTorch calls both states hidden0; the number here shows which of them is wrong.
    for (which, found) in states.into_iter().enumerate() {
        let rows = match (unbatched, found) {
            (true, [_]) => 1,
            (false, &[rows, _]) => rows,
            _ => {
                return refuse(format!(
                    "{cell}: a {}D input takes a {0}D hidden{which}, but got {}D",
                    input.len(),
                    found.len()
                ));
            }
        };
        if rows != batch {
            return refuse(format!(
                "Input batch size {batch} doesn't match hidden{which} batch size {rows}"
            ));
        }
        let features = found[found.len() - 1];
        if features != config.hidden_size {
            return refuse(format!(
                "hidden{which} has inconsistent hidden_size: got {features}, expected {}",
                config.hidden_size
            ));
        }
    }
    Ok(Checked { sizes: Sizes { seq_len: 1, batch }, unbatched })
}

/// Checks the number and the ranks of the states.
fn check_state_ranks(
    config: &Config,
    unbatched: bool,
    h_0: &[usize],
    c_0: Option<&[usize]>,
) -> Result<()> {
    let module = config.kind.module();
    let lstm = config.kind == Kind::Lstm;
    let (input, rank) = if unbatched { ("unbatched 2-D", 2) } else { ("batched 3-D", 3) };
    let message = match (lstm, c_0) {
        (true, None) => {
            return Err(Error::Option(format!(
                "{module}: expected the initial state (h_0, c_0), got h_0 only"
            )));
        }
        (false, Some(_)) => {
            return Err(Error::Option(format!(
                "{module}: expected the initial state h_0 only, got (h_0, c_0); \
                 only LSTM has a cell state"
            )));
        }
        (true, Some(c_0)) if h_0.len() != rank || c_0.len() != rank => format!(
            "For {input} input, hx and cx should also be {rank}-D but got ({}-D, {}-D) tensors",
            h_0.len(),
            c_0.len()
        ),
        (false, None) if h_0.len() != rank => {
            format!("For {input} input, hx should also be {rank}-D but got {}-D tensor", h_0.len())
        }
        _ => return Ok(()),
    };
    Err(Error::Shape(message))
}
