//! The roofline: the least time of a forward pass that the device's constants allow, and its bound.
//!
//! A time step of one layer reads every recurrent weight once and multiplies it with every batch
//! row. It also reads the gates' inputs and writes the state. These overlap, so the longest of them
//! counts. The next step can start once it sees the results of this one:
//!
//! ```text
//! t_step    = max(W / BW(W), multiply-adds / F, io / BW(io)) + t_sync
//! t_forward = Σ over layers (input projection + T · t_step)
//! ```
//!
//! BW(n) is the bandwidth for a buffer of n bytes, F the arithmetic rate, and t_sync the time from
//! dispatch to dispatch. The input projection of all steps is a separate product with the same
//! maximum.

use crate::dtype::WeightType;
use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;
use crate::perf::calibration::Calibration;

/// The term that bounds a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Reading weights.
    Weights,
    /// Multiply-adds.
    Arithmetic,
    /// Reading the gates' inputs and writing states and outputs.
    Io,
    /// Waiting from dispatch to dispatch.
    Sync,
}

impl Bound {
    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Arithmetic => "arithmetic",
            Self::Io => "io",
            Self::Sync => "sync",
        }
    }
}

/// Bytes and multiply-adds of a unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Bytes of weights.
    pub weights: u64,
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// Bytes of activations, read and written.
    pub io: u64,
}

/// Returns the work of one time step of a layer, all directions.
pub fn step_work(config: &Config, batch: usize, stored: WeightType) -> Work {
    let (hidden, state) = (config.hidden_size, config.state_size());
    let projection = if config.proj_size > 0 { hidden * state } else { 0 };
    let weights = config.kind.gate_count() * hidden * state + projection;
    let cells = if config.kind == Kind::Lstm { 2 * hidden } else { 0 };
    // The gates' inputs, the state and the cell state. The state is read, and written to its buffer
    // and to the output.
    let io = config.kind.gate_count() * hidden + 3 * state + cells;
    let directions = config.num_directions() as u64;
    Work {
        weights: directions * weights as u64 * bytes_of(stored),
        multiply_adds: directions * (weights * batch) as u64,
        io: directions * (io * batch) as u64 * 4,
    }
}

/// Returns the work of the input projection of a layer: all time steps, all directions.
pub fn projection_work(config: &Config, layer: usize, sizes: Sizes, stored: WeightType) -> Work {
    let (features, rows) =
        (config.layer_input_size(layer) as u64, (sizes.seq_len * sizes.batch) as u64);
    let columns = (config.num_directions() * config.kind.gate_count() * config.hidden_size) as u64;
    Work {
        weights: columns * features * bytes_of(stored),
        multiply_adds: columns * features * rows,
        io: rows * (features + columns) * 4,
    }
}

/// Returns the bytes of one weight.
fn bytes_of(stored: WeightType) -> u64 {
    match stored {
        WeightType::F32 => 4,
        WeightType::F16 => 2,
    }
}

impl Work {
    /// Returns the least time of the work in microseconds, and its bound. `io_footprint` is the
    /// size of the memory that holds the activations.
    fn least_us(&self, calibration: &Calibration, io_footprint: u64) -> (f64, Bound) {
        let weights = self.weights as f64 / calibration.bytes_per_us(self.weights as f64);
        let arithmetic = self.multiply_adds as f64 / calibration.multiply_adds_per_us();
        let io = self.io as f64 / calibration.bytes_per_us(io_footprint as f64);
        [(arithmetic, Bound::Arithmetic), (io, Bound::Io)]
            .into_iter()
            .fold((weights, Bound::Weights), |most, term| if term.0 > most.0 { term } else { most })
    }
}

/// The least time of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Time on the device, in microseconds.
    pub device_us: f64,
    /// Time from a call to its results, in microseconds. It includes the read-back, and the
    /// encoding if that takes longer than the work.
    pub wall_us: f64,
    /// The term that takes most of `device_us`.
    pub bound: Bound,
}

/// Returns the roofline of a forward pass with weights of this type and `dispatches` dispatches.
pub fn forward(
    calibration: &Calibration,
    config: &Config,
    sizes: Sizes,
    stored: WeightType,
    dispatches: u64,
) -> Roofline {
    let mut spent =
        [(Bound::Weights, 0.0), (Bound::Arithmetic, 0.0), (Bound::Io, 0.0), (Bound::Sync, 0.0)];
    let mut spend = |bound: Bound, us: f64| {
        spent.iter_mut().filter(|(known, _)| *known == bound).for_each(|(_, sum)| *sum += us);
    };
    let step = step_work(config, sizes.batch, stored);
    let (step_us, step_bound) = step.least_us(calibration, step.io * sizes.seq_len as u64);
    for layer in 0..config.num_layers {
        let projection = projection_work(config, layer, sizes, stored);
        let (us, bound) = projection.least_us(calibration, projection.io);
        spend(bound, us);
        spend(step_bound, step_us * sizes.seq_len as f64);
    }
    spend(Bound::Sync, dispatches as f64 * calibration.dispatch_us);
    let device_us = spent.iter().map(|(_, us)| us).sum::<f64>();
    let most = spent.iter().fold(spent[0], |most, term| if term.1 > most.1 { *term } else { most });
    let wall_us =
        device_us.max(dispatches as f64 * calibration.encode_us) + calibration.read_back_us;
    Roofline { device_us, wall_us, bound: most.0 }
}

#[cfg(test)]
mod tests {
    use super::{Bound, forward, projection_work, step_work};
    use crate::Config;
    use crate::dtype::WeightType;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::{Bandwidth, Calibration};

    const F32: WeightType = WeightType::F32;

    /// A device for the tests: 1000 bytes and 1000 multiply-adds per microsecond, and a microsecond
    /// from dispatch to dispatch.
    fn device() -> Calibration {
        let bandwidth = vec![Bandwidth { bytes: 1, all_gb_per_s: 1.0, one_gb_per_s: None }];
        let typical = Calibration::typical_of(None);
        Calibration {
            dispatch_us: 1.0,
            bandwidth,
            gflops: 2.0,
            encode_us: 0.5,
            read_back_us: 10.0,
            ..typical
        }
    }

    #[test]
    fn work_is_counted_as_in_the_formulas() {
        // 4 gates, H = 10: 400 weights; gates 40, state 3 · 10, cells 2 · 10.
        let work = step_work(&Config::lstm(3, 10), 2, F32);
        assert_eq!((work.weights, work.multiply_adds, work.io), (1600, 800, 2 * 90 * 4));
        let both = step_work(&Config::lstm(3, 10).bidirectional(true), 2, F32);
        assert_eq!((both.weights, both.multiply_adds, both.io), (3200, 1600, 2 * 2 * 90 * 4));
        // 40 · 5 weights of the gates and 10 · 5 of the projection.
        let projected = step_work(&Config::lstm(3, 10).proj_size(5), 2, F32);
        assert_eq!((projected.weights, projected.multiply_adds), (1000, 500));
        let half = step_work(&Config::lstm(3, 10), 2, WeightType::F16);
        assert_eq!(
            (half.weights, half.multiply_adds, half.io),
            (800, 800, 720),
            "half the bytes of weights alone"
        );
        let gru = step_work(&Config::gru(3, 10), 1, F32);
        assert_eq!((gru.weights, gru.io), (1200, 60 * 4));
        let config = Config::gru(3, 10).bidirectional(true).num_layers(2);
        let second = projection_work(&config, 1, Sizes { seq_len: 7, batch: 2 }, F32);
        assert_eq!(
            (second.weights, second.multiply_adds),
            (60 * 20 * 4, 60 * 20 * 14),
            "its input is D · H wide"
        );
        assert_eq!(second.io, 14 * (20 + 60) * 4);
    }

    #[test]
    fn the_longest_term_counts_and_is_named() {
        let config = Config::lstm(1, 10);
        let roofline = |calibration: &Calibration, batch, dispatches| {
            forward(calibration, &config, Sizes { seq_len: 100, batch }, F32, dispatches)
        };
        // A step of one row takes 1.6 µs for weights, 0.4 for arithmetic and 0.36 for io. The
        // projection takes 4.1 µs for arithmetic, or 16.4 for io (100 · 41 · 4 bytes).
        let alone = roofline(&device(), 1, 0);
        assert!((alone.device_us - (160.0 + 16.4)).abs() < 1e-9, "{alone:?}");
        assert_eq!(alone.bound, Bound::Weights);
        let many = roofline(&device(), 100, 0);
        assert_eq!(many.bound, Bound::Arithmetic, "weights are read once for all rows: {many:?}");
        assert!((many.device_us - (100.0 * 40.0 + 1640.0)).abs() < 1e-6, "{many:?}");
        let fast = Calibration { gflops: 2e6, ..device() };
        assert_eq!(roofline(&fast, 100, 0).bound, Bound::Io);
        let synced = roofline(&device(), 1, 1000);
        assert_eq!(synced.bound, Bound::Sync);
        assert!((synced.device_us - alone.device_us - 1000.0).abs() < 1e-9, "{synced:?}");
        assert!(
            (synced.wall_us - synced.device_us - 10.0).abs() < 1e-9,
            "encoding is hidden: {synced:?}"
        );
        let slow_host = roofline(&Calibration { encode_us: 100.0, ..device() }, 1, 1000);
        assert_eq!(slow_host.wall_us, 100_010.0, "encoding that takes longer is not");
    }

    #[test]
    fn layers_and_steps_add_up() {
        let roofline = |layers, seq_len| {
            let config = Config::gru(10, 10).num_layers(layers);
            forward(&device(), &config, Sizes { seq_len, batch: 1 }, F32, 0).device_us
        };
        assert!((roofline(3, 50) - 3.0 * roofline(1, 50)).abs() < 1e-9);
        assert!(roofline(1, 100) > 1.9 * roofline(1, 50));
    }
}
