//! `nn.Embedding` on a device, which turns tokens into the input of recurrent layers.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::nn::options::LoadOptions;
use crate::nn::runner::{RowPlan, Runner};
use crate::params::load_embedding;
use crate::params::max_norm::MaxNorm;
use crate::params::state_dict::StateDict;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};
use crate::plan::{self, Storage};
use crate::tensor::{Tensor, element_count, padded, reserved};

/// A table of vectors, looked up by index. A clone is another handle of the same table.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Device, Embedding, Tensor};
/// // [num_embeddings, embedding_dim]
/// let weight = Tensor::new([3, 2], vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5])?;
/// let embedding = Embedding::new(&Device::cpu(), &weight, None)?;
/// let y = embedding.forward(&[2, 0, 0, 1], &[2, 2])?;
/// assert_eq!(y.shape(), [2, 2, 2]);
/// assert_eq!(y.data(), [2.0, 2.5, 0.0, 0.5, 0.0, 0.5, 1.0, 1.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Embedding {
    device: Device,
    num_embeddings: usize,
    embedding_dim: usize,
    padding_idx: Option<usize>,
    storage: Storage,
    /// The indices and the weight of each dispatch.
    shards: Vec<(Range<usize>, BufferId)>,
    buffers: Vec<BufferSpec>,
    /// Plans by the number of rows.
    runner: Arc<Runner<usize, RowPlan>>,
}

impl Embedding {
    /// Uploads a table with `weight` (`[num_embeddings, embedding_dim]`) to `device`.
    ///
    /// [`LoadOptions::padding_idx`] explains `padding_idx`.
    ///
    /// # Errors
    /// The errors of [`from_pretrained`](Self::from_pretrained).
    pub fn new(device: &Device, weight: &Tensor, padding_idx: Option<i64>) -> Result<Self> {
        let options = LoadOptions { padding_idx, ..LoadOptions::new() };
        Self::from_pretrained(device, weight, &options)
    }

    /// Loads the table `weight` under `prefix` of a state dict.
    ///
    /// # Errors
    /// [`Error::StateDict`] with every problem, also for any other tensor under the prefix; and the
    /// errors of [`from_pretrained`](Self::from_pretrained).
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the table under `prefix` of a state dict, with options.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load).
    pub fn load_with(
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Self> {
        let weight = load_embedding(state_dict, prefix, options.allow_unused)?;
        Self::from_pretrained(device, &weight, options)
    }

    /// Uploads a table with `weight` (`[num_embeddings, embedding_dim]`) to `device`, with the
    /// options `padding_idx`, `max_norm`, `norm_type` and `weights`.
    ///
    /// PyTorch's `freeze`, `scale_grad_by_freq` and `sparse` are no options here: they change
    /// gradients alone.
    ///
    /// # Errors
    /// [`Error::Shape`] when `weight` is not a table and [`Error::Option`] when `padding_idx` is
    /// not one of its rows, both in PyTorch's words. [`Error::Option`] for other options, for a
    /// norm out of range, and for weights that the type cannot hold. [`Error::Limit`] when one row
    /// exceeds a binding of the device, [`Error::Unsupported`] for more than 2³² − 1 rows and where
    /// the device cannot read the type, and the errors of the device.
    pub fn from_pretrained(
        device: &Device,
        weight: &Tensor,
        options: &LoadOptions,
    ) -> Result<Self> {
        options.check("Embedding", &["padding_idx", "max_norm", "norm_type"])?;
        let refuse = |message: &str| Err(Error::Shape(message.to_owned()));
        let &[num_embeddings, embedding_dim] = weight.shape() else {
            return refuse("Embeddings parameter is expected to be 2-dimensional");
        };
        if num_embeddings == 0 || embedding_dim == 0 {
            return refuse("Embedding: num_embeddings and embedding_dim must be greater than zero");
        }
        if u32::try_from(num_embeddings).is_err() {
            return Err(Error::Unsupported(format!(
                "an embedding of {num_embeddings} rows: kernels count to 2^32 - 1"
            )));
        }
        let padding_idx = match options.padding_idx.map(|index| row_of(index, num_embeddings)) {
            Some(None) => {
                return Err(Error::Option("Padding_idx must be within num_embeddings".to_owned()));
            }
            Some(row) => row,
            None => None,
        };
        let norm = options.max_norm.map(|max| MaxNorm::new(max, options.norm_type)).transpose()?;
        options.weights.check(std::iter::once(("weight".to_owned(), weight.data())))?;
        let storage = device.storage(options.weights)?;
        let words = storage.words(padded(embedding_dim));
        let shards =
            plan::cut_shards(num_embeddings, words, "one row of an embedding", device.limits())?;
        let shards: Vec<_> = shards.into_iter().zip((0..).map(BufferId)).collect();
        let spec = |(indices, _): &(Range<usize>, BufferId)| BufferSpec {
            label: "embedding weight".to_owned(),
            axes: vec![(Axis::Row, indices.len()), (Axis::Feature, words)],
            role: Role::Weight,
        };
        let buffers: Vec<BufferSpec> = shards.iter().map(spec).collect();
        let weights = Weights::load(device.engine(), &buffers, |shard| {
            let mut packed = weight.padded_rows(shards[shard].0.clone());
            if let Some(norm) = norm {
                norm.scale(&mut packed, embedding_dim, padded(embedding_dim));
            }
            storage.store(packed)
        })?;
        let device = device.clone();
        Ok(Self {
            device,
            num_embeddings,
            embedding_dim,
            padding_idx,
            storage,
            shards,
            buffers,
            runner: Arc::new(Runner::new(weights)),
        })
    }

    /// Returns the number of rows of the table.
    pub fn num_embeddings(&self) -> usize {
        self.num_embeddings
    }

    /// Returns the number of values of each row.
    pub fn embedding_dim(&self) -> usize {
        self.embedding_dim
    }

    /// Returns the padding row, counted from the start.
    pub fn padding_idx(&self) -> Option<usize> {
        self.padding_idx
    }

    /// Looks up `indices` of any `shape` and returns `[..shape, embedding_dim]`.
    ///
    /// # Errors
    /// [`Error::TensorSize`] when the number of indices differs from that of `shape`.
    /// [`Error::Option`], in PyTorch's words, when an index is not a row of the table. Both come
    /// before any work. Otherwise the errors of the device.
    pub fn forward(&self, indices: &[i64], shape: &[usize]) -> Result<Tensor> {
        pollster::block_on(self.look_up(indices, shape, self.device.blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs; see
    /// [`Rnn::forward_async`](crate::Rnn::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async(&self, indices: &[i64], shape: &[usize]) -> Result<Tensor> {
        self.look_up(indices, shape, Waiting::Await).await
    }

    async fn look_up(&self, indices: &[i64], shape: &[usize], waiting: Waiting) -> Result<Tensor> {
        let expected = element_count(shape);
        if expected != Some(indices.len()) {
            let expected = expected.unwrap_or(usize::MAX);
            return Err(Error::TensorSize {
                shape: shape.to_vec(),
                expected,
                found: indices.len(),
            });
        }
        let within = |(offset, &index): (usize, &i64)| match u32::try_from(index) {
            Ok(row) if (row as usize) < self.num_embeddings => Ok(f32::from_bits(row)),
            _ => Err(self.out_of_range(offset, index, shape)),
        };
        let mut rows = reserved(indices.len(), "indices")?;
        for index in indices.iter().enumerate().map(within) {
            rows.push(index?);
        }
        let width = padded(self.embedding_dim);
        let most = usize::try_from(self.device.limits().max_binding() / (width as u64 * 4))
            .unwrap_or(usize::MAX);
        let mut y = reserved(rows.len().saturating_mul(self.embedding_dim), "the output")?;
        for pass in rows.chunks(most) {
            let take = |values: &[f32]| {
                let rows = values.chunks_exact(width);
                rows.for_each(|row| y.extend_from_slice(&row[..self.embedding_dim]));
            };
            self.runner.run(pass.len(), || self.plan(pass.len()), pass, waiting, take).await?;
        }
        Ok(Tensor::trusted([shape, &[self.embedding_dim]].concat(), y))
    }

    fn out_of_range(&self, offset: usize, index: i64, shape: &[usize]) -> Error {
        let mut rest = offset;
        let mut place: Vec<String> = Vec::with_capacity(shape.len());
        for &size in shape.iter().rev() {
            place.insert(0, (rest % size).to_string());
            rest /= size;
        }
        let last = self.num_embeddings - 1;
        let place = place.join(", ");
        Error::Option(format!(
            "index out of range in self: indices[{place}] is {index}, expected 0 to {last}"
        ))
    }

    /// Plans the lookup of `rows` rows. The indices are u32 bits in f32 words; the output rows are
    /// padded to quads.
    fn plan(&self, rows: usize) -> Result<RowPlan> {
        let limits = self.device.limits();
        let mut recording = Recording { buffers: self.buffers.clone(), ..Recording::default() };
        let mut buffer = |label: &str, axes, role| {
            recording.buffer(BufferSpec { label: label.to_owned(), axes, role })
        };
        let x = buffer("embedding indices", vec![(Axis::Row, rows)], Role::Input);
        let width = padded(self.embedding_dim);
        let y = buffer(
            "embedding output",
            vec![(Axis::Row, rows), (Axis::Feature, width)],
            Role::Output,
        );
        for (shard, weight) in &self.shards {
            let dispatch = plan::embed(
                rows,
                self.embedding_dim,
                shard.clone(),
                [x, *weight, y],
                self.storage.read_as(),
                limits,
            )?;
            recording.commands.push(Command::Dispatch(dispatch));
        }
        Ok(RowPlan { recording, x, y })
    }
}

/// Returns the row that `padding_idx` names.
fn row_of(padding_idx: i64, num_embeddings: usize) -> Option<usize> {
    let from_start = if padding_idx < 0 {
        padding_idx.checked_add_unsigned(num_embeddings as u64)?
    } else {
        padding_idx
    };
    usize::try_from(from_start).ok().filter(|&row| row < num_embeddings)
}
