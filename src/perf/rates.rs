//! Rates of the kernels of recurrent layers, by the size of their dispatches.

use serde::{Deserialize, Serialize};

use crate::kernel::Schedule;
use crate::wgpu::DeviceType;

/// A class of kernels with a common rate: the input projection, or a step by one schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelClass {
    /// The kernels of linear layers.
    Linear,
    /// A step by [`Schedule::Step`].
    Step,
    /// A step by [`Schedule::StepTiled`].
    StepTiled,
    /// A step by [`Schedule::Sequence`].
    Sequence,
    /// A step by [`Schedule::Sequence`] with weights in registers.
    #[serde(rename = "sequence_held")]
    SequenceInRegisters,
}

impl KernelClass {
    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Step => "step",
            Self::StepTiled => "step_tiled",
            Self::Sequence => "sequence",
            Self::SequenceInRegisters => "  registers",
        }
    }

    /// All classes, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Linear, Self::Step, Self::StepTiled, Self::Sequence, Self::SequenceInRegisters];

    /// Returns whether a dispatch does many steps.
    pub(crate) fn has_many_steps(self) -> bool {
        matches!(self, Self::Sequence | Self::SequenceInRegisters)
    }

    /// Returns the class that runs a step of a schedule.
    pub(crate) fn of(schedule: Schedule, in_registers: bool) -> Self {
        match schedule {
            Schedule::Sequence if in_registers => Self::SequenceInRegisters,
            // The cost of `persistent` does not follow from a rate.
            Schedule::Auto | Schedule::Step | Schedule::Wavefront | Schedule::Persistent => {
                Self::Step
            }
            Schedule::StepTiled => Self::StepTiled,
            Schedule::Sequence => Self::Sequence,
        }
    }
}

/// The size of a dispatch, which decides its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Batch rows. For the input projection, rows of all time steps; for `sequence`, rows of all
    /// directions.
    pub rows: usize,
    /// Sums: values of gates that the dispatch computes, each over all features.
    pub sums: usize,
}

/// The rate of a class of kernels at one size, without the wait for the previous dispatch.
///
/// A GPU computes the sums of a dispatch at the same time until it is full. So the rate of `step`,
/// `step_tiled` and `linear` follows from the number of sums, whatever their length: few rows of
/// many units are as fast as many rows of few units. The rate of `sequence` and of the CPU follows
/// from the rows, which share weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The class.
    pub part: KernelClass,
    /// Rows of the measured dispatch, as in [`Extent`].
    pub rows: usize,
    /// Sums of the measured dispatch, where they decide the rate.
    pub sums: Option<usize>,
    /// Multiply-adds per microsecond.
    pub multiply_adds_per_us: f64,
}

impl Rate {
    /// Returns the number that the rate follows from.
    fn size(&self) -> usize {
        self.sums.unwrap_or(self.rows)
    }

    /// Returns the size of the measured dispatch.
    pub(super) fn extent(&self) -> Extent {
        Extent { rows: self.rows, sums: self.size() }
    }
}

/// Returns the multiply-adds per microsecond of a class at a size; `None` if it has no rate.
///
/// Between two measured sizes, it interpolates over the logarithms. A larger size has the rate of
/// the largest. A smaller one takes the time of the smallest for sums of the same length.
pub(super) fn rate(rates: &[Rate], part: KernelClass, extent: Extent) -> Option<f64> {
    let mut of_part = rates.iter().filter(|rate| rate.part == part);
    let mut below = *of_part.next()?;
    let size = if below.sums.is_some() { extent.sums } else { extent.rows };
    let ratio = |above: usize, below: usize| above as f64 / below as f64;
    if size <= below.size() {
        return Some(below.multiply_adds_per_us * ratio(size.max(1), below.size()));
    }
    for above in of_part {
        if size <= above.size() {
            let at = ratio(size, below.size()).ln() / ratio(above.size(), below.size()).ln();
            let (from, to) = (below.multiply_adds_per_us.ln(), above.multiply_adds_per_us.ln());
            return Some((from + (to - from) * at).exp());
        }
        below = *above;
    }
    Some(below.multiply_adds_per_us)
}

/// Returns whether a time in microseconds or a rate is possible. No device is a thousand times
/// slower or faster than those of today, and no cost model overflows within these bounds.
pub(super) fn is_figure(x: f64) -> bool {
    (1e-6..=1e10).contains(&x)
}

/// The most rows or sums of a measurement.
const MOST_ROWS: usize = 1 << 31;

/// Returns whether rates are possible and ascend by size, and each class has one kind of size.
pub(super) fn are_plausible(rates: &[Rate]) -> bool {
    let plausible = |rate: &Rate| {
        let sizes = [rate.rows, rate.size()];
        is_figure(rate.multiply_adds_per_us) && sizes.iter().all(|n| (1..=MOST_ROWS).contains(n))
    };
    rates.iter().all(plausible)
        && KernelClass::ALL.iter().all(|part| {
            let of_part = || rates.iter().filter(|rate| rate.part == *part);
            let by_sums = of_part().filter(|rate| rate.sums.is_some()).count();
            let sizes: Vec<usize> = of_part().map(Rate::size).collect();
            sizes.is_sorted_by(|a, b| a < b) && (by_sums == 0 || by_sums == sizes.len())
        })
}

/// Returns the typical rates of a type of device; `None` is the host.
pub(super) fn typical(device: Option<DeviceType>) -> Vec<Rate> {
    use KernelClass::{Linear, Sequence, SequenceInRegisters, Step, StepTiled};
    let table: &[(KernelClass, usize, f64)] = match device {
        None => &[(Linear, 1, 5e3), (Linear, 32, 4e4), (Step, 1, 5e3), (Step, 32, 4e4)],
        Some(DeviceType::Cpu) => &[
            (Linear, 1, 1e3),
            (Linear, 64, 6e3),
            (Step, 1, 1e3),
            (Step, 8, 3e3),
            (StepTiled, 32, 2e3),
        ],
        // Measured on an H200, in f32, without run-time checks. `sequence` was measured with checks
        // and is 1.3 times as fast without.
        Some(DeviceType::DiscreteGpu) => &[
            (Linear, 1024, 7.7e4),
            (Linear, 4096, 3.4e5),
            (Linear, 32_768, 1.5e6),
            (Linear, 65_536, 5.2e6),
            (Linear, 262_144, 8.4e6),
            (Linear, 409_600, 1.09e7),
            (Linear, 524_288, 1.23e7),
            (Linear, 6_553_600, 1.48e7),
            (Linear, 33_554_432, 1.65e7),
            // One row of 128, 256 and 1024 units; (rows, units) = (8, 256), (16, 384), (32, 512).
            (Step, 512, 4.2e4),
            (Step, 2048, 2.6e5),
            (Step, 4096, 5.5e5),
            (Step, 8192, 6.2e5),
            (Step, 24_576, 2e6),
            (Step, 65_536, 2.75e6),
            // 32 rows of 256 units, by older tiles; (16, 768), (64, 384), (128, 384), (64, 1024),
            // (80, 1152), (256, 512), (1024, 256).
            (StepTiled, 32_768, 1.3e6),
            (StepTiled, 49_152, 5e6),
            (StepTiled, 98_304, 5.7e6),
            (StepTiled, 196_608, 6.5e6),
            (StepTiled, 262_144, 8.7e6),
            (StepTiled, 368_640, 8e6),
            (StepTiled, 524_288, 1.22e7),
            (StepTiled, 1_048_576, 1.3e7),
            (Sequence, 1, 1.37e4),
            (Sequence, 64, 8.5e5),
            (Sequence, 512, 2.1e6),
            (Sequence, 4096, 3.6e6),
            (SequenceInRegisters, 1, 2e4),
            (SequenceInRegisters, 64, 1.2e6),
            (SequenceInRegisters, 512, 1.4e6),
            (SequenceInRegisters, 4096, 2.4e6),
        ],
        // Rows of 256 units of an LSTM.
        Some(_) => &[
            (Linear, 1024, 2e4),
            (Linear, 512 << 10, 3e5),
            (Step, 1024, 2e4),
            (Step, 8 << 10, 1e5),
            (StepTiled, 32 << 10, 1.5e5),
            (StepTiled, 512 << 10, 4e5),
            (Sequence, 1, 1e4),
            (Sequence, 64, 1e5),
            (Sequence, 1024, 3e5),
        ],
    };
    let by_rows =
        |part: KernelClass| part.has_many_steps() || matches!(device, None | Some(DeviceType::Cpu));
    let rate = |&(part, size, multiply_adds_per_us): &(KernelClass, usize, f64)| {
        let sums = Some(size).filter(|_| !by_rows(part));
        let rows = if sums.is_some() { size.div_ceil(1024) } else { size };
        Rate { part, rows, sums, multiply_adds_per_us }
    };
    table.iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::{Extent, KernelClass, Rate, are_plausible, rate, typical};
    use crate::wgpu::DeviceType;

    fn of(rows: usize, sums: Option<usize>, multiply_adds_per_us: f64) -> Rate {
        Rate { part: KernelClass::Step, rows, sums, multiply_adds_per_us }
    }

    #[test]
    fn between_two_sizes_lies_between_their_rates() {
        let linear = Rate { part: KernelClass::Linear, ..of(4, None, 7.0) };
        let by_rows = [of(1, None, 10.0), of(16, None, 1000.0), linear];
        let by_sums = [of(5, Some(1), 10.0), of(5, Some(16), 1000.0), linear];
        for (size, want) in [(1, 10.0), (4, 100.0), (16, 1000.0), (500, 1000.0)] {
            for (rates, extent) in [
                (&by_rows, Extent { rows: size, sums: 3 }),
                (&by_sums, Extent { rows: 3, sums: size }),
            ] {
                let got = rate(rates, KernelClass::Step, extent).expect("there are two");
                assert!((got - want).abs() < 1e-9 * want, "{extent:?}: {got}, not {want}");
            }
        }
        let of_linear =
            |rows| rate(&by_rows, KernelClass::Linear, Extent { rows, sums: 1000 * rows });
        assert_eq!(of_linear(100), Some(7.0), "the only one holds for more");
        assert_eq!(of_linear(1), Some(1.75), "a fourth of the rows in the same time");
        let extent = Extent { rows: 1, sums: 1 };
        assert_eq!(rate(&by_rows, KernelClass::Sequence, extent), None);
    }

    #[test]
    fn typical_rates_are_plausible_and_others_are_not() {
        for device in [
            None,
            Some(DeviceType::Cpu),
            Some(DeviceType::DiscreteGpu),
            Some(DeviceType::IntegratedGpu),
        ] {
            assert!(are_plausible(&typical(device)), "{device:?}");
        }
        for wrong in [
            [of(1, None, 1.0), of(1, None, 2.0)],
            [of(2, None, 1.0), of(1, None, 2.0)],
            [of(1, None, 0.0), of(2, None, 1.0)],
            [of(0, None, 1.0), of(1, None, 1.0)],
            [of(1, Some(2), 1.0), of(2, Some(2), 1.0)],
            [of(1, None, 1.0), of(2, Some(2), 1.0)],
        ] {
            assert!(!are_plausible(&wrong), "{wrong:?}");
        }
        assert!(!are_plausible(&[of(1, None, f64::NAN)]));
    }
}
