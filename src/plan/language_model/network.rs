//! The dispatches around the layers of a language model.

use std::ops::Range;

use super::LanguageModelLayout;
use crate::error::Result;
use crate::kernel::families::activation;
use crate::kernel::{Overrides, Schedule};
use crate::params::config::Config;
use crate::params::language_model::LanguageModelConfig;
use crate::params::validate::Sizes;
use crate::plan::layers::{Layers, Outputs, Scratch};
use crate::plan::recording::{Axis, BufferId, Command, Dispatch, Role};
use crate::plan::rows::row_overrides;
use crate::plan::step::{self, StepShape};
use crate::plan::{Decision, LayerState, Plan, Product, Profile, Request, embed, linear};
use crate::tensor::padded;

/// The buffers of a network.
pub(super) struct Network {
    pub(super) x: BufferId,
    pub(super) y: BufferId,
    pub(super) lengths: BufferId,
    pub(super) dropout: Option<BufferId>,
    pub(super) states: Vec<LayerState>,
    pub(super) outputs: Outputs,
    pub(super) scratch: Scratch,
    pub(super) steps: usize,
}

impl Network {
    pub(super) fn input_of(&self, layer: usize) -> BufferId {
        if layer == 0 { self.x } else { self.outputs.of(layer - 1)[0] }
    }
}

/// A language model being planned.
pub(super) struct Model<'a> {
    pub(super) layout: &'a LanguageModelLayout,
    pub(super) shape: StepShape,
    pub(super) layers: Layers<'a>,
}

impl<'a> Model<'a> {
    pub(super) fn new(
        layout: &'a LanguageModelLayout,
        config: &'a Config,
        sizes: Sizes,
        profile: &Profile<'a>,
    ) -> Result<Self> {
        let request = Request { config, weights: &layout.rnn, sizes, training: true };
        let shape = step::shape(&request, profile);
        let layers = Layers::over(&request, profile, layout.buffers.clone());
        Ok(Self { layout, shape, layers })
    }

    pub(super) fn push(&mut self, dispatch: Dispatch) {
        self.layers.recording.commands.push(Command::Dispatch(dispatch));
    }

    pub(super) fn network(&mut self, steps: usize, training: bool) -> Network {
        let batch = self.layers.request.sizes.batch;
        let (layers, config) = (&mut self.layers, &self.layout.config);
        let whole = std::slice::from_ref(&(0..steps)).to_vec();
        let x = layers.sequence(
            "embedding",
            &whole,
            &[(Axis::Feature, padded(config.ninp))],
            Role::Scratch,
        )[0];
        let lengths = layers.buffer("lengths", vec![(Axis::Row, batch)], Role::Input);
        let dropout = training.then(|| layers.dropout_settings());
        let states = layers.states();
        let outputs = layers.outputs(&whole, Role::Scratch);
        let scratch = layers.scratch(steps, lengths, dropout, None);
        Network {
            x,
            y: outputs.of(config.nlayers - 1)[0],
            lengths,
            dropout,
            states,
            outputs,
            scratch,
            steps,
        }
    }

    pub(super) fn logits(&mut self, steps: usize, role: Role) -> BufferId {
        let axes = vec![
            (Axis::Step, steps),
            (Axis::Row, self.layers.request.sizes.batch),
            (Axis::Column, self.layout.config.ntoken),
        ];
        self.layers.buffer("logits", axes, role)
    }

    pub(super) fn embed(&self, tokens: BufferId, network: &Network) -> Result<Vec<Dispatch>> {
        let rows = network.steps * self.layers.request.sizes.batch;
        let shards = self.layout.encoder.iter();
        let (width, weights) = (self.layout.config.ninp, self.layout.storage().read_as());
        shards
            .map(|(shard, weight)| {
                embed(
                    rows,
                    width,
                    shard.clone(),
                    [tokens, *weight, network.x],
                    weights,
                    self.layers.profile.limits,
                )
            })
            .collect()
    }

    pub(super) fn decode(&self, y: BufferId, logits: BufferId) -> Result<Vec<Dispatch>> {
        let LanguageModelConfig { ntoken, nhid, .. } = self.layout.config;
        let rows = self.layers.recording.spec(logits).len() / ntoken;
        let weights = self.layout.storage().read_as();
        let shard = |(columns, weight, bias): &(Range<usize>, BufferId, BufferId)| {
            let buffers = [y, *weight, *bias, logits];
            linear(
                Product::of_layer([rows, nhid, ntoken], columns.clone(), activation::NONE),
                buffers,
                weights,
                self.layers.profile.limits,
            )
        };
        self.layout.decoder.iter().map(shard).collect()
    }

    /// Returns the overrides of the kernels in which a workgroup owns a row of logits.
    pub(super) fn row_overrides(&self) -> Overrides {
        row_overrides(self.layout.config.ntoken, self.layers.profile.limits)
    }

    pub(super) fn finish(self, network: Network, sizes: Sizes) -> Plan {
        Plan {
            sizes,
            schedule: Decision {
                reason: "language models run by it".to_owned(),
                ..Decision::asked(Schedule::Step)
            },
            turns: sizes.seq_len,
            recording: self.layers.recording,
            segments: std::slice::from_ref(&(0..network.steps)).to_vec(),
            input: vec![network.x],
            lengths: network.lengths,
            dropout: network.dropout,
            states: network.states,
            output: vec![network.y],
        }
    }
}
