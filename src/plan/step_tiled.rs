//! The schedule `step_tiled`.

use super::schedule::refuse;
use crate::error::Result;
use crate::kernel::Schedule;
use crate::kernel::{self, Kernel};
use crate::params::config::{Config, Kind};
use crate::plan::limits::Limits;

/// The kernel of the schedule for a module.
///
/// # Errors
/// [`Error::Unsupported`](crate::error::Error::Unsupported) saying why there is none.
pub(super) fn kernel(config: &Config, limits: &Limits) -> Result<&'static Kernel> {
    if config.proj_size > 0 {
        return Err(refuse(Schedule::StepTiled, "has no projection (proj_size)"));
    }
    let kernel = match config.kind {
        Kind::RnnTanh | Kind::RnnRelu => &kernel::STEP_TILED_RNN,
        Kind::Lstm => &kernel::STEP_TILED_LSTM,
        Kind::Gru => &kernel::STEP_TILED_GRU,
    };
    let needs = (kernel.workgroup)(&[]);
    let invocations = needs.size.iter().product::<u32>();
    if invocations > limits.max_compute_invocations_per_workgroup
        || needs.size[0] > limits.max_compute_workgroup_size_x
        || needs.storage > limits.max_compute_workgroup_storage_size
    {
        let why = format!(
            "needs workgroups of {invocations} invocations and {} bytes, which this device or its limits do not allow",
            needs.storage
        );
        return Err(refuse(Schedule::StepTiled, &why));
    }
    Ok(kernel)
}
