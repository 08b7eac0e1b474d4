//! The layout of a language model's weights in buffers.

use std::ops::Range;

use crate::error::Result;
use crate::params::config::Config;
use crate::params::language_model::{LanguageModelConfig, LanguageModelParams};
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Role};
use crate::plan::{Storage, WeightLayout, cut_shards};
use crate::tensor::padded;

/// The weight buffers of a language model, without their values.
#[derive(Debug, Clone)]
pub struct LanguageModelLayout {
    pub(super) config: LanguageModelConfig,
    pub(super) rnn_config: Config,
    pub(super) rnn: WeightLayout,
    pub(super) buffers: Vec<BufferSpec>,
    /// Tokens and weight of each shard: `[N, ninp]`.
    pub(super) encoder: Vec<(Range<usize>, BufferId)>,
    /// Tokens, weight and bias of each shard: `[N, nhid]`, `[N]`.
    pub(super) decoder: Vec<(Range<usize>, BufferId, BufferId)>,
}

impl LanguageModelLayout {
    /// Lays out the weights of `config` as f32, in buffers that `limits` allow. Tied weights share
    /// one buffer.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) if a single row exceeds one binding, and the errors of
    /// [`WeightLayout::new`].
    pub fn new(config: &LanguageModelConfig, limits: &Limits) -> Result<Self> {
        Self::stored(config, Storage::default(), limits)
    }

    /// Lays out the weights of `config` with this storage, in buffers that `limits` allow.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new).
    pub fn stored(config: &LanguageModelConfig, storage: Storage, limits: &Limits) -> Result<Self> {
        let rnn_config = config.rnn();
        let rnn = WeightLayout::stored(&rnn_config, storage, limits)?;
        let mut buffers = rnn.buffers().to_vec();
        let mut add = |label: &str, tokens: &Range<usize>, features: Option<usize>| {
            let mut axes = vec![(Axis::Column, tokens.len())];
            axes.extend(features.map(|features| (Axis::Feature, storage.words(padded(features)))));
            let label = format!("{label}, tokens {}..{}", tokens.start, tokens.end);
            buffers.push(BufferSpec { label, axes, role: Role::Weight });
            BufferId(buffers.len() - 1)
        };
        let cut = |features| {
            cut_shards(
                config.ntoken,
                storage.words(padded(features)),
                "the weights of one token",
                limits,
            )
        };
        let shards = cut(config.ninp)?.into_iter();
        let encoder: Vec<_> = shards
            .map(|shard| (shard.clone(), add("encoder", &shard, Some(config.ninp))))
            .collect();
        let tied = config.tie_weights.then(|| encoder.iter().map(|(_, weight)| *weight));
        let tied: Vec<BufferId> = tied.into_iter().flatten().collect();
        let decoder = cut(config.nhid)?.into_iter().enumerate().map(|(at, shard)| {
            let weight =
                tied.get(at).copied().unwrap_or_else(|| add("decoder", &shard, Some(config.nhid)));
            let bias = add("decoder bias", &shard, None);
            (shard, weight, bias)
        });
        let decoder = decoder.collect();
        Ok(Self { config: config.clone(), rnn_config, rnn, buffers, encoder, decoder })
    }

    /// Returns the weight buffers. Every recording starts with them.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Returns the storage of the weights. Biases are always f32.
    pub fn storage(&self) -> Storage {
        self.rnn.storage()
    }

    /// Returns the bytes of all weight buffers.
    pub fn size(&self) -> u64 {
        self.buffers.iter().map(BufferSpec::size).sum()
    }

    /// Returns the values of weight buffer `index`.
    pub fn pack(&self, index: usize, params: &LanguageModelParams) -> Vec<f32> {
        if index < self.rnn.buffers().len() {
            return self.rnn.pack(index, params.rnn());
        }
        let id = BufferId(index);
        if let Some((tokens, _)) = self.encoder.iter().find(|(_, weight)| *weight == id) {
            return self.storage().store(params.encoder_weight().padded_rows(tokens.clone()));
        }
        let of_decoder = self.decoder.iter().find(|(_, weight, bias)| *weight == id || *bias == id);
        match of_decoder {
            Some((tokens, weight, _)) if *weight == id => {
                self.storage().store(params.decoder_weight().padded_rows(tokens.clone()))
            }
            Some((tokens, ..)) => params.decoder_bias()[tokens.clone()].to_vec(),
            None => unreachable!("a buffer is of the layers, the encoder or the decoder"),
        }
    }
}
