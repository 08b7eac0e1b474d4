//! The measured constants of a device, as plain data. `diagnostics::calibrate` measures them.

use serde::{Deserialize, Serialize};

use crate::perf::rates::{self, Extent, KernelClass, Rate, is_figure};
use crate::wgpu::DeviceType;

/// The identity of a device among those of all machines that keep calibrations in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeviceId {
    /// Name of the adapter, or `cpu`.
    pub device: String,
    /// Backend, as wgpu names it, or `cpu`.
    pub backend: String,
    /// Driver and its version. For the CPU, the processor and its number of threads.
    pub driver: String,
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.device, self.backend, self.driver)
    }
}

/// The bandwidth of a device that reads a buffer of one size repeatedly. It writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bandwidth {
    /// The buffer's size, which decides what serves the reads. On an adapter, the smallest buffer
    /// stays in the cache that all cores share, and the largest one stays in memory.
    pub bytes: u64,
    /// Bandwidth of all cores together. Each byte is read once a pass.
    pub all_gb_per_s: f64,
    /// Bandwidth of one workgroup, or of one thread of the CPU; measured for small buffers only.
    pub one_gb_per_s: Option<f64>,
}

/// The time of a step of `persistent`, whose workgroups hold their weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExchangeTimes {
    /// Time in which all workgroups exchange the state.
    pub step_us: f64,
    /// Time of a product of an invocation, of a quad of weights
    /// ([`HeldWork::products`](crate::perf::dispatch::HeldWork::products)).
    pub row_us: f64,
    /// Time that each row of a workgroup adds to a step where the weights exceed the registers.
    pub spill_us: f64,
}

/// The most bytes of a buffer of any device.
const MOST_BYTES: u64 = 1 << 44;

impl ExchangeTimes {
    /// A fit of 40 shapes on an H200.
    const TYPICAL: Self = Self { step_us: 0.6, row_us: 0.03, spill_us: 0.33 };

    fn are_plausible(&self) -> bool {
        let Self { step_us, row_us, spill_us } = *self;
        [step_us, row_us].into_iter().all(is_figure) && (spill_us == 0.0 || is_figure(spill_us))
    }
}

/// The constants of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Calibration {
    /// Name of the adapter, or `cpu`.
    pub device: String,
    /// Backend of the adapter, or `cpu`.
    pub backend: String,
    /// Driver and its version. For the CPU, the processor.
    pub driver: String,
    /// Whether these are figures of this device, not typical figures of its type.
    pub measured: bool,
    /// Whether the device's own clock measured them.
    pub timestamps: bool,
    /// Time from the start of a dispatch to the start of one that depends on it.
    pub dispatch_us: f64,
    /// Time of a barrier in a workgroup of 64 invocations; `None` for the CPU, which has no
    /// barriers.
    pub barrier_us: Option<f64>,
    /// Bandwidths by increasing size of the buffer.
    pub bandwidth: Vec<Bandwidth>,
    /// Arithmetic rate in f32. A multiply-add counts as two operations.
    pub gflops: f64,
    /// Time in which the host encodes and submits a dispatch; 0 for the CPU, whose dispatches are
    /// calls.
    pub encode_us: f64,
    /// Time from a call to its result, for a dispatch without work; 0 for the CPU.
    pub read_back_us: f64,
    /// Time of a `sequence` step with almost no work: its barriers and the latency of its reads.
    /// `None` if the device does not run `sequence`.
    #[serde(rename = "walk_us")]
    pub sequence_step_us: Option<f64>,
    /// Times of `persistent`; `None` if the device has no workgroups that wait for each other.
    pub exchange: Option<ExchangeTimes>,
    /// Rates of the kernels of recurrent layers, by increasing size for each class.
    #[doc(hidden)]
    pub rates: Vec<Rate>,
}

impl Calibration {
    /// Returns typical figures of a type of device; `None` is the host. The result has no device
    /// name. The figures of a discrete GPU are from an H200.
    pub fn typical_of(device_type: Option<DeviceType>) -> Self {
        let at = |bytes, all| Bandwidth { bytes, all_gb_per_s: all, one_gb_per_s: None };
        let of = |dispatch_us, barrier_us: Option<f64>, bandwidth: [Bandwidth; 2], gflops| Self {
            dispatch_us,
            barrier_us,
            bandwidth: bandwidth.to_vec(),
            gflops,
            encode_us: 1.0,
            // Three barriers, and two reads from a cache.
            sequence_step_us: barrier_us.map(|us| 5.0 * us),
            exchange: matches!(device_type, Some(device) if device != DeviceType::Cpu)
                .then_some(ExchangeTimes::TYPICAL),
            rates: rates::typical(device_type),
            measured: false,
            ..Self::empty(DeviceId::default())
        };
        match device_type {
            None => Self {
                encode_us: 0.0,
                ..of(0.1, None, [at(1 << 20, 60.0), at(1 << 26, 20.0)], 100.0)
            },
            Some(DeviceType::DiscreteGpu) => Self {
                read_back_us: 75.0,
                sequence_step_us: Some(0.6),
                ..of(1.8, Some(0.035), [at(1 << 23, 5500.0), at(1 << 30, 4300.0)], 57_800.0)
            },
            Some(DeviceType::Cpu) => Self {
                read_back_us: 200.0,
                ..of(40.0, Some(0.5), [at(1 << 20, 10.0), at(1 << 26, 5.0)], 50.0)
            },
            Some(_) => Self {
                read_back_us: 150.0,
                ..of(3.0, Some(0.1), [at(1 << 20, 200.0), at(1 << 26, 60.0)], 1500.0)
            },
        }
    }

    /// Returns a calibration of the device `id` without figures, for the caller to fill in.
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
            sequence_step_us: None,
            exchange: None,
            rates: Vec::new(),
        }
    }

    /// Returns the same figures under the name of a device.
    pub(crate) fn named(self, id: DeviceId) -> Self {
        let DeviceId { device, backend, driver } = id;
        Self { device, backend, driver, ..self }
    }

    /// Returns the device that the figures belong to.
    pub fn id(&self) -> DeviceId {
        let Self { device, backend, driver, .. } = self.clone();
        DeviceId { device, backend, driver }
    }

    /// Returns the bytes per microsecond that the device reads from a buffer of this size. Between
    /// measured sizes, it interpolates over the logarithm of the size.
    pub fn bytes_per_us(&self, bytes: f64) -> f64 {
        // One core may read its cache faster than all cores together read theirs.
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

    /// Returns the multiply-adds per microsecond.
    pub fn multiply_adds_per_us(&self) -> f64 {
        self.gflops * 1e3 / 2.0
    }

    /// Returns the bytes per microsecond that one workgroup reads from a buffer of this size;
    /// `None` if unknown.
    pub fn bytes_per_us_of_one(&self, bytes: f64) -> Option<f64> {
        let known = || self.bandwidth.iter().filter_map(|b| Some((b.bytes, b.one_gb_per_s? * 1e3)));
        known()
            .find(|(size, _)| *size as f64 >= bytes)
            .or_else(|| known().next_back())
            .map(|(_, rate)| rate)
    }

    /// Returns the multiply-adds per microsecond of a class of kernels at a size; `None` if it has
    /// no rate.
    pub fn rate(&self, part: KernelClass, extent: Extent) -> Option<f64> {
        rates::rate(&self.rates, part, extent)
    }

    /// Returns a lower bound of the multiply-adds per microsecond in a layer. It is the rate of the
    /// slowest size with the fastest step kernel, or of the slowest projection. It is at most the
    /// rate of a single row whose weights come from memory.
    pub(crate) fn slowest_multiply_adds_per_us(&self) -> f64 {
        let by_memory = self.bytes_per_us(f64::MAX) / size_of::<f32>() as f64;
        let reached = |rate: &Rate| {
            let steps = KernelClass::ALL.iter().filter(|&&part| part != KernelClass::Linear);
            let fastest =
                steps.filter_map(|&part| self.rate(part, rate.extent())).fold(0.0, f64::max);
            if rate.part == KernelClass::Linear { rate.multiply_adds_per_us } else { fastest }
        };
        self.rates.iter().map(reached).fold(by_memory, f64::min)
    }

    /// Returns whether every figure is possible for a device.
    pub(crate) fn is_plausible(&self) -> bool {
        let bandwidth = |b: &Bandwidth| {
            (1..=MOST_BYTES).contains(&b.bytes)
                && is_figure(b.all_gb_per_s)
                && b.one_gb_per_s.is_none_or(is_figure)
        };
        is_figure(self.dispatch_us)
            && is_figure(self.gflops)
            && self.barrier_us.is_none_or(is_figure)
            && self.sequence_step_us.is_none_or(is_figure)
            && self.exchange.as_ref().is_none_or(ExchangeTimes::are_plausible)
            && rates::are_plausible(&self.rates)
            && [self.encode_us, self.read_back_us].iter().all(|&x| x == 0.0 || is_figure(x))
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
            Calibration { gflops: 1e300, ..typical.clone() },
            Calibration { dispatch_us: 1e-300, ..typical.clone() },
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
