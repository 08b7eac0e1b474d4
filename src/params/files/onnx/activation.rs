//! The activation functions of a node.

/// One function, by ONNX's name, with the parameters that it has.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Activation {
    /// ONNX's name, such as `HardSigmoid`.
    pub name: &'static str,
    /// `None` when the function has none.
    pub alpha: Option<f32>,
    /// `None` when the function has none.
    pub beta: Option<f32>,
}

/// A parameter of a function.
#[derive(Debug, Clone, Copy)]
enum Parameter {
    Absent,
    /// The default of ONNX's operator of the same name.
    Default(f32),
    /// ONNX gives no default.
    Required,
}

/// The functions, with their alpha and beta.
const FUNCTIONS: [(&str, Parameter, Parameter); 11] = {
    use Parameter::{Absent, Default, Required};
    [
        ("Affine", Default(1.0), Default(0.0)),
        ("Elu", Default(1.0), Absent),
        ("HardSigmoid", Default(0.2), Default(0.5)),
        ("LeakyRelu", Default(0.01), Absent),
        ("Relu", Absent, Absent),
        ("ScaledTanh", Required, Required),
        ("Sigmoid", Absent, Absent),
        ("Softplus", Absent, Absent),
        ("Softsign", Absent, Absent),
        ("Tanh", Absent, Absent),
        ("ThresholdedRelu", Default(1.0), Absent),
    ]
};

impl Activation {
    /// Returns a function without parameters.
    pub const fn plain(name: &'static str) -> Self {
        Self { name, alpha: None, beta: None }
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)?;
        match (self.alpha, self.beta) {
            (Some(alpha), Some(beta)) => write!(f, "({alpha}, {beta})"),
            (Some(alpha), None) => write!(f, "({alpha})"),
            _ => Ok(()),
        }
    }
}

/// Returns the functions of these names. Each one takes the next value of `activation_alpha` and of
/// `activation_beta`, if it has such a parameter, and the default after the last value.
///
/// Names count in any case, as in ONNX Runtime.
///
/// # Errors
/// A message that names an unknown function, a missing or infinite parameter, or a list with more
/// values than the functions take.
pub fn read(names: &[&str], alphas: &[f32], betas: &[f32]) -> Result<Vec<Activation>, String> {
    let (mut alpha, mut beta) = (List::new("alpha", alphas), List::new("beta", betas));
    let mut functions = Vec::new();
    for name in names {
        let known = FUNCTIONS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        let (name, of_alpha, of_beta) = known.ok_or_else(|| {
            let all: Vec<_> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            format!(
                "attribute 'activations' names the unknown function '{name}': expected {}",
                all.join(", ")
            )
        })?;
        functions.push(Activation {
            name,
            alpha: alpha.next(name, *of_alpha)?,
            beta: beta.next(name, *of_beta)?,
        });
    }
    alpha.finish()?;
    beta.finish()?;
    Ok(functions)
}

/// The values of `activation_alpha` or `activation_beta`, in the order of the functions.
struct List<'a> {
    name: &'static str,
    values: &'a [f32],
    taken: usize,
}

impl<'a> List<'a> {
    fn new(name: &'static str, values: &'a [f32]) -> Self {
        Self { name, values, taken: 0 }
    }

    fn next(&mut self, function: &str, parameter: Parameter) -> Result<Option<f32>, String> {
        let default = match parameter {
            Parameter::Absent => return Ok(None),
            Parameter::Default(value) => Some(value),
            Parameter::Required => None,
        };
        let given = self.values.get(self.taken).copied();
        self.taken += 1;
        match given.or(default) {
            Some(value) if value.is_finite() => Ok(Some(value)),
            Some(value) => Err(format!(
                "attribute 'activation_{}' has {value} for {function}: expected a finite number",
                self.name
            )),
            None => Err(format!(
                "attribute 'activation_{}' lacks a value for {function}, which has no default",
                self.name
            )),
        }
    }

    /// Some exporters write a value for every function, others for those that take one. Values that
    /// no function takes change nothing; otherwise it is unknown which ones count.
    fn finish(self) -> Result<(), String> {
        let given = self.values.len();
        if self.taken == 0 || given <= self.taken {
            return Ok(());
        }
        Err(format!(
            "attribute 'activation_{}' has {given} values, but the functions take {}",
            self.name, self.taken
        ))
    }
}
