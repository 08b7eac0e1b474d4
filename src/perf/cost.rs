//! The cost model: predicted times of forward passes for each schedule, from measured rates.
//!
//! The [roofline](crate::perf::roofline) is a lower bound. This model predicts the times that the
//! kernels reach. A step of a layer waits for its turn and then works:
//!
//! ```text
//! t_step  = t_wait + max(multiply-adds / rate(size), W · tiles / BW(W))
//! t_wait  = t_dispatch                            step, step_tiled
//!           t_dispatch / steps + t_sequence       sequence
//!           (t_dispatch + t_clear + W / BW(W)) / steps + t_exchange   persistent
//! t       = Σ over layers (input projection + T · t_step) + t_read_back
//! ```
//!
//! rate(size) is measured for each kernel. The size is the number of sums, or of rows for
//! `sequence` and on the CPU ([`Rate`](crate::perf::rates::Rate)). `step_tiled` computes whole
//! tiles, so its sums and multiply-adds include those of rows and columns that fill the tiles up. A
//! `sequence` kernel with weights in registers has a separate rate, because it does not read them.
//! W is the size of a step's weights in bytes, and every tile of rows reads them again. BW(W) is
//! the bandwidth of a buffer of that size. All cores together reach it, but a workgroup of
//! `sequence` reaches the bandwidth of one core.

use crate::dtype::WeightType;
use crate::kernel::families::STEP_MAX_ROWS;
use crate::kernel::tiles::{TILE_COLUMNS, TILE_ROWS, TYPICAL_ROWS};
use crate::kernel::{Cell, Schedule};
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::perf::calibration::Calibration;
use crate::perf::dispatch::PerDispatch;
use crate::perf::rates::{Extent, KernelClass};
use crate::perf::roofline::{Bound, projection_work, step_work};

/// The predicted time of one time step of one layer, all directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The schedule that runs the step.
    pub schedule: Schedule,
    /// Wait before the step can begin, in microseconds.
    pub wait_us: f64,
    /// Time of the step's work after the wait, in microseconds.
    pub work_us: f64,
    /// The term that takes most of the time.
    pub bound: Bound,
}

impl Prediction {
    /// Returns the time from the start of a step to the start of the next, in microseconds.
    pub fn step_us(&self) -> f64 {
        self.wait_us + self.work_us
    }

    fn new(schedule: Schedule, wait_us: f64, arithmetic_us: f64, weights_us: f64) -> Self {
        let (work_us, bound) = if weights_us > arithmetic_us {
            (weights_us, Bound::Weights)
        } else {
            (arithmetic_us, Bound::Arithmetic)
        };
        Self {
            schedule,
            wait_us,
            work_us,
            bound: if wait_us > work_us { Bound::Sync } else { bound },
        }
    }
}

/// Predicts a step of a schedule; `None` if its rate is unknown.
pub fn step(
    calibration: &Calibration,
    config: &Config,
    batch: usize,
    stored: WeightType,
    schedule: Schedule,
    per_dispatch: PerDispatch,
) -> Option<Prediction> {
    let work = step_work(config, batch, stored);
    let directions = config.num_directions();
    let weights = work.weights as f64;
    if schedule == Schedule::Persistent {
        return persistent(calibration, weights, per_dispatch);
    }
    let part = KernelClass::of(schedule, per_dispatch.in_registers);
    let extent = extent(part, config, batch);
    // Kernels with weights in registers are at least as fast as kernels that read them.
    let without = KernelClass::of(schedule, false);
    let rate = calibration.rate(part, extent).or_else(|| calibration.rate(without, extent))?;
    let multiply_adds = match part {
        KernelClass::StepTiled => extent.sums as f64 * config.state_size() as f64,
        _ => work.multiply_adds as f64,
    };
    let arithmetic_us = multiply_adds / rate;
    let by_all = |tiles: usize| weights * tiles as f64 / calibration.bytes_per_us(weights);
    Some(match schedule {
        Schedule::Auto | Schedule::Step | Schedule::Wavefront | Schedule::Persistent => {
            let weights_us = by_all(batch.div_ceil(STEP_MAX_ROWS as usize));
            Prediction::new(Schedule::Step, calibration.dispatch_us, arithmetic_us, weights_us)
        }
        Schedule::StepTiled => {
            let weights_us = by_all(batch.div_ceil(TYPICAL_ROWS));
            Prediction::new(schedule, calibration.dispatch_us, arithmetic_us, weights_us)
        }
        Schedule::Sequence => {
            let of_one = weights / directions as f64;
            let by_one = calibration.bytes_per_us_of_one(of_one).map_or(0.0, |rate| of_one / rate);
            let read_us = by_all(batch.div_ceil(STEP_MAX_ROWS as usize)).max(by_one);
            let weights_us = if per_dispatch.in_registers { 0.0 } else { read_us };
            let wait_us = calibration.dispatch_us / per_dispatch.steps.max(1) as f64
                + calibration.sequence_step_us.unwrap_or_default();
            Prediction::new(schedule, wait_us, arithmetic_us, weights_us)
        }
    })
}

/// The dispatches that take the time of clearing the exchange, which ends a compute pass. On an
/// H200 a pass of one step took 10 µs more by `persistent` than by `step`.
const CLEAR: f64 = 3.0;

/// Predicts a step of `persistent`. Each dispatch loads the weights once. `None` if its times are
/// unknown, or not the same from run to run.
fn persistent(
    calibration: &Calibration,
    weights: f64,
    per_dispatch: PerDispatch,
) -> Option<Prediction> {
    let held = per_dispatch.held?;
    let exchange = calibration.exchange?;
    let loaded_us = weights / calibration.bytes_per_us(weights);
    let steps = per_dispatch.steps.max(1) as f64;
    let once_us = calibration.dispatch_us * (1.0 + CLEAR) + loaded_us;
    let wait_us = exchange.step_us + once_us / steps;
    let spilled = held.registers >= SPILLING_REGISTERS && held.quads == 8 && held.rows > 1;
    if spilled && held.rows > STABLE_ROWS {
        return None;
    }
    let spilled_us = if spilled { exchange.spill_us * f64::from(held.rows) } else { 0.0 };
    let work_us = exchange.row_us * held.products() + spilled_us;
    Some(Prediction::new(Schedule::Persistent, wait_us, work_us, 0.0))
}

/// Registers of weights from which compilers spill some where a workgroup has several rows.
const SPILLING_REGISTERS: u32 = 128;

/// Rows of a workgroup up to which the time is the same in every run where registers spill. With 64
/// rows of 1024 units an H200 took 1.6 or 4.1 ms for the same pass of 25 steps.
const STABLE_ROWS: u32 = 8;

/// Returns the size of a dispatch of a layer: of a step of `rows` batch rows, or of the projection
/// of `rows` (step, row) pairs.
pub(crate) fn extent(part: KernelClass, config: &Config, rows: usize) -> Extent {
    let (hidden_size, directions) = (config.hidden_size, config.num_directions());
    let gates = config.kind.gate_count() * hidden_size;
    match part {
        KernelClass::Linear | KernelClass::Step => {
            Extent { rows, sums: rows.saturating_mul(gates * directions) }
        }
        KernelClass::StepTiled => {
            // A GRU's tiles have a fourth column for each unit.
            let columns = hidden_size * 4 / Cell::from(config.kind).units_of_quad();
            let columns = columns.next_multiple_of(TILE_COLUMNS[0] as usize) * directions;
            let tile = TILE_ROWS[0] as usize;
            let rows = rows.div_ceil(tile).saturating_mul(tile);
            Extent { rows, sums: rows.saturating_mul(columns) }
        }
        // Workgroups work alone, so the rows of all directions count.
        KernelClass::Sequence | KernelClass::SequenceInRegisters => {
            let rows = rows.saturating_mul(directions);
            Extent { rows, sums: rows.saturating_mul(gates) }
        }
    }
}

/// Predicts the input projection of `rows` (step, row) pairs of a layer, in microseconds; `None` if
/// its rate is unknown.
pub fn projection(
    calibration: &Calibration,
    config: &Config,
    layer: usize,
    rows: usize,
    stored: WeightType,
) -> Option<f64> {
    let work = projection_work(config, layer, Sizes { seq_len: rows, batch: 1 }, stored);
    let weights = work.weights as f64;
    let part = KernelClass::Linear;
    let rate = calibration.rate(part, extent(part, config, rows))?;
    let arithmetic_us = work.multiply_adds as f64 / rate;
    Some(arithmetic_us.max(weights / calibration.bytes_per_us(weights)))
}

/// Predicts a forward pass whose steps take the time of `step`. The result is the time from call to
/// result in microseconds, without the transfers of input and output. Returns `None` if the rate of
/// the input projection is unknown.
pub fn forward(
    calibration: &Calibration,
    config: &Config,
    sizes: Sizes,
    stored: WeightType,
    step: &Prediction,
    dispatches: u64,
) -> Option<f64> {
    let mut device_us = 0.0;
    for layer in 0..config.num_layers {
        let work_us = projection(
            calibration,
            config,
            layer,
            sizes.seq_len.saturating_mul(sizes.batch),
            stored,
        )?;
        device_us += calibration.dispatch_us + work_us + sizes.seq_len as f64 * step.step_us();
    }
    Some(device_us.max(dispatches as f64 * calibration.encode_us) + calibration.read_back_us)
}

#[cfg(test)]
mod tests {
    use super::{forward, step};
    use crate::Config;
    use crate::dtype::WeightType;
    use crate::kernel::Schedule::{Persistent, Sequence, Step, StepTiled};
    use crate::params::validate::Sizes;
    use crate::perf::calibration::{Bandwidth, Calibration};
    use crate::perf::dispatch::{HeldWork, PerDispatch};
    use crate::perf::rates::{KernelClass, Rate};
    use crate::perf::roofline::Bound;
    use crate::wgpu::DeviceType;

    const F32: WeightType = WeightType::F32;
    const TEN: PerDispatch = PerDispatch { steps: 10, in_registers: false, held: None };
    const HOLDING: PerDispatch = PerDispatch { steps: 10, in_registers: true, held: None };

    /// A device for the tests. A dispatch takes a microsecond, and a step of `sequence` waits a
    /// tenth of one. Reads reach 1000 bytes per microsecond, and 100 from one workgroup. `step`
    /// does 100 multiply-adds per microsecond, and `sequence` 10 for each row.
    fn device() -> Calibration {
        let rate = |part, rows, multiply_adds_per_us| Rate {
            part,
            rows,
            sums: None,
            multiply_adds_per_us,
        };
        Calibration {
            dispatch_us: 1.0,
            sequence_step_us: Some(0.1),
            bandwidth: vec![Bandwidth { bytes: 1, all_gb_per_s: 1.0, one_gb_per_s: Some(0.1) }],
            rates: vec![
                rate(KernelClass::Linear, 1, 50.0),
                rate(KernelClass::Step, 1, 100.0),
                rate(KernelClass::Sequence, 1, 10.0),
                rate(KernelClass::Sequence, 100, 1000.0),
            ],
            encode_us: 0.5,
            read_back_us: 10.0,
            ..Calibration::typical_of(None)
        }
    }

    /// A rate so high that a kernel's work takes no time.
    fn fast(part: KernelClass) -> Vec<Rate> {
        vec![Rate { part, rows: 1, sums: None, multiply_adds_per_us: 1e9 }]
    }

    #[test]
    fn a_step_waits_and_works() {
        // 400 weights of 4 bytes.
        let config = Config::lstm(3, 10);
        let one = step(&device(), &config, 1, F32, Step, PerDispatch::ONE_STEP).expect("a rate");
        assert_eq!(
            (one.wait_us, one.work_us, one.bound),
            (1.0, 4.0, Bound::Arithmetic),
            "400 / 100 against 1600 / 1000"
        );
        let fast = Calibration { rates: fast(KernelClass::Step), ..device() };
        let one = step(&fast, &config, 9, F32, Step, PerDispatch::ONE_STEP).expect("a rate");
        assert_eq!(
            (one.work_us, one.bound),
            (3.2, Bound::Weights),
            "9 rows are two tiles, each of which reads 1600 bytes"
        );
        let half =
            step(&fast, &config, 9, WeightType::F16, Step, PerDispatch::ONE_STEP).expect("a rate");
        assert_eq!(half.work_us, 1.6, "half the bytes");
        let late = step(
            &Calibration { dispatch_us: 7.0, ..device() },
            &config,
            1,
            F32,
            Step,
            PerDispatch::ONE_STEP,
        )
        .expect("a rate");
        assert_eq!((late.step_us(), late.bound), (11.0, Bound::Sync));
        assert_eq!(
            step(&device(), &config, 1, F32, StepTiled, PerDispatch::ONE_STEP),
            None,
            "its rate is not known"
        );
    }

    #[test]
    fn sequence_shares_its_dispatch_and_reads_by_itself() {
        let config = Config::lstm(3, 10);
        let one = step(&device(), &config, 1, F32, Sequence, TEN).expect("a rate");
        assert!(
            (one.wait_us - 0.2).abs() < 1e-12,
            "a tenth of the dispatch, and barriers: {one:?}"
        );
        assert_eq!((one.work_us, one.bound), (40.0, Bound::Arithmetic));
        let many = step(&device(), &config, 100, F32, Sequence, TEN).expect("a rate");
        assert!((many.work_us - 40.0).abs() < 1e-9, "each row has a workgroup: {many:?}");
        let unknown = step(&device(), &config, 1, F32, Sequence, HOLDING)
            .expect("no less than with weights that are read");
        assert_eq!(unknown.work_us, 40.0);
        let held = Calibration { rates: fast(KernelClass::SequenceInRegisters), ..device() };
        let held = step(&held, &config, 1, F32, Sequence, HOLDING).expect("a rate");
        assert!(
            held.work_us < 1e-3 && held.bound == Bound::Sync,
            "weights that are held are not read: {held:?}"
        );
        let rates = fast(KernelClass::Sequence);
        let both = Config::lstm(3, 10).bidirectional(true);
        let read =
            step(&Calibration { rates, ..device() }, &both, 1, F32, Sequence, TEN).expect("a rate");
        assert_eq!(
            (read.work_us, read.bound),
            (16.0, Bound::Weights),
            "each direction reads its own 1600 bytes"
        );
    }

    #[test]
    fn persistent_exchanges_and_loads_its_weights_once_a_dispatch() {
        let config = Config::lstm(3, 10);
        let held = |rows, quads, registers| {
            let work = HeldWork { rows, units: 1, quads, registers };
            step(&device(), &config, 1, F32, Persistent, PerDispatch::held(10, work))
        };
        let times = Calibration::typical_of(Some(DeviceType::DiscreteGpu)).exchange;
        let times = times.expect("a GPU has workgroups that wait");
        let device_times = Calibration { exchange: Some(times), ..device() };
        assert_eq!(held(1, 1, 16), None, "its times are unknown");
        let held = |rows, quads, registers| {
            let work = HeldWork { rows, units: 1, quads, registers };
            let one = PerDispatch::held(10, work);
            step(&device_times, &config, 1, F32, Persistent, one).expect("its times")
        };
        let one = held(1, 4, 64);
        // A tenth of four dispatches of 1 µs and of 1600 bytes at 1000 in a microsecond.
        assert!((one.wait_us - times.step_us - 0.56).abs() < 1e-9, "{one:?}");
        assert!((one.work_us - 7.5 * times.row_us).abs() < 1e-9, "{one:?}");
        let many = PerDispatch::held(10, HeldWork { rows: 16, units: 1, quads: 8, registers: 128 });
        assert_eq!(step(&device_times, &config, 1, F32, Persistent, many), None, "16 rows spill");
        let spilled = held(8, 8, 128);
        assert!(
            (spilled.work_us - 92.0 * times.row_us - 8.0 * times.spill_us).abs() < 1e-9,
            "{spilled:?}"
        );
    }

    #[test]
    fn a_forward_pass_is_projections_and_steps() {
        let config = Config::lstm(10, 10).num_layers(2);
        let sizes = Sizes { seq_len: 100, batch: 1 };
        let one = step(&device(), &config, 1, F32, Step, PerDispatch::ONE_STEP).expect("a rate");
        let us = |calibration: &Calibration| {
            forward(calibration, &config, sizes, F32, &one, 202).expect("rates")
        };
        // 40,000 multiply-adds of each projection, and 100 steps.
        assert!(
            (us(&device()) - (2.0 * (1.0 + 800.0 + 500.0) + 10.0)).abs() < 1e-9,
            "{}",
            us(&device())
        );
        assert_eq!(
            us(&Calibration { encode_us: 100.0, ..device() }),
            20_210.0,
            "where the host is slower"
        );
        let unknown = Calibration { rates: Vec::new(), ..device() };
        assert_eq!(forward(&unknown, &config, sizes, F32, &one, 202), None);
    }
}
