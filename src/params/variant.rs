//! Cells that PyTorch lacks: other activation functions, clips, peepholes, coupled gates and the
//! GRU whose reset gate comes before the product.
//!
//! The formulas are those of the operators RNN, GRU and LSTM in the specification of ONNX. They
//! have PyTorch's gate order here.

use crate::error::{Error, Result};
use crate::params::kind::Kind;

/// A function of a gate, of a candidate or of the cell state.
///
/// The names are those of ONNX. Parameters without a value have the defaults that
/// [`parse`](str::parse) gives.
#[derive(Debug, Clone, Copy, PartialEq)]
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
        let function = Self::ALL
            .into_iter()
            .find(|function| function.name().eq_ignore_ascii_case(name.trim()));
        let function = function.ok_or_else(|| refuse("there is no such function"))?;
        if given.len() > function.parameters().iter().flatten().count() {
            return Err(refuse("it has fewer parameters"));
        }
        Ok(function.with(given.first().copied(), given.get(1).copied()))
    }
}

/// The functions of one direction: of the gates (f), the candidate (g) and the cell state (h), as
/// ONNX names them. An RNN has f alone, and a GRU f and g.
pub type Functions = [ActivationFunction; 3];

/// PyTorch's functions of a kind.
pub(crate) const fn default_functions(kind: Kind) -> Functions {
    use ActivationFunction::{Relu, Sigmoid, Tanh};
    match kind {
        Kind::RnnTanh => [Tanh, Tanh, Tanh],
        Kind::RnnRelu => [Relu, Tanh, Tanh],
        Kind::Gru | Kind::Lstm => [Sigmoid, Tanh, Tanh],
    }
}

/// The number of functions that a kind has.
pub(crate) const fn function_count(kind: Kind) -> usize {
    match kind {
        Kind::RnnTanh | Kind::RnnRelu => 1,
        Kind::Gru => 2,
        Kind::Lstm => 3,
    }
}

/// Returns the functions of both directions from a list of one or two directions; `None` for a list
/// of another length. One direction gives both.
pub(crate) fn functions_of_directions(
    kind: Kind,
    listed: &[ActivationFunction],
) -> Option<[Functions; 2]> {
    let count = function_count(kind);
    let of = |listed: &[ActivationFunction]| {
        let mut functions = default_functions(kind);
        functions[..count].copy_from_slice(listed);
        functions
    };
    match listed.len() / count {
        1 if listed.len() == count => Some([of(listed); 2]),
        2 if listed.len() == 2 * count => Some([of(&listed[..count]), of(&listed[count..])]),
        _ => None,
    }
}

/// The gates of an LSTM of which one follows from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coupling {
    /// f = 1 − i: ONNX's `input_forget`. The forget gate's weights are not used.
    ForgetFromInput,
    /// i = 1 − f: CIFG, as in TensorFlow Lite. The input gate's weights are not used.
    InputFromForget,
}

/// The place of a GRU's reset gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reset {
    /// n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)): PyTorch, cuDNN, ONNX's `linear_before_reset`
    /// of 1, and Keras' `reset_after`.
    #[default]
    AfterProduct,
    /// n = tanh(W_in x + b_in + W_hn (r∘h) + b_hn): ONNX's default, and Keras 1.
    BeforeProduct,
}

/// The differences of a cell from PyTorch's. The default has none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Variant {
    /// The functions of the forward and the reverse direction; PyTorch's by default.
    pub functions: Option<[Functions; 2]>,
    /// Clips the operands of the gates' and the candidate's functions to ±this: ONNX's `clip`.
    pub gate_clip: Option<f32>,
    /// Clips the cell state of an LSTM to ±this, before the output reads it: TensorFlow's
    /// `cell_clip` and cuDNN's `CUDNN_RNN_CLIP_MINMAX`.
    pub cell_clip: Option<f32>,
    /// Clips the projected state of an LSTM to ±this: TensorFlow's `proj_clip`.
    pub projection_clip: Option<f32>,
    /// Whether the gates of an LSTM also read the cell state: i and f the one before the step, o
    /// the one after it. The weights are `weight_p_l0`, `[3·H]` in the order i, f, o.
    pub peepholes: bool,
    /// Couples two gates of an LSTM.
    pub coupling: Option<Coupling>,
    /// The place of a GRU's reset gate.
    pub reset: Reset,
}

impl Variant {
    /// PyTorch's cell.
    pub const PYTORCH: Self = Self {
        functions: None,
        gate_clip: None,
        cell_clip: None,
        projection_clip: None,
        peepholes: false,
        coupling: None,
        reset: Reset::AfterProduct,
    };

    /// Returns the same cell, without functions that are PyTorch's anyway.
    pub(crate) fn normalised(mut self, kind: Kind) -> Self {
        let count = function_count(kind);
        let default = default_functions(kind);
        if self.functions.is_some_and(|of| of.iter().all(|f| f[..count] == default[..count])) {
            self.functions = None;
        }
        self
    }

    /// Returns the functions of a direction.
    pub(crate) fn functions(&self, kind: Kind, direction: usize) -> Functions {
        self.functions.map_or(default_functions(kind), |functions| functions[direction.min(1)])
    }

    /// Checks that the kind has what differs.
    ///
    /// # Errors
    /// [`Error::Config`] that names it.
    pub(crate) fn validate(&self, kind: Kind, projected: bool) -> Result<()> {
        let refuse = |message: String| Err(Error::Config(message));
        let module = kind.module();
        let lstm = [
            ("peepholes", self.peepholes),
            ("coupled gates", self.coupling.is_some()),
            ("a cell clip", self.cell_clip.is_some()),
            ("a projection clip", self.projection_clip.is_some()),
        ];
        if let Some((what, _)) = lstm.iter().find(|(_, is_there)| *is_there && kind != Kind::Lstm) {
            return refuse(format!("{what}: only an LSTM has this, not {module}"));
        }
        if self.projection_clip.is_some() && !projected {
            return refuse("a projection clip needs a projection: proj_size is 0".to_owned());
        }
        if self.reset != Reset::AfterProduct && kind != Kind::Gru {
            return refuse(format!("a reset gate: only a GRU has this, not {module}"));
        }
        for (name, clip) in [
            ("gate_clip", self.gate_clip),
            ("cell_clip", self.cell_clip),
            ("projection_clip", self.projection_clip),
        ] {
            if let Some(clip) = clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
                return refuse(format!("{name} is {clip}; expected a finite number above 0"));
            }
        }
        let parameters = self.functions.iter().flatten().flatten().flat_map(|f| f.parameters());
        if let Some(bad) = parameters.flatten().find(|value| !value.is_finite()) {
            return refuse(format!("an activation function has {bad}; expected a finite number"));
        }
        Ok(())
    }
}

/// Prints each difference from PyTorch, after a comma.
pub(super) fn print(
    variant: &Variant,
    kind: Kind,
    f: &mut std::fmt::Formatter<'_>,
) -> std::fmt::Result {
    if let Some(functions) = variant.functions {
        let count = function_count(kind);
        for (name, functions) in ["activations", "reverse_activations"].iter().zip(functions) {
            let listed = functions[..count].iter().map(ToString::to_string);
            write!(f, ", {name}=[{}]", listed.collect::<Vec<_>>().join(", "))?;
        }
    }
    for (name, clip) in [
        ("gate_clip", variant.gate_clip),
        ("cell_clip", variant.cell_clip),
        ("projection_clip", variant.projection_clip),
    ] {
        if let Some(clip) = clip {
            write!(f, ", {name}={clip}")?;
        }
    }
    if variant.peepholes {
        f.write_str(", peepholes=True")?;
    }
    match variant.coupling {
        None => {}
        Some(Coupling::ForgetFromInput) => f.write_str(", coupling='f = 1 - i'")?,
        Some(Coupling::InputFromForget) => f.write_str(", coupling='i = 1 - f'")?,
    }
    if variant.reset == Reset::BeforeProduct {
        f.write_str(", reset='before'")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ActivationFunction, Coupling, Reset, Variant};
    use crate::params::config::{Config, Kind};

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

    #[test]
    fn differences_are_refused_where_the_kind_has_no_such_gate() {
        let gru = |variant| Config::gru(3, 4).variant(variant).validate();
        let lstm = |variant| Config::lstm(3, 4).variant(variant).validate();
        let plain = Variant::default();
        for variant in [
            Variant { peepholes: true, ..plain },
            Variant { coupling: Some(Coupling::ForgetFromInput), ..plain },
            Variant { cell_clip: Some(1.0), ..plain },
            Variant { gate_clip: Some(f32::NAN), ..plain },
            Variant { gate_clip: Some(0.0), ..plain },
        ] {
            gru(variant).expect_err("a GRU has no such gate or value");
        }
        lstm(Variant { reset: Reset::BeforeProduct, ..plain }).expect_err("no reset gate");
        lstm(Variant { projection_clip: Some(1.0), ..plain }).expect_err("no projection");
        lstm(Variant { peepholes: true, gate_clip: Some(3.0), ..plain }).expect("an LSTM has it");
        let tanh = Variant { functions: Some([[ActivationFunction::Tanh; 3]; 2]), ..plain };
        assert_eq!(tanh.normalised(Kind::RnnTanh), plain);
        assert_eq!(tanh.normalised(Kind::RnnRelu), tanh);
    }
}
