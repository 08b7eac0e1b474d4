//! A forward pass of a module: planned for its sizes, run over the rows of a batch, and unpacked
//! into PyTorch's tensors.

use std::ops::Range;

use crate::engine::ran::Ran;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::kernel::Schedule;
use crate::nn::options::ForwardOptions;
use crate::nn::pack::{Inputs, Packer, output_shape};
use crate::nn::rnn::Rnn;
use crate::nn::runner::Prepared;
use crate::params::config::Kind;
use crate::params::validate::{self, Sizes};
use crate::plan::recording::{BufferId, CopyPair, Recording};
use crate::plan::{self, Plan, Request};
use crate::tensor::{State, Tensor, TensorView, copied, element_count, zeroed};

/// The key of a forward pass's plan: its sizes, and whether dropout draws.
pub(crate) type ForwardKey = (Sizes, bool);

/// A forward pass that is ready to run.
pub(crate) type PreparedForward = Prepared<ForwardKey, ForwardPlan>;

/// The plan of a forward pass with the buffers that a caller reads after a run.
#[derive(Debug)]
pub(crate) struct ForwardPlan {
    /// The recording of all layers.
    pub layers: Plan,
    /// The output, segment by segment.
    pub outputs: Vec<(BufferId, usize)>,
    /// The output and the last state.
    results: Vec<(BufferId, Piece)>,
    /// The copies after a run of a stream; see [`Plan::carried`].
    pub carried: Vec<CopyPair>,
}

/// The part of a pass's results that a buffer holds.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// A segment of the output.
    Output(usize),
    /// The last h of a layer.
    H(usize),
    /// The last c of a layer.
    C(usize),
}

impl ForwardPlan {
    fn new(layers: Plan) -> Self {
        let outputs: Vec<_> = layers.output.iter().copied().zip(0..).collect();
        let states = || layers.states.iter().enumerate();
        let output = outputs.iter().map(|&(id, segment)| (id, Piece::Output(segment)));
        let h = states().map(|(layer, _)| (layers.final_h(layer), Piece::H(layer)));
        let c = states().filter_map(|(layer, ids)| Some((ids.c?, Piece::C(layer))));
        let results = output.chain(h).chain(c).collect();
        Self { outputs, results, carried: layers.carried(), layers }
    }
}

impl AsRef<Recording> for ForwardPlan {
    fn as_ref(&self) -> &Recording {
        &self.layers.recording
    }
}

/// The results of all rows, in PyTorch's layouts.
struct Results {
    output: Vec<f32>,
    h_n: Vec<f32>,
    c_n: Vec<f32>,
}

impl Results {
    /// Unpacks one piece of some rows.
    fn unpack(&mut self, packer: &Packer<'_>, piece: Piece, packed: &[f32]) {
        match piece {
            Piece::Output(segment) => packer.unpack_output(segment, packed, &mut self.output),
            Piece::H(layer) => packer.h(layer).unpack(packed, &mut self.h_n),
            Piece::C(layer) => packer.c(layer).unpack(packed, &mut self.c_n),
        }
    }
}

impl Rnn {
    /// The core of [`forward_with`](Self::forward_with).
    pub(crate) async fn compute(
        &self,
        input: TensorView<'_>,
        options: &ForwardOptions<'_>,
        waiting: Waiting,
    ) -> Result<(Tensor, State)> {
        let config = self.config();
        let &ForwardOptions { lengths, state, training: seed } = options;
        let shapes = state.map(|s| (s.h.shape(), s.c.as_ref().map(Tensor::shape)));
        let checked = validate::forward(config, input.shape(), shapes)?;
        if let Some(lengths) = lengths {
            validate::lengths(lengths, checked)?;
        }
        let sizes = checked.sizes;
        let inputs = Inputs { input, lengths, state, seed, sizes };
        let mut results = self.initial(&inputs)?;
        // An abandoned run ends the schedule that it ran by. All rows then run by another, so that
        // one schedule gives all results of a call.
        while self.run_batch(&inputs, &mut results, waiting).await? == Ran::Abandoned {
            results = self.initial(&inputs)?;
        }
        let Results { output, h_n, c_n } = results;
        let layers = config.num_layers * config.num_directions();
        let state_shape = if checked.unbatched { vec![layers] } else { vec![layers, sizes.batch] };
        let with = |features| [state_shape.as_slice(), &[features]].concat();
        let h = Tensor::trusted(with(config.state_size()), h_n);
        let c = (config.kind == Kind::Lstm).then(|| Tensor::trusted(with(config.hidden_size), c_n));
        Ok((Tensor::trusted(output_shape(config, checked), output), State { h, c }))
    }

    /// Returns an output of zeros, and the state before the first step.
    fn initial(&self, &Inputs { state, sizes, .. }: &Inputs<'_>) -> Result<Results> {
        let config = self.config();
        let zeros =
            |shape: &[usize], what| zeroed(element_count(shape).unwrap_or(usize::MAX), what);
        let of = |given: Option<&Tensor>, features, what| match given {
            Some(tensor) => copied(tensor.data(), what),
            None => {
                zeros(&[config.num_layers, config.num_directions(), sizes.batch, features], what)
            }
        };
        let cells = if config.kind == Kind::Lstm { config.hidden_size } else { 0 };
        Ok(Results {
            output: zeros(&[sizes.seq_len, sizes.batch, config.output_size()], "the output")?,
            h_n: of(state.map(|state| &state.h), config.state_size(), "the state h")?,
            c_n: of(state.and_then(|state| state.c.as_ref()), cells, "the state c")?,
        })
    }

    /// Runs all rows of the batch and unpacks their results. Ends with the first run that is
    /// abandoned.
    async fn run_batch(
        &self,
        inputs: &Inputs<'_>,
        results: &mut Results,
        waiting: Waiting,
    ) -> Result<Ran> {
        let live = inputs.live_sizes();
        if live.batch == 0 || live.seq_len == 0 {
            return Ok(Ran::Done);
        }
        let pass = self.pass_sizes(live, inputs.seed.is_some())?;
        for start in (0..live.batch).step_by(pass.batch) {
            let rows = start..(start + pass.batch).min(live.batch);
            if self.run_rows(inputs, rows, results, waiting).await? == Ran::Abandoned {
                return Ok(Ran::Abandoned);
            }
        }
        Ok(Ran::Done)
    }

    /// Runs some rows of the batch and unpacks their results, unless the run is abandoned.
    async fn run_rows(
        &self,
        inputs: &Inputs<'_>,
        rows: Range<usize>,
        results: &mut Results,
        waiting: Waiting,
    ) -> Result<Ran> {
        let sizes = Sizes { batch: rows.len(), ..inputs.live_sizes() };
        let mut prepared = self.prepare(sizes, inputs.seed.is_some())?;
        let Prepared { plan, session, packed, .. } = &mut prepared;
        let packer = Packer::of(self.config(), &plan.layers, inputs, rows);
        packer.write_inputs(inputs, packed, |id, values| session.set(id, values))?;
        let take = |piece, packed: &[f32]| results.unpack(&packer, piece, packed);
        let ran = session.execute(&plan.results, &[], waiting, take).await?;
        self.runner().put(prepared);
        Ok(ran)
    }

    /// Returns a plan of these sizes that no other call uses, with its buffers. Their contents are
    /// undefined.
    pub(crate) fn prepare(&self, sizes: Sizes, training: bool) -> Result<PreparedForward> {
        let training = training && self.config().drops_between_layers();
        let plan = || self.plan_pass(sizes, training).map(ForwardPlan::new);
        self.runner().take((sizes, training), plan)
    }

    /// Returns the request to plan these sizes.
    pub(crate) fn request(&self, sizes: Sizes, training: bool) -> Request<'_> {
        Request { config: self.config(), weights: self.layout(), sizes, training }
    }

    /// Returns the sizes of the passes that `sizes` run in: the whole batch, or the most rows
    /// that the limits allow. The last pass may have fewer rows.
    pub(crate) fn pass_sizes(&self, sizes: Sizes, training: bool) -> Result<Sizes> {
        let request = self.request(sizes, training);
        Ok(Sizes { batch: plan::rows_per_pass(&request, self.device().limits())?, ..sizes })
    }

    /// Returns the schedule that the module was loaded with. A device that abandoned a run chooses
    /// another for `persistent`.
    pub(crate) fn schedule(&self) -> Schedule {
        match self.options().schedule {
            Schedule::Persistent if self.device().abandoned_runs() > 0 => Schedule::Auto,
            schedule => schedule,
        }
    }

    /// Plans one pass.
    pub(crate) fn plan_pass(&self, sizes: Sizes, training: bool) -> Result<Plan> {
        let request = self.request(sizes, training);
        plan::plan(&request, &self.device().profile(), self.schedule())
    }
}
