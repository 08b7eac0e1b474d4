//! `nn.Linear` on a device, for the heads that stand on recurrent layers.

use std::sync::{Arc, Mutex};

use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::gpu::{Waiting, lock};
use crate::engine::session::{Session, Weights};
use crate::error::{Error, Result};
use crate::kernel::families::activation;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};
use crate::plan::{self};
use crate::tensor::Tensor;
use crate::tensor::padded;

/// What is applied to a linear layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// 1 / (1 + exp(−x)).
    Sigmoid,
}

/// `y = x · Wᵀ + b`, optionally followed by an activation.
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
#[derive(Debug)]
pub struct Linear {
    device: Device,
    in_features: usize,
    out_features: usize,
    activation: Activation,
    /// Columns, weight and bias of each dispatch.
    shards: Vec<(std::ops::Range<usize>, [BufferId; 2])>,
    buffers: Vec<BufferSpec>,
    weights: Weights,
    /// The recording used last, with its number of rows.
    last: Mutex<Option<(usize, Ports, Session)>>,
}

/// The input and the output of a recording.
#[derive(Debug, Clone, Copy)]
struct Ports {
    x: BufferId,
    y: BufferId,
}

impl Linear {
    /// A layer with `weight` (`[out_features, in_features]`) and `bias` (`[out_features]`) on `device`.
    ///
    /// # Errors
    /// [`Error::Argument`] when the shapes make no layer, [`Error::Limit`] when one row of the weight exceeds what the
    /// device binds, and the errors of the device.
    pub fn new(
        device: &Device,
        weight: &Tensor,
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Self> {
        let &[out_features, in_features] = weight.shape() else {
            return Err(Error::Argument(format!(
                "Linear: expected weight to be 2D, got {}D instead",
                weight.shape().len()
            )));
        };
        if out_features == 0 || in_features == 0 {
            return Err(Error::Argument(
                "Linear: in_features and out_features must be greater than zero".to_owned(),
            ));
        }
        if let Some(bias) = bias.filter(|bias| bias.len() != out_features) {
            return Err(Error::Argument(format!(
                "Linear: expected bias of {out_features} elements, got {}",
                bias.len()
            )));
        }
        let binding = device.limits().max_binding();
        let row = padded(in_features) as u64 * 4;
        let limit = |what: &str, needed| Error::Limit {
            limit: device.limits().max_binding_name(),
            what: what.to_owned(),
            needed,
            allowed: binding,
            advice: "use another device or the CPU",
        };
        if row > binding {
            return Err(limit("one row of a linear layer's weight", row));
        }
        if out_features as u64 * 4 > binding {
            return Err(limit("one row of a linear layer's output", out_features as u64 * 4));
        }
        let columns = usize::try_from(binding / row).unwrap_or(usize::MAX).min(out_features);
        let mut buffers = Vec::new();
        let mut add = |label: &str, axes: Vec<(Axis, usize)>| {
            buffers.push(BufferSpec { label: label.to_owned(), axes, role: Role::Weight });
            BufferId(buffers.len() - 1)
        };
        let shards: Vec<_> = (0..out_features)
            .step_by(columns)
            .map(|start| {
                let columns = start..(start + columns).min(out_features);
                let column = (Axis::Column, columns.len());
                let weight =
                    add("linear weight", vec![column, (Axis::Feature, padded(in_features))]);
                let bias = add("linear bias", vec![column]);
                (columns, [weight, bias])
            })
            .collect();
        let weights = Weights::load(device, &buffers, |index| {
            let (columns, _) = &shards[index / 2];
            if index % 2 == 1 {
                return bias.map_or_else(
                    || vec![0.0; columns.len()],
                    |bias| bias[columns.clone()].to_vec(),
                );
            }
            weight.padded_rows(columns.clone())
        })?;
        Ok(Self {
            device: device.clone(),
            in_features,
            out_features,
            activation,
            shards,
            buffers,
            weights,
            last: Mutex::default(),
        })
    }

    /// Applies the layer along the last axis of `x` (`[.., in_features]`), giving `[.., out_features]`.
    ///
    /// # Errors
    /// [`Error::Argument`] in PyTorch's words when the features do not fit, and the errors of the device.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        pollster::block_on(self.forward_as(x, Waiting::Block))
    }

    /// As [`forward`](Self::forward), for asynchronous programs; see [`Rnn::forward_async`](crate::Rnn::forward_async).
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub async fn forward_async(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_as(x, Waiting::Await).await
    }

    async fn forward_as(&self, x: &Tensor, waiting: Waiting) -> Result<Tensor> {
        let Some((&features, leading)) = x.shape().split_last() else {
            return Err(Error::Argument(
                "Linear: expected input to have at least one axis".to_owned(),
            ));
        };
        let rows: usize = leading.iter().product();
        if features != self.in_features {
            return Err(Error::Argument(format!(
                "mat1 and mat2 shapes cannot be multiplied ({rows}x{features} and {}x{})",
                self.in_features, self.out_features
            )));
        }
        let widest = padded(self.in_features).max(self.out_features) as u64 * 4;
        let most =
            usize::try_from(self.device.limits().max_binding() / widest).unwrap_or(usize::MAX);
        let mut y = Vec::with_capacity(rows * self.out_features);
        for start in (0..rows).step_by(most.max(1)) {
            let end = (start + most).min(rows);
            y.extend_from_slice(
                &self.rows(end - start, &x.padded_rows(start..end), waiting).await?,
            );
        }
        Ok(Tensor::trusted([leading, &[self.out_features]].concat(), y))
    }

    /// Runs the layer over `rows` rows, padded to quads.
    async fn rows(&self, rows: usize, packed: &[f32], waiting: Waiting) -> Result<Vec<f32>> {
        let kept = lock(&self.last).take().filter(|(kept, ..)| *kept == rows);
        let (ports, mut session) = match kept {
            Some((_, ports, session)) => (ports, session),
            None => {
                let (ports, recording) = self.record(rows)?;
                (ports, Session::new(Arc::new(recording), &self.weights)?)
            }
        };
        session.write(ports.x, packed)?;
        let y =
            session.run_as(&[ports.y], &[], waiting).await?.into_iter().next().unwrap_or_default();
        *lock(&self.last) = Some((rows, ports, session));
        Ok(y)
    }

    fn record(&self, rows: usize) -> Result<(Ports, Recording)> {
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
        for (columns, [weight, bias]) in &self.shards {
            let activation = match self.activation {
                Activation::None => activation::NONE,
                Activation::Sigmoid => activation::SIGMOID,
            };
            let size = (rows, self.in_features, self.out_features);
            let dispatch = plan::linear(
                size,
                columns.clone(),
                activation,
                [x, *weight, *bias, y],
                WeightType::F32,
                limits,
            )?;
            recording.commands.push(Command::Dispatch(dispatch));
        }
        Ok((Ports { x, y }, recording))
    }
}
