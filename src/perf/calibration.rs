//! The figures that describe a device's speed: data alone. `diagnostics::calibrate` measures them.

use serde::{Deserialize, Serialize};

use super::rates::{self};
use crate::perf::rates::{KernelClass, Rate};
use crate::wgpu::DeviceType;

/// Identifies a device among those of all machines that keep calibrations in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceId {
    /// Name of the adapter, or `cpu`.
    pub device: String,
    /// Backend, as wgpu names it, or `cpu`.
    pub backend: String,
    /// Driver and its version; for the CPU the processor and its number of threads.
    pub driver: String,
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.device, self.backend, self.driver)
    }
}

/// How fast a device reads, from a buffer of one size over and over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bandwidth {
    /// The buffer's size, which decides from which cache it is read.
    pub bytes: u64,
    /// By all cores together.
    pub all_gb_per_s: f64,
    /// By one workgroup, or one thread of the CPU; measured for small buffers only.
    pub one_gb_per_s: Option<f64>,
}

/// The constants of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Calibration {
    /// Name of the adapter, or `cpu`.
    pub device: String,
    /// Backend of the adapter, or `cpu`.
    pub backend: String,
    /// Driver and its version; for the CPU the processor.
    pub driver: String,
    /// Whether these are figures of this device rather than of its type.
    pub measured: bool,
    /// Whether the device's own clock measured them.
    pub timestamps: bool,
    /// From the start of a dispatch to the start of one that depends on it.
    pub dispatch_us: f64,
    /// A barrier of a workgroup of 64; the CPU has none.
    pub barrier_us: Option<f64>,
    /// By growing size of the buffer.
    pub bandwidth: Vec<Bandwidth>,
    /// Arithmetic in f32, a multiply-add counting as two.
    pub gflops: f64,
    /// What the host takes to encode and submit a dispatch; 0 for the CPU, whose dispatches are
    /// calls.
    pub encode_us: f64,
    /// From calling to having the result of a dispatch of no work; 0 for the CPU.
    pub read_back_us: f64,
    /// A step of the schedule `sequence` with next to nothing to do: its barriers, and waiting for
    /// what it reads; `None` where that does not run.
    pub walk_us: Option<f64>,
    /// What the kernels of recurrent layers reach, by growing rows for each part.
    #[doc(hidden)]
    pub rates: Vec<Rate>,
}

impl Calibration {
    /// The figures of a type of device, `None` being the host. It has no name.
    pub fn typical_of(device_type: Option<DeviceType>) -> Self {
        let (dispatch_us, barrier_us, cached, memory, gflops, encode_us, read_back_us) =
            match device_type {
                None => (0.1, None, 60.0, 20.0, 100.0, 0.0, 0.0),
                Some(DeviceType::DiscreteGpu) => {
                    (2.0, Some(0.05), 2000.0, 500.0, 15_000.0, 1.0, 100.0)
                }
                Some(DeviceType::Cpu) => (40.0, Some(0.5), 10.0, 5.0, 50.0, 1.0, 200.0),
                Some(_) => (3.0, Some(0.1), 200.0, 60.0, 1500.0, 1.0, 150.0),
            };
        let at = |bytes, all| Bandwidth { bytes, all_gb_per_s: all, one_gb_per_s: None };
        Self {
            measured: false,
            timestamps: false,
            dispatch_us,
            barrier_us,
            bandwidth: vec![at(1 << 20, cached), at(1 << 26, memory)],
            gflops,
            encode_us,
            read_back_us,
            // Three barriers, and twice the way to a cache.
            walk_us: barrier_us.map(|us| 5.0 * us),
            rates: rates::typical(device_type),
            device: String::new(),
            backend: String::new(),
            driver: String::new(),
        }
    }

    /// A calibration without figures, to be filled in, of the device `id`.
    pub(crate) fn empty(id: DeviceId) -> Self {
        let DeviceId { device, backend, driver } = id;
        Self {
            device,
            backend,
            driver,
            measured: true,
            timestamps: false,
            dispatch_us: 0.0,
            barrier_us: None,
            bandwidth: Vec::new(),
            gflops: 0.0,
            encode_us: 0.0,
            read_back_us: 0.0,
            walk_us: None,
            rates: Vec::new(),
        }
    }

    /// The same figures under the name of a device.
    pub(crate) fn named(self, id: DeviceId) -> Self {
        let DeviceId { device, backend, driver } = id;
        Self { device, backend, driver, ..self }
    }

    /// The device that the figures belong to.
    pub fn id(&self) -> DeviceId {
        let Self { device, backend, driver, .. } = self.clone();
        DeviceId { device, backend, driver }
    }

    /// Bytes that can be read in a microsecond from a buffer of this size, between the sizes that
    /// were measured in proportion to the logarithm.
    pub fn bytes_per_us(&self, bytes: f64) -> f64 {
        // What fits into one core's cache may come faster from there than from all of them.
        let rate = |b: &Bandwidth| b.all_gb_per_s.max(b.one_gb_per_s.unwrap_or(0.0)) * 1e3;
        let above = self.bandwidth.partition_point(|b| (b.bytes as f64) < bytes);
        match (
            above.checked_sub(1).and_then(|below| self.bandwidth.get(below)),
            self.bandwidth.get(above),
        ) {
            (Some(below), Some(above)) => {
                let (from, to) = ((below.bytes as f64).ln(), (above.bytes as f64).ln());
                rate(below) + (rate(above) - rate(below)) * (bytes.ln() - from) / (to - from)
            }
            (Some(only), None) | (None, Some(only)) => rate(only),
            (None, None) => f64::INFINITY,
        }
    }

    /// Multiply-adds in a microsecond.
    pub fn multiply_adds_per_us(&self) -> f64 {
        self.gflops * 1e3 / 2.0
    }

    /// Bytes that one workgroup can read in a microsecond from a buffer of this size; `None` where
    /// that is not known.
    pub fn bytes_per_us_of_one(&self, bytes: f64) -> Option<f64> {
        let known = || self.bandwidth.iter().filter_map(|b| Some((b.bytes, b.one_gb_per_s? * 1e3)));
        known()
            .find(|(size, _)| *size as f64 >= bytes)
            .or_else(|| known().next_back())
            .map(|(_, rate)| rate)
    }

    /// Multiply-adds that the kernels of a part do in a microsecond with so many rows; `None` where
    /// they do not run.
    pub fn rate(&self, part: KernelClass, rows: usize) -> Option<f64> {
        rates::rate(&self.rates, part, rows)
    }

    /// Multiply-adds that a microsecond of a layer has at least: those of the slowest rows, by the
    /// kernel that suits them best, and no more than of a single row with weights that no cache
    /// holds.
    pub(crate) fn slowest_multiply_adds_per_us(&self) -> f64 {
        let by_memory = self.bytes_per_us(f64::MAX) / size_of::<f32>() as f64;
        let rows = |rate: &Rate| {
            let steps = KernelClass::ALL.iter().filter(|&&part| part != KernelClass::Linear);
            let fastest = steps.filter_map(|&part| self.rate(part, rate.rows)).fold(0.0, f64::max);
            if rate.part == KernelClass::Linear { rate.multiply_adds_per_us } else { fastest }
        };
        self.rates.iter().map(rows).fold(by_memory, f64::min)
    }

    /// Whether every figure is one that a device can have.
    pub(crate) fn is_plausible(&self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let bandwidth = |b: &Bandwidth| {
            b.bytes > 0 && positive(b.all_gb_per_s) && b.one_gb_per_s.is_none_or(positive)
        };
        positive(self.dispatch_us)
            && positive(self.gflops)
            && self.barrier_us.is_none_or(positive)
            && self.walk_us.is_none_or(positive)
            && rates::are_plausible(&self.rates)
            && [self.encode_us, self.read_back_us].iter().all(|x| x.is_finite() && *x >= 0.0)
            && !self.bandwidth.is_empty()
            && self.bandwidth.iter().all(bandwidth)
            && self.bandwidth.is_sorted_by(|a, b| a.bytes < b.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bandwidth, Calibration};

    #[test]
    fn bandwidth_between_two_sizes_lies_between_theirs() {
        let calibration = Calibration::typical_of(None);
        let [small, large] = calibration.bandwidth.as_slice() else {
            panic!("two sizes: {calibration:?}")
        };
        let (fast, slow) = (small.all_gb_per_s * 1e3, large.all_gb_per_s * 1e3);
        assert_eq!(calibration.bytes_per_us(1.0), fast);
        assert_eq!(calibration.bytes_per_us(small.bytes as f64), fast);
        assert_eq!(calibration.bytes_per_us(1e12), slow);
        let middle = calibration.bytes_per_us((1 << 23) as f64);
        assert!(
            (middle - (fast + slow) / 2.0).abs() < 1e-6 * fast,
            "{middle} is halfway in the logarithm"
        );
    }

    #[test]
    fn the_slowest_is_the_best_kernel_of_the_slowest_rows_or_memory() {
        let typical = Calibration::typical_of(Some(wgpu::DeviceType::Cpu));
        assert_eq!(
            typical.slowest_multiply_adds_per_us(),
            1e3,
            "one row of a projection; `sequence` is no one's choice"
        );
        let bandwidth = vec![Bandwidth { bytes: 1 << 26, all_gb_per_s: 2.0, one_gb_per_s: None }];
        let slow = Calibration { bandwidth, ..typical };
        assert_eq!(slow.slowest_multiply_adds_per_us(), 500.0, "2 GB/s are half a billion floats");
    }

    #[test]
    fn typical_figures_are_plausible_and_others_are_not() {
        let typical = Calibration::typical_of(None);
        assert!(typical.is_plausible() && !typical.measured, "{typical:?}");
        let wrong = [
            Calibration { dispatch_us: 0.0, ..typical.clone() },
            Calibration { dispatch_us: f64::NAN, ..typical.clone() },
            Calibration { gflops: f64::INFINITY, ..typical.clone() },
            Calibration { barrier_us: Some(-1.0), ..typical.clone() },
            Calibration { read_back_us: -1.0, ..typical.clone() },
            Calibration { bandwidth: Vec::new(), ..typical.clone() },
            Calibration {
                bandwidth: typical.bandwidth.iter().rev().copied().collect(),
                ..typical.clone()
            },
        ];
        for calibration in wrong {
            assert!(!calibration.is_plausible(), "{calibration:?}");
        }
    }
}
