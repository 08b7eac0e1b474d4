//! The rates of the kernels of recurrent layers, by their number of rows.

use serde::{Deserialize, Serialize};

use crate::kernel::Schedule;
use crate::wgpu::DeviceType;

/// A class of kernels with a separate rate: the input projection, or a step of one schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelClass {
    /// The kernels of linear layers.
    Linear,
    /// A step of [`Schedule::Step`].
    Step,
    /// A step of [`Schedule::StepTiled`].
    StepTiled,
    /// A step of [`Schedule::Sequence`].
    Sequence,
    /// A step of [`Schedule::Sequence`] with weights in registers.
    SequenceHeld,
}

impl KernelClass {
    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Step => "step",
            Self::StepTiled => "step_tiled",
            Self::Sequence => "sequence",
            Self::SequenceHeld => "  held",
        }
    }

    /// Every class, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Linear, Self::Step, Self::StepTiled, Self::Sequence, Self::SequenceHeld];

    /// Returns whether one dispatch computes many steps.
    pub(crate) fn walks(self) -> bool {
        matches!(self, Self::Sequence | Self::SequenceHeld)
    }

    /// Returns the class of kernels that runs a step of `schedule`.
    pub(crate) fn of(schedule: Schedule, in_registers: bool) -> Self {
        match schedule {
            Schedule::Sequence if in_registers => Self::SequenceHeld,
            Schedule::Auto | Schedule::Step | Schedule::Wavefront => Self::Step,
            Schedule::StepTiled => Self::StepTiled,
            Schedule::Sequence => Self::Sequence,
        }
    }
}

/// The measured rate of a class of kernels for one number of rows, without the wait before a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The class of kernels.
    pub part: KernelClass,
    /// Batch rows. For the input projection, the rows of all time steps.
    pub rows: usize,
    /// Multiply-adds per microsecond.
    pub multiply_adds_per_us: f64,
}

/// Returns the rate of `part` with `rows` rows; `None` if `rates` has no entry of that class.
/// Between two entries, it interpolates over the logarithms. Beyond the last entry, it returns the
/// last rate. Before the first entry, it assumes that fewer rows take the same time.
pub(super) fn rate(rates: &[Rate], part: KernelClass, rows: usize) -> Option<f64> {
    let mut of_part = rates.iter().filter(|rate| rate.part == part);
    let mut below = *of_part.next()?;
    if rows <= below.rows {
        return Some(below.multiply_adds_per_us * rows.max(1) as f64 / below.rows as f64);
    }
    for above in of_part {
        if rows <= above.rows {
            let at = (rows as f64 / below.rows as f64).ln()
                / (above.rows as f64 / below.rows as f64).ln();
            let (from, to) = (below.multiply_adds_per_us.ln(), above.multiply_adds_per_us.ln());
            return Some((from + (to - from) * at).exp());
        }
        below = *above;
    }
    Some(below.multiply_adds_per_us)
}

/// Returns whether the rates are positive and ordered by rows.
pub(super) fn are_plausible(rates: &[Rate]) -> bool {
    let positive =
        |rate: &Rate| rate.multiply_adds_per_us.is_finite() && rate.multiply_adds_per_us > 0.0;
    rates.iter().all(|rate| positive(rate) && rate.rows > 0)
        && KernelClass::ALL.iter().all(|part| {
            let rows: Vec<usize> =
                rates.iter().filter(|rate| rate.part == *part).map(|rate| rate.rows).collect();
            rows.is_sorted_by(|a, b| a < b)
        })
}

/// Returns typical rates of a type of device; `None` is the host. They give the order of magnitude.
pub(super) fn typical(device: Option<DeviceType>) -> Vec<Rate> {
    use KernelClass::{Linear, Sequence, Step, StepTiled};
    let table: &[(KernelClass, usize, f64)] = match device {
        None => &[(Linear, 1, 5e3), (Linear, 32, 4e4), (Step, 1, 5e3), (Step, 32, 4e4)],
        Some(DeviceType::Cpu) => &[
            (Linear, 1, 1e3),
            (Linear, 64, 6e3),
            (Step, 1, 1e3),
            (Step, 8, 3e3),
            (StepTiled, 32, 2e3),
        ],
        Some(DeviceType::DiscreteGpu) => &[
            (Linear, 1, 2e5),
            (Linear, 512, 3e6),
            (Step, 1, 2e5),
            (Step, 8, 1e6),
            (StepTiled, 32, 1.5e6),
            (StepTiled, 512, 5e6),
            // One of many cores reads 100 GB/s from the shared cache.
            (Sequence, 1, 2.7e4),
            (Sequence, 64, 1.2e6),
            (Sequence, 1024, 3.5e6),
        ],
        Some(_) => &[
            (Linear, 1, 2e4),
            (Linear, 512, 3e5),
            (Step, 1, 2e4),
            (Step, 8, 1e5),
            (StepTiled, 32, 1.5e5),
            (StepTiled, 512, 4e5),
            (Sequence, 1, 1e4),
            (Sequence, 64, 1e5),
            (Sequence, 1024, 3e5),
        ],
    };
    let rate = |&(part, rows, multiply_adds_per_us)| Rate { part, rows, multiply_adds_per_us };
    table.iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::{KernelClass, Rate, are_plausible, rate, typical};
    use crate::wgpu::DeviceType;

    #[test]
    fn between_two_rows_lies_between_their_rates() {
        let of = |rows, multiply_adds_per_us| Rate {
            part: KernelClass::Step,
            rows,
            multiply_adds_per_us,
        };
        let rates = [
            of(1, 10.0),
            of(16, 1000.0),
            Rate { part: KernelClass::Linear, rows: 4, multiply_adds_per_us: 7.0 },
        ];
        for (rows, want) in [(1, 10.0), (4, 100.0), (16, 1000.0), (500, 1000.0)] {
            let got = rate(&rates, KernelClass::Step, rows).expect("there are two");
            assert!((got - want).abs() < 1e-9 * want, "{rows} rows: {got}, not {want}");
        }
        assert_eq!(
            rate(&rates, KernelClass::Linear, 100),
            Some(7.0),
            "the only one holds for more"
        );
        assert_eq!(
            rate(&rates, KernelClass::Linear, 1),
            Some(1.75),
            "a fourth of the rows in the same time"
        );
        assert_eq!(rate(&rates, KernelClass::Sequence, 1), None);
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
        let of = |rows, multiply_adds_per_us| Rate {
            part: KernelClass::Step,
            rows,
            multiply_adds_per_us,
        };
        for wrong in [
            [of(1, 1.0), of(1, 2.0)],
            [of(2, 1.0), of(1, 2.0)],
            [of(1, 0.0), of(2, 1.0)],
            [of(0, 1.0), of(1, 1.0)],
        ] {
            assert!(!are_plausible(&wrong), "{wrong:?}");
        }
        assert!(!are_plausible(&[of(1, f64::NAN)]));
    }
}
