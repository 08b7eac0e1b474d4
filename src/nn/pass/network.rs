//! Passes of networks, recorded into the caller's command encoders.

use std::sync::Arc;

use super::bindings::Checker;
use super::{Pass, PassBindings};
use crate::engine::gpu;
use crate::engine::session::Weights;
use crate::error::{Error, Result};
use crate::nn::network::Network;
use crate::params::network::StepShape;
use crate::plan::{NetworkPlan, NetworkTensors, Strided, network_transfers};

/// A forward pass of a [`Network`] of given sizes, ready for recording into command encoders of the
/// caller; see [`Recorder`](super::Recorder).
///
/// The caller binds the input, the output and, for passes that continue from each other, one state
/// of all modules ([`PassBindings::state`]).
#[derive(Debug)]
pub struct NetworkRecorder {
    plan: NetworkPlan,
    gpu: Arc<gpu::Gpu>,
    engine: Arc<gpu::Engine>,
    batch_first: bool,
    state_size: usize,
}

impl Network {
    /// Prepares a forward pass of `seq_len` steps and `batch` rows for recording into command
    /// encoders, which must come from the network's device.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the CPU, for networks of tokens, for decoders with attention, for
    /// several steps of a network that runs step by step, and for an output of `[C, L]`;
    /// [`Error::Limit`] when the sizes exceed a limit of the device; [`Error::Shape`] when there is
    /// nothing to run; the errors of the device.
    pub fn recorder(&self, seq_len: usize, batch: usize) -> Result<NetworkRecorder> {
        let refuse = |what: &str| Err(Error::Unsupported(format!("recording of {what}")));
        let Weights::Gpu(gpu, weights) = self.weights() else {
            return refuse(
                "a network on the cpu, which has no command encoders; use forward(), or a device \
                 of wgpu",
            );
        };
        if self.input() == StepShape::Token || self.graph().memory().is_some() {
            return refuse("a network of tokens or with attention; use streams");
        }
        if !matches!(self.output(), StepShape::Features(_)) {
            return refuse("a network whose output is [C, L]; end it with flatten()");
        }
        if seq_len > 1 && self.graph().is_stepwise() {
            return refuse("several steps of a network that runs step by step; record single ones");
        }
        let plan = self.plan(seq_len, batch)?;
        let engine = gpu::Engine::new(Arc::clone(gpu), Arc::new(plan.recording.clone()), weights)?;
        // All steps of all rows count, in every pass.
        for &(lengths, steps) in &plan.lengths {
            engine.write(lengths, &vec![f32::from_bits(steps as u32); batch])?;
        }
        Ok(NetworkRecorder {
            plan,
            gpu: Arc::clone(gpu),
            engine: Arc::new(engine),
            batch_first: self.options().batch_first.unwrap_or(false),
            state_size: self.state_size(),
        })
    }
}

impl NetworkRecorder {
    /// Returns the shape of `input`: `[T, B, I]`, or `[B, T, I]` with `batch_first`. I are the
    /// values of a step, row-major.
    pub fn input_shape(&self) -> [usize; 3] {
        self.shape(self.plan.input.steps, self.plan.input.shape.count())
    }

    /// Returns the shape of `output`, in the layout of the input.
    pub fn output_shape(&self) -> [usize; 3] {
        self.shape(self.plan.output.steps, self.plan.output.shape.count())
    }

    /// Returns the shape of the state of all modules: `[1, B, W]`.
    pub fn state_shape(&self) -> [usize; 3] {
        [1, self.plan.of.sizes.batch, self.state_size]
    }

    fn shape(&self, steps: usize, features: usize) -> [usize; 3] {
        let batch = self.plan.of.sizes.batch;
        if self.batch_first { [batch, steps, features] } else { [steps, batch, features] }
    }

    /// Binds buffers of the caller, after every check that is possible before submission: `input`,
    /// `output` and, if passes continue from each other, `state`.
    ///
    /// # Errors
    /// The errors of [`Recorder::bind`](super::Recorder::bind); [`Error::Option`] for other tensors
    /// and without an output.
    pub fn bind(&self, bindings: &PassBindings<'_>) -> Result<Pass> {
        self.gpu.ask()?;
        bindings.check_network()?;
        let mut checker = Checker::new(&self.gpu, self.plan.recording.buffers.len());
        let turned = |tensor: Strided| match self.batch_first {
            true => {
                Strided { step_stride: tensor.row_stride, row_stride: tensor.step_stride, ..tensor }
            }
            false => tensor,
        };
        let Some(output) = bindings.output else {
            return Err(Error::Option("nothing is written: give output".to_owned()));
        };
        let input = checker.read("input", self.input_shape(), bindings.input).map(turned)?;
        let output = checker.write("output", self.output_shape(), output).map(turned)?;
        let state = bindings.state.filter(|_| self.state_size > 0).map(|state| {
            let shape = self.state_shape();
            Ok::<_, Error>([
                checker.read("state", shape, state)?,
                checker.write("state", shape, state)?,
            ])
        });
        let tensors = NetworkTensors { input, output, state: state.transpose()? };
        let limits = self.gpu.limits();
        let transfers = network_transfers(&self.plan, &tensors, limits)?;
        Ok(Pass {
            label: "Network",
            engine: Arc::clone(&self.engine),
            gathers: self.engine.bind(&transfers.gathers, &checker.buffers)?,
            scatters: self.engine.bind(&transfers.scatters, &checker.buffers)?,
            allowed: limits.max_work_per_submission,
        })
    }
}
