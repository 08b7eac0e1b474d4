//! Kernels whose invocations pass values round within a subgroup: which, and for how many rows.

use crate::config::{Config, Kind};
use crate::dims::Dims;
use crate::kernel::{self, Kernel, SUBGROUP_MAX_ROWS};
use crate::limits::Limits;

/// The kernel of a step of a module; none for one with projection.
pub(super) fn step_kernel(config: &Config) -> Option<&'static Kernel> {
    match config.kind {
        _ if config.proj_size > 0 => None,
        Kind::RnnTanh | Kind::RnnRelu => Some(&kernel::STEP_SUBGROUP_RNN),
        Kind::Lstm => Some(&kernel::STEP_SUBGROUP_LSTM),
        Kind::Gru => Some(&kernel::STEP_SUBGROUP_GRU),
    }
}

/// ROWS for a dispatch of so many rows and of the sums in `dims`: as many as there are and workgroup memory and loops
/// allow. None where not even one is allowed.
pub(super) fn rows(kernel: &Kernel, rows: usize, dims: &Dims, limits: &Limits) -> Option<usize> {
    let most = rows.next_power_of_two().min(SUBGROUP_MAX_ROWS);
    std::iter::successors(Some(most), |rows| (*rows > 1).then_some(rows / 2)).find(|&rows| {
        let overrides = [("ROWS", rows as u32)];
        (kernel.workgroup)(&overrides).storage <= limits.max_compute_workgroup_storage_size
            && (kernel.loop_iterations)(dims, &overrides) <= limits.max_loop_iterations
    })
}
