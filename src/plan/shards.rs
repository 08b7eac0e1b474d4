//! Cutting weights into shards that one binding holds.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::plan::limits::Limits;

/// Cuts `count` rows of `words` 32-bit words into the fewest shards that one binding holds, of
/// nearly equal length. `what` names a row in the error.
///
/// # Errors
/// [`Error::Limit`] if a single row exceeds one binding.
pub(crate) fn cut_shards(
    count: usize,
    words: usize,
    what: &str,
    limits: &Limits,
) -> Result<Vec<Range<usize>>> {
    let row = words as u64 * 4;
    check_binding(row, what, limits)?;
    let most = limits.max_binding() / row;
    let shards = count.div_ceil(usize::try_from(most).unwrap_or(usize::MAX));
    let size = count.div_ceil(shards);
    Ok((0..count).step_by(size).map(|start| start..(start + size).min(count)).collect())
}

/// Checks that one binding holds `what`, of `needed` bytes.
///
/// # Errors
/// [`Error::Limit`] if it does not.
pub(crate) fn check_binding(needed: u64, what: &str, limits: &Limits) -> Result<()> {
    let allowed = limits.max_binding();
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::Limit {
        limit: limits.max_binding_name(),
        what: what.to_owned(),
        needed,
        allowed,
        advice: "use another device or the CPU",
    })
}
