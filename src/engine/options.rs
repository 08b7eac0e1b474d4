//! Options for opening a device.

use crate::engine::gpu::Polling;
use crate::error::Result;
use crate::perf::calibration::Calibration;
use crate::plan::limits::Limits;

/// Options for opening a device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Limits to lower, by name; see [`Limits::set`].
    pub limits: Vec<(String, u64)>,
    /// Whether the device must pass the self-test: a small LSTM against the reference.
    pub self_test: bool,
    /// Whether to time runs by the device's own clock, if it has one.
    pub timestamps: bool,
    /// Whether shaders are made with wgpu's run-time checks.
    pub runtime_checks: bool,
    /// Whether a GPU is probed for the schedule `persistent`.
    pub persistent: bool,
    /// The most threads of the CPU engine; `None` for all cores. A GPU ignores it.
    pub threads: Option<usize>,
    /// The calibration that schedules are chosen by. `None` uses typical figures of the device's
    /// type.
    pub calibration: Option<Calibration>,
    /// Whether a thread of this crate or the program polls the device while a future waits.
    pub polling: Polling,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            self_test: true,
            timestamps: false,
            runtime_checks: false,
            persistent: true,
            threads: None,
            calibration: None,
            polling: Polling::default(),
        }
    }
}

impl OpenOptions {
    /// Lowers a limit; see [`Limits::set`] for the names.
    #[must_use]
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        self.limits.push((name.to_owned(), value));
        self
    }

    /// Limits the bytes that one model may take on the device, weights and activations together.
    #[must_use]
    pub fn memory_budget(self, bytes: u64) -> Self {
        self.limit("memory_budget", bytes)
    }

    /// Skips the self-test, so that even a device that computes wrong numbers opens.
    #[must_use]
    pub fn skip_self_test(mut self) -> Self {
        self.self_test = false;
        self
    }

    /// Times runs by the device's own clock, if it has one (WebGPU's `timestamp-query`).
    #[must_use]
    pub fn timestamps(mut self) -> Self {
        self.timestamps = true;
        self
    }

    /// Sets whether shaders are made with wgpu's run-time checks, which clamp each index and count
    /// the iterations of each loop. Off by default: the kernels stay in bounds by themselves, and
    /// are faster without. Browsers always check.
    #[must_use]
    pub fn runtime_checks(mut self, on: bool) -> Self {
        self.runtime_checks = on;
        self
    }

    /// Sets whether a GPU is probed for the schedule `persistent`, whose workgroups wait for each
    /// other. On by default. Without the probe, or where it fails, the GPU never runs this
    /// schedule. The probe takes a few milliseconds. Software adapters and the CPU need none.
    #[must_use]
    pub fn persistent(mut self, on: bool) -> Self {
        self.persistent = on;
        self
    }

    /// Sets the most threads of the CPU engine, at least 1. Small products take fewer. No result
    /// depends on the number. A GPU ignores it.
    ///
    /// Copies of tensors of 1 MiB and more, on every device, run in rayon's global pool, which the
    /// program bounds by itself.
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = Some(count);
        self
    }

    /// Sets the calibration that schedules are chosen by.
    #[must_use]
    pub fn calibration(mut self, calibration: Calibration) -> Self {
        self.calibration = Some(calibration);
        self
    }

    /// Sets whether a thread of this crate or the program polls the device while a future waits.
    #[must_use]
    pub fn polling(mut self, polling: Polling) -> Self {
        self.polling = polling;
        self
    }

    /// Lowers `limits` to the values of these options.
    ///
    /// # Errors
    /// [`Error::UnknownName`](crate::Error::UnknownName) for an unknown limit;
    /// [`Error::Option`](crate::Error::Option) for zero or a value above the device's.
    pub(super) fn lower(&self, limits: &mut Limits) -> Result<()> {
        self.limits.iter().try_for_each(|(name, value)| limits.set(name, *value))
    }
}
