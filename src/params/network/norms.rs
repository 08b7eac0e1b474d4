//! Loading normalisations. A product before a batch norm takes it into its weights.

use super::loading::Loader;
use super::node::{Op, Weights};
use super::shapes;
use crate::error::{Error, Result};

impl Loader<'_> {
    pub(super) fn layer_norm(&mut self, prefix: Option<&str>, eps: f32) -> Result<()> {
        let features = shapes::last_axis("LayerNorm", self.shape(self.current))?;
        let (label, scale, shift) = match prefix {
            None => ("layer_norm", vec![1.0; features], vec![0.0; features]),
            Some(prefix) => {
                let scale = self.required(prefix, "weight", &[None])?.into_data();
                let shift = self.vector(prefix, "bias", scale.len(), 0.0)?;
                (prefix, scale, shift)
            }
        };
        shapes::normalized(label, scale.len(), features)?;
        self.push(label, Op::LayerNorm(eps), Weights::Vectors { scale, shift })
    }

    pub(super) fn batch_norm1d(&mut self, prefix: &str, eps: f32) -> Result<()> {
        let mean = self.required(prefix, "running_mean", &[None])?.into_data();
        let count = mean.len();
        let variance = self.required(prefix, "running_var", &[Some(count)])?.into_data();
        let gamma = self.vector(prefix, "weight", count, 1.0)?;
        let beta = self.vector(prefix, "bias", count, 0.0)?;
        // A count of training steps, which changes nothing.
        self.known.push(self.full(prefix, "num_batches_tracked"));
        let channels = shapes::channels(self.shape(self.current));
        if channels != count {
            return Err(Error::Shape(format!(
                "{prefix}: running_mean should contain {channels} elements not {count}"
            )));
        }
        let rates: Vec<f64> = gamma
            .iter()
            .zip(&variance)
            .map(|(&gamma, &variance)| {
                f64::from(gamma) / (f64::from(variance) + f64::from(eps)).sqrt()
            })
            .collect();
        let shifts = |start: &dyn Fn(usize) -> f64| -> Vec<f32> {
            let shift = |(at, rate): (usize, &f64)| {
                (f64::from(beta[at]) + (start(at) - f64::from(mean[at])) * rate) as f32
            };
            rates.iter().enumerate().map(shift).collect()
        };
        // It is folded into the weights of the module before, unless others read that value.
        let before = self.current.checked_sub(1).filter(|_| !self.named.contains(&self.current));
        if let Some(Weights::Product { weight, bias }) = before.map(|node| &mut self.weights[node])
        {
            *bias = shifts(&|at| f64::from(bias[at]));
            let row = weight.data().len() / rates.len();
            let rows = weight.data_mut().chunks_exact_mut(row).zip(&rates);
            for (row, rate) in rows {
                row.iter_mut().for_each(|value| *value = (f64::from(*value) * rate) as f32);
            }
            return Ok(());
        }
        let shift = shifts(&|_| 0.0);
        let scale = rates.iter().map(|&rate| rate as f32).collect();
        self.push(prefix, Op::Scale, Weights::Vectors { scale, shift })
    }
}
