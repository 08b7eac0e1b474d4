//! ONNX models among the weights of commands.

use std::path::PathBuf;

use wgpu_rnn::internals::params::validate::whole_state;
use wgpu_rnn::onnx::{OnnxModel, OnnxNetwork};
use wgpu_rnn::{Error, State, StateDict, Tensor};

use crate::args::WeightsArgs;
use crate::terminal::message;

/// Opens an ONNX model; `None` for other files. `set` has the options that do not apply to one, and
/// whether they are set.
pub fn open(paths: &[PathBuf], set: &[(&str, bool)]) -> Result<Option<OnnxModel>, Error> {
    for path in paths {
        if !OnnxModel::is_model(path)? {
            continue;
        }
        let several = ("several files", paths.len() > 1);
        refuse("an ONNX model", &[set, &[several]].concat())?;
        return OnnxModel::open(path).map(Some);
    }
    Ok(None)
}

/// Loads the network that the arguments name; `None` for weights that are no ONNX model.
pub fn network(args: &WeightsArgs) -> Result<Option<OnnxNetwork>, Error> {
    let own = [
        ("--prefix", !args.prefix.is_empty()),
        ("--nonlinearity", args.nonlinearity.is_some()),
        ("--batch-first", args.batch_first),
    ];
    let set = [&own[..], &args.key.set(), &args.names.set()].concat();
    let Some(model) = open(&args.weights, &set)? else {
        refuse("a state dict", &[("--node", args.node.is_some())])?;
        return Ok(None);
    };
    let path = args.node.as_deref().unwrap_or_default();
    let network = if args.alone { model.layer(path) } else { model.network(path) };
    network.map(Some)
}

/// Returns the state and the lengths of a run: those of the input file, or those that the model
/// holds. `states` are h and c with their names in the file; each may be alone.
pub fn complete(
    network: &OnnxNetwork,
    file: &StateDict,
    states: [(&str, Option<Tensor>); 2],
    lengths: Option<Vec<usize>>,
) -> Result<(Option<State>, Option<Vec<usize>>), Error> {
    let [(name_h, h), (name_c, c)] = states;
    for (role, name) in &network.inputs {
        let (needed, advice) = match *role {
            "h_0" => (name_h, "give zeros for a first call"),
            "c_0" => (name_c, "give zeros for a first call"),
            role => (role, "give the number of steps for whole rows"),
        };
        if file.get(needed).is_none() {
            return Err(Error::File {
                path: file.path().to_owned(),
                message: format!(
                    "there is no {needed}, which the ONNX model reads from '{name}'; {advice}"
                ),
            });
        }
    }
    let (stored_h, stored_c) =
        network.state.clone().map_or((None, None), |state| (Some(state.h), state.c));
    for (role, name, both) in [
        ("h_0", name_h, h.is_some() && stored_h.is_some()),
        ("c_0", name_c, c.is_some() && stored_c.is_some()),
        ("lengths", "lengths", lengths.is_some() && network.lengths.is_some()),
    ] {
        // A part that the caller gives is zero in the model.
        if both && network.inputs.iter().all(|(given, _)| *given != role) {
            message!("note: {name} of the input file replaces the values that the model holds");
        }
    }
    let state = whole_state(network.params.config(), h.or(stored_h), c.or(stored_c))?;
    Ok((state, lengths.or_else(|| network.lengths.clone())))
}

/// Refuses options that are set and do not apply.
fn refuse(what: &str, set: &[(&str, bool)]) -> Result<(), Error> {
    let set: Vec<&str> = set.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    if set.is_empty() {
        return Ok(());
    }
    Err(Error::Option(format!("options that do not apply to {what}: {}", set.join(", "))))
}
