//! Cells that PyTorch lacks: other activation functions, clips, peepholes, coupled gates and the
//! GRU whose reset gate comes before the product.
//!
//! The formulas are those of the operators RNN, GRU and LSTM in the specification of ONNX. They
//! have PyTorch's gate order here.

use crate::error::{Error, Result};
use crate::params::kind::Kind;

pub use crate::params::activation::ActivationFunction;

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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Coupling {
    /// f = 1 − i: ONNX's `input_forget`. The forget gate's weights are not used.
    ForgetFromInput,
    /// i = 1 − f: CIFG, as in TensorFlow Lite. The input gate's weights are not used.
    InputFromForget,
}

/// The place of a GRU's reset gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
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
    (kind, directions): (Kind, usize),
    f: &mut std::fmt::Formatter<'_>,
) -> std::fmt::Result {
    if let Some(functions) = variant.functions {
        let count = function_count(kind);
        let names = ["activations", "reverse_activations"];
        for (name, functions) in names.iter().zip(functions).take(directions) {
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
    use crate::params::kind::Kind;

    #[test]
    fn differences_are_refused_where_the_kind_has_no_such_gate() {
        let gru = |variant: Variant| variant.validate(Kind::Gru, false);
        let lstm = |variant: Variant| variant.validate(Kind::Lstm, false);
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
