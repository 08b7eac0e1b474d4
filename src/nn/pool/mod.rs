//! Pools: many sequences at the same time, each with a state in a slot on the device.

mod options;
mod slots;
mod snapshot;

use std::sync::{Arc, Mutex};

use crate::engine::device::Device;
use crate::engine::session::{Reading, Session};
use crate::engine::wait::{Waiting, lock};
use crate::error::{Error, Result};
use crate::kernel::families::NO_SLOT;
use crate::nn::pack::slot_values;
use crate::nn::rnn::Rnn;
use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;
use crate::plan::{PoolPlan, StateRow, plan_pool};
use crate::tensor::{State, Tensor, padded, reserved, room, zeroed};
pub use options::PoolOptions;
pub use slots::Slot;
use slots::{Changing, Slots};

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
/// use wgpu_rnn::{Config, Device, Params, Rnn};
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(2, 3), 0)?)?;
/// let pool = gru.pool(&PoolOptions::new(1000))?;
/// let (ann, bob) = (pool.open()?, pool.open()?);
/// // One step of two features for each:
/// let outputs = pool.tick(&[(ann, &[0.1, 0.2]), (bob, &[0.3, 0.4])])?;
/// assert_eq!(outputs[1].len(), 3);
/// pool.tick(&[(bob, &[0.5, 0.6])])?; // Ann's state stays unchanged
/// pool.close(ann)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    config: Config,
    device: Device,
    options: PoolOptions,
    plan: PoolPlan,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    slots: Slots,
    /// The words to upload for a tick; the memory stays from tick to tick.
    words: Vec<f32>,
}

impl Rnn {
    /// Creates a pool of slots, all closed, for sequences that this module runs. The pool keeps the
    /// module's weights alive.
    ///
    /// # Errors
    /// [`Error::Option`] for a bidirectional module, whose reverse direction begins with the last
    /// step, and for a pool without slots; [`Error::Unsupported`] for a module that was loaded with
    /// the schedule `wavefront` or `persistent`; [`Error::Shape`] for a pool without rows or steps;
    /// [`Error::Limit`] with the limit that the pool would exceed; the errors of the device.
    pub fn pool(&self, options: &PoolOptions) -> Result<Pool> {
        let plan = self.plan_pool(options)?;
        let session =
            Session::new(Arc::new(plan.layers.recording.clone()), self.runner().weights())?;
        let inner = Inner { session, slots: Slots::new(options.slots)?, words: Vec::new() };
        let (config, device) = (self.config().clone(), self.device().clone());
        Ok(Pool { config, device, options: options.clone(), plan, inner: Mutex::new(inner) })
    }

    /// Plans a pool. The plan shows how ticks run and how much memory the pool takes, before it
    /// exists.
    ///
    /// # Errors
    /// The errors of [`pool`](Self::pool), except those of the device.
    #[doc(hidden)]
    pub fn plan_pool(&self, options: &PoolOptions) -> Result<PoolPlan> {
        let config = self.config();
        if let Some(backwards) = config.backwards() {
            return Err(Error::Option(format!(
                "a {backwards} {} has no pool: its reverse direction begins with the last step \
                 of the sequence; use forward() on whole sequences",
                config.kind.module()
            )));
        }
        let PoolOptions { slots, steps, rows } = *options;
        let request = self.request(Sizes { seq_len: steps, batch: rows }, false);
        plan_pool(&request, slots, &self.device().profile(), self.schedule())
    }
}

impl Pool {
    /// Returns the module's configuration.
    pub fn config(&self) -> &Config {
        &self.config
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
    /// [`Error::Option`] when all slots are open; the errors of the device.
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

    /// Runs the next steps of some slots and returns their outputs.
    ///
    /// Each slot's input is `[T, I]`, with 0 to [`PoolOptions::steps`] steps; T may differ from
    /// slot to slot. Each output is `[T, R]`, in the order of the inputs.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when a slot is not open, [`Error::StateLost`] when its state is lost,
    /// [`Error::Option`] when it occurs twice, and [`Error::Shape`] when an input does not fit;
    /// none of these runs anything. An error of the device loses the states of the tick's slots:
    /// calls return [`Error::StateLost`] until the slots are reset or restored.
    pub fn tick(&self, inputs: &[(Slot, &[f32])]) -> Result<Vec<Vec<f32>>> {
        pollster::block_on(self.run_tick(inputs, Waiting::Block))
    }

    /// [`tick`](Self::tick) for asynchronous programs.
    ///
    /// The tick starts when the future is first polled. If the future is dropped later, the states
    /// have advanced and the outputs are lost. Other ticks may start while one is awaited.
    ///
    /// # Errors
    /// The errors of [`tick`](Self::tick).
    pub async fn tick_async(&self, inputs: &[(Slot, &[f32])]) -> Result<Vec<Vec<f32>>> {
        self.run_tick(inputs, Waiting::Await).await
    }

    async fn run_tick(&self, inputs: &[(Slot, &[f32])], waiting: Waiting) -> Result<Vec<Vec<f32>>> {
        let rows = self.plan.layers.sizes.batch;
        let (changing, started) = {
            let inner = &mut *lock(&self.inner);
            let changing = self.check(inner, inputs)?;
            let passes = inputs.chunks(rows).map(|inputs| self.start(inner, inputs));
            (changing, passes.collect::<Result<Vec<_>>>())
        };
        let ran = match started {
            Ok(readings) => self.outputs(inputs.chunks(rows).zip(readings), waiting).await,
            Err(error) => Err(error),
        };
        if ran.is_err() {
            // Slots of earlier passes lose their states too, since their outputs never reach the
            // caller.
            let inner = &mut *lock(&self.inner);
            changing.into_iter().for_each(|changing| inner.slots.lose(changing));
        }
        ran
    }

    async fn outputs<'a>(
        &self,
        passes: impl Iterator<Item = (&'a [(Slot, &'a [f32])], Reading)>,
        waiting: Waiting,
    ) -> Result<Vec<Vec<f32>>> {
        let (features, size) = (self.config.input_size, self.config.state_size());
        let mut outputs = Vec::new();
        for (inputs, reading) in passes {
            let values = reading.values(waiting).await?;
            let (rows, width) = (self.plan.class(inputs.len()).rows, padded(size));
            for (row, (_, input)) in inputs.iter().enumerate() {
                let steps = input.len() / features;
                let mut output = reserved(steps * size, "the output of a slot")?;
                for step in 0..steps {
                    output.extend_from_slice(&values[(step * rows + row) * width..][..size]);
                }
                outputs.push(output);
            }
        }
        Ok(outputs)
    }

    /// Checks the inputs of a tick, and returns the states that it is about to change.
    fn check(&self, inner: &mut Inner, inputs: &[(Slot, &[f32])]) -> Result<Vec<Changing>> {
        let (features, most) = (self.config.input_size, self.options.steps);
        let mut changing = reserved(inputs.len(), "the slots of a tick")?;
        inner.slots.tick();
        for &(slot, input) in inputs {
            self.check_slot(inner, slot)?;
            changing.push(inner.slots.changing(slot)?);
            let (index, count) = (slot.index, input.len());
            if count % features != 0 || count / features > most {
                return Err(Error::Shape(format!(
                    "Pool: Expected for slot {index} at most {most} steps of {features} values, \
                     got {count} values"
                )));
            }
        }
        Ok(changing)
    }

    /// Checks that a slot has a state. If it has none, a lost device is the reported reason.
    fn check_slot(&self, inner: &mut Inner, slot: Slot) -> Result<()> {
        inner.slots.check(slot).or_else(|refused| self.device.ask().and(Err(refused)))
    }

    /// Starts the steps of slots that fit one submission.
    fn start(&self, inner: &mut Inner, inputs: &[(Slot, &[f32])]) -> Result<Reading> {
        let PoolPlan { layers, slots, .. } = &self.plan;
        let Inner { session, words, .. } = inner;
        let class = self.plan.class(inputs.len());
        let fill = class.rows - inputs.len();
        let features = self.config.input_size;
        let steps_of = |input: &[f32]| input.len() / features;
        let word = |value: u32| f32::from_bits(value);
        let longest = inputs.iter().map(|(_, input)| steps_of(input)).max().unwrap_or(0);
        if longest == 0 {
            return Ok(Reading::Ready(Vec::new()));
        }

        words.clear();
        words.extend(inputs.iter().map(|(slot, _)| word(slot.index)));
        words.extend(std::iter::repeat_n(word(NO_SLOT), fill));
        session.write(*slots, words)?;
        words.clear();
        words.extend(inputs.iter().map(|(_, input)| word(steps_of(input) as u32)));
        words.extend(std::iter::repeat_n(word(0), fill));
        session.write(layers.lengths, words)?;
        // `[S, B, I]`, with I padded to quads. Steps beyond a row's length keep old values.
        let width = padded(features);
        words.clear();
        room(longest * class.rows * width, "the input of a tick")?;
        words.resize(longest * class.rows * width, 0.0);
        for (row, (_, input)) in inputs.iter().enumerate() {
            for (step, values) in input.chunks_exact(features).enumerate() {
                words[(step * class.rows + row) * width..][..features].copy_from_slice(values);
            }
        }
        session.write(layers.input[0], words)?;

        let count = longest * class.rows * padded(self.config.state_size());
        session.start_commands(class.commands.clone(), (layers.output[0], count))
    }

    /// Reads the state of a slot: h `[num_layers, R]` and, for an LSTM, c `[num_layers, H]`.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open, [`Error::StateLost`] when its state is
    /// lost; the errors of the device.
    pub fn state(&self, slot: Slot) -> Result<State> {
        pollster::block_on(self.fetch_state(slot, Waiting::Block))
    }

    /// [`state`](Self::state) for asynchronous programs.
    ///
    /// # Errors
    /// The errors of [`state`](Self::state).
    pub async fn state_async(&self, slot: Slot) -> Result<State> {
        self.fetch_state(slot, Waiting::Await).await
    }

    async fn fetch_state(&self, slot: Slot, waiting: Waiting) -> Result<State> {
        let reading = {
            let inner = &mut *lock(&self.inner);
            self.check_slot(inner, slot)?;
            let start = slot.index as usize * self.plan.width;
            inner.session.start_read(self.plan.store, start..start + self.plan.width)?
        };
        let values = reading.values(waiting).await?;
        let mut values = &values[..];
        let (mut h, mut c) = (Vec::new(), Vec::new());
        for _ in 0..self.config.num_layers {
            let mut take = |to: &mut Vec<f32>, StateRow { features, stride }: StateRow| {
                let (row, rest) = values.split_at(stride);
                to.extend_from_slice(&row[..features]);
                values = rest;
            };
            take(&mut h, StateRow::h(&self.config));
            if self.config.kind == Kind::Lstm {
                take(&mut c, StateRow::c(&self.config));
            }
        }
        let of = |features, values| Tensor::new([self.config.num_layers, features], values);
        let h = of(self.config.state_size(), h)?;
        let c =
            (self.config.kind == Kind::Lstm).then(|| of(self.config.hidden_size, c)).transpose()?;
        Ok(State { h, c })
    }

    /// Replaces the state of a slot.
    ///
    /// # Errors
    /// [`Error::SlotClosed`] when the slot is not open; [`Error::Shape`] in PyTorch's words when
    /// the shapes differ from those of [`state`](Self::state); the errors of the device.
    pub fn set_state(&self, slot: Slot, state: &State) -> Result<()> {
        let step = [1, self.config.input_size];
        crate::params::validate::forward(
            &self.config,
            &step,
            Some((state.h.shape(), state.c.as_ref().map(Tensor::shape))),
        )?;
        let values = slot_values(&self.config, state);
        self.write(&mut lock(&self.inner), slot, &values)
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
