//! `wgpu-rnn run`.

use std::path::{Path, PathBuf};

use clap::Args;
use wgpu_rnn::internals::params::state_dict;
use wgpu_rnn::{Config, Error, Kind, Params, Rnn, State, StateDict, Tensor};

use crate::Outcome;
use crate::args::{self, ModuleArgs, OpenArgs, WeightsArgs};

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Read `input`, and optional `lengths`, `h0` and `c0`, from a file of safetensors or of
    /// torch.save.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Write `output`, `hn` and, for an LSTM, `cn` to a safetensors file.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
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

/// Loads the module that the arguments describe.
pub fn load(args: &WeightsArgs) -> Result<Params, Error> {
    let state_dict = args.key.open(&args.weights)?;
    let path = state_dict.path().display();
    let params = Params::from_state_dict(&state_dict, &args.prefix)?;
    if state_dict.get(&format!("{}weight_ih_l0", args.prefix)).is_none() {
        anstream::eprintln!(
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
                anstream::eprintln!(
                    "note: {} does not name the nonlinearity of its RNN: assumed tanh; \
                     --nonlinearity sets it",
                    path
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
    let bad = params.non_finite();
    if !bad.is_empty() {
        anstream::eprintln!("warning: NaN or infinity in the weights: {}", bad.join(", "));
    }
    params.with(|config: Config| {
        let mut config = config.batch_first(args.batch_first);
        config.kind = kind;
        config
    })
}

/// The content of an input file.
pub struct Input {
    pub input: Tensor,
    pub lengths: Option<Vec<usize>>,
    pub state: Option<State>,
}

impl Input {
    /// Reads `input`, and the optional `lengths`, `h0` and `c0`, for the module of `weights`.
    pub fn open(path: &Path, weights: &WeightsArgs) -> Result<Self, Error> {
        let file = StateDict::open(path)?;
        let unread: Vec<&str> =
            file.names().filter(|name| !["input", "lengths", "h0", "c0"].contains(name)).collect();
        if !unread.is_empty() {
            anstream::eprintln!(
                "note: {} also holds {}, not read here",
                path.display(),
                unread.join(", ")
            );
        }
        let optional = |name: &str| file.get(name).is_some().then(|| file.input(name)).transpose();
        let state = match (optional("h0")?, optional("c0")?) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::File {
                    path: path.to_owned(),
                    message: "there is c0, but no h0".to_owned(),
                });
            }
            (Some(h), c) => Some(State { h, c }),
        };
        let lengths = file.get("lengths").is_some().then(|| file.lengths()).transpose()?;
        let input = file.input("input")?;
        if input.shape().len() == 3 && !weights.batch_first {
            anstream::eprintln!(
                "note: {} does not name batch_first: assumed [T, B, features] for the input {:?}; \
                 --batch-first reads [B, T, features]",
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
    let params = load(&args.weights)?;
    let input = Input::open(&args.input, &args.weights)?;
    let device = args.open.open_one(&args.device)?;
    let rnn = Rnn::with_options(&device, &params, &args.module.options())?;
    if args.explain {
        let (seq_len, batch) = input.sizes(rnn.config());
        anstream::eprintln!("{}", rnn.explain_beside(&args::cpu()?, seq_len, batch)?);
    }
    let (output, state) = input.run(&rnn)?;
    let mut tensors = vec![("output", &output), ("hn", &state.h)];
    tensors.extend(state.c.as_ref().map(|c| ("cn", c)));
    state_dict::save(&args.output, &tensors)?;
    anstream::eprintln!(
        "{} {:?} -> {:?} on {device}, written to {}",
        params.config().kind.module(),
        input.input.shape(),
        output.shape(),
        args.output.display()
    );
    Ok(Outcome::Agreed)
}
