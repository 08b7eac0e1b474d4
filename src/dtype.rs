//! The types in which devices store weights.

use crate::error::{Error, Result};

/// The type in which a device stores weights. Arithmetic is always f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the bytes, with a relative error of up to 2^-11 in each weight.
    F16,
}

impl WeightType {
    /// Every type.
    pub const ALL: &'static [Self] = &[Self::F32, Self::F16];

    /// Returns the suffix of kernel names; `None` for f32.
    pub(crate) const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::F32 => None,
            Self::F16 => Some("f16"),
        }
    }

    /// Returns `f32` or `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Returns the nearest value that the type can hold.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => half::f16::from_f32(value).to_f32(),
        }
    }

    /// Checks that the finite weights among named tensors stay finite in this type.
    ///
    /// # Errors
    /// [`Error::Option`] with the names of the tensors that do not fit.
    pub(crate) fn check<'a>(
        self,
        tensors: impl Iterator<Item = (String, &'a [f32])>,
    ) -> Result<()> {
        if self == Self::F32 {
            return Ok(());
        }
        let beyond = |&value: &f32| value.is_finite() && half::f16::from_f32(value).is_infinite();
        let beyond = tensors.filter(|(name, values)| is_stored(name) && values.iter().any(beyond));
        let names: Vec<String> = beyond.map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Error::Option(format!(
            "f16 holds values up to 65504, but {} has others; store f32",
            names.join(", ")
        )))
    }
}

/// Returns whether a weight type stores the parameter of this name. Biases and peepholes, which are
/// vectors, are always f32.
pub(crate) fn is_stored(name: &str) -> bool {
    !name.contains("bias") && !name.starts_with("weight_p")
}

impl std::str::FromStr for WeightType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            other => {
                Err(Error::UnknownName(format!("unknown dtype '{other}': expected f32 or f16")))
            }
        }
    }
}
