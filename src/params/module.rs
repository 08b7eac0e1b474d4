//! The parameters of a module: their names, their shapes, and where they come from.

use crate::dtype::WeightType;
use crate::error::{Error, Result, StateDictProblem};
use crate::params::config::{Config, Kind};
use crate::params::random::Mt19937;
use crate::params::state_dict::StateDict;

/// The parameters of one direction of one layer, row-major, under PyTorch's names.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectionParams {
    /// `[G·H, I_k]`.
    pub weight_ih: Vec<f32>,
    /// `[G·H, R]`, R being `proj_size` or else H.
    pub weight_hh: Vec<f32>,
    /// `[G·H]`, empty without bias.
    pub bias_ih: Vec<f32>,
    /// `[G·H]`, empty without bias.
    pub bias_hh: Vec<f32>,
    /// `[proj_size, H]`, empty without projection.
    pub weight_hr: Vec<f32>,
}

/// All parameters of a module, together with the configuration that they imply.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Params};
/// let params = Params::init(&Config::gru(3, 4), 0)?;
/// assert_eq!(params.direction(0, 0).weight_ih.len(), 3 * 4 * 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    config: Config,
    directions: Vec<DirectionParams>,
}

/// The five tensors of one direction of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    WeightIh,
    WeightHh,
    BiasIh,
    BiasHh,
    WeightHr,
}

impl Role {
    /// In the order of `nn.Module.parameters()`.
    const ALL: [Self; 5] =
        [Self::WeightIh, Self::WeightHh, Self::BiasIh, Self::BiasHh, Self::WeightHr];

    const fn stem(self) -> &'static str {
        match self {
            Self::WeightIh => "weight_ih",
            Self::WeightHh => "weight_hh",
            Self::BiasIh => "bias_ih",
            Self::BiasHh => "bias_hh",
            Self::WeightHr => "weight_hr",
        }
    }

    fn exists(self, config: &Config) -> bool {
        match self {
            Self::WeightIh | Self::WeightHh => true,
            Self::BiasIh | Self::BiasHh => config.bias,
            Self::WeightHr => config.proj_size > 0,
        }
    }

    fn shape(self, config: &Config, layer: usize) -> Vec<usize> {
        let rows = config.gate_count() * config.hidden_size;
        match self {
            Self::WeightIh => vec![rows, config.layer_input_size(layer)],
            Self::WeightHh => vec![rows, config.state_size()],
            Self::BiasIh | Self::BiasHh => vec![rows],
            Self::WeightHr => vec![config.proj_size, config.hidden_size],
        }
    }
}

/// `weight_ih_l0`, `bias_hh_l1_reverse`, ...; without the suffix for a cell.
fn name(role: Role, layer: usize, direction: usize, cell: bool) -> String {
    if cell {
        return role.stem().to_owned();
    }
    let reverse = if direction == 1 { "_reverse" } else { "" };
    format!("{}_l{layer}{reverse}", role.stem())
}

/// The name and shape of every parameter of `config`, in the order of `nn.Module.parameters()`.
pub fn expected_parameters(config: &Config) -> Vec<(String, Vec<usize>)> {
    places(config)
        .map(|(layer, direction, role)| {
            (name(role, layer, direction, false), role.shape(config, layer))
        })
        .collect()
}

fn places(config: &Config) -> impl Iterator<Item = (usize, usize, Role)> + '_ {
    (0..config.num_layers).flat_map(move |layer| {
        (0..config.num_directions()).flat_map(move |direction| {
            Role::ALL
                .into_iter()
                .filter(move |role| role.exists(config))
                .map(move |role| (layer, direction, role))
        })
    })
}

impl Params {
    /// Fresh parameters: every one uniform in ±1/√H, as PyTorch initialises them.
    ///
    /// The values are those of `torch.manual_seed(seed)` followed by the module's constructor, bit for bit where PyTorch
    /// rounds as it does on Linux; see [`Mt19937::uniform`].
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration is out of range.
    pub fn init(config: &Config, seed: u64) -> Result<Self> {
        config.validate()?;
        Self::draw(config, &mut Mt19937::new(seed))
    }

    /// Fresh parameters from a generator that other modules have drawn from, and others will.
    pub(crate) fn draw(config: &Config, generator: &mut Mt19937) -> Result<Self> {
        let bound = (1.0 / (config.hidden_size as f64).sqrt()) as f32;
        Self::from_fn(config, |_, shape| {
            Ok(generator.uniform_vec(shape.iter().product(), -bound, bound))
        })
    }

    /// Parameters from a function of name and shape, called in the order of `nn.Module.parameters()`.
    ///
    /// # Errors
    /// Whatever `tensor` returns; [`Error::Config`] when the configuration is out of range;
    /// [`Error::TensorSize`] when a tensor has the wrong number of elements.
    pub fn from_fn(
        config: &Config,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        config.validate()?;
        let mut directions = Vec::new();
        for layer in 0..config.num_layers {
            for direction in 0..config.num_directions() {
                let mut get = |role: Role| -> Result<Vec<f32>> {
                    if !role.exists(config) {
                        return Ok(Vec::new());
                    }
                    let shape = role.shape(config, layer);
                    let data = tensor(&name(role, layer, direction, false), &shape)?;
                    let expected = shape.iter().product();
                    if data.len() == expected {
                        Ok(data)
                    } else {
                        Err(Error::TensorSize { found: data.len(), shape, expected })
                    }
                };
                directions.push(DirectionParams {
                    weight_ih: get(Role::WeightIh)?,
                    weight_hh: get(Role::WeightHh)?,
                    bias_ih: get(Role::BiasIh)?,
                    bias_hh: get(Role::BiasHh)?,
                    weight_hr: get(Role::WeightHr)?,
                });
            }
        }
        Ok(Self { config: config.clone(), directions })
    }

    /// What a device computes with that stores weights in this type: the weights rounded to it, biases as they are.
    ///
    /// # Errors
    /// [`Error::Option`] naming the tensors whose weights the type cannot hold.
    pub fn rounded(&self, weights: WeightType) -> Result<Self> {
        weights.check(self.named())?;
        let mut values = self.values();
        Self::from_fn(&self.config, |name, _| {
            let values = values.next().unwrap_or_default().iter();
            Ok(values
                .map(|&value| if name.contains("bias") { value } else { weights.round(value) })
                .collect())
        })
    }

    /// The module under `prefix` of a state dict (`encoder.rnn.`, or empty).
    ///
    /// Module, sizes, layers, directions, bias and projection are read off names and shapes. What a state dict
    /// cannot tell (`nonlinearity`, `batch_first`, `dropout`) has PyTorch's default and is changed with
    /// [`with`](Self::with). Names of a cell (`weight_ih` without `_l0`) are taken as those of a single layer.
    ///
    /// # Errors
    /// [`Error::NoRecurrentWeights`] when there is nothing to load under the prefix or the sizes make no module,
    /// [`Error::StateDict`] listing every missing, unexpected, wrongly shaped or wrongly typed tensor.
    pub fn from_state_dict(state_dict: &StateDict, prefix: &str) -> Result<Self> {
        let get = |name: &str| state_dict.get(&format!("{prefix}{name}"));
        let cell = get("weight_ih_l0").is_none() && get("weight_ih").is_some();
        Self::load(state_dict, prefix, cell, Kind::module)
    }

    /// The cell under `prefix` of a state dict: `weight_ih`, `weight_hh` and, unless it has no bias, `bias_ih` and `bias_hh`.
    ///
    /// The nonlinearity of an RNN cell is tanh and is changed with [`with`](Self::with).
    ///
    /// # Errors
    /// As [`from_state_dict`](Self::from_state_dict); a layer's names (`weight_ih_l0`) are unexpected here.
    pub fn from_cell_state_dict(state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load(state_dict, prefix, true, Kind::cell)
    }

    /// Loads what has a cell's names or a layer's; `module` names it in errors.
    fn load(
        state_dict: &StateDict,
        prefix: &str,
        cell: bool,
        module: fn(Kind) -> &'static str,
    ) -> Result<Self> {
        let config = infer(state_dict, prefix, cell)?;
        let problems = problems(state_dict, prefix, &config, cell, true);
        if !problems.is_empty() {
            return Err(Error::StateDict { module: module(config.kind), problems });
        }
        Self::from_fn(&config, |name, _| {
            let name = if cell { name.trim_end_matches("_l0") } else { name };
            state_dict.f32(&format!("{prefix}{name}"))
        })
    }

    /// Changes what a state dict does not tell: the nonlinearity of an RNN, `batch_first`, `dropout`.
    ///
    /// # Errors
    /// [`Error::Config`] when the change touches anything that the parameters' shapes depend on, or is out of range.
    pub fn with(mut self, change: impl FnOnce(Config) -> Config) -> Result<Self> {
        let changed = change(self.config.clone());
        changed.validate()?;
        if expected_parameters(&changed) != expected_parameters(&self.config)
            || changed.kind.module() != self.config.kind.module()
        {
            return Err(Error::Config(format!(
                "these parameters are those of {:?}; only nonlinearity, batch_first and dropout can be changed, \
                 but {changed:?} was asked for",
                self.config
            )));
        }
        self.config = changed;
        Ok(self)
    }

    /// The configuration that these parameters belong to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters of `direction` (0 forward, 1 reverse) of `layer`.
    ///
    /// # Panics
    /// When the module has no such layer or direction.
    pub fn direction(&self, layer: usize, direction: usize) -> &DirectionParams {
        assert!(
            direction < self.config.num_directions(),
            "no direction {direction} in {:?}",
            self.config
        );
        &self.directions[layer * self.config.num_directions() + direction]
    }

    /// The values of every parameter, in the order of [`expected_parameters`].
    pub fn values(&self) -> impl Iterator<Item = &[f32]> {
        places(&self.config).map(|(layer, direction, role)| {
            let params = self.direction(layer, direction);
            match role {
                Role::WeightIh => params.weight_ih.as_slice(),
                Role::WeightHh => &params.weight_hh,
                Role::BiasIh => &params.bias_ih,
                Role::BiasHh => &params.bias_hh,
                Role::WeightHr => &params.weight_hr,
            }
        })
    }

    /// Every parameter under its name, in PyTorch's order.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &[f32])> {
        expected_parameters(&self.config).into_iter().map(|(name, _)| name).zip(self.values())
    }

    /// The names of tensors that hold a NaN or an infinity, which PyTorch loads without a word.
    pub fn non_finite(&self) -> Vec<String> {
        let bad = |(_, values): &(String, &[f32])| values.iter().any(|value| !value.is_finite());
        self.named().filter(bad).map(|(name, _)| name).collect()
    }
}

/// Reads the configuration off names, those of a cell or those of layers, and shapes.
fn infer(state_dict: &StateDict, prefix: &str, cell: bool) -> Result<Config> {
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
        // Without these two there are no sizes to hold the shapes against, but the names can be told.
        let mut config = Config::new(Kind::Lstm, 1, 1);
        config.proj_size = usize::from(!cell && get("weight_hr_l0").is_some());
        claim(&mut config, state_dict, prefix, cell)?;
        let problems = problems(state_dict, prefix, &config, cell, false);
        let module = if cell { "RNNCell, LSTMCell or GRUCell" } else { "RNN, LSTM or GRU" };
        return Err(Error::StateDict { module, problems });
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
    // No cell of PyTorch has a projection: there the tensor is one too many.
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
                "{} has shape {:?} and {} has shape {:?}: the rows must be 1 (RNN), 3 (GRU) or 4 (LSTM) times \
                 hidden_size {hidden_size}",
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

/// Reads layers, directions and bias off the names: any tensor of one claims that the whole of it exists, and what lacks
/// is then missing.
fn claim(config: &mut Config, state_dict: &StateDict, prefix: &str, cell: bool) -> Result<()> {
    let any = |part: &str| state_dict.names_under(prefix).any(|n| n[prefix.len()..].contains(part));
    config.bias = any("bias_ih") || any("bias_hh");
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

/// Everything wrong with the tensors under `prefix` as those of `config`; `sized` says whether its sizes are known.
fn problems(
    state_dict: &StateDict,
    prefix: &str,
    config: &Config,
    cell: bool,
    sized: bool,
) -> Vec<StateDictProblem> {
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
                if !entry.is_loadable() {
                    problems.push(StateDictProblem::Dtype {
                        name: full.clone(),
                        found: entry.dtype().to_string(),
                    });
                }
            }
        }
        known.push(full);
    }
    let unexpected =
        state_dict.names_under(prefix).filter(|name| !known.iter().any(|known| known == name));
    problems.extend(unexpected.map(|name| StateDictProblem::Unexpected { name: name.to_owned() }));
    problems
}

/// The k of `weight_ih_l{k}` and its siblings.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let name = name.strip_suffix("_reverse").unwrap_or(name);
    let (stem, layer) = name.rsplit_once("_l")?;
    Role::ALL.iter().any(|role| role.stem() == stem).then(|| layer.parse().ok())?
}

/// Says which prefixes would have found something.
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
    format!(
        "no recurrent weights (weight_ih_l0, weight_hh_l0, ...) under the prefix '{prefix}'; {advice}"
    )
}
