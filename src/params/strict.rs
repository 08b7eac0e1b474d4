//! Strictness: a module's prefix owns every tensor below it, at every depth of names.

use std::collections::HashSet;

use crate::error::{Error, Result, StateDictProblem};
use crate::params::state_dict::rename::listed;
use crate::params::state_dict::{Entry, StateDict};

const UNUSED: &str = "a tensor that the module does not use may change its results: load the \
     module that uses it, or load without it by LoadOptions::allow_unused (--allow-unused)";

/// The tensors below a prefix that a module does not use.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The tensors that forbid loading, by name.
    problems: Vec<StateDictProblem>,
    /// Changes that help, a line each.
    pub(super) advice: Vec<String>,
    /// A note of the tensors that the caller allows.
    note: Option<String>,
}

impl Rest {
    /// Returns the tensors below `prefix` that are not among `known`, the names of all parameters
    /// of the module.
    ///
    /// `allow_unused` turns them into a note. Parts of a reparametrised weight stay a problem,
    /// because the module uses that weight. That includes parts outside the prefix.
    pub(super) fn new(
        state_dict: &StateDict,
        prefix: &str,
        known: &[String],
        allow_unused: bool,
    ) -> Self {
        let known: HashSet<&str> = known.iter().map(String::as_str).collect();
        let mut rest = Self::default();
        let mut parts = HashSet::new();
        for weight in state_dict.reparametrised() {
            let owned = weight.parts.iter().any(|part| part.starts_with(prefix));
            if owned || known.contains(weight.target.as_str()) {
                rest.advice.push(weight.advice());
                parts.extend(weight.parts);
            }
        }
        let below = state_dict.names().filter(|name| name.starts_with(prefix));
        let unused: Vec<&str> =
            below.filter(|name| !known.contains(name) && !parts.contains(*name)).collect();
        let mut refused: Vec<String> = parts.into_iter().collect();
        match unused.as_slice() {
            [] => {}
            some if allow_unused => {
                rest.note = Some(format!(
                    "{} holds tensors that are not used: {}",
                    state_dict.path().display(),
                    listed(some.iter().copied())
                ));
            }
            some => {
                refused.extend(some.iter().map(|&name| name.to_owned()));
                rest.advice.push(UNUSED.to_owned());
            }
        }
        refused.sort_unstable();
        rest.problems =
            refused.into_iter().map(|name| StateDictProblem::Unexpected { name }).collect();
        rest
    }

    /// Returns the note, and logs it, if the module has neither `problems` nor refused tensors.
    ///
    /// # Errors
    /// [`Error::StateDict`] with all problems.
    pub(super) fn accept(
        self,
        module: &'static str,
        mut problems: Vec<StateDictProblem>,
    ) -> Result<Option<String>> {
        problems.extend(self.problems);
        if !problems.is_empty() {
            return Err(Error::StateDict { module, problems, advice: self.advice });
        }
        if let Some(note) = &self.note {
            log::warn!("{module}: {note}");
        }
        Ok(self.note)
    }
}

/// Returns the problem of a tensor whose type cannot be loaded.
pub(super) fn dtype_problem(name: &str, entry: &Entry) -> Option<StateDictProblem> {
    let found =
        || StateDictProblem::Dtype { name: name.to_owned(), found: entry.dtype().to_string() };
    (!entry.is_loadable()).then(found)
}

/// Returns advice about reparametrised weights below `prefix`, for a prefix without the weights
/// themselves.
pub(super) fn folding(state_dict: &StateDict, prefix: &str) -> Vec<String> {
    let weights = state_dict.reparametrised().into_iter();
    let below = weights.filter(|weight| weight.target.starts_with(prefix));
    below.map(|weight| weight.advice()).collect()
}
