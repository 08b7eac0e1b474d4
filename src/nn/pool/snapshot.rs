//! Snapshots: the state of a slot as bytes.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{Pool, Slot};
use crate::error::{Error, Result};
use crate::params::state_dict::{Entry, StateDict};
use crate::tensor::State;
use crate::tensor::Tensor;

/// The format name in the metadata of a snapshot.
const FORMAT: &str = "wgpu-rnn state 1";

impl Pool {
    /// Returns the state of a slot as bytes.
    ///
    /// They serve this pool, a pool of the same module on another device, or a file. The format is
    /// safetensors, with the `h` and, for an LSTM, the `c` of [`state`](Self::state).
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub fn snapshot(&self, slot: Slot) -> Result<Vec<u8>> {
        self.to_bytes(&self.state(slot)?)
    }

    /// [`snapshot`](Self::snapshot) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn snapshot_async(&self, slot: Slot) -> Result<Vec<u8>> {
        self.to_bytes(&self.state_async(slot).await?)
    }

    fn to_bytes(&self, State { h, c }: &State) -> Result<Vec<u8>> {
        let bytes = |tensor: &Tensor| -> Vec<u8> {
            tensor.data().iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let tensors = [("h", Some(h)), ("c", c.as_ref())];
        let tensors = tensors.map(|(name, tensor)| {
            tensor.map(|tensor| (name, tensor.shape().to_vec(), bytes(tensor)))
        });
        let malformed = |error: safetensors::SafeTensorError| {
            Error::Shape(format!("a state cannot be stored: {error}"))
        };
        let mut views = Vec::new();
        for (name, shape, bytes) in tensors.iter().flatten() {
            views.push((
                *name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(malformed)?,
            ));
        }
        let kind = self.interface.module()?.kind.to_string();
        let metadata = [("format".to_owned(), FORMAT.to_owned()), ("kind".to_owned(), kind)];
        safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(malformed)
    }

    /// Sets the state of a slot from a [`snapshot`](Self::snapshot), bit for bit.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open. [`Error::Option`] when the bytes are no
    /// snapshot of such a module, and [`Error::Shape`] when its sizes differ; the slot then keeps
    /// its state. Otherwise the errors of the device.
    pub fn restore(&self, slot: Slot, snapshot: &[u8]) -> Result<()> {
        let refuse = |what: String| {
            Error::Option(format!("not a snapshot of such a module's state: {what}"))
        };
        let not_valid = |error: Error| match error {
            Error::File { message, .. } => refuse(message),
            other => other,
        };
        let file = StateDict::parse("", snapshot.to_vec()).map_err(not_valid)?;
        let said = |key: &str| file.metadata(key).unwrap_or_default();
        if said("format") != FORMAT {
            return Err(refuse(format!("its format is '{}', expected '{FORMAT}'", said("format"))));
        }
        let kind = self.interface.module()?.kind.to_string();
        if said("kind") != kind {
            return Err(refuse(format!("it is of {}, expected {kind}", said("kind"))));
        }
        let tensor = |name: &str| match file.get(name).map(Entry::dtype) {
            None => Ok(None),
            Some(Dtype::F32) => file.tensor(name).map(Some).map_err(not_valid),
            Some(other) => Err(refuse(format!("{name} is {other}, expected F32"))),
        };
        let h = tensor("h")?.ok_or_else(|| refuse("h is missing".to_owned()))?;
        let state = State { h, c: tensor("c")? };
        self.set_state(slot, &state)
    }
}
