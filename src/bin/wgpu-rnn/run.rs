//! `wgpu-rnn run`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use wgpu_rnn::internals::params::state_dict::to_bytes;
use wgpu_rnn::onnx::OnnxNetwork;
use wgpu_rnn::{Config, Error, Kind, Params, Rnn, State, StateDict, Tensor};

use crate::Outcome;
use crate::args::{self, ModuleArgs, OpenArgs, TANH, TIME_FIRST, WeightsArgs, print_note};
use crate::onnx;
use crate::output::Destination;
use crate::terminal::message;

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Read `input`, and optional `lengths` and state, from a file of safetensors or of torch.save.
    /// The state is `h0` and, for an LSTM, `c0`; also `h_0 c_0`, `hn cn` or `h_n c_n`.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Write `output`, `hn` and, for an LSTM, `cn` to a safetensors file; - stands for stdout.
    #[arg(long, value_name = "FILE")]
    pub output: Destination,
    /// Use auto, cpu, an index from `devices`, or part of an adapter's name.
    #[arg(long, default_value = "auto")]
    pub device: String,
    #[command(flatten)]
    pub module: ModuleArgs,
    /// Explain the schedule, and whether the CPU would be faster.
    #[arg(long)]
    pub explain: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

/// Loads the network that the arguments describe.
pub fn load(args: &WeightsArgs) -> Result<OnnxNetwork, Error> {
    let network = match onnx::network(args)? {
        Some(network) => network,
        None => module(args)?.into(),
    };
    let bad = network.params.non_finite();
    if !bad.is_empty() {
        message!("warning: NaN or infinity in the weights: {}", bad.join(", "));
    }
    Ok(network)
}

/// Loads the module of a state dict.
fn module(args: &WeightsArgs) -> Result<Params, Error> {
    let state_dict = args.names.apply(args.key.open(&args.weights)?)?;
    let path = state_dict.path().display();
    let (params, note) = Params::read(&state_dict, &args.prefix, args.names.allow_unused)?;
    print_note(note);
    if state_dict.get(&format!("{}weight_ih_l0", args.prefix)).is_none() {
        message!(
            "note: {} holds {}'s weights, run here as a layer: a 2-D input is [T, I], \
             a loop over single rows",
            path,
            params.config().kind.cell()
        );
    }
    let rnn = params.config().kind.module() == "RNN";
    let kind = match &args.nonlinearity {
        None => {
            if rnn {
                message!(
                    "note: {path} does not name the nonlinearity: {TANH}; --nonlinearity sets it",
                );
            }
            params.config().kind
        }
        Some(nonlinearity) if rnn => Kind::rnn_with(nonlinearity)?,
        Some(_) => {
            return Err(Error::Option(format!(
                "--nonlinearity is for an RNN; {} holds the weights of {}",
                path,
                params.config().kind.module()
            )));
        }
    };
    params.with(|config: Config| {
        let mut config = config.batch_first(args.batch_first);
        config.kind = kind;
        config
    })
}

/// The names of an initial state. The last two are also those of results, which a run continues.
const STATES: [[&str; 2]; 4] = [["h0", "c0"], ["h_0", "c_0"], ["hn", "cn"], ["h_n", "c_n"]];

/// Returns the names of the initial state in an input file; `h0` and `c0` without one.
///
/// A case file has its expected results under the other names.
fn state_names(file: &StateDict) -> Result<[&'static str; 2], Error> {
    let is_case = file.metadata("format").is_some_and(|format| format.starts_with("rnncase"));
    let names = if is_case { &STATES[..1] } else { &STATES[..] };
    let there = |name: &&&str| file.get(name).is_some();
    let found: Vec<_> = names.iter().filter(|pair| pair.iter().any(|n| there(&n))).collect();
    let refuse = |message: String| Error::File { path: file.path().to_owned(), message };
    match found.as_slice() {
        [] => Ok(STATES[0]),
        [pair] if STATES[2..].contains(pair) && file.get("output").is_some() => {
            Err(refuse(format!(
                "there are output and {}, the results of a run: to continue from that state, \
             rename it to h0 and c0; otherwise remove it",
                pair[0]
            )))
        }
        [pair] => Ok(**pair),
        [first, second, ..] => {
            let name = |pair: &[&'static str; 2]| *pair.iter().find(there).unwrap_or(&pair[0]);
            Err(refuse(format!(
                "there are {} and {}, and both can be the initial state: keep one",
                name(first),
                name(second)
            )))
        }
    }
}

/// The content of an input file.
pub struct Input {
    pub input: Tensor,
    pub lengths: Option<Vec<usize>>,
    pub state: Option<State>,
}

impl Input {
    /// Reads `input`, and the optional `lengths` and state, for the network of `weights`.
    pub fn open(path: &Path, weights: &WeightsArgs, network: &OnnxNetwork) -> Result<Self, Error> {
        let file = StateDict::open(path)?;
        let state_names = state_names(&file)?;
        let unread: Vec<&str> = file
            .names()
            .filter(|name| !["input", "lengths"].contains(name) && !state_names.contains(name))
            .collect();
        if !unread.is_empty() {
            message!("note: {} also holds {}, not read here", path.display(), unread.join(", "));
        }
        let optional = |name: &str| file.get(name).is_some().then(|| file.input(name)).transpose();
        let [h, c] = state_names;
        let is_onnx = !network.nodes.is_empty();
        let (given_h, given_c) = (optional(h)?, optional(c)?);
        let given_lengths = file.get("lengths").is_some().then(|| file.lengths()).transpose()?;
        let (state, lengths) = if is_onnx {
            onnx::complete(network, &file, [(h, given_h), (c, given_c)], given_lengths)?
        } else {
            let state = match (given_h, given_c) {
                (None, None) => None,
                (None, Some(_)) => {
                    return Err(Error::File {
                        path: path.to_owned(),
                        message: format!("there is {c}, but no {h}"),
                    });
                }
                (Some(h), c) => Some(State { h, c }),
            };
            (state, given_lengths)
        };
        let input = file.input("input")?;
        if input.shape().len() == 3 && !weights.batch_first && !is_onnx {
            message!(
                "note: {} does not name batch_first: the input {:?} is {TIME_FIRST}",
                weights.weights[0].display(),
                input.shape()
            );
        }
        Ok(Self { input, lengths, state })
    }

    /// Returns T and B of an input with a valid shape.
    fn sizes(&self, config: &Config) -> (usize, usize) {
        match self.input.shape() {
            &[batch, seq_len, _] if config.batch_first => (seq_len, batch),
            &[seq_len, batch, _] => (seq_len, batch),
            shape => (shape.first().copied().unwrap_or_default(), 1),
        }
    }

    /// Runs `rnn` on the input.
    pub fn run(&self, rnn: &Rnn) -> Result<(Tensor, State), Error> {
        match &self.lengths {
            Some(lengths) => rnn.forward_lengths(&self.input, lengths, self.state.as_ref()),
            None => rnn.forward(&self.input, self.state.as_ref()),
        }
    }
}

pub fn run(args: &RunArgs) -> Result<Outcome, Error> {
    let input = ("--input", args.input.as_path());
    let read: Vec<_> = args.weights.files().chain([input]).collect();
    args.output.check("--output", &read)?;
    let network = load(&args.weights)?;
    let external: Vec<_> = network.files.iter().map(|file| ("--weights", file.as_path())).collect();
    args.output.check("--output", &external)?;
    let input = Input::open(&args.input, &args.weights, &network)?;
    let params = network.params;
    let device = args.open.open_one(&args.device)?;
    let rnn = Rnn::with_options(&device, &params, &args.module.options())?;
    if args.explain {
        let (seq_len, batch) = input.sizes(rnn.config());
        anstream::eprintln!("{}", rnn.explain_beside(&args::cpu()?, seq_len, batch)?);
    }
    let (output, state) = input.run(&rnn)?;
    let mut tensors = vec![("output", &output), ("hn", &state.h)];
    tensors.extend(state.c.as_ref().map(|c| ("cn", c)));
    args.output.write(&to_bytes(args.output.path(), &tensors, HashMap::new())?)?;
    message!(
        "{} {:?} -> {:?} on {device}, written to {}",
        params.config().kind.module(),
        input.input.shape(),
        output.shape(),
        args.output
    );
    Ok(Outcome::Agreed)
}
