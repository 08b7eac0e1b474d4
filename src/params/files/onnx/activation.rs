//! The functions of a node, with the values of `activation_alpha` and `activation_beta`.

use crate::params::variant::ActivationFunction;

/// Returns the functions of these names. Each one takes the next value of `activation_alpha` and of
/// `activation_beta`, if it has such a parameter, and the default after the last value.
///
/// Names count in any case, as in ONNX Runtime. `ScaledTanh` needs its values: no version of ONNX
/// gives it a default.
///
/// # Errors
/// A message that names an unknown function, a missing or infinite parameter, or a list with more
/// values than the functions take.
pub fn read(
    names: &[&str],
    alphas: &[f32],
    betas: &[f32],
) -> Result<Vec<ActivationFunction>, String> {
    let (mut alpha, mut beta) = (List::new("alpha", alphas), List::new("beta", betas));
    let mut functions = Vec::new();
    for name in names {
        let function = ActivationFunction::named(name).ok_or_else(|| {
            let all = ActivationFunction::ALL.map(ActivationFunction::name);
            format!(
                "attribute 'activations' names the unknown function '{name}': expected {}",
                all.join(", ")
            )
        })?;
        let [of_alpha, of_beta] = function.parameters();
        functions
            .push(function.with(alpha.next(function, of_alpha)?, beta.next(function, of_beta)?));
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

    /// Returns the next value, or the default; `None` for a function without the parameter.
    fn next(
        &mut self,
        function: ActivationFunction,
        default: Option<f32>,
    ) -> Result<Option<f32>, String> {
        if default.is_none() {
            return Ok(None);
        }
        let given = self.values.get(self.taken).copied();
        self.taken += 1;
        let is_required = matches!(function, ActivationFunction::ScaledTanh { .. });
        match given.or(default.filter(|_| !is_required)) {
            Some(value) if value.is_finite() => Ok(Some(value)),
            Some(value) => Err(format!(
                "attribute 'activation_{}' has {value} for {}: expected a finite number",
                self.name,
                function.name()
            )),
            None => Err(format!(
                "attribute 'activation_{}' lacks a value for {}, which has no default",
                self.name,
                function.name()
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
