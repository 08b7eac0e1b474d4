//! The module that nodes make: its configuration, or the attribute that no module here has.

use super::activation::Activation;
use super::node::RecurrentNode;
use super::operators::{Direction, Operator};
use crate::params::config::{Config, Kind};

/// Returns the module of nodes that follow each other, the first layer first.
///
/// # Errors
/// A message that names the attribute of a node that the module cannot honour, or a node that is no
/// layer above the first.
pub fn config(nodes: &[&RecurrentNode]) -> Result<Config, String> {
    let (first, others) = nodes.split_first().ok_or("no node was named")?;
    let layer = layer(first)?;
    let above = Config { input_size: layer.output_size(), ..layer.clone() };
    for node in others {
        let found = self::layer(node)?;
        if found != above {
            return Err(format!("expected {above} above the first layer, found {found}"));
        }
    }
    let config = layer.num_layers(nodes.len());
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

/// Returns the module of one node.
fn layer(node: &RecurrentNode) -> Result<Config, String> {
    Ok(Config::new(kind(node)?, node.input_size, node.hidden_size)
        .bias(node.b.is_some())
        .batch_first(node.batch_first)
        .bidirectional(node.direction == Direction::Bidirectional))
}

/// Returns the kind of a node whose cell is PyTorch's.
fn kind(node: &RecurrentNode) -> Result<Kind, String> {
    let refuse = |attribute: &str, value: String| {
        Err(format!("attribute '{attribute}' is {value}, which no module computes"))
    };
    if let Some(clip) = node.clip {
        return refuse("clip", clip.to_string());
    }
    if node.input_forget {
        return refuse("input_forget", "1".to_owned());
    }
    if node.p.is_some() {
        return Err("the input P, peepholes, is there, which no module computes".to_owned());
    }
    if node.direction == Direction::Reverse {
        return refuse("direction", "reverse".to_owned());
    }
    if node.operator == Operator::Gru && !node.linear_before_reset {
        return refuse("linear_before_reset", "0".to_owned());
    }
    let all = |functions: &[Activation]| node.activations.iter().all(|found| found == functions);
    let relu = [Activation::plain("Relu")];
    match node.operator {
        Operator::Rnn if all(&relu) => Ok(Kind::RnnRelu),
        operator if all(operator.default_functions()) => Ok(match operator {
            Operator::Rnn => Kind::RnnTanh,
            Operator::Gru => Kind::Gru,
            Operator::Lstm => Kind::Lstm,
        }),
        _ => {
            let functions = node.activations.iter().flatten().map(ToString::to_string);
            refuse("activations", functions.collect::<Vec<_>>().join(", "))
        }
    }
}
