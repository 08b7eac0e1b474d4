//! Networks on devices against their definition, for the tests of a program.

mod network;

use std::fmt;

use crate::diagnostics::compare::{Comparison, Tolerance};
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::options::OpenOptions;
use crate::engine::selector::Selection;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::options::{ForwardOptions, LoadOptions};
use crate::nn::rnn::Rnn;
use crate::params::Params;
use crate::params::config::Kind;
use crate::params::random::Mt19937;
use crate::reference;
use crate::tensor::{State, Tensor};

/// The sizes (T, B) at which [`assert_matches`] compares a network: one step of one row and of many
/// rows, a few steps, and many.
pub const SIZES: &[(usize, usize)] = &[(1, 1), (1, 9), (7, 3), (33, 2)];

/// A result of a network by its definition.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceTensor {
    /// The name in reports.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// The values, in row-major order.
    pub values: Vec<f64>,
}

/// A network in host memory whose results on a device can be compared with its definition.
///
/// [`Params`] of a recurrent module are one. Implement it for a network of your own modules.
pub trait Subject {
    /// The values of a call.
    type Input;

    /// Returns the network in words, such as `LSTM(3, 4)`.
    fn title(&self) -> String;

    /// Draws the input of a call of `seq_len` steps and `batch` rows. A seed gives the same values
    /// on every machine.
    ///
    /// # Errors
    /// The sizes do not fit the network or the host's memory.
    fn draw(&self, seq_len: usize, batch: usize, seed: u64) -> Result<Self::Input>;

    /// Returns the results by definition, in f64.
    ///
    /// # Errors
    /// The host's memory does not hold them.
    fn reference(&self, input: &Self::Input) -> Result<Vec<ReferenceTensor>>;

    /// Loads the network on a device and runs each input. Returns its results, in the order of
    /// [`reference`](Self::reference).
    ///
    /// # Errors
    /// The errors of loading and running.
    fn run(&self, device: &Device, inputs: &[Self::Input]) -> Result<Vec<Vec<Tensor>>>;

    /// The asynchronous form of [`run`](Self::run), which a GPU in a browser needs. By default it
    /// blocks.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run).
    fn run_async(
        &self,
        device: &Device,
        inputs: &[Self::Input],
    ) -> impl Future<Output = Result<Vec<Vec<Tensor>>>>
    where
        Self: Sized,
    {
        std::future::ready(self.run(device, inputs))
    }
}

/// The comparison of a network on one device with its definition.
#[derive(Debug)]
#[non_exhaustive]
pub struct DeviceMatch {
    /// The device, as it prints.
    pub device: String,
    /// The comparison of all results, or the reason why the network did not run.
    pub comparison: Result<Comparison>,
}

impl DeviceMatch {
    /// Joins the comparisons of all sizes.
    fn of(device: &Device, all: Result<Vec<Comparison>>) -> Self {
        let join = |mut sum: Comparison, of_one: &Comparison| {
            sum.merge(of_one);
            sum
        };
        let comparison = all.map(|all| all.iter().fold(Comparison::default(), join));
        Self { device: device.to_string(), comparison }
    }

    /// Returns whether the network ran and all results are within the tolerance.
    pub fn agrees(&self) -> bool {
        self.comparison.as_ref().is_ok_and(Comparison::agrees)
    }
}

impl fmt::Display for DeviceMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.comparison {
            Ok(comparison) => write!(f, "{}: {}", self.device, comparison.describe()),
            Err(error) => write!(f, "{}: {error}", self.device),
        }
    }
}

/// Opens every device of this machine: all adapters, software adapters included, and the CPU.
///
/// # Errors
/// The errors of [`Device::open`], for the first device that does not open.
pub fn every_device() -> Result<Vec<Device>> {
    let selections = Selection::of_all(&["all".to_owned()])?;
    selections.iter().map(|selection| selection.open(&OpenOptions::default())).collect()
}

/// The asynchronous form of [`every_device`].
///
/// # Errors
/// The errors of [`every_device`].
pub async fn every_device_async() -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    for selection in Selection::of_all_async(&["all".to_owned()]).await? {
        devices.push(selection.open_async(&OpenOptions::default()).await?);
    }
    Ok(devices)
}

/// Compares a network on devices with its definition in f64, at the sizes of [`SIZES`] with drawn
/// inputs.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::diagnostics::compare::Tolerance;
/// use wgpu_rnn::diagnostics::{assert_matches, every_device};
/// # use wgpu_rnn::{Config, Device, Params};
/// # let every_device = || wgpu_rnn::Result::Ok([Device::cpu()]);
/// let params = Params::init(&Config::lstm(3, 4), 0)?; // or Params::from_state_dict(..)
/// assert_matches(&params, every_device()?, Tolerance::F32);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If a device disagrees or does not run the network. The message names the device, the tensor, and
/// the worst element with the value that is expected. Without a device there is nothing to assert,
/// which panics too.
#[track_caller]
pub fn assert_matches<S: Subject + ?Sized>(
    subject: &S,
    devices: impl IntoIterator<Item = Device>,
    tolerance: Tolerance,
) {
    let title = subject.title();
    let found = match matches(subject, devices, tolerance, SIZES) {
        Ok(found) => found,
        Err(error) => panic!("{title}: {error}"),
    };
    assert!(!found.is_empty(), "{title}: there is no device to compare with the definition");
    let wrong: Vec<String> = found
        .iter()
        .filter(|of_one| !of_one.agrees())
        .map(|of_one| format!("\n  {of_one}"))
        .collect();
    assert!(wrong.is_empty(), "{title} does not match its definition:{}", wrong.concat());
}

/// Compares a network on devices with its definition in f64, at sizes (T, B) with drawn inputs.
/// Returns a result for each device, in their order.
///
/// # Errors
/// [`Error::Option`] without sizes; the errors of [`Subject::draw`] and [`Subject::reference`].
pub fn matches<S: Subject + ?Sized>(
    subject: &S,
    devices: impl IntoIterator<Item = Device>,
    tolerance: Tolerance,
    sizes: &[(usize, usize)],
) -> Result<Vec<DeviceMatch>> {
    let trials = Trials::draw(subject, sizes)?;
    let of_device =
        |device: Device| DeviceMatch::of(&device, trials.compare(subject, &device, tolerance));
    Ok(devices.into_iter().map(of_device).collect())
}

/// The asynchronous form of [`matches`](fn@matches).
///
/// # Errors
/// The errors of [`matches`](fn@matches).
pub async fn matches_async<S: Subject>(
    subject: &S,
    devices: impl IntoIterator<Item = Device>,
    tolerance: Tolerance,
    sizes: &[(usize, usize)],
) -> Result<Vec<DeviceMatch>> {
    let trials = Trials::draw(subject, sizes)?;
    let mut found = Vec::new();
    for device in devices {
        let got = subject.run_async(&device, &trials.inputs).await;
        found.push(DeviceMatch::of(&device, got.map(|got| trials.judge(&got, tolerance))));
    }
    Ok(found)
}

/// Drawn inputs of a network, and the results by its definition.
#[doc(hidden)]
#[derive(Debug)]
pub struct Trials<I> {
    sizes: Vec<(usize, usize)>,
    inputs: Vec<I>,
    want: Vec<Vec<ReferenceTensor>>,
}

impl<I> Trials<I> {
    /// Draws an input of each size, and runs the reference.
    ///
    /// # Errors
    /// The errors of [`matches`].
    pub fn draw<S: Subject<Input = I> + ?Sized>(
        subject: &S,
        sizes: &[(usize, usize)],
    ) -> Result<Self> {
        if sizes.is_empty() {
            return Err(Error::Option(
                "there are no sizes to compare a network at; give at least one".to_owned(),
            ));
        }
        let inputs: Result<Vec<I>> = (0..)
            .zip(sizes)
            .map(|(seed, &(seq_len, batch))| subject.draw(seq_len, batch, seed))
            .collect();
        let inputs = inputs?;
        let want = inputs.iter().map(|input| subject.reference(input)).collect::<Result<_>>()?;
        Ok(Self { sizes: sizes.to_vec(), inputs, want })
    }

    /// Runs the network on a device. Returns the comparison of each size.
    ///
    /// # Errors
    /// The errors of [`Subject::run`].
    pub fn compare<S: Subject<Input = I> + ?Sized>(
        &self,
        subject: &S,
        device: &Device,
        tolerance: Tolerance,
    ) -> Result<Vec<Comparison>> {
        subject.run(device, &self.inputs).map(|got| self.judge(&got, tolerance))
    }

    /// Compares the results of each size.
    fn judge(&self, got: &[Vec<Tensor>], tolerance: Tolerance) -> Vec<Comparison> {
        let mut all = Vec::with_capacity(self.inputs.len());
        for (at, (want, (seq_len, batch))) in self.want.iter().zip(&self.sizes).enumerate() {
            let got = got.get(at).map_or(&[][..], Vec::as_slice);
            let mut comparison = Comparison::default();
            if got.len() != want.len() {
                let counts = format!("expected {} results, got {}", want.len(), got.len());
                comparison.structural = Some(counts);
            }
            for (ReferenceTensor { name, shape, values }, got) in want.iter().zip(got) {
                let name = format!("{name} (T={seq_len}, B={batch})");
                comparison.add_tensor(&name, got, (shape, values), tolerance);
            }
            all.push(comparison);
        }
        all
    }
}

/// A recurrent module with options of loading: with f16, the definition has the rounded weights.
#[doc(hidden)]
#[derive(Debug)]
pub struct Loaded<'a> {
    /// The weights.
    pub params: &'a Params,
    /// The schedule and the weight type.
    pub options: &'a LoadOptions,
}

impl Loaded<'_> {
    async fn results(
        &self,
        device: &Device,
        inputs: &[(Tensor, Option<State>)],
        waiting: Waiting,
    ) -> Result<Vec<Vec<Tensor>>> {
        let rnn = Rnn::with_options(device, self.params, self.options)?;
        let mut all = Vec::with_capacity(inputs.len());
        for (input, state) in inputs {
            let options = ForwardOptions { state: state.as_ref(), ..ForwardOptions::new() };
            let (output, State { h, c }) = rnn.compute(input.view(), &options, waiting).await?;
            all.push([output, h].into_iter().chain(c).collect());
        }
        Ok(all)
    }
}

impl Subject for Loaded<'_> {
    type Input = (Tensor, Option<State>);

    fn title(&self) -> String {
        self.params.config().to_string()
    }

    fn draw(&self, seq_len: usize, batch: usize, seed: u64) -> Result<Self::Input> {
        let config = self.params.config();
        let mut generator = Mt19937::new(seed);
        let mut fill = |tensor: &mut Tensor| {
            tensor.data_mut().fill_with(|| generator.uniform(-1.0, 1.0));
        };
        let [a, b] = if config.batch_first { [batch, seq_len] } else { [seq_len, batch] };
        let mut input = Tensor::zeros([a, b, config.input_size])?;
        fill(&mut input);
        // Every second input comes with a state.
        if seed.is_multiple_of(2) {
            return Ok((input, None));
        }
        let mut state = State::zeros(config, batch)?;
        fill(&mut state.h);
        state.c.iter_mut().for_each(fill);
        Ok((input, Some(state)))
    }

    fn reference(&self, (input, state): &Self::Input) -> Result<Vec<ReferenceTensor>> {
        let rounded = match self.options.weights {
            WeightType::F32 => None,
            weights => Some(self.params.rounded(weights)?),
        };
        let params = rounded.as_ref().unwrap_or(self.params);
        let outputs = reference::module(params, input, None, state.as_ref())?;
        let config = params.config();
        let &[a, b, _] = input.shape() else { unreachable!("a drawn input has three axes") };
        let (batch, layers) =
            (if config.batch_first { a } else { b }, config.num_layers * config.num_directions());
        let tensor = |name: &str, shape: [usize; 3], values| ReferenceTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values,
        };
        let mut all = vec![
            tensor("output", [a, b, config.output_size()], outputs.output),
            tensor("h_n", [layers, batch, config.state_size()], outputs.h_n),
        ];
        if config.kind == Kind::Lstm {
            all.push(tensor("c_n", [layers, batch, config.hidden_size], outputs.c_n));
        }
        Ok(all)
    }

    fn run(&self, device: &Device, inputs: &[Self::Input]) -> Result<Vec<Vec<Tensor>>> {
        pollster::block_on(self.results(device, inputs, device.blocking()?))
    }

    async fn run_async(&self, device: &Device, inputs: &[Self::Input]) -> Result<Vec<Vec<Tensor>>> {
        self.results(device, inputs, Waiting::Await).await
    }
}

impl Subject for Params {
    type Input = (Tensor, Option<State>);

    fn title(&self) -> String {
        self.config().to_string()
    }

    fn draw(&self, seq_len: usize, batch: usize, seed: u64) -> Result<Self::Input> {
        Loaded { params: self, options: &LoadOptions::new() }.draw(seq_len, batch, seed)
    }

    fn reference(&self, input: &Self::Input) -> Result<Vec<ReferenceTensor>> {
        Loaded { params: self, options: &LoadOptions::new() }.reference(input)
    }

    fn run(&self, device: &Device, inputs: &[Self::Input]) -> Result<Vec<Vec<Tensor>>> {
        Loaded { params: self, options: &LoadOptions::new() }.run(device, inputs)
    }

    async fn run_async(&self, device: &Device, inputs: &[Self::Input]) -> Result<Vec<Vec<Tensor>>> {
        Loaded { params: self, options: &LoadOptions::new() }.run_async(device, inputs).await
    }
}
