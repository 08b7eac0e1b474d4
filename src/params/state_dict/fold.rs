//! Weights that a file stores as the parts of a reparametrisation.
//!
//! `weight_norm` stores a magnitude g and a direction v, under the names `weight_g` and `weight_v`
//! or `parametrizations.weight.original0` and `.original1`. WeightDrop stores the weight without
//! dropout as `weight_raw`.

use super::StateDict;
use crate::error::{Error, Result};
use crate::params::module::Parameter;
use crate::tensor::{Tensor, element_count};

/// The way in which a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// g and v: the weight is v · (g / ‖v‖).
    WeightNorm,
    /// The weight before dropout, which inference uses unchanged.
    WeightDrop,
    /// A parametrisation that only its Python class can compute.
    Other,
}

/// A weight that is stored as the parts of a reparametrisation.
#[derive(Debug)]
pub(crate) struct Reparametrised {
    form: Form,
    /// The full name of the weight.
    pub(crate) target: String,
    /// The full names of the stored parts.
    pub(crate) parts: Vec<String>,
}

impl Reparametrised {
    /// Returns a line for an error: the parts, and the way to the weight.
    pub(crate) fn advice(&self) -> String {
        let Self { form, target, parts } = self;
        let parts = parts.join(" and ");
        match form {
            Form::WeightNorm => format!(
                "{target} is stored by weight_norm as {parts}: fold them with \
                 StateDict::folded (--fold)"
            ),
            Form::WeightDrop => format!(
                "{target} is stored by WeightDrop as {parts}: fold it with StateDict::folded \
                 (--fold)"
            ),
            Form::Other => format!(
                "{target} is stored by a parametrization as {parts}: in Python, call \
                 torch.nn.utils.parametrize.remove_parametrizations(module, name) before you save"
            ),
        }
    }
}

impl StateDict {
    /// Computes the weights that `weight_norm` and WeightDrop store as other tensors, as PyTorch
    /// does, and removes the stored parts.
    ///
    /// | stored | weight |
    /// |---|---|
    /// | `X_g` and `X_v` | X = v · (g / ‖v‖) in f32; the norm is over axes where g has size 1 |
    /// | `parametrizations.X.original0` and `.original1` | the same, with g and v in this order |
    /// | `X_raw` | X: WeightDrop drops nothing in inference |
    ///
    /// Other tensors stay as they are.
    ///
    /// # Errors
    /// [`Error::File`] when a part has a type that cannot be loaded.
    pub fn folded(mut self) -> Result<Self> {
        for Reparametrised { form, target, parts } in self.reparametrised() {
            let weight = match (form, parts.as_slice()) {
                (Form::WeightNorm, [g, v]) => scaled(&self.tensor(g)?, &self.tensor(v)?)?,
                (Form::WeightDrop, [raw]) => self.tensor(raw)?,
                _ => continue,
            };
            for part in &parts {
                self.content.entries.remove(part);
            }
            self.content.insert(&target, weight.shape(), weight.data());
        }
        Ok(self)
    }

    /// Returns the weights that are stored as parts, by the names of their first parts.
    pub(crate) fn reparametrised(&self) -> Vec<Reparametrised> {
        self.names().filter_map(|name| self.first_part(name)).collect()
    }

    /// Returns the weight of which `name` is the first part.
    fn first_part(&self, name: &str) -> Option<Reparametrised> {
        let found = |form, target: String, parts: &[&str]| {
            let parts = parts.iter().map(|&part| part.to_owned()).collect();
            Some(Reparametrised { form, target, parts })
        };
        if let Some((module, parameter)) = parametrisation(name) {
            if let Some(weight) = parameter.strip_suffix(".original0") {
                let second = format!("{module}parametrizations.{weight}.original1");
                let form = if self.scales(name, &second) { Form::WeightNorm } else { Form::Other };
                return found(form, format!("{module}{weight}"), &[name, &second]);
            }
            let weight = parameter.strip_suffix(".original")?;
            return found(Form::Other, format!("{module}{weight}"), &[name]);
        }
        if let Some(weight) = name.strip_suffix("_g") {
            let second = format!("{weight}_v");
            // Vectors of such names are more likely two biases.
            let matrix = self.get(&second).is_some_and(|v| v.shape().len() > 1);
            return (matrix && self.scales(name, &second))
                .then(|| found(Form::WeightNorm, weight.to_owned(), &[name, &second]))?;
        }
        let weight = name.strip_suffix("_raw")?;
        let (module, parameter) = weight.split_at(weight.rfind('.').map_or(0, |dot| dot + 1));
        if !Parameter::ALL.iter().any(|role| parameter.starts_with(role.stem())) {
            return None;
        }
        // WeightDrop holds the raw weight, and in some versions the module is a child of it.
        let child = format!("{module}module.");
        let wrapped = self.names().any(|name| name.starts_with(&child));
        let module = if wrapped { child.as_str() } else { module };
        found(Form::WeightDrop, format!("{module}{parameter}"), &[name])
    }

    /// Returns whether `g` has the shape of the magnitudes of `v`: one or all axes of size 1, or no
    /// axes.
    fn scales(&self, g: &str, v: &str) -> bool {
        let (Some(g), Some(v)) = (self.get(g), self.get(v)) else { return false };
        magnitudes(g.shape(), v.shape()).is_some()
    }
}

/// Splits `encoder.parametrizations.weight.original0` at its module: `encoder.` and
/// `weight.original0`.
fn parametrisation(name: &str) -> Option<(&str, &str)> {
    const FOLDER: &str = "parametrizations.";
    let at = name.rfind(FOLDER).filter(|&at| at == 0 || name[..at].ends_with('.'))?;
    Some((&name[..at], &name[at + FOLDER.len()..]))
}

/// Returns how g's values lie in v: the number of magnitudes, and of consecutive elements of v for
/// each of them. `None` when the shapes do not fit.
fn magnitudes(g: &[usize], v: &[usize]) -> Option<(usize, usize)> {
    let count = |axes: &[usize]| element_count(axes).unwrap_or(usize::MAX);
    let kept: Vec<usize> = (0..g.len()).filter(|&axis| g[axis] != 1).collect();
    match (kept.as_slice(), g.len() == v.len()) {
        (_, false) if !g.is_empty() => None,
        ([], _) => Some((1, count(v))),
        (&[axis], _) => (g[axis] == v[axis]).then(|| (g[axis], count(&v[axis + 1..]))),
        _ => None,
    }
}

/// Returns v · (g / ‖v‖), with a norm for each value of g.
fn scaled(g: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (count, run) = magnitudes(g.shape(), v.shape()).ok_or_else(|| {
        Error::Shape(format!(
            "a magnitude of shape {:?} does not fit a direction of shape {:?}",
            g.shape(),
            v.shape()
        ))
    })?;
    let place = |at: usize| at / run.max(1) % count.max(1);
    let mut squares = vec![0.0_f64; count];
    for (at, &value) in v.data().iter().enumerate() {
        squares[place(at)] += f64::from(value) * f64::from(value);
    }
    let scales: Vec<f32> =
        g.data().iter().zip(&squares).map(|(&g, square)| g / square.sqrt() as f32).collect();
    let values =
        v.data().iter().enumerate().map(|(at, &value)| value * scales[place(at)]).collect();
    Tensor::new(v.shape(), values)
}

#[cfg(test)]
mod tests {
    use super::{magnitudes, parametrisation, scaled};
    use crate::tensor::Tensor;

    fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::new(shape, values.to_vec()).expect("the values fill the shape")
    }

    #[test]
    fn each_magnitude_scales_its_part_of_the_direction() {
        let v = tensor(&[2, 2], &[3.0, 4.0, 0.0, 2.0]);
        let of = |g: Tensor| scaled(&g, &v).expect("shapes that fit").into_data();
        assert_eq!(of(tensor(&[2, 1], &[10.0, 1.0])), [6.0, 8.0, 0.0, 1.0], "rows");
        assert_eq!(of(tensor(&[1, 2], &[6.0, 0.0])), [6.0, 0.0, 0.0, 0.0], "columns");
        let all = of(tensor(&[], &[29.0_f32.sqrt()]));
        assert!((all[0] - 3.0).abs() < 1e-6, "one magnitude for all: {all:?}");
        let nothing = scaled(&tensor(&[1, 1], &[1.0]), &tensor(&[1, 1], &[0.0]));
        assert!(nothing.expect("shapes that fit").data()[0].is_nan(), "0 / 0, as in PyTorch");
        let wrong = scaled(&tensor(&[3, 1], &[1.0; 3]), &v).expect_err("three rows of two");
        assert_eq!(
            wrong.to_string(),
            "a magnitude of shape [3, 1] does not fit a direction of shape [2, 2]"
        );
    }

    #[test]
    fn shapes_that_are_no_magnitudes_do_not_fit() {
        assert_eq!(magnitudes(&[4, 1, 1], &[4, 3, 2]), Some((4, 6)), "rows of matrices");
        assert_eq!(magnitudes(&[1, 3, 1], &[4, 3, 2]), Some((3, 2)), "an axis between");
        for (g, v) in [(&[4][..], &[4, 3][..]), (&[4, 3], &[4, 3]), (&[1, 2], &[4, 3])] {
            assert_eq!(magnitudes(g, v), None, "{g:?} for {v:?}");
        }
        assert_eq!(parametrisation("a.parametrizations.w.original0"), Some(("a.", "w.original0")));
        assert_eq!(parametrisation("my_parametrizations.w"), None, "another word");
    }
}
