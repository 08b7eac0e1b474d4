//! Networks: the modules around recurrent layers, as a chain with named values.

mod attending;
mod attention;
pub(crate) mod conv;
mod definition;
mod loading;
pub(crate) mod node;
mod norms;
mod shapes;

pub use attention::Attention;
pub use conv::{Conv1d, PaddingMode};
pub use definition::Sequential;
pub use node::{Function, Node, Op, StepShape, Weights};

use crate::error::{Error, Result};
use crate::params::config::Kind;

/// A network with its parameters in host memory.
///
/// [`Sequential::read`] reads one, and [`Network::new`](crate::network::Network::new) uploads it.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkParams {
    graph: Graph,
    /// The parameters of each node.
    weights: Vec<Weights>,
}

impl NetworkParams {
    /// Returns the shape of a step of the input.
    pub fn input(&self) -> StepShape {
        self.graph.input
    }

    /// Returns the shape of a step of the output.
    pub fn output(&self) -> StepShape {
        self.graph.shape(self.graph.output)
    }

    /// Returns the operations and their sizes.
    #[doc(hidden)]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the name and the values of each weight that a device may store as another type.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &[f32])> {
        self.graph.nodes.iter().zip(&self.weights).flat_map(|(node, weights)| {
            let name = |name: &str| format!("{}{name}", node.label);
            match weights {
                Weights::Product { weight, .. } | Weights::Table(weight) => {
                    vec![(name("weight"), weight.data())]
                }
                Weights::Rnn(params) => {
                    params.named().map(|(of, values)| (name(&of), values)).collect()
                }
                Weights::None | Weights::Vectors { .. } => Vec::new(),
            }
        })
    }

    /// Returns the parameters of each node.
    #[doc(hidden)]
    pub fn weights(&self) -> &[Weights] {
        &self.weights
    }
}

/// The operations of a network in their order, without their parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The shape of a step of the input.
    pub input: StepShape,
    /// The operations.
    pub nodes: Vec<Node>,
    /// The value that is the output: 0 for the input, n + 1 for node n.
    pub output: usize,
}

impl Graph {
    /// Returns the shape of a step of a value.
    pub fn shape(&self, value: usize) -> StepShape {
        value.checked_sub(1).map_or(self.input, |node| self.nodes[node].shape)
    }

    /// Returns the time steps of each value of a network that reads `steps`, and attends a memory
    /// of `memory` steps.
    ///
    /// # Errors
    /// [`Error::Shape`] in PyTorch's words where a convolution has too few steps, and where joined
    /// values differ in steps.
    pub(crate) fn steps(&self, steps: usize, memory: usize) -> Result<Vec<usize>> {
        let mut of_values = vec![steps];
        for node in &self.nodes {
            let of_input = node.inputs.first().map_or(steps, |&value| of_values[value]);
            let other = node.inputs.iter().map(|&value| of_values[value]).find(|&s| s != of_input);
            of_values.push(match (&node.op, other) {
                (Op::Memory, _) => memory,
                (Op::Attend { .. }, _) | (_, None) => match &node.op {
                    Op::Conv1d { kernel, conv, over_time: true, .. } => conv
                        .output_length(of_input, *kernel)
                        .map_err(|error| Error::Shape(format!("{}: {error}", node.label)))?,
                    _ => of_input,
                },
                (_, Some(other)) => {
                    return Err(Error::Shape(format!(
                        "{}: The size of tensor a ({of_input}) must match the size of tensor b \
                         ({other}) at the dimension of time",
                        node.label
                    )));
                }
            });
        }
        Ok(of_values)
    }

    /// Returns the features of the memory that the network attends.
    pub(crate) fn memory(&self) -> Option<usize> {
        let memory = self.nodes.iter().find(|node| node.op == Op::Memory);
        memory.map(|node| node.shape.count())
    }

    /// Returns, for each node, whether its value depends on the memory alone.
    pub(crate) fn of_memory(&self) -> Vec<bool> {
        let mut of_values = vec![false];
        for node in &self.nodes {
            let depends = !node.inputs.is_empty() && node.inputs.iter().all(|&v| of_values[v]);
            of_values.push(depends || node.op == Op::Memory);
        }
        of_values.split_off(1)
    }

    /// Returns whether the network runs step by step: a step reads what the step before it left, or
    /// attends a memory.
    pub(crate) fn is_stepwise(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.op, Op::Hidden(_) | Op::Memory))
    }

    /// Returns the parts of one row's states, by their names, and the values of each: h, and c of
    /// an LSTM, of each layer, and the steps that causal convolutions keep.
    pub(crate) fn state_parts(&self) -> Vec<(String, usize)> {
        let mut parts = Vec::new();
        for Node { label, op, .. } in &self.nodes {
            match op {
                Op::Rnn(config) => {
                    for layer in 0..config.num_layers {
                        let directions = config.num_directions();
                        parts
                            .push((format!("{label}h_l{layer}"), directions * config.state_size()));
                        if config.kind == Kind::Lstm {
                            let cells = directions * config.hidden_size;
                            parts.push((format!("{label}c_l{layer}"), cells));
                        }
                    }
                }
                Op::Conv1d { channels, kernel, conv, over_time: true, .. }
                    if conv.streams(*kernel) && conv.reach(*kernel) > 0 =>
                {
                    let values = conv.reach(*kernel).saturating_mul(channels * conv.groups);
                    parts.push((format!("{label}history"), values));
                }
                _ => {}
            }
        }
        parts
    }

    /// Returns the values of one row's states.
    pub(crate) fn state_size(&self) -> usize {
        self.state_parts().iter().fold(0, |sum, (_, values)| sum.saturating_add(*values))
    }

    /// Returns the input steps of each output step of a network that can run piece by piece.
    ///
    /// # Errors
    /// [`Error::Option`] that names a module whose results depend on later steps.
    pub(crate) fn stride(&self) -> Result<usize> {
        let refuse = |label: &str, reason: &str| {
            Err(Error::Option(format!(
                "this network cannot run piece by piece: {label} {reason}; use forward() on whole \
                 sequences"
            )))
        };
        let mut strides = vec![1_usize];
        for Node { label, op, inputs, .. } in &self.nodes {
            let stride = inputs.first().map_or(1, |&value| strides[value]);
            if inputs.iter().any(|&value| strides[value] != stride) {
                return refuse(label, "joins values of different strides");
            }
            strides.push(match op {
                Op::Rnn(config) if config.backwards().is_some() => {
                    return refuse(label, "also reads sequences from their end");
                }
                Op::Conv1d { kernel, conv, over_time: true, .. } => {
                    if !conv.streams(*kernel) {
                        return refuse(label, "is no causal convolution (Conv1d::causal)");
                    }
                    stride.saturating_mul(conv.stride)
                }
                _ => stride,
            });
        }
        // A dead end may have the largest stride.
        let output = strides[self.output];
        match self.nodes.iter().zip(&strides[1..]).find(|(_, stride)| **stride > output) {
            Some((node, _)) => refuse(&node.label, "has another stride than the output"),
            None => Ok(output),
        }
    }
}
