//! Other names for the tensors of a state dict.

use super::StateDict;
use crate::error::{Error, Result};

/// Names that an error lists before it only counts.
const LISTED: usize = 12;

impl StateDict {
    /// Renames tensors. Each pair is an old and a new name, or an old and a new prefix: a prefix
    /// ends with a dot or is empty.
    ///
    /// All pairs read the names of the file, so that two names can be exchanged. If several pairs
    /// fit, the longest old name decides. The metadata of tied weights follows.
    ///
    /// ```no_run
    /// # fn main() -> wgpu_rnn::Result<()> {
    /// # use wgpu_rnn::StateDict;
    /// let weights = StateDict::open("model.safetensors")?.renamed(&[
    ///     ("embedding.", "encoder."), // for `language_model`
    ///     ("gru.", "rnn."),
    ///     ("fc.", "decoder."),
    /// ])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] when a pair mixes a name and a prefix, when it fits no tensor, or when two
    /// tensors would have one name.
    pub fn renamed(mut self, pairs: &[(&str, &str)]) -> Result<Self> {
        for &(old, new) in pairs {
            if is_prefix(old) != is_prefix(new) {
                return Err(Error::Option(format!(
                    "cannot rename '{old}' to '{new}': expected two names, or two prefixes that \
                     end with a dot"
                )));
            }
            if !self.names().any(|name| fits(old, name)) {
                return Err(Error::Option(format!(
                    "cannot rename '{old}' to '{new}': no tensor of {} has that name; found {}",
                    self.path().display(),
                    listed(self.names())
                )));
            }
        }
        let renamed = |name: &str| {
            let best =
                pairs.iter().filter(|(old, _)| fits(old, name)).max_by_key(|(old, _)| old.len());
            best.map_or_else(
                || name.to_owned(),
                |(old, new)| format!("{new}{}", &name[old.len()..]),
            )
        };
        // safetensors' `save_model` maps the name of a shared tensor to the stored one.
        self.content.metadata = std::mem::take(&mut self.content.metadata)
            .into_iter()
            .map(|(key, value)| match self.content.entries.contains_key(&value) {
                true => (renamed(&key), renamed(&value)),
                false => (key, value),
            })
            .collect();
        for (name, entry) in std::mem::take(&mut self.content.entries) {
            let new = renamed(&name);
            if self.content.entries.insert(new.clone(), entry).is_some() {
                return Err(Error::Option(format!("two tensors would have the name '{new}'")));
            }
        }
        Ok(self)
    }
}

/// Returns whether a pattern of [`StateDict::renamed`] is a prefix, not a name.
fn is_prefix(pattern: &str) -> bool {
    pattern.is_empty() || pattern.ends_with('.')
}

fn fits(old: &str, name: &str) -> bool {
    if is_prefix(old) { name.starts_with(old) } else { name == old }
}

/// Returns names for an error: all of them, or the first and the number of the others.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match names.as_slice() {
        [] => "no tensors".to_owned(),
        some => format!("{}{more}", some[..some.len().min(LISTED)].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateDict;
    use super::listed;

    /// A state dict whose tensors hold their place in `names`.
    fn file(names: &[&str]) -> StateDict {
        let header = br#"{"__metadata__":{"tied":"a.weight","other":"text"}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
        let mut file = StateDict::parse("test.safetensors", bytes).expect("an empty file");
        for (value, name) in names.iter().enumerate() {
            file.content.insert(name, &[1], &[value as f32]);
        }
        file
    }

    fn values(file: &StateDict) -> Vec<(&str, f32)> {
        file.names().map(|name| (name, file.f32(name).expect("F32")[0])).collect()
    }

    #[test]
    fn names_and_prefixes_are_renamed_together() {
        let names = ["a.weight", "a.b.weight", "c.weight", "d"];
        let renamed = |pairs: &[(&str, &str)]| file(&names).renamed(pairs).expect("names that fit");
        let swapped = renamed(&[("a.", "c."), ("c.", "a."), ("a.b.", "e."), ("d", "f.g")]);
        assert_eq!(
            values(&swapped),
            [("a.weight", 2.0), ("c.weight", 0.0), ("e.weight", 1.0), ("f.g", 3.0)],
            "the longest decides, and two may be exchanged"
        );
        assert_eq!(swapped.metadata("tied"), Some("c.weight"), "the stored name follows");
        assert_eq!(swapped.metadata("other"), Some("text"), "other metadata stays");
        let under = renamed(&[("", "model.")]);
        assert!(under.names().all(|name| name.starts_with("model.")), "{:?}", values(&under));
        let back = under.renamed(&[("model.", "")]).expect("all have the prefix");
        assert_eq!(values(&back), values(&file(&names)), "and back");
    }

    #[test]
    fn pairs_that_fit_nothing_are_refused() {
        let refusal = |pairs: &[(&str, &str)]| {
            let error = file(&["a.weight", "b.weight"]).renamed(pairs).expect_err("refused");
            error.to_string()
        };
        assert_eq!(
            refusal(&[("a.", "x")]),
            "cannot rename 'a.' to 'x': expected two names, or two prefixes that end with a dot"
        );
        assert_eq!(
            refusal(&[("c.", "x.")]),
            "cannot rename 'c.' to 'x.': no tensor of test.safetensors has that name; found \
             a.weight, b.weight"
        );
        assert_eq!(refusal(&[("a.", "b.")]), "two tensors would have the name 'b.weight'");
        let names: Vec<String> = (0..14).map(|i| i.to_string()).collect();
        let many = listed(names.iter().map(String::as_str));
        assert!(many.ends_with("10, 11 and 2 more"), "{many}");
    }
}
