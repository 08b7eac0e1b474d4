//! The end of a run.

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Ran {
    /// All commands ran.
    Done,
    /// A workgroup waited in vain for another, so the results are void. The device no longer
    /// exchanges states; a new plan of the same call avoids it.
    Abandoned,
}
