//! `nn.RNN`, `nn.LSTM` and `nn.GRU` on a device.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::gpu::{Timing, Waiting, lock};
use crate::engine::session::{Session, Weights};
use crate::error::Result;
use crate::kernel::Schedule;
use crate::nn::pack::{
    Given, c_features, h_features, output_shape, unpack_output, unpack_state, write_inputs,
};
use crate::nn::stream::final_to_initial;
use crate::params::Params;
use crate::params::config::{Config, Kind};
use crate::params::state_dict::StateDict;
use crate::params::validate::{self, Sizes};
use crate::plan::recording::{BufferId, CopyPair};
use crate::plan::{self, Plan, Request, WeightLayout};
use crate::tensor::{State, Tensor};

/// What a forward call may be given beside its input.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, ForwardOptions, Params, Rnn, Tensor};
/// let config = Config::gru(3, 4).num_layers(2).dropout(0.5);
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&config, 0)?)?;
/// let input = Tensor::new([2, 1, 3], vec![1.0; 6])?;
/// let sample = |seed| gru.forward_with(&input, &ForwardOptions { training: Some(seed), ..Default::default() });
/// assert_eq!(sample(1)?, sample(1)?);
/// assert_ne!(sample(1)?, sample(2)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ForwardOptions<'a> {
    /// Valid steps of each row, in any order; see [`Rnn::forward_lengths`].
    pub lengths: Option<&'a [usize]>,
    /// The initial state.
    pub state: Option<&'a State>,
    /// Dropout between layers as in PyTorch's training mode, with this seed: each element of each layer's output but the
    /// last one's becomes 0 with the probability [`Config::dropout`], and the others are multiplied by 1 / (1 − p).
    /// The same seed drops the same elements on every device, whatever else is in the batch; other calls want other
    /// seeds. Without a seed nothing is dropped.
    pub training: Option<u64>,
}

/// How a module is put on a device.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, RnnOptions, Schedule};
/// let params = Params::init(&Config::gru(3, 4), 0)?;
/// let options = RnnOptions::default().schedule(Schedule::Sequence);
/// let gru = Rnn::with_options(&Device::cpu(), &params, &options)?;
/// assert_eq!(gru.plan(100, 1)?.schedule.reason, "asked for");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RnnOptions {
    /// How the recurrence is laid on the machine.
    pub schedule: Schedule,
    /// How weights are stored on the device; biases stay f32.
    pub weights: WeightType,
}

impl RnnOptions {
    /// Lays the recurrence on the machine in this way.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Stores weights in this type.
    #[must_use]
    pub fn weights(mut self, weights: WeightType) -> Self {
        self.weights = weights;
        self
    }
}

/// A recurrent module with its weights on a device.
///
/// Which of `nn.RNN`, `nn.LSTM` and `nn.GRU` it is says its [`Config`]. Forward calls may come from several threads.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};
/// let lstm = Rnn::new(&Device::cpu(), &Params::init(&Config::lstm(3, 4), 0)?)?;
/// let (output, state) = lstm.forward(&Tensor::zeros([7, 2, 3])?, None)?; // [T, B, I]
/// assert_eq!(output.shape(), [7, 2, 4]);
/// let (output, _) = lstm.forward(&Tensor::zeros([5, 2, 3])?, Some(&state))?; // carries on
/// assert_eq!(output.shape(), [5, 2, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Rnn {
    config: Config,
    device: Device,
    options: RnnOptions,
    layout: WeightLayout,
    weights: Weights,
    /// The plans used last, most recent first. A call takes its plan out and puts it back, so that calls of other sizes
    /// or other threads do not wait for it.
    plans: Mutex<Vec<Prepared>>,
}

/// A plan and its buffers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) session: Session,
    /// What a forward pass reads back: the output's segments, and h and c of all layers.
    results: Vec<BufferId>,
    /// What is copied behind a run of a stream.
    pub(crate) carried: Vec<CopyPair>,
    /// Where inputs are packed before they are written.
    pub(crate) packed: Vec<f32>,
}

/// How many plans with their buffers stay ready.
const PLANS_KEPT: usize = 2;

impl Rnn {
    /// Puts `params` on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) when a single unit's weights exceed what the device binds or all of them the memory budget,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for what this version lacks, and the errors of the device.
    pub fn new(device: &Device, params: &Params) -> Result<Self> {
        Self::with_options(device, params, &RnnOptions::default())
    }

    /// Puts `params` on `device`, with options.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Unsupported`](crate::Error::Unsupported) saying why for a schedule that cannot run this module
    /// on this device.
    pub fn with_options(device: &Device, params: &Params, options: &RnnOptions) -> Result<Self> {
        let config = params.config().clone();
        config.validate()?;
        options.weights.check(params.named())?;
        let layout =
            WeightLayout::stored(&config, device.storage(options.weights)?, device.limits())?;
        plan::check_budget(layout.size(), device.limits())?;
        plan::check(options.schedule, &config, &layout, &device.profile())?;
        let weights = Weights::load(device, layout.buffers(), |index| layout.pack(index, params))?;
        let options = options.clone();
        Ok(Self {
            config,
            device: device.clone(),
            options,
            layout,
            weights,
            plans: Mutex::default(),
        })
    }

    /// Loads the module under `prefix` of a state dict; see [`Params::from_state_dict`].
    ///
    /// # Errors
    /// As [`Params::from_state_dict`] and [`Rnn::new`].
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::new(device, &Params::from_state_dict(state_dict, prefix)?)
    }

    /// The module's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the module was put there.
    pub fn options(&self) -> &RnnOptions {
        &self.options
    }

    /// Where the module runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Runs the module.
    ///
    /// `input` is `[T, B, I]`, `[B, T, I]` with `batch_first`, or `[T, I]` for a single sequence. `state` is the
    /// initial state, zeros if there is none. Returns `output` (`[T, B, D·R]`, laid out as the input is, R being
    /// `proj_size` or else `hidden_size`) and the state after the last step; the reverse direction's is its state at t = 0.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) in PyTorch's words when shapes do not fit, [`Error::Limit`](crate::Error::Limit) when one time step of one row
    /// exceeds what the device allows, and the errors of the device.
    pub fn forward(&self, input: &Tensor, state: Option<&State>) -> Result<(Tensor, State)> {
        self.forward_with(input, &ForwardOptions { state, ..ForwardOptions::default() })
    }

    /// Runs the module over rows of different lengths, with the meaning of PyTorch's `PackedSequence`.
    ///
    /// `lengths` holds the valid steps of each row, in any order; what `input` (3-D) holds beyond them does not matter.
    /// The reverse direction starts at each row's own end, `output` is 0 beyond it, and the state returned is that after
    /// the row's last valid step. Beyond PyTorch, a row of length 0 keeps its initial state.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Argument`](crate::Error::Argument) when there are not as many lengths as rows or one exceeds T.
    pub fn forward_lengths(
        &self,
        input: &Tensor,
        lengths: &[usize],
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with(
            input,
            &ForwardOptions { lengths: Some(lengths), state, ..ForwardOptions::default() },
        )
    }

    /// Runs the module with any of the options, each of which may be left out.
    ///
    /// # Errors
    /// As [`forward`](Self::forward) and [`forward_lengths`](Self::forward_lengths).
    pub fn forward_with(
        &self,
        input: &Tensor,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        pollster::block_on(self.forward_as(input, options, Waiting::Block))
    }

    /// As [`forward`](Self::forward), for asynchronous programs: what is uploaded and encoded takes place when the future is
    /// polled first, and it is woken when the results are there. [`Polling`](crate::engine::gpu::Polling) says by whom.
    ///
    /// Futures of several calls may wait at the same time, and may be dropped; the next call finds the module as it was. On
    /// the CPU the work is done in the first poll.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub async fn forward_async(
        &self,
        input: &Tensor,
        state: Option<&State>,
    ) -> Result<(Tensor, State)> {
        self.forward_with_async(input, &ForwardOptions { state, ..ForwardOptions::default() }).await
    }

    /// As [`forward_with`](Self::forward_with), for asynchronous programs; see [`forward_async`](Self::forward_async).
    ///
    /// # Errors
    /// As [`forward_with`](Self::forward_with).
    pub async fn forward_with_async(
        &self,
        input: &Tensor,
        options: &ForwardOptions<'_>,
    ) -> Result<(Tensor, State)> {
        self.forward_as(input, options, Waiting::Await).await
    }

    pub(crate) async fn forward_as(
        &self,
        input: &Tensor,
        options: &ForwardOptions<'_>,
        waiting: Waiting,
    ) -> Result<(Tensor, State)> {
        let &ForwardOptions { lengths, state, training: seed } = options;
        let shapes = state.map(|s| (s.h.shape(), s.c.as_ref().map(Tensor::shape)));
        let checked = validate::forward(&self.config, input.shape(), shapes)?;
        if let Some(lengths) = lengths {
            validate::lengths(lengths, checked)?;
        }
        let sizes = checked.sizes;
        let given = Given { input, lengths, state, seed, sizes };
        let mut results = self.initial(given);
        let live = Sizes { seq_len: given.live_steps(), ..sizes };
        if sizes.batch > 0 && live.seq_len > 0 {
            let rows =
                plan::rows_per_pass(&self.request(live, seed.is_some()), self.device.limits())?;
            for start in (0..sizes.batch).step_by(rows) {
                let rows = start..(start + rows).min(sizes.batch);
                self.forward_rows(given, rows, &mut results, waiting).await?;
            }
        }
        let Results { output, h_n, c_n } = results;
        let config = &self.config;
        let layers = config.num_layers * config.num_directions();
        let state_shape = if checked.unbatched { vec![layers] } else { vec![layers, sizes.batch] };
        let with = |features| [state_shape.as_slice(), &[features]].concat();
        let h = Tensor::trusted(with(config.state_size()), h_n);
        let c = (config.kind == Kind::Lstm).then(|| Tensor::trusted(with(config.hidden_size), c_n));
        Ok((Tensor::trusted(output_shape(config, checked), output), State { h, c }))
    }

    /// The plan of a forward pass: what it runs and how much memory it takes, before it runs.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) as [`forward`](Self::forward); as [`plan::plan`] for sizes that have nothing to run.
    pub fn plan(&self, seq_len: usize, batch: usize) -> Result<Plan> {
        let sizes = Sizes { seq_len, batch };
        let rows = plan::rows_per_pass(&self.request(sizes, false), self.device.limits())?;
        self.plan_rows(Sizes { batch: rows, ..sizes }, false)
    }

    pub(crate) fn plan_rows(&self, sizes: Sizes, training: bool) -> Result<Plan> {
        let request = self.request(sizes, training);
        plan::plan(&request, &self.device.profile(), self.options.schedule)
    }

    /// What is to be planned for these sizes.
    pub(crate) fn request(&self, sizes: Sizes, training: bool) -> Request<'_> {
        Request { config: &self.config, weights: &self.layout, sizes, training }
    }

    /// An output of zeros, and the state before the first step.
    fn initial(&self, Given { state, sizes, .. }: Given<'_>) -> Results {
        let config = &self.config;
        let states = config.num_layers * config.num_directions() * sizes.batch;
        let cells = if config.kind == Kind::Lstm { states * config.hidden_size } else { 0 };
        let c_0 = state.and_then(|s| s.c.as_ref());
        Results {
            output: vec![0.0; sizes.seq_len * sizes.batch * config.output_size()],
            h_n: state
                .map_or_else(|| vec![0.0; states * config.state_size()], |s| s.h.data().to_vec()),
            c_n: c_0.map_or_else(|| vec![0.0; cells], |c| c.data().to_vec()),
        }
    }

    /// Runs some rows of the batch and puts their results in place.
    async fn forward_rows(
        &self,
        given: Given<'_>,
        rows: Range<usize>,
        results: &mut Results,
        waiting: Waiting,
    ) -> Result<()> {
        let (config, batch) = (&self.config, given.sizes.batch);
        let mut prepared = self.prepare(
            Sizes { seq_len: given.live_steps(), batch: rows.len() },
            given.seed.is_some(),
        )?;
        let Prepared { plan, session, results: wanted, packed, .. } = &mut prepared;
        write_inputs(plan, config, given, &rows, packed, |id, values| session.write(id, values))?;
        let (segments, layers) = (plan.segments.len(), config.num_layers);
        let take = |index: usize, packed: &[f32]| match index.checked_sub(segments) {
            None => {
                let segment = plan.segments[index].clone();
                unpack_output(
                    packed,
                    &mut results.output,
                    config,
                    plan,
                    given.sizes,
                    segment,
                    rows.clone(),
                );
            }
            Some(at) if at < layers => {
                unpack_state(
                    packed,
                    &mut results.h_n,
                    config,
                    batch,
                    at,
                    rows.clone(),
                    h_features(config),
                );
            }
            Some(at) => {
                unpack_state(
                    packed,
                    &mut results.c_n,
                    config,
                    batch,
                    at - layers,
                    rows.clone(),
                    c_features(config),
                );
            }
        };
        session.run_with(wanted, &[], waiting, take).await?;
        // Only a pass that went well is kept; after an error the next call starts afresh.
        self.keep(prepared);
        Ok(())
    }

    /// What the device took for the last rows that ran.
    pub(crate) fn timing(&self) -> Timing {
        lock(&self.plans).first().map(|prepared| prepared.session.timing()).unwrap_or_default()
    }

    /// Keeps a plan for a later call of its sizes.
    pub(crate) fn keep(&self, prepared: Prepared) {
        let mut plans = lock(&self.plans);
        plans.insert(0, prepared);
        plans.truncate(PLANS_KEPT);
    }

    /// A plan of these sizes that no other call is using, from those kept or new. Its buffers may hold anything.
    pub(crate) fn prepare(&self, sizes: Sizes, training: bool) -> Result<Prepared> {
        let training = training && self.config.drops_between_layers();
        {
            let mut plans = lock(&self.plans);
            if let Some(found) = plans.iter().position(|Prepared { plan, .. }| {
                plan.sizes == sizes && plan.dropout.is_some() == training
            }) {
                return Ok(plans.remove(found));
            }
        }
        let plan = self.plan_rows(sizes, training)?;
        let session = Session::new(Arc::new(plan.recording.clone()), &self.weights)?;
        let h = (0..self.config.num_layers).map(|layer| plan.final_h(layer));
        let c = plan.states.iter().filter_map(|ids| ids.c);
        let results = plan.output.iter().copied().chain(h).chain(c).collect();
        let carried = final_to_initial(&plan);
        Ok(Prepared { plan, session, results, carried, packed: Vec::new() })
    }
}

/// The results of all rows, in PyTorch's layouts.
struct Results {
    output: Vec<f32>,
    h_n: Vec<f32>,
    c_n: Vec<f32>,
}
