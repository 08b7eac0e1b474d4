//! Benchmarks of forward passes: check the output, time the pass, compare it with the roofline.

mod measurement;
mod options;
#[doc(hidden)]
pub mod report;
mod soak;
mod suite;
mod timing;

pub use measurement::{Measurement, Quantiles};
pub use options::Options;
#[doc(hidden)]
pub use soak::Soak;
pub use suite::Shape;
#[doc(hidden)]
pub use suite::Suite;

use crate::diagnostics::compare::{Comparison, Tolerance};
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::rnn::Rnn;
use crate::params::Params;
use crate::params::random::Mt19937;
use crate::params::validate::Sizes;
use crate::perf::calibration::Calibration;
use crate::perf::roofline::{self, Roofline};
use crate::plan::Plan;
use crate::reference;
use crate::tensor::{Tensor, room};

/// The result of [`Workload::measure`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Attempt {
    /// The shape was measured.
    Measured(Box<Measurement>),
    /// The shape would take longer than the budget; the text gives the reason.
    Skipped(String),
}

/// The largest number of multiply-adds for the reference: about a second of work.
const COMPARED_MULTIPLY_ADDS: usize = 300_000_000;

/// The largest number of values in an input.
const MAX_VALUES: usize = 1 << 31;

/// A shape with weights, input and reference output: the same for every device.
#[derive(Debug)]
pub struct Workload {
    shape: Shape,
    params: Params,
    /// `[T, B, I]`.
    input: Tensor,
    /// The first T' steps of `input`, all rows: `[T', B, I]`.
    compared_input: Tensor,
    /// T'.
    compared_steps: usize,
    /// The indices of the compared rows.
    rows: Vec<usize>,
    /// The reference output of the compared rows: `[T', rows, D·R]`.
    want: Vec<f64>,
}

impl Workload {
    /// Draws weights and input, and runs the f64 reference.
    ///
    /// `stored` rounds the weights, so that the comparison tests the arithmetic alone. The
    /// reference runs the first and the last row, for as many steps as take about a second.
    ///
    /// # Errors
    /// [`Error::Config`] for an invalid network; [`Error::Shape`] for an input without values or
    /// with too many; [`Error::OutOfMemory`] when the host's memory does not hold the workload.
    pub fn new(shape: &Shape, stored: WeightType) -> Result<Self> {
        Self::with(shape.clone(), Params::init(&shape.config, 0)?.rounded(stored)?)
    }

    /// [`new`](Self::new) with the weights of a module, at `seq_len` steps of `batch` rows.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new); [`Error::Option`] for weights that `stored` cannot hold.
    pub fn of_params(
        params: &Params,
        (seq_len, batch): (usize, usize),
        stored: WeightType,
    ) -> Result<Self> {
        let params = params.rounded(stored)?.with(|config| config.batch_first(false))?;
        let config = params.config().clone();
        let name = format!("{config} T={seq_len} B={batch}");
        Self::with(Shape::new(name, config, seq_len, batch), params)
    }

    /// Returns the network and the sizes of its input.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    fn with(shape: Shape, params: Params) -> Result<Self> {
        let Shape { config, sizes, .. } = &shape;
        let (t, b, features) = (sizes.seq_len, sizes.batch, config.input_size);
        let values = [b, features].iter().try_fold(t, |product, &size| product.checked_mul(size));
        if values.is_none_or(|values| values == 0 || values > MAX_VALUES) {
            return Err(Error::Shape(format!(
                "an input of shape {:?} cannot be measured: it has to have 1 to {MAX_VALUES} \
                 values",
                [t, b, features]
            )));
        }
        // The compared steps are a copy.
        room(t * b * features * 2, "the input of a benchmark")?;
        let input = Tensor::new(
            [t, b, features],
            Mt19937::new(1).uniform_vec(t * b * features, -1.0, 1.0),
        )?;
        let mut rows = vec![0, b - 1];
        rows.dedup();
        let step = roofline::step_work(config, 1, WeightType::F32).multiply_adds as usize
            * config.num_layers;
        let one = Sizes { seq_len: 1, batch: 1 };
        let projections = (0..config.num_layers).map(|layer| {
            roofline::projection_work(config, layer, one, WeightType::F32).multiply_adds
        });
        let each = (step + projections.sum::<u64>() as usize) * rows.len();
        let compared_steps = (COMPARED_MULTIPLY_ADDS / each.max(1)).clamp(1, t);
        let compared_input = Tensor::new(
            [compared_steps, b, features],
            input.data()[..compared_steps * b * features].to_vec(),
        )?;
        let sizes = Sizes { seq_len: compared_steps, batch: rows.len() };
        reference::room(&params, sizes)?;
        let of_rows = select_rows(&compared_input, &rows);
        let want =
            reference::forward(&params, compared_steps, rows.len(), &of_rows, None, None, None)
                .output;
        Ok(Self { shape, params, input, compared_input, compared_steps, rows, want })
    }

    /// Compares an output, `[T', B, D·R]`, with the reference.
    fn compare(&self, output: &Tensor) -> Result<Comparison> {
        room(self.want.len() * 2, "a comparison")?;
        let got = select_rows(output, &self.rows);
        let mut comparison = Comparison::default();
        let shape = [self.compared_steps, self.rows.len(), self.shape.config.output_size()];
        comparison.add("output", &shape, &got, &self.want, Tolerance::F32);
        Ok(comparison)
    }

    /// Checks the output of a device, warms up, and times forward passes.
    ///
    /// The measurement has a roofline if `calibration` was measured.
    ///
    /// # Errors
    /// [`Error::Option`] for an option of the module that does not apply; the errors of loading and
    /// running the module.
    pub fn measure(
        &self,
        device: &Device,
        calibration: &Calibration,
        options: &Options,
    ) -> Result<Attempt> {
        pollster::block_on(self.attempt(device, calibration, options, device.blocking()?))
    }

    /// The asynchronous form of [`measure`](Self::measure).
    ///
    /// # Errors
    /// The errors of [`measure`](Self::measure).
    pub async fn measure_async(
        &self,
        device: &Device,
        calibration: &Calibration,
        options: &Options,
    ) -> Result<Attempt> {
        self.attempt(device, calibration, options, Waiting::Await).await
    }

    async fn attempt(
        &self,
        device: &Device,
        calibration: &Calibration,
        options: &Options,
        waiting: Waiting,
    ) -> Result<Attempt> {
        options.module.check("a benchmark's shape", &["schedule"])?;
        let Shape { config, sizes, .. } = &self.shape;
        let rnn = Rnn::with_options(device, &self.params, &options.module)?;
        let plan = rnn.plan(sizes.seq_len, sizes.batch)?;
        let (output, mut took) = self.run_compared(&rnn, waiting).await?;
        let comparison = self.compare(&output)?;
        let scale = sizes.seq_len as f64 / self.compared_steps as f64;
        if took.as_secs_f64() * scale > options.budget.as_secs_f64() {
            // The first run also built the pipelines: time a second run.
            took = self.run_compared(&rnn, waiting).await?.1;
        }
        let expected = took.mul_f64(scale);
        if expected > options.budget {
            return Ok(Attempt::Skipped(format!(
                "a pass takes about {expected:.1?}, more than the {:.1?} allowed",
                options.budget
            )));
        }
        let passes = sizes.batch.div_ceil(plan.sizes.batch);
        let times = self.time(&rnn, options, passes == 1, waiting).await?;
        let dispatches = plan.recording.dispatch_count() * passes as u64;
        let steps = self.shape.steps() as f64;
        let stored = device.storage(options.module.weights)?.read_as();
        let roofline = calibration
            .measured
            .then(|| roofline::forward(calibration, config, *sizes, stored, dispatches));
        let least_us = roofline.map(|least: Roofline| match times.gpu {
            Some(_) => least.device_us,
            None => least.wall_us,
        });
        Ok(Attempt::Measured(Box::new(Measurement {
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
            schedule_option: options.module.schedule.to_string(),
            us_per_step: times.gpu.unwrap_or(times.wall).median / steps,
            wall_us: times.wall,
            gpu_us: times.gpu,
            floor_us_per_step: least_us.map(|us| us / steps),
            bound: roofline.map(|least| least.bound.name().to_owned()),
            dispatches,
            encode_us: times.encode,
            max_abs_vs_f64: Some(comparison.max_abs),
            agrees: Some(comparison.agrees()),
            compared_steps: self.compared_steps,
            repetitions: times.repetitions,
        })))
    }
}

/// Copies `rows` of every step of a `[T, B, F]` tensor: `[T, rows, F]`.
fn select_rows(tensor: &Tensor, rows: &[usize]) -> Vec<f32> {
    let &[_, batch, features] = tensor.shape() else { return Vec::new() };
    tensor
        .data()
        .chunks_exact(batch * features)
        .flat_map(|step| rows.iter().map(move |row| &step[row * features..][..features]))
        .flatten()
        .copied()
        .collect()
}

/// The name of the schedule of a plan.
fn schedule(plan: &Plan) -> &'static str {
    plan.schedule.schedule.name()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attempt, Options, Shape, Sizes, Workload};
    use crate::dtype::WeightType;
    use crate::perf::calibration::Calibration;
    use crate::{Config, Device};

    fn workload(config: Config, seq_len: usize, batch: usize) -> Workload {
        let shape = Shape { name: "test".to_owned(), config, sizes: Sizes { seq_len, batch } };
        Workload::new(&shape, WeightType::F32).expect("a network")
    }

    #[test]
    fn a_measurement_has_the_shape_and_consistent_figures() {
        let workload = workload(Config::gru(3, 5).num_layers(2).bidirectional(true), 7, 4);
        let options =
            Options { budget: Duration::from_millis(20), repetitions: 3, ..Options::default() };
        let device = Device::cpu();
        let calibration = Calibration { measured: true, ..device.calibration().clone() };
        let attempt = workload.measure(&device, &calibration, &options).expect("the CPU runs it");
        let Attempt::Measured(row) = attempt else { panic!("{attempt:?}") };
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
        let attempt = workload.measure(&device, &unmeasured, &options).expect("the CPU runs it");
        let Attempt::Measured(row) = attempt else { panic!("{attempt:?}") };
        assert_eq!(
            (row.floor_us_per_step, row.bound.as_deref()),
            (None, None),
            "typical figures give no roofline"
        );
    }

    #[test]
    fn wrong_output_disagrees() {
        let workload = workload(Config::lstm(3, 5), 6, 3);
        let right = workload.want.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let mut output = crate::Tensor::zeros([6, 3, 5]).expect("a tensor");
        for (at, row) in workload.rows.iter().enumerate() {
            for step in 0..6 {
                output.data_mut()[(step * 3 + row) * 5..][..5]
                    .copy_from_slice(&right[(step * 2 + at) * 5..][..5]);
            }
        }
        assert!(
            workload.compare(&output).expect("memory").agrees(),
            "the reference agrees with itself"
        );
        output.data_mut()[(5 * 3 + 2) * 5 + 4] += 1e-3;
        assert!(
            !workload.compare(&output).expect("memory").agrees(),
            "the last value of the last row"
        );
    }

    #[test]
    fn a_shape_over_the_budget_is_skipped_with_the_reason() {
        let workload = workload(Config::lstm(64, 64), 50, 2);
        let options =
            Options { budget: Duration::from_nanos(1), repetitions: 3, ..Options::default() };
        let device = Device::cpu();
        match workload
            .measure(&device, &device.calibration().clone(), &options)
            .expect("the CPU runs it")
        {
            Attempt::Skipped(reason) => {
                assert!(reason.contains("more than the 1.0ns allowed"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_reference_runs_cheap_steps_only() {
        let large = workload(Config::lstm(256, 1024), 40, 3);
        assert!(large.compared_steps < 40, "{} steps", large.compared_steps);
        assert_eq!(large.rows, [0, 2], "the first and the last row");
        assert_eq!(large.want.len(), large.compared_steps * 2 * 1024, "of two rows");
        assert_eq!(workload(Config::lstm(4, 4), 9, 1).rows, [0], "a single row is compared once");
    }
}
