//! Loading attention: linear layers of the query and of the memory, and the node that joins them.

use super::attention::{Attention, Score};
use super::loading::Loader;
use super::node::{Op, StepShape, Weights};
use super::shapes;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A linear layer: its weight, `[out, in]`, and its bias.
type Layer = (Tensor, Vec<f32>);

impl Loader<'_> {
    /// Adds attention of the current value over the memory.
    pub(super) fn attention(&mut self, attention: &Attention) -> Result<()> {
        let query = self.current;
        let features = shapes::features("attention", self.shape(query))?;
        // The layers of the query and of the memory, and the weights of the scores' sums.
        let (of_query, of_memory, scale): (Option<Layer>, Option<Layer>, _) = match &attention.score
        {
            Score::Dot => (None, None, None),
            Score::General { keys } => {
                (None, Some(self.weight_and_bias(keys, &[None, None])?), None)
            }
            Score::Concat { both, v } => {
                let (weight, bias) = self.weight_and_bias(both, &[None, None])?;
                let (query, keys) = split(&weight, features, both)?;
                let zeros = vec![0.0; bias.len()];
                let scale = self.sums(v, bias.len())?;
                (Some((query, zeros)), Some((keys, bias)), Some(scale))
            }
            Score::Additive { query, keys, v } => {
                let query = self.weight_and_bias(query, &[None, None])?;
                let keys = self.weight_and_bias(keys, &[None, None])?;
                let scale = self.sums(v, query.1.len())?;
                (Some(query), Some(keys), Some(scale))
            }
        };
        let width = of_memory.as_ref().map_or(features, |(weight, _)| weight.shape()[1]);
        let memory = self.memory(width)?;
        let mut through = |value: usize, layer: Option<Layer>| -> Result<usize> {
            self.current = value;
            if let Some((weight, bias)) = layer {
                let (out, features) = (weight.shape()[0], weight.shape()[1]);
                let weights = Weights::Product { weight, bias };
                self.push("attention.", Op::Linear { features, out }, weights)?;
            }
            Ok(self.current)
        };
        let (query, keys) = (through(query, of_query)?, through(memory, of_memory)?);
        let (a, b) = (self.shape(query), self.shape(keys));
        if a != b {
            return Err(Error::Shape(format!(
                "attention: a query of {:?} values does not fit keys of {:?}",
                a.sizes(),
                b.sizes()
            )));
        }
        let additive = scale.is_some();
        // Dot products have no weights, but their kernel has the binding.
        let scale = scale.unwrap_or_else(|| vec![1.0; a.count()]);
        let weights = Weights::Vectors { scale, shift: Vec::new() };
        let inputs = vec![query, keys, memory];
        let shape = StepShape::Features(width);
        self.push_shaped("attention.", Op::Attend { additive }, inputs, shape, weights);
        Ok(())
    }

    /// Returns the value of the memory, `[F]`. All attention of a network shares it.
    fn memory(&mut self, features: usize) -> Result<usize> {
        let shape = StepShape::Features(features);
        if let Some(memory) = self.memory {
            if self.shape(memory) != shape {
                return Err(Error::Shape(format!(
                    "attention: a memory of {:?} values does not fit {features}, which another \
                     attention reads",
                    self.shape(memory).sizes()
                )));
            }
            return Ok(memory);
        }
        self.push_shaped("memory", Op::Memory, Vec::new(), shape, Weights::None);
        self.memory = Some(self.current);
        Ok(self.current)
    }

    /// Returns the weights of the scores' sums: a vector, or a matrix of one row. The bias next to
    /// such a matrix changes nothing.
    fn sums(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let is_matrix = self.entry("", name).is_some_and(|entry| entry.shape().len() == 2);
        let (matrix, vector) = ([Some(1), Some(len)], [Some(len)]);
        let axes = if is_matrix { &matrix[..] } else { &vector };
        let tensor = self.required("", name, axes)?;
        if let Some(prefix) = name.strip_suffix("weight").filter(|_| is_matrix) {
            self.vector(prefix, "bias", 1, 0.0)?;
        }
        Ok(tensor.into_data())
    }

    /// Adds the hidden state of the recurrent module under `prefix`.
    pub(super) fn hidden(&mut self, prefix: &str) -> Result<()> {
        let mut weights =
            ["weight_hh_l0", "weight_hh"].iter().filter_map(|name| self.entry(prefix, name));
        let Some(&[_, features]) = weights.next().map(|entry| entry.shape()) else {
            return Err(Error::NoRecurrentWeights(format!(
                "hidden: no recurrent weights under the prefix '{prefix}'"
            )));
        };
        self.hidden.push((self.nodes.len(), prefix.to_owned()));
        let shape = StepShape::Features(features);
        self.push_shaped("hidden", Op::Hidden(usize::MAX), Vec::new(), shape, Weights::None);
        Ok(())
    }

    /// Connects hidden states with their modules.
    pub(super) fn resolve_hidden(&mut self) -> Result<()> {
        for (at, prefix) in std::mem::take(&mut self.hidden) {
            let of = self.nodes.iter().position(|node| {
                node.label == prefix && matches!(&node.op, Op::Rnn(c) if c.backwards().is_none())
            });
            let Some(of) = of else {
                return Err(Error::UnknownName(format!(
                    "hidden: the network has no recurrent module of one direction with the prefix \
                     '{prefix}'"
                )));
            };
            self.nodes[at].op = Op::Hidden(of);
        }
        Ok(())
    }
}

/// Splits a weight, `[out, features + rest]`, by columns.
fn split(weight: &Tensor, features: usize, prefix: &str) -> Result<(Tensor, Tensor)> {
    let &[out, columns] = weight.shape() else { unreachable!("two axes") };
    if columns <= features {
        return Err(Error::Shape(format!(
            "{prefix}: attention of a query of {features} values expects a weight of more columns, \
             got {:?}",
            weight.shape()
        )));
    }
    let rows = weight.data().chunks_exact(columns);
    let (left, right): (Vec<&[f32]>, Vec<&[f32]>) = rows.map(|row| row.split_at(features)).unzip();
    Ok((
        Tensor::new([out, features], left.concat())?,
        Tensor::new([out, columns - features], right.concat())?,
    ))
}
