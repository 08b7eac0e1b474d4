//! Kernels whose invocations pass values round within a subgroup: which, and for how many rows.

use crate::kernel::uniforms::Dims;
use crate::kernel::{
    self, Kernel, SEQUENCE_SUBGROUP_MAX_UNITS, SUBGROUP_MAX_ROWS, SUBGROUP_WORKGROUP_SIZE,
};
use crate::params::config::{Config, Kind};
use crate::plan::limits::Limits;

/// The kernel of a step of a module; none for one with projection.
pub(super) fn step_kernel(config: &Config) -> Option<&'static Kernel> {
    match config.kind {
        _ if config.proj_size > 0 => None,
        Kind::RnnTanh | Kind::RnnRelu => Some(&kernel::STEP_SUBGROUP_RNN),
        Kind::Lstm => Some(&kernel::STEP_SUBGROUP_LSTM),
        Kind::Gru => Some(&kernel::STEP_SUBGROUP_GRU),
    }
}

/// The kernel of several steps of a module; none where a workgroup, of at most so many invocations, does not hold the
/// weights of all units.
pub(super) fn sequence_kernel(config: &Config, invocations: u32) -> Option<&'static Kernel> {
    let needed = config.hidden_size.next_power_of_two().max(SUBGROUP_WORKGROUP_SIZE);
    match config.kind {
        _ if needed > SEQUENCE_SUBGROUP_MAX_UNITS.min(invocations as usize) => None,
        Kind::RnnTanh | Kind::RnnRelu => Some(&kernel::SEQUENCE_SUBGROUP_RNN),
        Kind::Lstm => Some(&kernel::SEQUENCE_SUBGROUP_LSTM),
        Kind::Gru => Some(&kernel::SEQUENCE_SUBGROUP_GRU),
    }
}

/// GROUPS of a kernel that holds so many quads of each gate's weights.
pub(super) fn groups(quads: usize) -> u32 {
    quads.div_ceil(8).next_power_of_two() as u32
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
