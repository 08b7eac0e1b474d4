//! The parameters of a module: their names, their shapes, and their sources.

use crate::dtype::{WeightType, is_stored};
use crate::error::{Error, Result};
use crate::params::config::Config;
use crate::params::random::Mt19937;
use crate::tensor::room;

/// The parameters of one direction of one layer, row-major, under PyTorch's names.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectionParams {
    /// `[G·H, I_k]`.
    pub weight_ih: Vec<f32>,
    /// `[G·H, R]`; R is `proj_size`, or H without a projection.
    pub weight_hh: Vec<f32>,
    /// `[G·H]`, empty without bias.
    pub bias_ih: Vec<f32>,
    /// `[G·H]`, empty without bias.
    pub bias_hh: Vec<f32>,
    /// `[proj_size, H]`, empty without projection.
    pub weight_hr: Vec<f32>,
    /// `[3·H]`: the weights of the cell state in i, f and o, empty without peepholes.
    pub weight_p: Vec<f32>,
}

/// All parameters of a module, with the configuration that they imply.
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

/// The six tensors of one direction of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    WeightIh,
    WeightHh,
    BiasIh,
    BiasHh,
    WeightHr,
    WeightP,
}

impl Parameter {
    /// Every tensor, in the order of `nn.Module.parameters()`.
    pub(super) const ALL: [Self; 6] =
        [Self::WeightIh, Self::WeightHh, Self::BiasIh, Self::BiasHh, Self::WeightHr, Self::WeightP];

    pub(super) const fn stem(self) -> &'static str {
        match self {
            Self::WeightIh => "weight_ih",
            Self::WeightHh => "weight_hh",
            Self::BiasIh => "bias_ih",
            Self::BiasHh => "bias_hh",
            Self::WeightHr => "weight_hr",
            Self::WeightP => "weight_p",
        }
    }

    fn exists(self, config: &Config) -> bool {
        match self {
            Self::WeightIh | Self::WeightHh => true,
            Self::BiasIh | Self::BiasHh => config.bias,
            Self::WeightHr => config.proj_size > 0,
            Self::WeightP => config.variant.peepholes,
        }
    }

    pub(super) fn shape(self, config: &Config, layer: usize) -> Vec<usize> {
        let rows = config.gate_count() * config.hidden_size;
        match self {
            Self::WeightIh => vec![rows, config.layer_input_size(layer)],
            Self::WeightHh => vec![rows, config.state_size()],
            Self::BiasIh | Self::BiasHh => vec![rows],
            Self::WeightHr => vec![config.proj_size, config.hidden_size],
            Self::WeightP => vec![3 * config.hidden_size],
        }
    }
}

/// Returns `weight_ih_l0`, `bias_hh_l1_reverse` and so on; without the suffix for a cell.
pub(super) fn name(role: Parameter, layer: usize, direction: usize, cell: bool) -> String {
    if cell {
        return role.stem().to_owned();
    }
    let reverse = if direction == 1 { "_reverse" } else { "" };
    format!("{}_l{layer}{reverse}", role.stem())
}

/// Returns the name and shape of every parameter of `config`, in the order of
/// `nn.Module.parameters()`.
pub fn expected_parameters(config: &Config) -> Vec<(String, Vec<usize>)> {
    places(config)
        .map(|(layer, direction, role)| {
            (name(role, layer, direction, false), role.shape(config, layer))
        })
        .collect()
}

pub(super) fn places(config: &Config) -> impl Iterator<Item = (usize, usize, Parameter)> + '_ {
    (0..config.num_layers).flat_map(move |layer| {
        (0..config.num_directions()).flat_map(move |direction| {
            Parameter::ALL
                .into_iter()
                .filter(move |role| role.exists(config))
                .map(move |role| (layer, direction, role))
        })
    })
}

impl Params {
    /// Returns fresh parameters: every value uniform in ±1/√H, as in PyTorch.
    ///
    /// The values are those of `torch.manual_seed(seed)` followed by the module's constructor. They
    /// are equal bit for bit where PyTorch rounds as on Linux; see [`Mt19937::uniform`].
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration is out of range; [`Error::OutOfMemory`] when the
    /// host's memory does not hold the parameters.
    pub fn init(config: &Config, seed: u64) -> Result<Self> {
        config.validate()?;
        Self::draw(config, &mut Mt19937::new(seed))
    }

    /// Draws fresh parameters from a generator that other modules use too.
    pub(crate) fn draw(config: &Config, generator: &mut Mt19937) -> Result<Self> {
        let bound = (1.0 / (config.hidden_size as f64).sqrt()) as f32;
        Self::from_fn(config, |name, shape| {
            let count = shape.iter().product();
            room(count, name)?;
            Ok(generator.uniform_vec(count, -bound, bound))
        })
    }

    /// Returns parameters from a function of name and shape, called in the order of
    /// `nn.Module.parameters()`.
    ///
    /// # Errors
    /// The errors of `tensor`; [`Error::Config`] when the configuration is out of range;
    /// [`Error::TensorSize`] when a tensor has the wrong number of elements.
    pub fn from_fn(
        config: &Config,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        config.validate()?;
        let mut directions = Vec::new();
        for layer in 0..config.num_layers {
            for direction in 0..config.num_directions() {
                let mut get = |role: Parameter| -> Result<Vec<f32>> {
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
                    weight_ih: get(Parameter::WeightIh)?,
                    weight_hh: get(Parameter::WeightHh)?,
                    bias_ih: get(Parameter::BiasIh)?,
                    bias_hh: get(Parameter::BiasHh)?,
                    weight_hr: get(Parameter::WeightHr)?,
                    weight_p: get(Parameter::WeightP)?,
                });
            }
        }
        Ok(Self { config: config.clone(), directions })
    }

    /// Returns the parameters that a device with this weight type computes with: weights rounded to
    /// the type, and biases and peepholes unchanged.
    ///
    /// # Errors
    /// [`Error::Option`] with the names of tensors whose weights the type cannot hold.
    pub fn rounded(&self, weights: WeightType) -> Result<Self> {
        weights.check(self.named())?;
        let mut values = self.values();
        Self::from_fn(&self.config, |name, shape| {
            room(shape.iter().product(), name)?;
            let values = values.next().unwrap_or_default().iter();
            Ok(values
                .map(|&value| if is_stored(name) { weights.round(value) } else { value })
                .collect())
        })
    }

    /// Changes the arguments that a state dict does not hold: the nonlinearity of an RNN,
    /// `batch_first`, `dropout`, `reverse`, and the variant of the cell but for its peepholes.
    ///
    /// # Errors
    /// [`Error::Config`] when the change is out of range, or alters the parameters' names or
    /// shapes.
    pub fn with(mut self, change: impl FnOnce(Config) -> Config) -> Result<Self> {
        self.config = self.configured(change)?;
        Ok(self)
    }

    /// Returns the changed configuration; see [`with`](Self::with).
    pub(crate) fn configured(&self, change: impl FnOnce(Config) -> Config) -> Result<Config> {
        let changed = change(self.config.clone());
        changed.validate()?;
        if expected_parameters(&changed) != expected_parameters(&self.config)
            || changed.kind.module() != self.config.kind.module()
        {
            return Err(Error::Config(format!(
                "these parameters belong to {:?}; only nonlinearity, batch_first, dropout, reverse \
                 and the variant without peepholes can be changed, but {changed:?} was asked for",
                self.config
            )));
        }
        Ok(changed)
    }

    /// Returns the configuration of these parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the parameters of `direction` (0 forward, 1 reverse) of `layer`.
    ///
    /// # Panics
    /// When the module has no such layer or direction.
    #[doc(hidden)]
    pub fn direction(&self, layer: usize, direction: usize) -> &DirectionParams {
        assert!(
            direction < self.config.num_directions(),
            "no direction {direction} in {:?}",
            self.config
        );
        &self.directions[layer * self.config.num_directions() + direction]
    }

    /// Returns the values of every parameter, in the order of [`expected_parameters`].
    #[doc(hidden)]
    pub fn values(&self) -> impl Iterator<Item = &[f32]> {
        places(&self.config).map(|(layer, direction, role)| {
            let params = self.direction(layer, direction);
            match role {
                Parameter::WeightIh => params.weight_ih.as_slice(),
                Parameter::WeightHh => &params.weight_hh,
                Parameter::BiasIh => &params.bias_ih,
                Parameter::BiasHh => &params.bias_hh,
                Parameter::WeightHr => &params.weight_hr,
                Parameter::WeightP => &params.weight_p,
            }
        })
    }

    /// Returns every parameter with its name, in PyTorch's order.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &[f32])> {
        expected_parameters(&self.config).into_iter().map(|(name, _)| name).zip(self.values())
    }

    /// Returns the names of tensors that hold a NaN or an infinity, which PyTorch loads without a
    /// warning.
    pub fn non_finite(&self) -> Vec<String> {
        let bad = |(_, values): &(String, &[f32])| values.iter().any(|value| !value.is_finite());
        self.named().filter(bad).map(|(name, _)| name).collect()
    }
}
