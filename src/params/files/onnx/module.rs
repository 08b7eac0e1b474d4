//! The module that nodes make: its configuration, with the differences from PyTorch's cells.

use super::node::RecurrentNode;
use super::operators::{Direction, Operator};
use crate::params::config::{Config, Kind};
use crate::params::variant::{
    ActivationFunction, Coupling, Reset, Variant, functions_of_directions,
};

/// Returns the module of nodes that follow each other, the first layer first.
///
/// # Errors
/// A message that names a node that is no layer above the first, or a size out of range.
pub fn config(nodes: &[&RecurrentNode]) -> Result<Config, String> {
    let (first, others) = nodes.split_first().ok_or("no node was named")?;
    for node in others {
        let (expected, found) = (above(first), layer(node));
        if found != expected {
            return Err(format!("expected {expected} above the first layer, found {found}"));
        }
    }
    let config = layer(first).num_layers(nodes.len());
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

/// Returns the module that a layer above a node must have.
pub fn above(node: &RecurrentNode) -> Config {
    let layer = layer(node);
    Config { input_size: layer.output_size(), ..layer }
}

/// Returns the module of one node.
pub fn layer(node: &RecurrentNode) -> Config {
    let kind = kind(node);
    let functions: Vec<_> = node.activations.iter().flatten().copied().collect();
    let variant = Variant {
        functions: functions_of_directions(kind, &functions),
        gate_clip: node.clip,
        peepholes: node.p.is_some(),
        coupling: node.input_forget.then_some(Coupling::ForgetFromInput),
        reset: match node.operator {
            Operator::Gru if !node.linear_before_reset => Reset::BeforeProduct,
            _ => Reset::AfterProduct,
        },
        ..Variant::PYTORCH
    };
    Config::new(kind, node.input_size, node.hidden_size)
        .bias(node.b.is_some())
        .batch_first(node.batch_first)
        .bidirectional(node.direction == Direction::Bidirectional)
        .reverse(node.direction == Direction::Reverse)
        .variant(variant)
}

fn kind(node: &RecurrentNode) -> Kind {
    let relu = node.activations.iter().flatten().all(|f| *f == ActivationFunction::Relu);
    match node.operator {
        Operator::Rnn if relu => Kind::RnnRelu,
        operator => operator.kind(),
    }
}
