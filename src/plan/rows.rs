//! Kernels in which a workgroup owns a row.

use super::largest;
use super::limits::Limits;
use crate::kernel::Overrides;

/// Returns the overrides of the kernels in which a workgroup owns a row of `columns` values.
pub(super) fn row_overrides(columns: usize, limits: &Limits) -> Overrides {
    let most =
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let wanted = if columns < 2048 { 64 } else { 256 };
    let fits = |&size: &u32| size <= wanted && size <= most;
    let workgroup_size = largest([256, 64, 32], fits).unwrap_or(32);
    Overrides { workgroup_size, ..Overrides::default() }
}
