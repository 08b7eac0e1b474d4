//! The blocks of gates in weights, which systems order differently.

use crate::error::Result;
use crate::tensor::reserved;

/// Returns equal blocks of values in another order.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the host's memory does not hold them.
pub fn reordered(values: &[f32], order: &[usize]) -> Result<Vec<f32>> {
    let block = values.len() / order.len();
    let mut blocks = reserved(values.len(), "the converted weights")?;
    for &from in order {
        blocks.extend_from_slice(&values[from * block..(from + 1) * block]);
    }
    Ok(blocks)
}
