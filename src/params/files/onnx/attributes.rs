//! The attributes of one node, read by name and type.

use std::ops::RangeInclusive;

use rten_onnx::onnx::{AttributeProto, AttributeType, NodeProto};

use super::graphs::operator;

/// Every attribute of the recurrent operators: its operator, or an empty text for all of them, and
/// the versions of ONNX's operator set that have it.
const KNOWN: [(&str, &str, RangeInclusive<i64>); 10] = [
    ("", "activation_alpha", 1..=i64::MAX),
    ("", "activation_beta", 1..=i64::MAX),
    ("", "activations", 1..=i64::MAX),
    ("", "clip", 1..=i64::MAX),
    ("", "direction", 1..=i64::MAX),
    ("", "hidden_size", 1..=i64::MAX),
    ("", "layout", 14..=i64::MAX),
    ("", "output_sequence", 1..=6),
    ("LSTM", "input_forget", 1..=i64::MAX),
    ("GRU", "linear_before_reset", 3..=i64::MAX),
];

/// The attributes of a recurrent node.
pub struct Attributes<'a>(&'a [AttributeProto]);

impl<'a> Attributes<'a> {
    /// Checks that ONNX defines every attribute of a recurrent node, in this version of the
    /// operator set.
    ///
    /// # Errors
    /// A message that names an unknown attribute, or one that occurs twice.
    pub fn new(node: &'a NodeProto, version: i64) -> Result<Self, String> {
        let operator = operator(node);
        for (index, attribute) in node.attribute.iter().enumerate() {
            let name = attribute.name.as_deref().unwrap_or_default();
            let known = KNOWN
                .iter()
                .find(|(of, known, _)| *known == name && (of.is_empty() || *of == operator));
            match known {
                None => {
                    let names: Vec<_> = KNOWN
                        .iter()
                        .filter(|(of, _, range)| {
                            (of.is_empty() || *of == operator) && range.contains(&version)
                        })
                        .map(|(_, name, _)| *name)
                        .collect();
                    return Err(format!(
                        "attribute '{name}' is unknown: {operator} has {}",
                        names.join(", ")
                    ));
                }
                Some((.., range)) if !range.contains(&version) => {
                    let (start, end) = (range.start(), range.end());
                    let versions = match *end {
                        i64::MAX => format!("{start} and later"),
                        _ => format!("{start} to {end}"),
                    };
                    return Err(format!(
                        "attribute '{name}' belongs to operator sets {versions}, but the model \
                         has {version}"
                    ));
                }
                Some(_) => {}
            }
            if node.attribute[..index].iter().any(|other| other.name == attribute.name) {
                return Err(format!("attribute '{name}' occurs twice"));
            }
        }
        Ok(Self(&node.attribute))
    }

    /// Returns an attribute that is there, after a check of its type. Files of old exporters have
    /// no types.
    fn get(
        &self,
        name: &str,
        kind: AttributeType,
        expected: &str,
    ) -> Result<Option<&'a AttributeProto>, String> {
        let found = self.0.iter().find(|attribute| attribute.name.as_deref() == Some(name));
        match found.and_then(|attribute| attribute.r#type) {
            Some(found) if found != kind && found != AttributeType::UNDEFINED => {
                Err(format!("attribute '{name}' has type {}: expected {expected}", found.0))
            }
            _ => Ok(found),
        }
    }

    /// Returns an integer. One without a value is 0, as Protocol Buffers define.
    pub fn int(&self, name: &str) -> Result<Option<i64>, String> {
        let found = self.get(name, AttributeType::INT, "an integer")?;
        Ok(found.map(|attribute| attribute.i.unwrap_or_default()))
    }

    /// Returns an integer that is 0 or 1; `false` without the attribute.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        match self.int(name)?.unwrap_or_default() {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("attribute '{name}' is {other}: expected 0 or 1")),
        }
    }

    /// Returns a number.
    pub fn float(&self, name: &str) -> Result<Option<f32>, String> {
        let found = self.get(name, AttributeType::FLOAT, "a number")?;
        Ok(found.map(|attribute| attribute.f.unwrap_or_default()))
    }

    /// Returns a text.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let found = self.get(name, AttributeType::STRING, "a text")?;
        Ok(found.map(|attribute| attribute.s.as_deref().unwrap_or_default()))
    }

    /// Returns numbers; none without the attribute.
    pub fn floats(&self, name: &str) -> Result<&'a [f32], String> {
        let found = self.get(name, AttributeType::FLOATS, "numbers")?;
        Ok(found.map_or(&[], |attribute| &attribute.floats))
    }

    /// Returns texts.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>, String> {
        let found = self.get(name, AttributeType::STRINGS, "texts")?;
        Ok(found.map(|attribute| attribute.strings.iter().map(String::as_str).collect()))
    }
}
