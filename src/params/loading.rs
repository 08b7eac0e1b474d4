//! Loading: the configuration of a module from the names and shapes in a state dict.

use super::module::{Parameter, Params, name, places};
use super::strict::{Rest, dtype_problem, folding};
use crate::error::{Error, Result, StateDictProblem};
use crate::params::config::{Config, Kind};
use crate::params::state_dict::StateDict;
use crate::tensor::Tensor;

impl Params {
    /// Loads the module under `prefix` of a state dict (`encoder.rnn.`, or empty).
    ///
    /// Names and shapes give the module, its sizes, layers, directions, bias and projection. A
    /// state dict does not hold `nonlinearity`, `batch_first` and `dropout`: they get PyTorch's
    /// defaults, and [`with`](Self::with) changes them. A cell's names (`weight_ih` without `_l0`)
    /// make a module of one layer.
    ///
    /// The prefix owns every tensor below it, as in PyTorch's strict load: the module must use all
    /// of them, at every depth of names. An empty prefix owns the whole state dict.
    /// [`LoadOptions::allow_unused`](crate::LoadOptions::allow_unused) loads without the others.
    ///
    /// # Errors
    /// [`Error::NoRecurrentWeights`] when the prefix has no recurrent weights or their sizes make
    /// no module; [`Error::StateDict`] with every missing, unexpected, wrongly shaped or wrongly
    /// typed tensor.
    pub fn from_state_dict(state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::read(state_dict, prefix, false).map(|(params, _)| params)
    }

    /// Loads the module as [`from_state_dict`](Self::from_state_dict) does, and a note of the
    /// tensors below the prefix that it does not use. They are an error unless `allow_unused`.
    ///
    /// # Errors
    /// The errors of [`from_state_dict`](Self::from_state_dict).
    #[doc(hidden)]
    pub fn read(
        state_dict: &StateDict,
        prefix: &str,
        allow_unused: bool,
    ) -> Result<(Self, Option<String>)> {
        let get = |name: &str| state_dict.get(&format!("{prefix}{name}"));
        let cell = get("weight_ih_l0").is_none() && get("weight_ih").is_some();
        Self::load(state_dict, prefix, cell, Kind::module, allow_unused)
    }

    /// Loads the cell under `prefix` of a state dict: `weight_ih`, `weight_hh` and, with bias,
    /// `bias_ih` and `bias_hh`.
    ///
    /// An RNN cell gets the nonlinearity tanh, which [`with`](Self::with) changes.
    ///
    /// # Errors
    /// The errors of [`from_state_dict`](Self::from_state_dict). The names of a layer
    /// (`weight_ih_l0`) are unexpected.
    pub fn from_cell_state_dict(state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::read_cell(state_dict, prefix, false).map(|(params, _)| params)
    }

    /// Loads the cell as [`from_cell_state_dict`](Self::from_cell_state_dict) does, and the note of
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// The errors of [`from_state_dict`](Self::from_state_dict).
    #[doc(hidden)]
    pub fn read_cell(
        state_dict: &StateDict,
        prefix: &str,
        allow_unused: bool,
    ) -> Result<(Self, Option<String>)> {
        Self::load(state_dict, prefix, true, Kind::cell, allow_unused)
    }

    /// Loads a module with a cell's names or a layer's; `module` names it in errors.
    fn load(
        state_dict: &StateDict,
        prefix: &str,
        cell: bool,
        module: fn(Kind) -> &'static str,
        allow_unused: bool,
    ) -> Result<(Self, Option<String>)> {
        let config = infer(state_dict, prefix, cell, allow_unused)?;
        let note =
            check(state_dict, prefix, &config, cell, true, module(config.kind), allow_unused)?;
        let params = Self::from_fn(&config, |name, _| {
            let name = if cell { name.trim_end_matches("_l0") } else { name };
            state_dict.f32(&format!("{prefix}{name}"))
        })?;
        Ok((params, note))
    }
}

/// Reads the configuration from names (a cell's or those of layers) and shapes.
fn infer(state_dict: &StateDict, prefix: &str, cell: bool, allow_unused: bool) -> Result<Config> {
    let get = |name: &str| state_dict.get(&format!("{prefix}{name}"));
    let suffix = if cell { "" } else { "_l0" };
    let place = |stem: &str| format!("{stem}{suffix}");
    let refuse = |message: String| Err(Error::NoRecurrentWeights(message));

    let named = |stem: &str| format!("{prefix}{}", place(stem));
    let (Some(weight_ih), Some(weight_hh)) = (get(&place("weight_ih")), get(&place("weight_hh")))
    else {
        let lacks = |name: &str| get(name).is_none();
        if lacks("weight_ih_l0")
            && lacks("weight_hh_l0")
            && (!cell || (lacks("weight_ih") && lacks("weight_hh")))
        {
            return refuse(no_weights(state_dict, prefix));
        }
        // Without these two the sizes are unknown; the names can still be checked.
        let mut config = Config::new(Kind::Lstm, 1, 1);
        config.proj_size = usize::from(!cell && get("weight_hr_l0").is_some());
        claim(&mut config, state_dict, prefix, cell)?;
        let module = if cell { "RNNCell, LSTMCell or GRUCell" } else { "RNN, LSTM or GRU" };
        check(state_dict, prefix, &config, cell, false, module, allow_unused)?;
        return refuse(format!("{} or {} is missing", named("weight_ih"), named("weight_hh")));
    };
    let (&[rows, input_size], &[_, state_size]) = (weight_ih.shape(), weight_hh.shape()) else {
        return refuse(format!(
            "{} and {} must be matrices, found shapes {:?} and {:?}",
            named("weight_ih"),
            named("weight_hh"),
            weight_ih.shape(),
            weight_hh.shape()
        ));
    };
    // PyTorch's cells have no projection: their `weight_hr` is unexpected.
    let projection = if cell { None } else { get("weight_hr_l0") };
    let hidden_size = match projection.map(|p| p.shape()) {
        None => state_size,
        Some(&[_, hidden_size]) => hidden_size,
        Some(other) => {
            return refuse(format!(
                "{} must be a matrix, found shape {other:?}",
                named("weight_hr")
            ));
        }
    };
    if hidden_size == 0 || input_size == 0 {
        let which = if hidden_size == 0 { "hidden_size" } else { "input_size" };
        return refuse(format!(
            "{which} must be greater than zero: {} has shape {:?}, {} has shape {:?}",
            named("weight_ih"),
            weight_ih.shape(),
            named("weight_hh"),
            weight_hh.shape()
        ));
    }
    let kind = match rows / hidden_size {
        1 if rows == hidden_size => Kind::RnnTanh,
        3 if rows == 3 * hidden_size => Kind::Gru,
        4 if rows == 4 * hidden_size => Kind::Lstm,
        _ => {
            return refuse(format!(
                "{} has shape {:?} and {} has shape {:?}: the rows must be 1 (RNN), 3 (GRU) or 4 \
                 (LSTM) times hidden_size {hidden_size}",
                named("weight_ih"),
                weight_ih.shape(),
                named("weight_hh"),
                weight_hh.shape()
            ));
        }
    };
    let mut config = Config::new(kind, input_size, hidden_size);
    config.proj_size = projection.map_or(0, |_| state_size);
    claim(&mut config, state_dict, prefix, cell)?;
    config.validate()?;
    Ok(config)
}

/// Returns the weight (`[out_features, in_features]`) and the bias of the `nn.Linear` under
/// `prefix`.
///
/// # Errors
/// [`Error::StateDict`] with every problem: a missing weight, a bias of another length, a type that
/// cannot be loaded, and, unless `allow_unused`, any other tensor below the prefix.
pub(crate) fn load_linear(
    state_dict: &StateDict,
    prefix: &str,
    allow_unused: bool,
) -> Result<(Tensor, Option<Vec<f32>>)> {
    let known = ["weight", "bias"].map(|name| format!("{prefix}{name}"));
    check_weight(state_dict, prefix, "Linear", &known, allow_unused)?;
    let [weight, bias] = known;
    let bias = state_dict.get(&bias).map(|_| state_dict.f32(&bias)).transpose()?;
    Ok((state_dict.tensor(&weight)?, bias))
}

/// Returns the weight of the `nn.Embedding` under `prefix`, `[num_embeddings, embedding_dim]`.
///
/// # Errors
/// [`Error::StateDict`] with every problem: a missing weight, a type that cannot be loaded, and,
/// unless `allow_unused`, any other tensor below the prefix.
pub(crate) fn load_embedding(
    state_dict: &StateDict,
    prefix: &str,
    allow_unused: bool,
) -> Result<Tensor> {
    let known = [format!("{prefix}weight")];
    check_weight(state_dict, prefix, "Embedding", &known, allow_unused)?;
    state_dict.tensor(&known[0])
}

/// Checks that the tensors below `prefix` are those of `known`: a weight and, where the module may
/// have one, a bias of a value for each of its rows.
fn check_weight(
    state_dict: &StateDict,
    prefix: &str,
    module: &'static str,
    known: &[String],
    allow_unused: bool,
) -> Result<()> {
    let mut problems = Vec::new();
    let mut rows = None;
    for (at, name) in known.iter().enumerate() {
        let Some(entry) = state_dict.get(name) else {
            if at == 0 {
                problems.push(StateDictProblem::Missing { name: name.clone() });
            }
            continue;
        };
        if let Some(expected) = rows.filter(|expected| entry.shape() != [*expected]) {
            let (expected, found) = (vec![expected], entry.shape().to_vec());
            problems.push(StateDictProblem::WrongShape { name: name.clone(), expected, found });
        }
        problems.extend(dtype_problem(name, entry));
        rows = entry.shape().first().copied();
    }
    Rest::new(state_dict, prefix, known, allow_unused).accept(module, problems).map(drop)
}

/// Reads layers, directions and bias from the names. One tensor of a layer, direction or bias
/// claims all tensors of it; [`check`] then reports the missing ones.
fn claim(config: &mut Config, state_dict: &StateDict, prefix: &str, cell: bool) -> Result<()> {
    let any = |part: &str| state_dict.names_under(prefix).any(|n| n[prefix.len()..].contains(part));
    config.bias = any("bias_ih") || any("bias_hh");
    let peepholes = if cell { "weight_p" } else { "weight_p_l" };
    config.variant.peepholes = config.kind == Kind::Lstm && any(peepholes);
    if !cell {
        config.bidirectional = any("_reverse");
        let last =
            state_dict.names_under(prefix).filter_map(|name| layer_of(&name[prefix.len()..])).max();
        config.num_layers = last.unwrap_or(0).saturating_add(1);
    }
    // A stray name like weight_ih_l4000000000 must not make a list of that length.
    let names = state_dict.names_under(prefix).count();
    if config.num_layers > names {
        return Err(Error::NoRecurrentWeights(format!(
            "{} layers are named under the prefix '{prefix}', which has only {names} tensors",
            config.num_layers
        )));
    }
    Ok(())
}

/// Checks that the tensors below `prefix` are those of `config`, and returns a note of the others.
/// Shapes are checked only when `sized`: otherwise the sizes in `config` are unknown.
fn check(
    state_dict: &StateDict,
    prefix: &str,
    config: &Config,
    cell: bool,
    sized: bool,
    module: &'static str,
    allow_unused: bool,
) -> Result<Option<String>> {
    let mut problems = Vec::new();
    let mut known = Vec::new();
    for (layer, direction, role) in places(config) {
        let full = format!("{prefix}{}", name(role, layer, direction, cell));
        let expected = role.shape(config, layer);
        match state_dict.get(&full) {
            None => problems.push(StateDictProblem::Missing { name: full.clone() }),
            Some(entry) => {
                if sized && entry.shape() != expected {
                    let found = entry.shape().to_vec();
                    problems.push(StateDictProblem::WrongShape {
                        name: full.clone(),
                        expected,
                        found,
                    });
                }
                problems.extend(dtype_problem(&full, entry));
            }
        }
        known.push(full);
    }
    Rest::new(state_dict, prefix, &known, allow_unused).accept(module, problems)
}

/// Returns the `k` in `weight_ih_l{k}` and the other parameter names.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let name = name.strip_suffix("_reverse").unwrap_or(name);
    let (stem, layer) = name.rsplit_once("_l")?;
    Parameter::ALL.iter().any(|role| role.stem() == stem).then(|| layer.parse().ok())?
}

/// Returns the error text for a prefix without recurrent weights. It names the prefixes that have
/// some.
fn no_weights(state_dict: &StateDict, prefix: &str) -> String {
    let mut prefixes: Vec<&str> = state_dict
        .names()
        .filter_map(|name| {
            name.strip_suffix("weight_ih_l0").or_else(|| name.strip_suffix("weight_ih"))
        })
        .collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let advice = match prefixes.as_slice() {
        [] => "the file holds no recurrent weights at all".to_owned(),
        [""] => "the file's recurrent weights have no prefix".to_owned(),
        some => format!("recurrent weights are under: {}", some.join(", ")),
    };
    let folding = folding(state_dict, prefix);
    let advice = if folding.is_empty() { advice } else { folding.join("; ") };
    format!(
        "no recurrent weights (weight_ih_l0, weight_hh_l0, ...) under the prefix '{prefix}'; \
         {advice}"
    )
}
