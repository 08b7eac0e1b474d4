//! How weights are stored.

use crate::error::{Error, Result};

/// How weights are stored on a device. Arithmetic is f32 in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightType {
    /// As they are.
    #[default]
    F32,
    /// Rounded to f16: half the bytes, and a relative error of each weight of up to 2^-11.
    F16,
}

impl WeightType {
    /// Every type.
    pub const ALL: &'static [Self] = &[Self::F32, Self::F16];

    /// The word by which names of kernels differ; `None` for f32.
    pub(crate) const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::F32 => None,
            Self::F16 => Some("f16"),
        }
    }

    /// `f32` or `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The nearest value that it holds.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => half::f16::from_f32(value).to_f32(),
        }
    }

    /// Checks that finite values of the weights among named tensors stay finite.
    ///
    /// # Errors
    /// [`Error::Option`] naming the tensors that have others.
    pub(crate) fn check<'a>(
        self,
        tensors: impl Iterator<Item = (String, &'a [f32])>,
    ) -> Result<()> {
        if self == Self::F32 {
            return Ok(());
        }
        let beyond = |&value: &f32| value.is_finite() && half::f16::from_f32(value).is_infinite();
        let beyond =
            tensors.filter(|(name, values)| !name.contains("bias") && values.iter().any(beyond));
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
