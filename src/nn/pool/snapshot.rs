//! Snapshots: the state of a slot as bytes.

use std::path::Path;

use safetensors::Dtype;

use super::{Pool, Slot};
use crate::engine::wait::{Waiting, lock};
use crate::error::{Error, Result};
use crate::params::state_dict::{Entry, StateDict, to_bytes};
use crate::plan::StateRow;
use crate::tensor::State;
use crate::tensor::Tensor;

/// The format name in the metadata of a snapshot.
const FORMAT: &str = "wgpu-rnn state 1";

impl Pool {
    /// Returns the state of a slot as bytes.
    ///
    /// They serve this pool, a pool of the same network on another device, or a file. The format is
    /// safetensors, with the `h` and, for an LSTM, the `c` of [`state`](Self::state). A network of
    /// several modules has a tensor for each row of its state.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub fn snapshot(&self, slot: Slot) -> Result<Vec<u8>> {
        self.to_bytes(&pollster::block_on(self.fetch_values(slot, self.device().blocking()?))?)
    }

    /// [`snapshot`](Self::snapshot) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn snapshot_async(&self, slot: Slot) -> Result<Vec<u8>> {
        self.to_bytes(&self.fetch_values(slot, Waiting::Await).await?)
    }

    fn to_bytes(&self, values: &[f32]) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        if self.interface.module.is_some() {
            let State { h, c } = self.state_of(values)?;
            tensors.push(("h".to_owned(), h));
            tensors.extend(c.map(|c| ("c".to_owned(), c)));
        } else {
            for (at, row) in self.interface.rows(values).enumerate() {
                tensors.push((at.to_string(), Tensor::new([row.len()], row.to_vec())?));
            }
        }
        let tensors: Vec<_> =
            tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let metadata = [("format", FORMAT.to_owned()), ("kind", self.kind())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        to_bytes(Path::new("a snapshot"), &tensors, metadata.into())
    }

    /// Returns the kind of network in the metadata of a snapshot.
    fn kind(&self) -> String {
        let module = self.interface.module.as_ref();
        module.map_or_else(|| "network".to_owned(), |module| module.kind.to_string())
    }

    /// Sets the state of a slot from a [`snapshot`](Self::snapshot), bit for bit.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open. [`Error::Option`] when the bytes are no
    /// snapshot of such a network, and [`Error::Shape`] when its sizes differ; the slot then keeps
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
        let kind = self.kind();
        if said("kind") != kind {
            return Err(refuse(format!("it is of {}, expected {kind}", said("kind"))));
        }
        let optional = |name: &str| match file.get(name).map(Entry::dtype) {
            None => Ok(None),
            Some(Dtype::F32) => file.tensor(name).map(Some).map_err(not_valid),
            Some(other) => Err(refuse(format!("{name} is {other}, expected F32"))),
        };
        let tensor =
            |name: &str| optional(name)?.ok_or_else(|| refuse(format!("{name} is missing")));
        if self.interface.module.is_some() {
            return self.set_state(slot, &State { h: tensor("h")?, c: optional("c")? });
        }
        let mut values = Vec::new();
        for (at, &StateRow { features, stride }) in self.interface.state.iter().enumerate() {
            let row = tensor(&at.to_string())?;
            if row.shape() != [features] {
                return Err(Error::Shape(format!(
                    "row {at} of the snapshot has shape {:?}, expected [{features}]",
                    row.shape()
                )));
            }
            values.extend_from_slice(row.data());
            values.resize(values.len() + stride - features, 0.0);
        }
        self.write(&mut lock(&self.inner), slot, &values)
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::pool::{Interface, Pool, PoolOptions};
    use crate::params::config::Config;
    use crate::plan::StateRow;
    use crate::{Device, Error, Params, Rnn};

    /// A pool that knows nothing of the module that it runs.
    fn pool(config: &Config) -> Pool {
        let params = Params::init(config, 0).expect("a valid configuration");
        let rnn = Rnn::new(&Device::cpu(), &params).expect("a small module");
        let options = PoolOptions::new(2);
        let plan = rnn.plan_pool(&options).expect("a small pool");
        let interface = Interface {
            input_size: config.input_size,
            output_size: config.state_size(),
            stride: 1,
            state: [StateRow::h(config), StateRow::c(config)].repeat(config.num_layers),
            module: None,
        };
        let weights = rnn.runner().weights();
        Pool::of_plan(rnn.device(), weights, plan, interface, &options).expect("a small pool")
    }

    #[test]
    fn networks_have_snapshots_and_no_state_of_a_module() {
        let config = Config::lstm(3, 5).num_layers(2);
        let pool = pool(&config);
        let (one, other) = (pool.open().expect("a slot"), pool.open().expect("a slot"));
        let tick = |slot| pool.tick(&[(slot, &[0.5; 3])]).expect("it runs").remove(0).ok();
        let first = tick(one).expect("an output");
        let snapshot = pool.snapshot(one).expect("its state");
        pool.restore(other, &snapshot).expect("the same pool");
        let [a, b] = [tick(one), tick(other)];
        assert!(a.is_some() && a == b && a != Some(first), "both go on alike");
        let refused = pool.state(one).expect_err("no h and c");
        assert!(matches!(refused, Error::Unsupported(_)), "{refused}");
        let wider = self::pool(&Config::lstm(3, 6).num_layers(2));
        let slot = wider.open().expect("a slot");
        let refused = wider.restore(slot, &snapshot).expect_err("other sizes");
        assert!(matches!(refused, Error::Shape(_)), "{refused}");
    }
}
