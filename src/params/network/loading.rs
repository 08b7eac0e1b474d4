//! Loading a network: names become values, and prefixes become parameters.

use std::collections::HashMap;

use super::conv::Conv1d;
use super::definition::{Module, Sequential};
use super::node::{Function, Node, Op, StepShape, Weights};
use super::{Graph, NetworkParams, shapes};
use crate::error::{Error, Result, StateDictProblem};
use crate::params::config::{Kind, Nonlinearity};
use crate::params::max_norm::MaxNorm;
use crate::params::state_dict::{Entry, StateDict};
use crate::params::strict::{Rest, dtype_problem};
use crate::params::{Config, Params};
use crate::tensor::Tensor;

/// The name of the input value.
const INPUT: &str = "input";

impl Sequential {
    /// Reads the parameters of the network from the tensors under `prefix` of a state dict. Each
    /// module's prefix follows it.
    ///
    /// The prefix owns every tensor below it, as in PyTorch's strict load: the modules must use all
    /// of them.
    ///
    /// # Errors
    /// [`Error::StateDict`] with every missing, unexpected, wrongly shaped or wrongly typed tensor;
    /// [`Error::Shape`] in PyTorch's words when a module does not fit the value before it;
    /// [`Error::Config`] for arguments out of range; [`Error::UnknownName`] for a name that no
    /// earlier value has; the errors of [`Params::from_state_dict`].
    pub fn read(&self, state_dict: &StateDict, prefix: &str) -> Result<NetworkParams> {
        self.read_with(state_dict, prefix, false)
    }

    /// Reads the parameters as [`read`](Self::read) does. Tensors that no module uses are an error
    /// unless `allow_unused`.
    pub(crate) fn read_with(
        &self,
        state_dict: &StateDict,
        prefix: &str,
        allow_unused: bool,
    ) -> Result<NetworkParams> {
        let mut loader = Loader {
            state_dict,
            root: prefix,
            allow_unused,
            known: Vec::new(),
            problems: Vec::new(),
            nodes: Vec::new(),
            weights: Vec::new(),
            input: self.input,
            names: HashMap::from([(INPUT.to_owned(), 0)]),
            named: vec![0],
            hidden: Vec::new(),
            memory: None,
            current: 0,
        };
        shapes::check_input(self.input)?;
        for module in &self.modules {
            // Without its weights a module has no sizes, and later modules have no input.
            let added = loader.add(module);
            if let Err(error) = added.and_then(|()| loader.check_value()) {
                if loader.problems.is_empty() {
                    return Err(error);
                }
                break;
            }
        }
        loader.resolve_hidden()?;
        let Loader { nodes, weights, known, problems, current, .. } = loader;
        // The modules after a problem were not read, so that other tensors may be theirs.
        let allow_unused = allow_unused || !problems.is_empty();
        let rest = Rest::new(state_dict, prefix, &known, allow_unused);
        rest.accept("Sequential", problems)?;
        if nodes.is_empty() {
            return Err(Error::Config("a network needs at least one module".to_owned()));
        }
        Ok(NetworkParams { graph: Graph { input: self.input, nodes, output: current }, weights })
    }
}

pub(super) struct Loader<'a> {
    state_dict: &'a StateDict,
    /// The prefix of the network, which comes before the prefix of each module.
    root: &'a str,
    allow_unused: bool,
    /// The tensors that modules use.
    pub(super) known: Vec<String>,
    problems: Vec<StateDictProblem>,
    pub(super) nodes: Vec<Node>,
    pub(super) weights: Vec<Weights>,
    input: StepShape,
    names: HashMap<String, usize>,
    /// The values that have names.
    pub(super) named: Vec<usize>,
    /// Nodes of hidden states, and the prefixes of their modules.
    pub(super) hidden: Vec<(usize, String)>,
    /// The value of the memory.
    pub(super) memory: Option<usize>,
    /// The value that the next module reads.
    pub(super) current: usize,
}

/// Returns the problem of a tensor with other axes.
fn shape_problem(name: &str, entry: &Entry, axes: Axes<'_>) -> Option<StateDictProblem> {
    let found = entry.shape();
    let fits = found.len() == axes.len()
        && axes.iter().zip(found).all(|(axis, &size)| axis.is_none_or(|axis| axis == size));
    let wanted = axes.iter().enumerate();
    let expected = wanted.map(|(at, axis)| axis.or(found.get(at).copied()).unwrap_or(1));
    (!fits).then(|| StateDictProblem::WrongShape {
        name: name.to_owned(),
        expected: expected.collect(),
        found: found.to_vec(),
    })
}

/// The axes of a tensor; `None` accepts any size.
pub(super) type Axes<'a> = &'a [Option<usize>];

impl Loader<'_> {
    fn add(&mut self, module: &Module) -> Result<()> {
        match module {
            Module::Linear { prefix } => {
                let (weight, bias) = self.weight_and_bias(prefix, &[None, None])?;
                shapes::positive("Linear", prefix, &weight)?;
                let (out, features) = (weight.shape()[0], weight.shape()[1]);
                let weights = Weights::Product { weight, bias };
                self.push(prefix, Op::Linear { features, out }, weights)
            }
            Module::Embedding { prefix, norm } => {
                let mut weight = self.required(prefix, "weight", &[None, None])?;
                shapes::positive("Embedding", prefix, &weight)?;
                let (tokens, features) = (weight.shape()[0], weight.shape()[1]);
                if let Some([max_norm, norm_type]) = *norm {
                    let norm = MaxNorm::new(max_norm, Some(norm_type))?;
                    norm.scale(weight.data_mut(), features, features);
                }
                self.push(prefix, Op::Embedding { tokens, features }, Weights::Table(weight))
            }
            Module::Rnn { prefix, cell, nonlinearity } => {
                let params = self.recurrent(prefix, *cell, *nonlinearity)?;
                let config = params.config().clone();
                self.push(prefix, Op::Rnn(config), Weights::Rnn(Box::new(params)))
            }
            Module::Conv1d { prefix, conv } => self.conv1d(prefix, *conv),
            Module::LayerNorm { prefix, eps } => self.layer_norm(prefix.as_deref(), *eps),
            Module::BatchNorm1d { prefix, eps } => self.batch_norm1d(prefix, *eps),
            Module::Function(function) => self.plain(name_of(*function), Op::Function(*function)),
            Module::Softmax { is_log } => {
                let label = if *is_log { "log_softmax" } else { "softmax" };
                self.plain(label, Op::Softmax { is_log: *is_log })
            }
            Module::Magnitude => self.plain("magnitude", Op::Magnitude),
            Module::Flatten => self.plain("flatten", Op::Flatten),
            Module::Unflatten(sizes) => {
                let shape = shapes::unflatten(self.shape(self.current), *sizes)?;
                self.push_shaped(
                    "unflatten",
                    Op::Unflatten,
                    vec![self.current],
                    shape,
                    Weights::None,
                );
                Ok(())
            }
            Module::Dropout(p) if (0.0..=1.0).contains(p) => Ok(()),
            Module::Dropout(p) => Err(Error::Config(format!(
                "dropout probability has to be between 0 and 1, but got {p}"
            ))),
            Module::Name(name) => self.name(name),
            Module::From(name) => {
                self.current = self.value(name)?;
                Ok(())
            }
            Module::Concat(names) => {
                let values =
                    names.iter().map(|name| self.value(name)).collect::<Result<Vec<_>>>()?;
                let shapes: Vec<_> = values.iter().map(|&value| self.shape(value)).collect();
                let shape = shapes::concat(&shapes)?;
                self.push_shaped("concat", Op::Concat, values, shape, Weights::None);
                Ok(())
            }
            Module::Attention(attention) => self.attention(attention),
            Module::Hidden(prefix) => self.hidden(prefix),
            Module::Add(name) => self.join("add", Op::Add, name),
            Module::Mul(name) => self.join("mul", Op::Mul, name),
        }
    }

    /// Checks the size of the current value.
    fn check_value(&self) -> Result<()> {
        let label = self.nodes.last().map_or(INPUT, |node| &node.label);
        shapes::check_count(label, self.shape(self.current))
    }

    /// Returns the shape of a value.
    pub(super) fn shape(&self, value: usize) -> StepShape {
        value.checked_sub(1).map_or(self.input, |node| self.nodes[node].shape)
    }

    fn value(&self, name: &str) -> Result<usize> {
        self.names.get(name).copied().ok_or_else(|| {
            let mut names: Vec<&str> = self.names.keys().map(String::as_str).collect();
            names.sort_unstable();
            Error::UnknownName(format!(
                "no earlier value has the name '{name}'; there are: {}",
                names.join(", ")
            ))
        })
    }

    fn name(&mut self, name: &str) -> Result<()> {
        let before = self.names.insert(name.to_owned(), self.current);
        if before.is_some_and(|before| before != self.current) {
            return Err(Error::Option(format!("two values have the name '{name}'")));
        }
        self.named.push(self.current);
        Ok(())
    }

    /// Adds a node that reads the current value.
    pub(super) fn push(&mut self, label: &str, op: Op, weights: Weights) -> Result<()> {
        let shape = shapes::of(&op, self.shape(self.current), label)?;
        self.push_shaped(label, op, vec![self.current], shape, weights);
        Ok(())
    }

    /// Adds a node without parameters that reads the current value.
    fn plain(&mut self, label: &str, op: Op) -> Result<()> {
        self.push(label, op, Weights::None)
    }

    pub(super) fn push_shaped(
        &mut self,
        label: &str,
        op: Op,
        inputs: Vec<usize>,
        shape: StepShape,
        weights: Weights,
    ) {
        self.nodes.push(Node { label: label.to_owned(), op, inputs, shape });
        self.weights.push(weights);
        self.current = self.nodes.len();
    }

    fn join(&mut self, label: &str, op: Op, name: &str) -> Result<()> {
        let other = self.value(name)?;
        let shape = shapes::join(self.shape(self.current), self.shape(other))?;
        self.push_shaped(label, op, vec![self.current, other], shape, Weights::None);
        Ok(())
    }

    /// Returns the name of a module's tensor in the state dict.
    pub(super) fn full(&self, prefix: &str, name: &str) -> String {
        format!("{}{prefix}{name}", self.root)
    }

    /// Returns the entry of a module's tensor.
    pub(super) fn entry(&self, prefix: &str, name: &str) -> Option<&Entry> {
        self.state_dict.get(&self.full(prefix, name))
    }

    /// Returns a tensor of a module, or notes what is wrong with it: it is missing, or has other
    /// axes or another type.
    pub(super) fn required(&mut self, prefix: &str, name: &str, axes: Axes<'_>) -> Result<Tensor> {
        let full = self.full(prefix, name);
        self.known.push(full.clone());
        let problems = self.problems.len();
        match self.state_dict.get(&full) {
            None => self.problems.push(StateDictProblem::Missing { name: full.clone() }),
            Some(entry) => {
                self.problems.extend(dtype_problem(&full, entry));
                self.problems.extend(shape_problem(&full, entry, axes));
            }
        }
        if self.problems.len() > problems {
            return Err(Error::Config(format!("{full} cannot be used")));
        }
        self.state_dict.tensor(&full)
    }

    /// Returns `weight`, with the axes `[out, ..]`, and `bias`, `[out]`; zeros without one.
    pub(super) fn weight_and_bias(
        &mut self,
        prefix: &str,
        axes: Axes<'_>,
    ) -> Result<(Tensor, Vec<f32>)> {
        let weight = self.required(prefix, "weight", axes)?;
        let bias = self.vector(prefix, "bias", weight.shape()[0], 0.0)?;
        Ok((weight, bias))
    }

    /// Returns a vector of a module, or `absent` where the state dict has none.
    pub(super) fn vector(
        &mut self,
        prefix: &str,
        name: &str,
        len: usize,
        absent: f32,
    ) -> Result<Vec<f32>> {
        if self.entry(prefix, name).is_some() {
            return self.required(prefix, name, &[Some(len)]).map(Tensor::into_data);
        }
        Ok(vec![absent; len])
    }

    fn recurrent(
        &mut self,
        prefix: &str,
        cell: bool,
        nonlinearity: Option<Nonlinearity>,
    ) -> Result<Params> {
        let full = self.full(prefix, "");
        self.known.extend(self.state_dict.names_under(&full).map(str::to_owned));
        let read = if cell { Params::read_cell } else { Params::read };
        let (params, _) = read(self.state_dict, &full, self.allow_unused)?;
        let Some(nonlinearity) = nonlinearity else { return Ok(params) };
        if !matches!(params.config().kind, Kind::RnnTanh | Kind::RnnRelu) {
            return Err(Error::Option(format!(
                "{prefix}: options that do not apply to {}: nonlinearity",
                params.config().kind.module()
            )));
        }
        params.with(|config| Config { kind: nonlinearity.into(), ..config })
    }

    fn conv1d(&mut self, prefix: &str, conv: Conv1d) -> Result<()> {
        conv.check()?;
        let (weight, bias) = self.weight_and_bias(prefix, &[None, None, None])?;
        shapes::positive("Conv1d", prefix, &weight)?;
        let over_time = matches!(self.shape(self.current), StepShape::Features(_));
        let &[out, channels, kernel] = weight.shape() else { unreachable!("three axes") };
        let op = Op::Conv1d { channels, out, kernel, conv, over_time };
        self.push(prefix, op, Weights::Product { weight, bias })
    }
}

const fn name_of(function: Function) -> &'static str {
    match function {
        Function::Relu => "relu",
        Function::LeakyRelu(_) => "leaky_relu",
        Function::Sigmoid => "sigmoid",
        Function::Tanh => "tanh",
        Function::Gelu => "gelu",
        Function::GeluTanh => "gelu_tanh",
        Function::Silu => "silu",
    }
}
