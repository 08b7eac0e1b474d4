//! Measuring forward passes: first that they are right, then how long they take, beside the least they can take.

mod row;
mod suite;

use std::time::{Duration, Instant};

pub use row::{Row, Spread};
pub use suite::{Shape, Suite};

use crate::diagnostics::compare::{Comparison, Tolerance};
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::error::{Error, Result};
use crate::nn::rnn::{Rnn, RnnOptions};
use crate::params::Params;
use crate::params::config::Config;
use crate::params::random::Mt19937;
use crate::perf::calibration::Calibration;
use crate::perf::roofline::{self, Floor};
use crate::plan::Plan;
use crate::reference;
use crate::tensor::Tensor;

/// What became of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was made.
    Measured(Box<Row>),
    /// It would have taken too long; why.
    Skipped(String),
}

/// How long to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What one shape on one device may take, more or less: repetitions are given up first, then the shape.
    pub budget: Duration,
    /// Most runs that are timed.
    pub repetitions: usize,
    /// How the module is put on the device.
    pub module: RnnOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self { budget: Duration::from_secs(10), repetitions: 50, module: RnnOptions::default() }
    }
}

/// Multiply-adds of the definition that are cheap: a second or less.
const COMPARED_MULTIPLY_ADDS: usize = 300_000_000;

/// Most values of an input.
const MAX_VALUES: usize = 1 << 31;

/// A shape with weights, input and what the definition makes of them: the same for every device.
#[derive(Debug)]
pub struct Prepared {
    shape: Shape,
    params: Params,
    input: Tensor,
    /// The first steps of the input, all rows.
    compared_input: Tensor,
    compared_steps: usize,
    /// The rows that are compared, and the definition's output: `[T', rows, D·R]`.
    rows: Vec<usize>,
    want: Vec<f64>,
}

impl Prepared {
    /// Draws weights that `stored` holds exactly, and input, and runs the definition over as many steps of the first and the last row as is cheap.
    ///
    /// # Errors
    /// [`Error::Config`] for a network that cannot be, [`Error::Argument`] for an input of nothing or of far too much.
    pub fn new(shape: &Shape, stored: WeightType) -> Result<Self> {
        let Shape { config, sizes, .. } = shape;
        let params = params(config, stored)?;
        let (t, b, features) = (sizes.seq_len, sizes.batch, config.input_size);
        let values = [b, features].iter().try_fold(t, |product, &size| product.checked_mul(size));
        if values.is_none_or(|values| values == 0 || values > MAX_VALUES) {
            return Err(Error::Argument(format!(
                "an input of shape {:?} cannot be measured: it has to have 1 to {MAX_VALUES} values",
                [t, b, features]
            )));
        }
        let input = Tensor::new(
            [t, b, features],
            Mt19937::new(1).uniform_vec(t * b * features, -1.0, 1.0),
        )?;
        let mut rows = vec![0, b - 1];
        rows.dedup();
        let step =
            roofline::step_work(config, 1, stored).multiply_adds as usize * config.num_layers;
        let one = crate::params::validate::Sizes { seq_len: 1, batch: 1 };
        let projections = (0..config.num_layers)
            .map(|layer| roofline::projection_work(config, layer, one, stored).multiply_adds);
        let each = (step + projections.sum::<u64>() as usize) * rows.len();
        let compared_steps = (COMPARED_MULTIPLY_ADDS / each.max(1)).clamp(1, t);
        let compared_input = Tensor::new(
            [compared_steps, b, features],
            input.data()[..compared_steps * b * features].to_vec(),
        )?;
        let of_rows: Vec<f32> = (0..compared_steps)
            .flat_map(|step| rows.iter().map(move |row| (step * b + row) * features))
            .flat_map(|start| input.data()[start..start + features].iter().copied())
            .collect();
        let want =
            reference::forward(&params, compared_steps, rows.len(), &of_rows, None, None, None)
                .output;
        Ok(Self { shape: shape.clone(), params, input, compared_input, compared_steps, rows, want })
    }

    /// Compares a run's output with the definition's, where that was computed.
    fn compare(&self, output: &Tensor) -> Comparison {
        let width = self.shape.config.output_size();
        let batch = self.shape.sizes.batch;
        let got: Vec<f32> = (0..self.compared_steps)
            .flat_map(|step| self.rows.iter().map(move |row| (step * batch + row) * width))
            .flat_map(|start| output.data()[start..start + width].iter().copied())
            .collect();
        let mut comparison = Comparison::default();
        let shape = [self.compared_steps, self.rows.len(), width];
        comparison.add("output", &shape, &got, &self.want, Tolerance::F32);
        comparison
    }

    /// Runs the shape on a device: compares, warms up, and times. The floor is that of `calibration`, if it was measured.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn measure(
        &self,
        device: &Device,
        calibration: &Calibration,
        options: &Options,
    ) -> Result<Outcome> {
        let Shape { config, sizes, .. } = &self.shape;
        let rnn = Rnn::with_options(device, &self.params, &options.module)?;
        let plan = rnn.plan(sizes.seq_len, sizes.batch)?;
        let compared = |_: ()| -> Result<(Tensor, Duration)> {
            let start = Instant::now();
            let (output, _) = rnn.forward(&self.compared_input, None)?;
            Ok((output, start.elapsed()))
        };
        let (output, mut took) = compared(())?;
        let comparison = self.compare(&output);
        let scale = sizes.seq_len as f64 / self.compared_steps as f64;
        if took.as_secs_f64() * scale > options.budget.as_secs_f64() {
            // The first run built the pipelines.
            took = compared(())?.1;
        }
        let expected = took.mul_f64(scale);
        if expected > options.budget {
            let (needed, allowed) = (expected.as_secs_f64(), options.budget.as_secs_f64());
            return Ok(Outcome::Skipped(format!(
                "a pass takes about {needed:.0} s, more than the {allowed:.0} s allowed"
            )));
        }
        let passes = sizes.batch.div_ceil(plan.sizes.batch);
        let times = self.time(&rnn, options, passes == 1)?;
        let dispatches = plan.recording.dispatch_count() * passes as u64;
        let steps = self.shape.steps() as f64;
        let stored = device.storage(options.module.weights)?.read_as();
        let floor = calibration
            .measured
            .then(|| roofline::forward(calibration, config, *sizes, stored, dispatches));
        let by_gpu = times.gpu.is_some();
        let floor_us =
            floor.map(|floor: Floor| if by_gpu { floor.device_us } else { floor.wall_us });
        Ok(Outcome::Measured(Box::new(Row {
            system: "wgpu-rnn".to_owned(),
            name: self.shape.name.clone(),
            device: device.name().to_owned(),
            backend: device.backend(),
            driver: device.driver(),
            kind: config.kind.to_string(),
            input_size: config.input_size,
            hidden_size: config.hidden_size,
            num_layers: config.num_layers,
            bidirectional: config.bidirectional,
            seq_len: sizes.seq_len,
            batch: sizes.batch,
            dtype: options.module.weights.name().to_owned(),
            schedule: schedule(&plan).to_owned(),
            us_per_step: times.gpu.unwrap_or(times.wall).median / steps,
            wall_us: times.wall,
            gpu_us: times.gpu,
            floor_us_per_step: floor_us.map(|us| us / steps),
            bound: floor.map(|floor| floor.bound.name().to_owned()),
            dispatches,
            encode_us: times.encode,
            max_abs_vs_f64: Some(comparison.max_abs),
            agrees: Some(comparison.agrees()),
            compared_steps: self.compared_steps,
            repetitions: times.repetitions,
        })))
    }

    /// Runs until it takes no longer, then times runs, as many as the budget allows.
    fn time(&self, rnn: &Rnn, options: &Options, one_pass: bool) -> Result<Times> {
        let begin = Instant::now();
        loop {
            let start = Instant::now();
            rnn.forward(&self.input, None)?;
            // A tenth of the budget, or one run.
            if begin.elapsed() + start.elapsed() > options.budget / 10 {
                break;
            }
        }
        let begin = Instant::now();
        let (mut wall, mut gpu, mut encode) = (Vec::new(), Vec::new(), Vec::new());
        while wall.is_empty()
            || (wall.len() < options.repetitions && begin.elapsed() < options.budget)
        {
            let start = Instant::now();
            rnn.forward(&self.input, None)?;
            wall.push(start.elapsed().as_secs_f64() * 1e6);
            let timing = rnn.timing();
            encode.push(timing.encode.as_secs_f64() * 1e6);
            // Of several passes the last one's time alone is known.
            gpu.extend(timing.gpu.filter(|_| one_pass).map(|time| time.as_secs_f64() * 1e6));
        }
        let repetitions = wall.len();
        let gpu = if gpu.len() == repetitions { Spread::of(gpu) } else { None };
        let zero = Spread { median: 0.0, min: 0.0, p95: 0.0 };
        let encode = Spread::of(encode).unwrap_or(zero).median;
        Ok(Times { wall: Spread::of(wall).unwrap_or(zero), gpu, encode, repetitions })
    }
}

/// Weights as PyTorch would draw them, rounded to what they are stored as: what is compared is the arithmetic.
fn params(config: &Config, stored: WeightType) -> Result<Params> {
    let drawn = Params::init(config, 0)?;
    let mut values = drawn.values();
    Params::from_fn(config, |_, _| {
        Ok(values.next().unwrap_or_default().iter().map(|&value| stored.round(value)).collect())
    })
}

/// What a shape took.
struct Times {
    wall: Spread,
    gpu: Option<Spread>,
    encode: f64,
    repetitions: usize,
}

/// How a plan lays the recurrence on the machine.
fn schedule(plan: &Plan) -> &'static str {
    plan.schedule.schedule.name()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Options, Outcome, Prepared, Shape};
    use crate::dtype::WeightType;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::Calibration;
    use crate::{Config, Device};

    fn prepared(config: Config, seq_len: usize, batch: usize) -> Prepared {
        let shape = Shape { name: "test".to_owned(), config, sizes: Sizes { seq_len, batch } };
        Prepared::new(&shape, WeightType::F32).expect("a network")
    }

    #[test]
    fn a_row_has_the_shape_and_figures_that_fit_together() {
        let prepared = prepared(Config::gru(3, 5).num_layers(2).bidirectional(true), 7, 4);
        let options =
            Options { budget: Duration::from_millis(20), repetitions: 3, ..Options::default() };
        let device = Device::cpu();
        let calibration = Calibration { measured: true, ..device.calibration().clone() };
        let outcome = prepared.measure(&device, &calibration, &options).expect("the CPU runs it");
        let Outcome::Measured(row) = outcome else { panic!("{outcome:?}") };
        assert_eq!(
            (row.agrees, row.compared_steps, row.repetitions),
            (Some(true), 7, 3),
            "{row:?}"
        );
        assert!(
            row.max_abs_vs_f64.is_some_and(|x| x > 0.0 && x < 1e-5),
            "f32 differs from f64: {row:?}"
        );
        assert!((row.us_per_step * 14.0 - row.wall_us.median).abs() < 1e-6, "T · L steps: {row:?}");
        assert!(row.floor_us_per_step.is_some_and(|us| us > 0.0) && row.bound.is_some(), "{row:?}");
        assert!(
            row.wall_us.min <= row.wall_us.median && row.wall_us.median <= row.wall_us.p95,
            "{row:?}"
        );
        let unmeasured = device.calibration().clone();
        let outcome = prepared.measure(&device, &unmeasured, &options).expect("the CPU runs it");
        let Outcome::Measured(row) = outcome else { panic!("{outcome:?}") };
        assert_eq!(
            (row.floor_us_per_step, row.bound.as_deref()),
            (None, None),
            "a type's figures are no floor"
        );
    }

    #[test]
    fn wrong_output_is_seen() {
        let prepared = prepared(Config::lstm(3, 5), 6, 3);
        let right = prepared.want.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let mut output = crate::Tensor::zeros([6, 3, 5]).expect("a tensor");
        for (at, row) in prepared.rows.iter().enumerate() {
            for step in 0..6 {
                output.data_mut()[(step * 3 + row) * 5..][..5]
                    .copy_from_slice(&right[(step * 2 + at) * 5..][..5]);
            }
        }
        assert!(prepared.compare(&output).agrees(), "the definition agrees with itself");
        output.data_mut()[(5 * 3 + 2) * 5 + 4] += 1e-3;
        assert!(!prepared.compare(&output).agrees(), "the last value of the last row");
    }

    #[test]
    fn what_takes_too_long_is_skipped_with_the_reason() {
        let prepared = prepared(Config::lstm(64, 64), 50, 2);
        let options =
            Options { budget: Duration::from_nanos(1), repetitions: 3, ..Options::default() };
        let device = Device::cpu();
        match prepared
            .measure(&device, &device.calibration().clone(), &options)
            .expect("the CPU runs it")
        {
            Outcome::Skipped(reason) => {
                assert!(reason.contains("more than the 0 s allowed"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_as_much_is_compared_as_is_cheap() {
        let large = prepared(Config::lstm(256, 1024), 40, 3);
        assert!(large.compared_steps < 40, "{} steps", large.compared_steps);
        assert_eq!(
            (large.rows.clone(), large.want.len()),
            (vec![0, 2], large.compared_steps * 2 * 1024)
        );
        assert_eq!(prepared(Config::lstm(4, 4), 9, 1).rows, [0], "one row is compared once");
    }
}
