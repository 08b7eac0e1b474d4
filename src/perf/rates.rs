//! How fast the kernels of recurrent layers work, by the rows that they have.

use serde::{Deserialize, Serialize};

use crate::kernel::Schedule;
use crate::wgpu::DeviceType;

/// What has a rate of its own: the input projection, and a step by each of the schedules.
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
    /// A step by [`Schedule::Sequence`] with weights that are held from step to step.
    SequenceHeld,
}

impl KernelClass {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Step => "step",
            Self::StepTiled => "step_tiled",
            Self::Sequence => "sequence",
            Self::SequenceHeld => "  held",
        }
    }

    /// In the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Linear, Self::Step, Self::StepTiled, Self::Sequence, Self::SequenceHeld];

    /// Whether a dispatch does many steps.
    pub(crate) fn walks(self) -> bool {
        matches!(self, Self::Sequence | Self::SequenceHeld)
    }

    /// What runs a step of a schedule.
    pub(crate) fn of(schedule: Schedule, in_registers: bool) -> Self {
        match schedule {
            Schedule::Sequence if in_registers => Self::SequenceHeld,
            // The cost of `persistent` does not follow from a rate.
            Schedule::Auto | Schedule::Step | Schedule::Wavefront | Schedule::Persistent => {
                Self::Step
            }
            Schedule::StepTiled => Self::StepTiled,
            Schedule::Sequence => Self::Sequence,
        }
    }
}

/// What a kernel reaches with some rows, waiting for its turn apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// What does the work.
    pub part: KernelClass,
    /// Batch rows; for the input projection rows of all time steps.
    pub rows: usize,
    /// How much of it in a microsecond.
    pub multiply_adds_per_us: f64,
}

/// Returns the rate of `part` with `rows` rows: between those of `rates` in proportion to the
/// logarithms, beyond them as with the most, and with fewer in the time that the fewest take.
/// `None` if no rate is of that part.
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

/// Whether rates are positive and in the order of their rows.
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

/// Rates of a type of device, `None` being the host: the order of what such devices reach.
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
            // Linear, StepTiled and the last of Step were measured on an H200.
            (Linear, 1, 3e5),
            (Linear, 32, 5e6),
            (Linear, 1024, 1e7),
            (Step, 1, 2e5),
            (Step, 8, 1e6),
            (Step, 32, 2.5e6),
            (StepTiled, 32, 2.2e6),
            (StepTiled, 256, 8e6),
            (StepTiled, 1024, 9e6),
            // One of many cores reads 100 GB/s from the cache that all share.
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
