//! Ticks: the next steps of some slots.

use super::slots::Changing;
use super::{Inner, Pool, Slot};
use crate::engine::session::Reading;
use crate::engine::wait::{Waiting, lock};
use crate::error::{Error, Result};
use crate::kernel::families::NO_SLOT;
use crate::plan::PoolPlan;
use crate::tensor::{padded, reserved, room};

/// A slot whose steps a tick runs.
struct Row<'a> {
    /// The index among the inputs of the tick.
    at: usize,
    input: &'a [f32],
    changing: Changing,
}

impl Pool {
    /// Runs the next steps of some slots and returns the output of each, in the order of the
    /// inputs.
    ///
    /// Each slot's input is `[T, I]`, with 0 to [`PoolOptions::steps`](super::PoolOptions::steps)
    /// steps; T may differ from slot to slot. Each output is `[T, R]`.
    ///
    /// A slot that is refused keeps its state, and the other slots run. Its result is
    /// [`Error::SlotClosed`] when it is not open, [`Error::StateLost`] when its state is lost,
    /// [`Error::FrameSize`] when its input does not fit, and [`Error::Option`] when it is of
    /// another pool. If a slot occurs twice, the first input that fits runs, and the other one is
    /// [`Error::Option`].
    ///
    /// # Errors
    /// The errors of the device. They lose the states of all slots that the tick runs: calls return
    /// [`Error::StateLost`] until the slots are reset or restored.
    pub fn tick(&self, inputs: &[(Slot, &[f32])]) -> Result<Vec<Result<Vec<f32>>>> {
        pollster::block_on(self.run_tick(inputs, self.device().blocking()?))
    }

    /// [`tick`](Self::tick) for asynchronous programs.
    ///
    /// The tick starts when the future is first polled. If the future is dropped later, the states
    /// have advanced and the outputs are lost. Other ticks may start while one is awaited.
    ///
    /// # Errors
    /// The errors of [`tick`](Self::tick).
    pub async fn tick_async(&self, inputs: &[(Slot, &[f32])]) -> Result<Vec<Result<Vec<f32>>>> {
        self.run_tick(inputs, Waiting::Await).await
    }

    async fn run_tick(
        &self,
        inputs: &[(Slot, &[f32])],
        waiting: Waiting,
    ) -> Result<Vec<Result<Vec<f32>>>> {
        let most = self.plan.tick.sizes.batch;
        let mut results = reserved(inputs.len(), "the outputs of a tick")?;
        let (rows, started) = {
            let inner = &mut *lock(&self.inner);
            let rows = self.admit(inner, inputs, &mut results)?;
            let passes = rows.chunks(most).map(|rows| self.start(inner, rows));
            let started = passes.collect::<Result<Vec<_>>>();
            (rows, started)
        };
        let ran = match started {
            Ok(readings) => {
                let passes = rows.chunks(most).zip(readings);
                self.outputs(passes, waiting, &mut results).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ran {
            // Slots of earlier passes lose their states too, since their outputs never reach the
            // caller.
            let inner = &mut *lock(&self.inner);
            rows.into_iter().for_each(|row| inner.slots.lose(row.changing));
            return Err(error);
        }
        Ok(results)
    }

    /// Checks the inputs of a tick and returns the slots that run. Each input gets a result: the
    /// refusal, or an output that is still empty.
    fn admit<'a>(
        &self,
        inner: &mut Inner,
        inputs: &[(Slot, &'a [f32])],
        results: &mut Vec<Result<Vec<f32>>>,
    ) -> Result<Vec<Row<'a>>> {
        let slots = &mut inner.slots;
        let mut rows = reserved(inputs.len(), "the slots of a tick")?;
        slots.tick();
        for (at, &(slot, input)) in inputs.iter().enumerate() {
            let checked = slots.check(slot).and_then(|()| self.check_frame(slot, input));
            match checked.and_then(|()| slots.changing(slot)) {
                Ok(changing) => {
                    rows.push(Row { at, input, changing });
                    results.push(Ok(Vec::new()));
                }
                Err(refused) => {
                    if matches!(refused, Error::StateLost(_)) {
                        // A lost device is the reason, and concerns all slots.
                        self.device.ask()?;
                    }
                    results.push(Err(refused));
                }
            }
        }
        Ok(rows)
    }

    /// Starts the steps of slots that fit one submission.
    fn start(&self, inner: &mut Inner, rows: &[Row<'_>]) -> Result<Reading> {
        let PoolPlan { tick, slots, .. } = &self.plan;
        let Inner { session, words, .. } = inner;
        let class = self.plan.class(rows.len());
        let fill = class.rows - rows.len();
        let features = self.interface.input_size;
        let steps_of = |row: &Row<'_>| row.input.len() / features;
        let word = |value: u32| f32::from_bits(value);
        let longest = rows.iter().map(steps_of).max().unwrap_or(0);
        if longest == 0 {
            return Ok(Reading::Ready(Vec::new()));
        }

        words.clear();
        words.extend(rows.iter().map(|row| word(row.changing.slot.index)));
        words.extend(std::iter::repeat_n(word(NO_SLOT), fill));
        session.write(*slots, words)?;
        for &(lengths, stride) in &tick.lengths {
            words.clear();
            words.extend(rows.iter().map(|row| word((steps_of(row) / stride) as u32)));
            words.extend(std::iter::repeat_n(word(0), fill));
            session.write(lengths, words)?;
        }
        // `[S, B, I]`, with I padded to quads. Steps beyond a row's length keep old values.
        let width = padded(features);
        words.clear();
        room(longest * class.rows * width, "the input of a tick")?;
        words.resize(longest * class.rows * width, 0.0);
        for (at, row) in rows.iter().enumerate() {
            for (step, values) in row.input.chunks_exact(features).enumerate() {
                words[(step * class.rows + at) * width..][..features].copy_from_slice(values);
            }
        }
        session.write(tick.input, words)?;

        let steps = longest / self.interface.stride;
        let count = steps * class.rows * padded(self.interface.output_size);
        session.start_commands(class.commands.clone(), (tick.output, count))
    }

    /// Waits for the outputs and puts them into the results.
    async fn outputs<'a>(
        &self,
        passes: impl Iterator<Item = (&'a [Row<'a>], Reading)>,
        waiting: Waiting,
        results: &mut [Result<Vec<f32>>],
    ) -> Result<()> {
        let (features, size) = (self.interface.input_size, self.interface.output_size);
        let width = padded(size);
        for (rows, reading) in passes {
            let values = reading.values(waiting).await?;
            let of_class = self.plan.class(rows.len()).rows;
            for (at, row) in rows.iter().enumerate() {
                let steps = row.input.len() / features / self.interface.stride;
                let mut output = reserved(steps * size, "the output of a slot")?;
                for step in 0..steps {
                    output.extend_from_slice(&values[(step * of_class + at) * width..][..size]);
                }
                results[row.at] = Ok(output);
            }
        }
        Ok(())
    }
}
