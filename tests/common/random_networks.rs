//! Networks of random modules, with random weights.

use wgpu_rnn::internals::params::expected_parameters;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::network::{Conv1d, PaddingMode, Sequential, StepShape};
use wgpu_rnn::{Config, Error, Kind, Nonlinearity, StateDict, Tensor};

/// Rows of an embedding.
pub const TOKENS: usize = 11;

/// A definition with the weights that it names.
pub struct RandomNetwork {
    pub definition: Sequential,
    pub weights: StateDict,
}

/// A network that grows module by module.
struct Builder<'a> {
    random: &'a mut Mt19937,
    definition: Sequential,
    /// The shape of the value at its end.
    shape: StepShape,
    weights: Vec<(String, Tensor)>,
    /// The names of values with as many steps as the last one, and their shapes.
    names: Vec<(String, StepShape)>,
    modules: usize,
}

impl RandomNetwork {
    /// Draws a network of about `modules` modules.
    pub fn new(random: &mut Mt19937, modules: usize) -> Result<Self, Error> {
        let features = [1, 3, 4, 8, 12, 17][random.next_u32() as usize % 6];
        let shape = StepShape::Features(features);
        let mut builder = Builder {
            random,
            definition: Sequential::new(shape),
            shape,
            weights: Vec::new(),
            names: vec![("input".to_owned(), shape)],
            modules: 0,
        };
        if builder.pick(&[0, 0, 0, 1]) == 1 {
            builder.tokens(features)?;
        }
        while builder.modules < modules {
            builder.modules += 1;
            builder.add()?;
        }
        let Builder { definition, weights, .. } = builder;
        let tensors = weights.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let weights = StateDict::from_tensors(tensors)?;
        Ok(Self { definition, weights })
    }
}

impl Builder<'_> {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.next_u32() as usize % from.len()]
    }

    /// Adds random weights; small ones keep long chains finite.
    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<(), Error> {
        let values = self.random.uniform_vec(shape.iter().product(), -0.5, 0.5);
        self.weights.push((name.to_owned(), Tensor::new(shape, values)?));
        Ok(())
    }

    /// Adds a module of the definition, which leaves values of a shape.
    fn then(&mut self, shape: StepShape, with: impl FnOnce(Sequential) -> Sequential) {
        let definition = std::mem::replace(&mut self.definition, Sequential::new(shape));
        self.definition = with(definition);
        self.shape = shape;
    }

    fn prefix(&self) -> String {
        format!("{}.", self.modules)
    }

    /// The features or channels of a step, and its positions.
    fn sizes(&self) -> (usize, usize) {
        match self.shape {
            StepShape::Channels([channels, length]) => (channels, length),
            StepShape::Features(features) => (features, 1),
            other => unreachable!("{other:?} is not embedded"),
        }
    }

    fn with_channels(&self, channels: usize) -> StepShape {
        match self.shape {
            StepShape::Channels([_, length]) => StepShape::Channels([channels, length]),
            _ => StepShape::Features(channels),
        }
    }

    /// Starts anew with an embedding.
    fn tokens(&mut self, features: usize) -> Result<(), Error> {
        (self.definition, self.names) = (Sequential::tokens(), Vec::new());
        self.weight("0.weight", &[TOKENS, features])?;
        self.then(StepShape::Features(features), |network| network.embedding("0."));
        Ok(())
    }

    fn add(&mut self) -> Result<(), Error> {
        let is_flat = matches!(self.shape, StepShape::Features(_));
        match self.pick(&[0, 1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9]) {
            0 if is_flat => self.linear(),
            1 => {
                self.function();
                Ok(())
            }
            2 => {
                let is_log = self.pick(&[false, true]);
                let softmax = if is_log { Sequential::log_softmax } else { Sequential::softmax };
                self.then(self.shape, softmax);
                Ok(())
            }
            3 => self.layer_norm(),
            4 => self.batch_norm(),
            5 => self.conv1d(),
            6 if is_flat => self.recurrent(),
            7 => {
                self.reshape();
                Ok(())
            }
            8 => {
                self.join();
                Ok(())
            }
            9 if self.sizes().0.is_multiple_of(2) => {
                self.then(self.with_channels(self.sizes().0 / 2), Sequential::magnitude);
                Ok(())
            }
            _ => self.conv1d(),
        }
    }

    fn linear(&mut self) -> Result<(), Error> {
        let (features, out) = (self.sizes().0, self.pick(&[1, 2, 6, 16, 33, 70]));
        let prefix = self.prefix();
        self.weight(&format!("{prefix}weight"), &[out, features])?;
        if self.pick(&[false, true]) {
            self.weight(&format!("{prefix}bias"), &[out])?;
        }
        self.then(StepShape::Features(out), |network| network.linear(&prefix));
        Ok(())
    }

    fn function(&mut self) {
        let function = self.pick(&[0, 1, 2, 3, 4, 5, 6]);
        self.then(self.shape, |network| match function {
            0 => network.relu(),
            1 => network.leaky_relu(0.1),
            2 => network.sigmoid(),
            3 => network.tanh(),
            4 => network.gelu(),
            5 => network.gelu_tanh(),
            _ => network.silu(),
        });
    }

    fn layer_norm(&mut self) -> Result<(), Error> {
        let features = match self.shape {
            StepShape::Channels([_, length]) => length,
            _ => self.sizes().0,
        };
        let prefix = self.prefix();
        let named = self.pick(&[false, true]).then_some(prefix.as_str());
        if named.is_some() {
            self.weight(&format!("{prefix}weight"), &[features])?;
            self.weight(&format!("{prefix}bias"), &[features])?;
        }
        self.then(self.shape, |network| network.layer_norm(named, 1e-3));
        Ok(())
    }

    fn batch_norm(&mut self) -> Result<(), Error> {
        let (channels, prefix) = (self.sizes().0, self.prefix());
        for name in ["weight", "bias", "running_mean"] {
            self.weight(&format!("{prefix}{name}"), &[channels])?;
        }
        let variance = self.random.uniform_vec(channels, 0.5, 2.0);
        self.weights.push((format!("{prefix}running_var"), Tensor::new([channels], variance)?));
        self.then(self.shape, |network| network.batch_norm1d(&prefix, 1e-5));
        Ok(())
    }

    /// A convolution over time, or inside the step. Few steps may be too few for it.
    fn conv1d(&mut self) -> Result<(), Error> {
        let (channels, length) = self.sizes();
        let over_time = matches!(self.shape, StepShape::Features(_));
        let groups: Vec<usize> =
            [1, 1, 2, 3, channels].into_iter().filter(|g| channels % g == 0).collect();
        let (groups, each) = (self.pick(&groups), self.pick(&[1, 2, 5]));
        let kernel = self.pick(&[1, 2, 3, 3]);
        let dilation = if kernel > 1 { self.pick(&[1, 1, 2]) } else { 1 };
        let reach = dilation * (kernel - 1);
        // Paddings that every mode accepts, and as many positions as the kernel needs.
        let length = if over_time { 1 } else { length };
        let side = reach.min(length - 1);
        let causal = self.pick(&[true, false]) || length + 2 * side <= reach;
        let stride = self.pick(&[1, 1, 2]);
        let conv = Conv1d::new().stride(stride).dilation(dilation).groups(groups);
        let conv = if causal {
            conv.causal()
        } else {
            let mode = self.pick(&[
                PaddingMode::Zeros,
                PaddingMode::Reflect,
                PaddingMode::Replicate,
                PaddingMode::Circular,
            ]);
            conv.padding(side).padding_mode(mode)
        };
        let prefix = self.prefix();
        self.weight(&format!("{prefix}weight"), &[groups * each, channels / groups, kernel])?;
        self.weight(&format!("{prefix}bias"), &[groups * each])?;
        let left = if causal { reach } else { 2 * side };
        let shape = match self.shape {
            StepShape::Channels(_) => {
                StepShape::Channels([groups * each, (length + left - reach - 1) / stride + 1])
            }
            _ => StepShape::Features(groups * each),
        };
        self.then(shape, |network| network.conv1d(&prefix, conv));
        if over_time {
            // Values before it have other steps.
            self.names.clear();
        }
        Ok(())
    }

    fn recurrent(&mut self) -> Result<(), Error> {
        let kind = Kind::ALL[self.pick(&[0, 1, 2, 3])];
        let hidden_size = self.pick(&[2, 5, 9, 33]);
        let proj_size = if kind == Kind::Lstm { self.pick(&[0, 0, 1]) } else { 0 };
        let config = Config::new(kind, self.sizes().0, hidden_size)
            .num_layers(self.pick(&[1, 1, 2]))
            .bidirectional(self.pick(&[false, true]))
            .proj_size(proj_size);
        let prefix = self.prefix();
        for (name, shape) in expected_parameters(&config) {
            self.weight(&format!("{prefix}{name}"), &shape)?;
        }
        let relu = kind == Kind::RnnRelu;
        self.then(StepShape::Features(config.output_size()), |network| match relu {
            true => network.rnn_with(&prefix, Nonlinearity::Relu),
            false => network.rnn(&prefix),
        });
        Ok(())
    }

    /// Makes channels of features where there are enough, and features of channels.
    fn reshape(&mut self) {
        match self.shape {
            StepShape::Features(features) => {
                let lengths = [2, 3, 4, 5, 7].into_iter().filter(|length| features % length == 0);
                let lengths: Vec<usize> = lengths.chain([features]).collect();
                let length = self.pick(&lengths);
                let channels = features / length;
                self.then(StepShape::Channels([channels, length]), |network| {
                    network.unflatten(channels, length)
                });
            }
            _ => {
                let (channels, length) = self.sizes();
                self.then(StepShape::Features(channels * length), Sequential::flatten);
            }
        }
    }

    /// Joins the value with an earlier one of its shape, or names it.
    fn join(&mut self) {
        let shape = self.shape;
        let alike = self.names.iter().filter(|(_, of)| *of == shape);
        let alike: Vec<String> = alike.map(|(name, _)| name.clone()).collect();
        let name = format!("value {}", self.modules);
        self.then(shape, |network| network.name(&name));
        self.names.push((name.clone(), shape));
        if alike.is_empty() {
            return self.function();
        }
        let other = &alike[self.random.next_u32() as usize % alike.len()];
        match self.pick(&[0, 1, 2]) {
            0 => self.then(shape, |network| network.add(other)),
            1 => self.then(shape, |network| network.mul(other)),
            _ => {
                let channels = 2 * self.sizes().0;
                let names = [name.as_str(), other.as_str()];
                self.then(self.with_channels(channels), |network| network.concat(names));
            }
        }
    }
}
