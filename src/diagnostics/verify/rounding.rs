//! The effect of rounded weights on the expected values of a case.

use crate::diagnostics::case::{Case, Head, Quantity};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::nn::options::Activation;
use crate::reference::Outputs;

/// The f64 reference of a case with exact and with rounded weights.
///
/// A case file has the results of exact weights. A device with rounded weights must agree with the
/// reference for rounded weights. The difference of both references converts one to the other.
pub(super) struct Rounding {
    exact: Outputs,
    rounded: Outputs,
}

impl Rounding {
    /// Runs both references; `None` if `weights` does not round.
    pub fn from_case(case: &Case, weights: WeightType) -> Result<Option<Self>> {
        if weights == WeightType::F32 {
            return Ok(None);
        }
        let rounded = case.params.rounded(weights)?;
        Ok(Some(Self { exact: case.reference(&case.params)?, rounded: case.reference(&rounded)? }))
    }

    /// Returns the change of an expected tensor by rounding.
    pub fn change(&self, case: &Case, quantity: Quantity) -> Vec<f64> {
        let select = |outcome: &Outputs| -> Vec<f64> {
            match quantity {
                Quantity::Output if case.cell => outcome.h_n.clone(),
                Quantity::Output => outcome.output.clone(),
                Quantity::OutputFirst => outcome.output[..step_len(case)].to_vec(),
                Quantity::OutputLast => {
                    outcome.output[outcome.output.len() - step_len(case)..].to_vec()
                }
                Quantity::Hn => outcome.h_n.clone(),
                Quantity::Cn => outcome.c_n.clone(),
                Quantity::HeadOutput => {
                    case.heads.iter().fold(outcome.output.clone(), |x, head| apply(head, &x))
                }
            }
        };
        select(&self.rounded)
            .iter()
            .zip(select(&self.exact))
            .map(|(rounded, exact)| rounded - exact)
            .collect()
    }
}

/// The number of values in one step of the output.
fn step_len(case: &Case) -> usize {
    let rows = if let [_, batch, _] = case.input.shape() { *batch } else { 1 };
    rows * case.params.config().output_size()
}

/// Applies a linear layer in f64.
fn apply(head: &Head, x: &[f64]) -> Vec<f64> {
    let &[out_features, in_features] = head.weight.shape() else { return Vec::new() };
    let column = |row: &[f64], column: usize| {
        let weights = &head.weight.data()[column * in_features..][..in_features];
        let bias = head.bias.as_ref().map_or(0.0, |bias| f64::from(bias[column]));
        let sum = row.iter().zip(weights).map(|(x, &w)| x * f64::from(w)).sum::<f64>() + bias;
        match head.activation {
            Activation::None => sum,
            Activation::Sigmoid => 1.0 / (1.0 + (-sum).exp()),
        }
    };
    x.chunks_exact(in_features)
        .flat_map(|row| (0..out_features).map(move |j| column(row, j)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Rounding;
    use crate::diagnostics::case::{Case, Head, Quantity};
    use crate::dtype::WeightType;
    use crate::{Activation, Config, Params, Tensor};

    /// One step of one unit with a zero state: n = tanh(w · x).
    fn case(cell: bool) -> Case {
        let config = Config::rnn(1, 1).bias(false);
        let params = Params::from_fn(&config, |_, _| Ok(vec![0.1])).expect("two weights");
        let shape: &[usize] = if cell { &[1, 1] } else { &[1, 1, 1] };
        let head = Head {
            weight: Tensor::new([1, 1], vec![3.0]).expect("one value"),
            bias: Some(vec![1.0]),
            activation: Activation::None,
        };
        let input = Tensor::new(shape, vec![1.0]).expect("one value");
        Case {
            params,
            cell,
            input,
            lengths: None,
            state: None,
            heads: vec![head],
            expected: Vec::new(),
        }
    }

    #[test]
    fn the_change_is_the_difference_of_both_references() {
        let exact = f64::from(0.1_f32);
        let want = f64::from(half::f16::from_f32(0.1).to_f32()).tanh() - exact.tanh();
        assert!(want.abs() > 1e-5, "0.1 has no f16: {want}");
        for cell in [false, true] {
            let case = case(cell);
            let rounding = Rounding::from_case(&case, WeightType::F16)
                .expect("the reference runs")
                .expect("f16 rounds");
            for (quantity, scale) in
                [(Quantity::Output, 1.0), (Quantity::Hn, 1.0), (Quantity::HeadOutput, 3.0)]
            {
                let change = rounding.change(&case, quantity);
                assert!(
                    (change[0] - scale * want).abs() < 1e-12,
                    "{quantity:?}, cell {cell}: {change:?}, not {want}"
                );
            }
            assert!(
                Rounding::from_case(&case, WeightType::F32).expect("f32 does not round").is_none()
            );
        }
    }
}
