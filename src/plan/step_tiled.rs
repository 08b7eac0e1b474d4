//! The schedule `step_tiled`: one dispatch for each time step, for many rows. It is a matrix
//! product in tiles with the gates in its epilogue. The module `step` records its dispatches.

use super::decision::refuse;
use super::step::{Specialised, StepShape, kernel, relu};
use super::{Profile, Request};
use crate::error::Result;
use crate::kernel::families::{STEP_TILE_ROWS, STEP_TILE_UNITS};
use crate::kernel::{Family, Overrides, Schedule, WorkgroupUse};

/// Checks that the schedule can run a module on a device.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the reason.
pub(super) fn check(request: &Request<'_>, profile: &Profile<'_>) -> Result<()> {
    if request.config.proj_size > 0 {
        return Err(refuse(Schedule::StepTiled, "has no projection (proj_size)"));
    }
    let WorkgroupUse { size, storage } =
        kernel(Family::StepTiled, request).workgroup(&Overrides::default());
    let (invocations, limits) = (size.iter().product::<u32>(), profile.limits);
    if invocations > limits.max_compute_invocations_per_workgroup
        || size[0] > limits.max_compute_workgroup_size_x
        || storage > limits.max_compute_workgroup_storage_size
    {
        let why = format!(
            "needs workgroups of {invocations} invocations and {storage} bytes, which this device \
             or its limits do not allow"
        );
        return Err(refuse(Schedule::StepTiled, &why));
    }
    Ok(())
}

/// Returns the kernel for a request.
///
/// # Errors
/// The errors of [`check`].
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<StepShape> {
    check(request, profile)?;
    let step = Specialised {
        kernel: kernel(Family::StepTiled, request),
        overrides: Overrides { relu: relu(request), ..Overrides::default() },
        units: STEP_TILE_UNITS,
        rows: STEP_TILE_ROWS,
    };
    Ok(StepShape { step, projection: None })
}
