//! `nn.Linear` on a device: the head of a recurrent network.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::device::Device;
use crate::engine::session::Weights;
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::families::activation;
use crate::nn::options::{Activation, LoadOptions};
use crate::nn::runner::{RowPlan, Runner};
use crate::params::load_linear;
use crate::params::state_dict::StateDict;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};
use crate::plan::{self, Product, Storage};
use crate::tensor::{Tensor, TensorView, padded, reserved, room};

/// `y = x · Wᵀ + b`, optionally followed by an activation. A clone is another handle of the same
/// layer.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Activation, Device, Linear, Tensor};
/// let weight = Tensor::new([1, 3], vec![1.0, 2.0, 3.0])?; // [out_features, in_features]
/// let linear = Linear::new(&Device::cpu(), &weight, Some(&[0.5]), Activation::None)?;
/// let y = linear.forward(&Tensor::new([2, 3], vec![1.0, 1.0, 1.0, 0.0, 0.0, 1.0])?)?;
/// assert_eq!(y.data(), [6.5, 3.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Linear {
    device: Device,
    in_features: usize,
    out_features: usize,
    activation: Activation,
    storage: Storage,
    /// The columns, the weight and the bias of each dispatch.
    shards: Vec<(Range<usize>, [BufferId; 2])>,
    buffers: Vec<BufferSpec>,
    /// Plans by the number of rows.
    runner: Arc<Runner<usize, RowPlan>>,
}

impl Linear {
    /// Uploads a layer with `weight` (`[out_features, in_features]`) and `bias` (`[out_features]`)
    /// to `device`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes make no layer, [`Error::Limit`] when one row of the weight
    /// exceeds a binding of the device, and the errors of the device.
    pub fn new(
        device: &Device,
        weight: &Tensor,
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Self> {
        Self::with_options(device, weight, bias, &LoadOptions::new().activation(activation))
    }

    /// Loads the layer under `prefix` of a state dict: `weight` and, if the layer has one, `bias`.
    ///
    /// # Errors
    /// [`Error::StateDict`] with every problem, also for any other tensor under the prefix; and the
    /// errors of [`new`](Self::new).
    pub fn load(device: &Device, state_dict: &StateDict, prefix: &str) -> Result<Self> {
        Self::load_with(device, state_dict, prefix, &LoadOptions::new())
    }

    /// Loads the layer under `prefix` of a state dict, with options.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load) and [`with_options`](Self::with_options).
    pub fn load_with(
        device: &Device,
        state_dict: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Self> {
        let (weight, bias) = load_linear(state_dict, prefix, options.allow_unused)?;
        Self::with_options(device, &weight, bias.as_deref(), options)
    }

    /// Uploads a layer to `device`, with the options `activation` and `weights`.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new); [`Error::Option`] for other options and for weights that
    /// the type cannot hold; [`Error::Unsupported`] where the device cannot read the type.
    pub fn with_options(
        device: &Device,
        weight: &Tensor,
        bias: Option<&[f32]>,
        options: &LoadOptions,
    ) -> Result<Self> {
        options.check("Linear", &["activation"])?;
        let &[out_features, in_features] = weight.shape() else {
            return Err(Error::Shape(format!(
                "Linear: expected weight to be 2D, got {}D instead",
                weight.shape().len()
            )));
        };
        if out_features == 0 || in_features == 0 {
            return Err(Error::Shape(
                "Linear: in_features and out_features must be greater than zero".to_owned(),
            ));
        }
        if let Some(bias) = bias.filter(|bias| bias.len() != out_features) {
            return Err(Error::Shape(format!(
                "Linear: expected bias of {out_features} elements, got {}",
                bias.len()
            )));
        }
        options.weights.check(std::iter::once(("weight".to_owned(), weight.data())))?;
        let (storage, limits) = (device.storage(options.weights)?, device.limits());
        let words = storage.words(padded(in_features));
        let what = "one row of a linear layer's weight";
        let columns = plan::cut_shards(out_features, words, what, limits)?;
        let y = out_features as u64 * 4;
        plan::check_binding(y, "one row of a linear layer's output", limits)?;
        let mut buffers = Vec::new();
        let mut add = |label: &str, axes: Vec<(Axis, usize)>| {
            buffers.push(BufferSpec { label: label.to_owned(), axes, role: Role::Weight });
            BufferId(buffers.len() - 1)
        };
        let shard = |columns: Range<usize>| {
            let column = (Axis::Column, columns.len());
            let weight = add("linear weight", vec![column, (Axis::Feature, words)]);
            let bias = add("linear bias", vec![column]);
            (columns, [weight, bias])
        };
        let shards: Vec<_> = columns.into_iter().map(shard).collect();
        let weights = Weights::load(device.engine(), &buffers, |index| {
            let (columns, _) = &shards[index / 2];
            if index % 2 == 1 {
                return bias.map_or_else(
                    || vec![0.0; columns.len()],
                    |bias| bias[columns.clone()].to_vec(),
                );
            }
            storage.store(weight.padded_rows(columns.clone()))
        })?;
        Ok(Self {
            device: device.clone(),
            in_features,
            out_features,
            activation: options.activation.unwrap_or_default(),
            storage,
            shards,
            buffers,
            runner: Arc::new(Runner::new(weights)),
        })
    }

    /// Applies the layer along the last axis of `x` (`[.., in_features]`) and returns
    /// `[.., out_features]`.
    ///
    /// # Errors
    /// [`Error::Shape`] in PyTorch's words when the features do not fit, and the errors of the
    /// device.
    pub fn forward<'a>(&self, x: impl Into<TensorView<'a>>) -> Result<Tensor> {
        pollster::block_on(self.apply(x.into(), self.device.blocking()?))
    }

    /// [`forward`](Self::forward) for asynchronous programs; see
    /// [`Rnn::forward_async`](crate::Rnn::forward_async).
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward).
    pub async fn forward_async<'a>(&self, x: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.apply(x.into(), Waiting::Await).await
    }

    pub(crate) async fn apply(&self, x: TensorView<'_>, waiting: Waiting) -> Result<Tensor> {
        let Some((&features, leading)) = x.shape().split_last() else {
            return Err(Error::Shape(
                "Linear: expected input to have at least one axis".to_owned(),
            ));
        };
        let rows: usize = leading.iter().product();
        if features != self.in_features {
            return Err(Error::Shape(format!(
                "mat1 and mat2 shapes cannot be multiplied ({rows}x{features} and {}x{})",
                self.in_features, self.out_features
            )));
        }
        let widest = padded(self.in_features).max(self.out_features) as u64 * 4;
        let most =
            usize::try_from(self.device.limits().max_binding() / widest).unwrap_or(usize::MAX);
        let most = most.max(1);
        let mut y = reserved(rows.saturating_mul(self.out_features), "the output")?;
        for start in (0..rows).step_by(most) {
            let end = rows.min(start.saturating_add(most));
            let count = end - start;
            room(count.saturating_mul(padded(features)), "the input")?;
            let packed = x.padded_rows(start..end);
            let take = |values: &[f32]| y.extend_from_slice(values);
            self.runner.run(count, || self.plan(count), &packed, waiting, take).await?;
        }
        Ok(Tensor::trusted([leading, &[self.out_features]].concat(), y))
    }

    /// Plans the layer over `rows` rows, padded to quads.
    fn plan(&self, rows: usize) -> Result<RowPlan> {
        let limits = self.device.limits();
        let mut recording = Recording { buffers: self.buffers.clone(), ..Recording::default() };
        let mut buffer = |label: &str, width, role| {
            recording.buffer(BufferSpec {
                label: label.to_owned(),
                axes: vec![(Axis::Row, rows), width],
                role,
            })
        };
        let x = buffer("linear input", (Axis::Feature, padded(self.in_features)), Role::Input);
        let y = buffer("linear output", (Axis::Column, self.out_features), Role::Output);
        let activation = match self.activation {
            Activation::None => activation::NONE,
            Activation::Sigmoid => activation::SIGMOID,
        };
        let sizes = [rows, self.in_features, self.out_features];
        for (columns, [weight, bias]) in &self.shards {
            let dispatch = plan::linear(
                Product::of_layer(sizes, columns.clone(), activation),
                [x, *weight, *bias, y],
                self.storage.read_as(),
                limits,
            )?;
            recording.commands.push(Command::Dispatch(dispatch));
        }
        Ok(RowPlan { recording, x, y })
    }
}
