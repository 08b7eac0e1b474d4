//! Pools: many sequences at the same time, each with a state in a slot on the device.

mod options;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod queue;
mod recurrent;
mod slots;
mod snapshot;
mod state;
mod tick;

use std::sync::{Arc, Mutex};

use crate::engine::device::Device;
use crate::engine::session::{Session, Weights};
use crate::engine::wait::lock;
use crate::error::{Error, Result};
use crate::params::config::Config;
use crate::plan::{PoolPlan, StateRow};
use crate::tensor::zeroed;
pub use options::PoolOptions;
pub use slots::Slot;
use slots::Slots;

/// Independent sequences that one module runs, such as the users of a server.
///
/// Each open slot is a sequence whose state stays on the device. A tick runs the next steps of any
/// slots with one submission. A slot's output does not depend, to the bit, on the other slots in
/// the tick. A pool allocates all its memory when it is created. Several threads may call it at the
/// same time; ticks run one after the other.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::pool::PoolOptions;
/// use wgpu_rnn::{Config, Device, Error, Params, Rnn};
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(2, 3), 0)?)?;
/// let pool = gru.pool(&PoolOptions::new(1000))?;
/// let (ann, bob) = (pool.open()?, pool.open()?);
/// // One step of two features for each:
/// let outputs = pool.tick(&[(ann, &[0.1, 0.2]), (bob, &[0.3, 0.4])])?;
/// assert_eq!(outputs[1].as_ref().map_or(0, Vec::len), 3);
/// // A wrong frame fails its slot only, and Ann's state stays unchanged:
/// let outputs = pool.tick(&[(ann, &[0.1]), (bob, &[0.5, 0.6])])?;
/// assert!(matches!(outputs[0], Err(Error::FrameSize(_))) && outputs[1].is_ok());
/// pool.close(ann)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    interface: Interface,
    device: Device,
    options: PoolOptions,
    plan: PoolPlan,
    inner: Mutex<Inner>,
}

/// The sizes of the network that a pool runs.
#[derive(Debug, Clone)]
pub(crate) struct Interface {
    /// Values I of a step of the input.
    pub input_size: usize,
    /// Values R of a step of the output.
    pub output_size: usize,
    /// Input steps of a step of the output.
    pub stride: usize,
    /// The rows of a slot's state, in the order of the plan.
    pub state: Vec<StateRow>,
    /// The module, if the network is one recurrent module. Its state has the form of a
    /// [`State`](crate::State).
    pub module: Option<Config>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    slots: Slots,
    /// The words to upload for a tick; the memory stays from tick to tick.
    words: Vec<f32>,
}

impl Pool {
    /// Creates a pool of slots, all closed, from the plan of its ticks.
    ///
    /// # Errors
    /// The errors of the device.
    pub(crate) fn of_plan(
        device: &Device,
        weights: &Weights,
        plan: PoolPlan,
        interface: Interface,
        options: &PoolOptions,
    ) -> Result<Self> {
        let session = Session::new(Arc::new(plan.tick.recording.clone()), weights)?;
        let inner = Inner { session, slots: Slots::new(options.slots)?, words: Vec::new() };
        let (device, options) = (device.clone(), options.clone());
        Ok(Self { interface, device, options, plan, inner: Mutex::new(inner) })
    }

    /// Returns the values I of a step of the input.
    pub fn input_size(&self) -> usize {
        self.interface.input_size
    }

    /// Returns the values R of a step of the output.
    pub fn output_size(&self) -> usize {
        self.interface.output_size
    }

    /// Returns the pool's device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the pool's sizes.
    pub fn options(&self) -> &PoolOptions {
        &self.options
    }

    /// Returns the plan of a tick. [`PoolPlan::size`] gives the bytes of the pool and the weights.
    #[doc(hidden)]
    pub fn plan(&self) -> &PoolPlan {
        &self.plan
    }

    /// Returns the number of open slots.
    pub fn open_count(&self) -> usize {
        lock(&self.inner).slots.open_count()
    }

    /// Opens a slot with a zero state.
    ///
    /// # Errors
    /// [`Error::PoolFull`] when all slots are open; the errors of the device.
    pub fn open(&self) -> Result<Slot> {
        let zeros = zeroed(self.plan.width, "the state of a slot")?;
        let inner = &mut *lock(&self.inner);
        let slot = inner.slots.open()?;
        match self.write(inner, slot, &zeros) {
            Ok(()) => Ok(slot),
            Err(error) => inner.slots.close(slot).and(Err(error)),
        }
    }

    /// Sets the state of a slot to zero.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open; the errors of the device.
    pub fn reset(&self, slot: Slot) -> Result<()> {
        let zeros = zeroed(self.plan.width, "the state of a slot")?;
        self.write(&mut lock(&self.inner), slot, &zeros)
    }

    /// Closes a slot, which can then open for another sequence.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open.
    pub fn close(&self, slot: Slot) -> Result<()> {
        lock(&self.inner).slots.close(slot)
    }

    /// Refuses an input that is not `[T, I]` with 0 to [`PoolOptions::steps`] steps.
    fn check_frame(&self, slot: Slot, input: &[f32]) -> Result<()> {
        let (size, most, found) = (self.interface.input_size, self.options.steps, input.len());
        let stride = self.interface.stride;
        if found.is_multiple_of(size * stride) && found / size <= most {
            return Ok(());
        }
        let pieces =
            if stride > 1 { format!(", a multiple of {stride} steps") } else { String::new() };
        Err(Error::FrameSize(format!(
            "Pool: Expected for slot {} at most {most} steps of {size} values{pieces}, got {found} \
             values",
            slot.index
        )))
    }

    /// Writes all state values of an open slot. When that fails, the slot loses its state.
    fn write(&self, inner: &mut Inner, slot: Slot, values: &[f32]) -> Result<()> {
        let state = inner.slots.replace(slot)?;
        // A lost device takes writes in silence.
        let written = self.device.ask().and_then(|()| {
            inner.session.write_at(self.plan.store, slot.index as usize * self.plan.width, values)
        });
        if written.is_err() {
            inner.slots.lose(state);
        }
        written
    }
}
