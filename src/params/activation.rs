//! The activation functions of cells.

use crate::error::{Error, Result};

/// A function of a gate, of a candidate or of the cell state.
///
/// The names are those of ONNX. Parameters without a value have the defaults that
/// [`parse`](str::parse) gives.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ActivationFunction {
    /// 1 / (1 + e^−x)
    Sigmoid,
    /// tanh(x)
    Tanh,
    /// max(x, 0)
    Relu,
    /// `alpha`·x + `beta`
    Affine {
        /// The factor.
        alpha: f32,
        /// The constant.
        beta: f32,
    },
    /// x, or `alpha`·x below 0
    LeakyRelu {
        /// The slope below 0.
        alpha: f32,
    },
    /// x from `alpha` on, or 0
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// `alpha`·tanh(`beta`·x)
    ScaledTanh {
        /// The factor of the result.
        alpha: f32,
        /// The factor of x.
        beta: f32,
    },
    /// `alpha`·x + `beta`, within 0 and 1
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// x, or `alpha`·(e^x − 1) below 0
    Elu {
        /// The factor below 0.
        alpha: f32,
    },
    /// x / (1 + |x|)
    Softsign,
    /// ln(1 + e^x)
    Softplus,
}

impl ActivationFunction {
    /// Every function, with its default parameters.
    pub const ALL: [Self; 11] = [
        Self::Sigmoid,
        Self::Tanh,
        Self::Relu,
        Self::Affine { alpha: 1.0, beta: 0.0 },
        Self::LeakyRelu { alpha: 0.01 },
        Self::ThresholdedRelu { alpha: 1.0 },
        Self::ScaledTanh { alpha: 1.0, beta: 1.0 },
        Self::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Self::Elu { alpha: 1.0 },
        Self::Softsign,
        Self::Softplus,
    ];

    /// Returns the name in ONNX.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::Relu => "Relu",
            Self::Affine { .. } => "Affine",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::ThresholdedRelu { .. } => "ThresholdedRelu",
            Self::ScaledTanh { .. } => "ScaledTanh",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::Elu { .. } => "Elu",
            Self::Softsign => "Softsign",
            Self::Softplus => "Softplus",
        }
    }

    /// Returns the function of a name of ONNX in any case, with its default parameters.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    /// Returns alpha and beta; `None` where the function has no such parameter.
    pub const fn parameters(self) -> [Option<f32>; 2] {
        match self {
            Self::Sigmoid | Self::Tanh | Self::Relu | Self::Softsign | Self::Softplus => {
                [None, None]
            }
            Self::LeakyRelu { alpha } | Self::ThresholdedRelu { alpha } | Self::Elu { alpha } => {
                [Some(alpha), None]
            }
            Self::Affine { alpha, beta }
            | Self::ScaledTanh { alpha, beta }
            | Self::HardSigmoid { alpha, beta } => [Some(alpha), Some(beta)],
        }
    }

    /// Changes the parameters that the function has and that are given.
    #[must_use]
    pub const fn with(mut self, alpha: Option<f32>, beta: Option<f32>) -> Self {
        match &mut self {
            Self::Affine { alpha: a, beta: b }
            | Self::ScaledTanh { alpha: a, beta: b }
            | Self::HardSigmoid { alpha: a, beta: b } => {
                if let Some(alpha) = alpha {
                    *a = alpha;
                }
                if let Some(beta) = beta {
                    *b = beta;
                }
            }
            Self::LeakyRelu { alpha: a }
            | Self::ThresholdedRelu { alpha: a }
            | Self::Elu { alpha: a } => {
                if let Some(alpha) = alpha {
                    *a = alpha;
                }
            }
            Self::Sigmoid | Self::Tanh | Self::Relu | Self::Softsign | Self::Softplus => {}
        }
        self
    }
}

impl std::fmt::Display for ActivationFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.parameters() {
            [Some(alpha), Some(beta)] => write!(f, "{}({alpha}, {beta})", self.name()),
            [Some(alpha), None] => write!(f, "{}({alpha})", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

impl std::str::FromStr for ActivationFunction {
    type Err = Error;

    /// Reads a name of ONNX in any case, and its parameters in brackets: `Tanh`, `hardsigmoid`,
    /// `HardSigmoid(0.1, 0.5)`.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |what: &str| {
            let names: Vec<_> = Self::ALL.iter().map(|function| function.name()).collect();
            Error::UnknownName(format!(
                "unknown activation function '{text}': {what}; expected one of {}, with its \
                 parameters in brackets",
                names.join(", ")
            ))
        };
        let (name, given) = match text.split_once('(') {
            None => (text, Vec::new()),
            Some((name, rest)) => {
                let inside = rest.strip_suffix(')').ok_or_else(|| refuse("a bracket is open"))?;
                let number = |text: &str| text.trim().parse::<f32>().ok();
                let given: Option<Vec<f32>> = inside.split(',').map(number).collect();
                (name, given.ok_or_else(|| refuse("a parameter is no number"))?)
            }
        };
        let function = Self::named(name.trim());
        let function = function.ok_or_else(|| refuse("there is no such function"))?;
        if given.len() > function.parameters().iter().flatten().count() {
            return Err(refuse("it has fewer parameters"));
        }
        Ok(function.with(given.first().copied(), given.get(1).copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::ActivationFunction;

    #[test]
    fn functions_are_read_as_they_are_printed() {
        for function in ActivationFunction::ALL {
            assert_eq!(function.to_string().parse::<ActivationFunction>().ok(), Some(function));
        }
        let read = |text: &str| text.parse::<ActivationFunction>();
        let want = ActivationFunction::HardSigmoid { alpha: 0.1, beta: 0.5 };
        assert_eq!(read("hardsigmoid(0.1)").ok(), Some(want), "beta keeps its default");
        for bad in ["", "swish", "tanh(1)", "elu(1, 2)", "elu(one)", "affine(1, 2", "relu6"] {
            let error = read(bad).expect_err("no such function").to_string();
            assert!(error.contains("expected one of Sigmoid, Tanh"), "{error}");
        }
    }
}
