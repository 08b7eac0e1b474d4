//! The limits of a device, and the arithmetic to stay within them.

use crate::error::{Error, Result};

/// The limits that plans obey: WebGPU's, under their names, and four of this crate.
///
/// They start from the adapter ([`Limits::of`]) or the host ([`Limits::host`]), and
/// [`set`](Self::set) lowers them. Lower limits try a small GPU's plan on a large GPU, or chunking
/// with small data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one storage binding.
    pub max_storage_buffer_binding_size: u64,
    /// Bytes of one buffer.
    pub max_buffer_size: u64,
    /// Workgroups along one axis of a dispatch.
    pub max_compute_workgroups_per_dimension: u32,
    /// Invocations of a workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Invocations of a workgroup along x.
    pub max_compute_workgroup_size_x: u32,
    /// Bytes of workgroup memory.
    pub max_compute_workgroup_storage_size: u32,
    /// Storage bindings of one pipeline.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Total bytes of weights, activations and read-back buffers of one model; `u64::MAX` for no
    /// bound.
    pub memory_budget: u64,
    /// Loop iterations of one invocation, all loops together. Mesa's lavapipe stops a shader
    /// silently after 65,535. `u64::MAX` elsewhere.
    pub max_loop_iterations: u64,
    /// Multiply-adds of one submission. The limit keeps submissions short enough for watchdogs (2 s
    /// on Windows). Every dispatch counts for a million more, because small dispatches also cost
    /// time.
    ///
    /// An opened device allows at most the work of one second. The estimate takes the device's
    /// known speed ([`Device::calibration`](crate::Device::calibration)), a layer of few rows and
    /// the schedule that suits it. A slower schedule that the caller asks for takes longer.
    pub max_work_per_submission: u64,
    /// Time steps of one `sequence` dispatch. A long dispatch can trigger a watchdog, and it delays
    /// all other work.
    pub max_steps_per_dispatch: u32,
}

impl Limits {
    /// The loop limit of adapters of type CPU: lavapipe's 65,535, less room for the compiler's
    /// loops.
    const SOFTWARE_LOOP_ITERATIONS: u64 = 60_000;

    /// Bytes of the values that a kernel's 32-bit indices reach, in whole quads. Some drivers bind
    /// more.
    const INDEXED: u64 = ((1 << 32) - 4) * 4;

    /// At most a second of work on an integrated GPU with 50 billion multiply-adds per second.
    const WORK_PER_SUBMISSION: u64 = 50_000_000_000;

    /// The steps per dispatch above which longer dispatches save nothing. A dispatch costs about
    /// one or two steps.
    const STEPS_PER_DISPATCH: u32 = 64;

    /// The names that [`set`](Self::set) accepts.
    pub const NAMES: &'static [&'static str] = &[
        "max_storage_buffer_binding_size",
        "max_buffer_size",
        "max_compute_workgroups_per_dimension",
        "max_compute_invocations_per_workgroup",
        "max_compute_workgroup_size_x",
        "max_compute_workgroup_storage_size",
        "max_storage_buffers_per_shader_stage",
        "memory_budget",
        "max_loop_iterations",
        "max_work_per_submission",
        "max_steps_per_dispatch",
    ];

    /// Returns the limits of an adapter; `software` marks an adapter of type CPU.
    pub fn of(limits: &wgpu::Limits, software: bool) -> Self {
        Self {
            // Some drivers report 2^31 - 1, and binding sizes are multiples of 4: round down.
            max_storage_buffer_binding_size: limits
                .max_storage_buffer_binding_size
                .min(Self::INDEXED)
                & !3,
            max_buffer_size: limits.max_buffer_size & !3,
            max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: limits.max_compute_workgroup_size_x,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
            memory_budget: u64::MAX,
            max_loop_iterations: if software { Self::SOFTWARE_LOOP_ITERATIONS } else { u64::MAX },
            max_work_per_submission: Self::WORK_PER_SUBMISSION,
            max_steps_per_dispatch: Self::STEPS_PER_DISPATCH,
        }
    }

    /// Returns the limits of the host as a device. It is limited by memory alone, in blocks within
    /// the range of a kernel's 32-bit indices.
    pub fn host() -> Self {
        Self {
            max_storage_buffer_binding_size: 1 << 30,
            max_buffer_size: 1 << 30,
            ..Self::of(&wgpu::Limits::defaults(), false)
        }
    }

    /// Lowers the work of a submission to one second of a device with this worst-case rate.
    pub(crate) fn slow_down(&mut self, multiply_adds_per_us: f64) {
        let second = (multiply_adds_per_us * 1e6).max(1.0) as u64;
        self.max_work_per_submission = self.max_work_per_submission.min(second);
    }

    /// Lowers one limit by name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for an unknown name; [`Error::Option`] for zero and for a value above
    /// the current limit.
    pub fn set(&mut self, name: &str, value: u64) -> Result<()> {
        let mut small = 0_u32;
        let mut large = 0_u64;
        let (wide, narrow) = match name {
            "max_storage_buffer_binding_size" => {
                (Some(&mut self.max_storage_buffer_binding_size), None)
            }
            "max_buffer_size" => (Some(&mut self.max_buffer_size), None),
            "memory_budget" => (Some(&mut self.memory_budget), None),
            "max_loop_iterations" => (Some(&mut self.max_loop_iterations), None),
            "max_compute_workgroups_per_dimension" => {
                (None, Some(&mut self.max_compute_workgroups_per_dimension))
            }
            "max_compute_invocations_per_workgroup" => {
                (None, Some(&mut self.max_compute_invocations_per_workgroup))
            }
            "max_compute_workgroup_size_x" => (None, Some(&mut self.max_compute_workgroup_size_x)),
            "max_compute_workgroup_storage_size" => {
                (None, Some(&mut self.max_compute_workgroup_storage_size))
            }
            "max_storage_buffers_per_shader_stage" => {
                (None, Some(&mut self.max_storage_buffers_per_shader_stage))
            }
            "max_work_per_submission" => (Some(&mut self.max_work_per_submission), None),
            "max_steps_per_dispatch" => (None, Some(&mut self.max_steps_per_dispatch)),
            _ => {
                return Err(Error::UnknownName(format!(
                    "unknown limit '{name}': expected one of {}",
                    Self::NAMES.join(", ")
                )));
            }
        };
        let current =
            wide.as_ref().map_or_else(|| narrow.as_ref().map_or(0, |n| u64::from(**n)), |w| **w);
        if value == 0 || value > current {
            return Err(Error::Option(format!(
                "{name} can be lowered to 1..={current}, got {value}"
            )));
        }
        *wide.unwrap_or(&mut large) = value;
        // The value fits a u32 whenever `narrow` is the target.
        *narrow.unwrap_or(&mut small) = u32::try_from(value).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Returns the most bytes of one bound buffer.
    pub fn max_binding(&self) -> u64 {
        self.max_storage_buffer_binding_size.min(self.max_buffer_size) & !3
    }

    /// Returns the name of the limit that [`max_binding`](Self::max_binding) comes from.
    pub fn max_binding_name(&self) -> &'static str {
        if self.max_buffer_size < self.max_storage_buffer_binding_size {
            "max_buffer_size"
        } else {
            "max_storage_buffer_binding_size"
        }
    }

    /// Folds `count` workgroups into the x and y axes. Shaders compute the index `x + y ·
    /// num_workgroups.x` and skip the excess.
    ///
    /// # Errors
    /// [`Error::Limit`] if two axes cannot hold `count` workgroups.
    pub fn fold_workgroups(&self, what: &str, count: u64) -> Result<[u32; 3]> {
        let max = u64::from(self.max_compute_workgroups_per_dimension);
        if count <= max {
            return Ok([count as u32, 1, 1]);
        }
        let y = count.div_ceil(max);
        if y > max {
            return Err(Error::Limit {
                limit: "max_compute_workgroups_per_dimension",
                what: format!("{what}: {count} workgroups along two axes"),
                needed: y,
                allowed: max,
                advice: "use a smaller batch",
            });
        }
        // The smallest x for y rows of workgroups wastes less than one row.
        Ok([count.div_ceil(y) as u32, y as u32, 1])
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn folding_covers_every_workgroup_once_and_wastes_little() {
        let limits = Limits::of(&wgpu::Limits::defaults(), false);
        for count in
            [1, 2, 65_534, 65_535, 65_536, 65_537, 65_535 * 64 - 1, 65_535 * 64 + 1, 1 << 31]
        {
            let [x, y, z] = limits.fold_workgroups("test", count).expect("two axes reach 2^32");
            let total = u64::from(x) * u64::from(y) * u64::from(z);
            assert!(total >= count, "{count} workgroups folded into {total}");
            assert!(total - count < u64::from(y.max(1)), "{count} workgroups folded into {total}");
            assert!(x <= 65_535 && y <= 65_535, "{x} x {y}");
        }
        let error = limits
            .fold_workgroups("test", 65_535 * 65_535 + 1)
            .expect_err("three axes would be needed");
        assert!(error.to_string().contains("max_compute_workgroups_per_dimension"), "{error}");
    }

    #[test]
    fn bindings_stay_within_the_reach_of_an_index() {
        let reported = wgpu::Limits {
            max_storage_buffer_binding_size: u64::MAX,
            max_buffer_size: u64::MAX,
            ..wgpu::Limits::defaults()
        };
        let most = Limits::of(&reported, false).max_binding();
        assert!(most / 4 <= u32::MAX.into(), "{most} bytes");
        assert_eq!(most % 16, 0, "whole quads");
        let reported = wgpu::Limits { max_storage_buffer_binding_size: 2_147_483_647, ..reported };
        assert_eq!(Limits::of(&reported, false).max_binding(), 2_147_483_644, "rounded down");
    }

    #[test]
    fn slow_devices_get_a_second_of_work_and_fast_ones_no_more_than_before() {
        let default = Limits::of(&wgpu::Limits::defaults(), false);
        for (rate, want) in [
            (600.0, 600_000_000),
            (1e4, 10_000_000_000),
            (1e9, default.max_work_per_submission),
            (0.0, 1),
        ] {
            let mut limits = default.clone();
            limits.slow_down(rate);
            assert_eq!(
                limits.max_work_per_submission, want,
                "{rate} multiply-adds in a microsecond"
            );
        }
    }

    #[test]
    fn limits_are_lowered_by_name_only() {
        let mut limits = Limits::of(&wgpu::Limits::defaults(), false);
        limits.set("max_buffer_size", 1024).expect("lowering is allowed");
        assert_eq!(limits.max_binding(), 1024, "the smaller of the two limits binds");
        assert_eq!(limits.max_binding_name(), "max_buffer_size");
        for (name, value) in [("max_buffer_size", 2048), ("max_buffer_size", 0), ("nonsense", 1)] {
            limits.set(name, value).expect_err("raising, zero and unknown names are refused");
        }
    }
}
