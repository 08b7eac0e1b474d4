//! The needs of kernels, checked against a device's limits before a dispatch is planned.

use crate::error::{Error, Result};
use crate::kernel::uniforms::Dims;
use crate::kernel::{Kernel, Overrides, WorkgroupUse};
use crate::plan::limits::Limits;
use crate::plan::recording::{BufferId, Dispatch, Place};

/// Returns a dispatch of `workgroups` workgroups, after the checks that wgpu leaves to its callers.
pub(crate) fn planned(
    kernel: Kernel,
    overrides: Overrides,
    dims: Dims,
    bindings: Vec<BufferId>,
    workgroups: u64,
    limits: &Limits,
) -> Result<Dispatch> {
    check_kernel(kernel, &overrides, &dims, limits)?;
    let workgroups = limits.fold_workgroups(kernel.row().name, workgroups)?;
    let place = Place::default();
    Ok(Dispatch { kernel, place, overrides, dims, bindings, workgroups, in_place: false })
}

/// Checks a specialised kernel against the limits.
///
/// # Errors
/// [`Error::Limit`] names the limit that the kernel exceeds.
pub fn check_kernel(
    kernel: Kernel,
    overrides: &Overrides,
    dims: &Dims,
    limits: &Limits,
) -> Result<()> {
    let needs = Needs {
        workgroup: kernel.workgroup(overrides),
        bindings: kernel.bindings().count(),
        loop_iterations: kernel.loop_iterations(dims, overrides),
    };
    needs.check(&kernel.name(), limits)
}

/// The needs of a specialised kernel that may exceed a device's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Workgroup size and memory.
    pub workgroup: WorkgroupUse,
    /// Storage bindings.
    pub bindings: usize,
    /// Loop iterations of one invocation.
    pub loop_iterations: u64,
}

impl Needs {
    /// Checks the needs of the kernel `name` against the limits. wgpu does not validate workgroup
    /// sizes from overrides, or workgroup memory. lavapipe stops a shader with too many loop
    /// iterations without an error.
    ///
    /// # Errors
    /// [`Error::Limit`] names the limit that the kernel exceeds.
    pub fn check(&self, name: &str, limits: &Limits) -> Result<()> {
        let WorkgroupUse { size, storage } = self.workgroup;
        let other_device = "use another device or the CPU";
        let checks: [(_, u64, u64, _); 5] = [
            (
                "max_compute_invocations_per_workgroup",
                size.iter().product::<u32>().into(),
                limits.max_compute_invocations_per_workgroup.into(),
                other_device,
            ),
            (
                "max_compute_workgroup_size_x",
                size[0].into(),
                limits.max_compute_workgroup_size_x.into(),
                other_device,
            ),
            (
                "max_compute_workgroup_storage_size",
                storage.into(),
                limits.max_compute_workgroup_storage_size.into(),
                other_device,
            ),
            (
                "max_storage_buffers_per_shader_stage",
                self.bindings as u64,
                limits.max_storage_buffers_per_shader_stage.into(),
                other_device,
            ),
            (
                "max_loop_iterations",
                self.loop_iterations,
                limits.max_loop_iterations,
                "use a GPU or the CPU for a layer that wide",
            ),
        ];
        match checks.into_iter().find(|(_, needed, allowed, _)| needed > allowed) {
            None => Ok(()),
            Some((limit, needed, allowed, advice)) => {
                let what = format!("the kernel {name}");
                Err(Error::Limit { limit, what, needed, allowed, advice })
            }
        }
    }
}
