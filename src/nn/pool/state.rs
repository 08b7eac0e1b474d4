//! The state of a slot as tensors.

use super::{Interface, Pool, Slot};
use crate::engine::wait::{Waiting, lock};
use crate::error::{Error, Result};
use crate::nn::pack::slot_values;
use crate::params::config::{Config, Kind};
use crate::plan::StateRow;
use crate::tensor::{State, Tensor};

impl Interface {
    /// Returns the rows of a slot's values, without padding.
    pub(super) fn rows<'v>(&'v self, values: &'v [f32]) -> impl Iterator<Item = &'v [f32]> {
        self.state.iter().scan(values, |rest, &StateRow { features, stride }| {
            let (row, after) = rest.split_at_checked(stride)?;
            *rest = after;
            Some(&row[..features])
        })
    }

    /// Returns the module whose state is a [`State`].
    fn module(&self) -> Result<&Config> {
        self.module.as_ref().ok_or_else(|| {
            Error::Unsupported(
                "the state of several modules as one h and c; only a pool of one recurrent module \
                 has it"
                    .to_owned(),
            )
        })
    }
}

impl Pool {
    /// Reads the state of a slot: h `[num_layers, R]` and, for an LSTM, c `[num_layers, H]`.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open, [`Error::StateLost`] when its state is
    /// lost; the errors of the device.
    pub fn state(&self, slot: Slot) -> Result<State> {
        pollster::block_on(self.fetch_state(slot, self.device().blocking()?))
    }

    /// [`state`](Self::state) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn state_async(&self, slot: Slot) -> Result<State> {
        self.fetch_state(slot, Waiting::Await).await
    }

    async fn fetch_state(&self, slot: Slot, waiting: Waiting) -> Result<State> {
        self.state_of(&self.fetch_values(slot, waiting).await?)
    }

    /// Reads the values of a slot.
    pub(super) async fn fetch_values(&self, slot: Slot, waiting: Waiting) -> Result<Vec<f32>> {
        let reading = {
            let inner = &mut *lock(&self.inner);
            let checked = inner.slots.check(slot);
            // A lost device is the reason for a state that is lost.
            checked.or_else(|refused| self.device.ask().and(Err(refused)))?;
            let start = slot.index as usize * self.plan.width;
            inner.session.start_read(self.plan.store, start..start + self.plan.width)?
        };
        reading.values(waiting).await
    }

    /// Returns the values of a slot as the state of a module.
    pub(super) fn state_of(&self, values: &[f32]) -> Result<State> {
        let config = self.interface.module()?;
        let is_lstm = config.kind == Kind::Lstm;
        let rows: Vec<&[f32]> = self.interface.rows(values).collect();
        let tensor = |first: usize| {
            let of_layers = rows.iter().skip(first).step_by(1 + usize::from(is_lstm));
            let values: Vec<f32> = of_layers.copied().flatten().copied().collect();
            Tensor::new([config.num_layers, values.len() / config.num_layers], values)
        };
        Ok(State { h: tensor(0)?, c: is_lstm.then(|| tensor(1)).transpose()? })
    }

    /// Replaces the state of a slot.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open; [`Error::Shape`] in PyTorch's words when
    /// the shapes differ from those of [`state`](Self::state); the errors of the device.
    pub fn set_state(&self, slot: Slot, state: &State) -> Result<()> {
        let config = self.interface.module()?;
        let step = [1, config.input_size];
        crate::params::validate::forward(
            config,
            &step,
            Some((state.h.shape(), state.c.as_ref().map(Tensor::shape))),
        )?;
        let values = slot_values(config, state);
        self.write(&mut lock(&self.inner), slot, &values)
    }
}
