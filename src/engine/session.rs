//! Sessions: a recording on an engine, ready to run any number of times.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::ran::Ran;
use crate::engine::wait::{self, Waiting};
use crate::engine::{cpu, gpu};
use crate::error::{Error, Result};
use crate::plan::Exchange;
use crate::plan::recording::{BufferId, BufferSpec, CopyPair, Recording, Role};
use crate::tensor::{copied, room};

/// The engine of a device.
#[derive(Debug, Clone, Copy)]
pub enum EngineRef<'a> {
    /// The twins on the CPU, on these threads.
    Cpu(&'a cpu::Threads),
    /// The kernels on a GPU.
    Gpu(&'a Arc<gpu::Gpu>),
}

impl std::fmt::Display for EngineRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu(_) => f.write_str("cpu"),
            Self::Gpu(gpu) => f.write_str(&gpu.title()),
        }
    }
}

/// The packed weights of a model, in memory that its device reads.
#[derive(Debug, Clone)]
pub enum Weights {
    /// In host memory, for these threads.
    Cpu(cpu::Threads, Arc<Vec<cpu::Weight>>),
    /// In buffers of the device.
    Gpu(Arc<gpu::Gpu>, Arc<Vec<wgpu::Buffer>>),
}

impl Weights {
    /// The way in which workgroups of the device exchange states.
    pub fn exchange(&self) -> Exchange {
        match self {
            Self::Cpu(..) => Exchange::OneStep,
            Self::Gpu(gpu, _) => gpu.trust().exchange(),
        }
    }

    /// Packs the weights of a model into memory that `engine` reads. `pack` returns the values of
    /// the buffer at an index.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and the other errors of the device.
    pub fn load(
        engine: EngineRef<'_>,
        buffers: &[BufferSpec],
        pack: impl Fn(usize) -> Vec<f32>,
    ) -> Result<Self> {
        // A buffer is made at a time: packed once in f32, and once more as the engine stores it.
        for spec in buffers {
            room(spec.len().saturating_mul(4), format_args!("the weights '{}'", spec.label))?;
        }
        Ok(match engine {
            EngineRef::Cpu(threads) => {
                let weights = buffers
                    .iter()
                    .enumerate()
                    .map(|(index, spec)| cpu::Weight::new(spec, pack(index)));
                Self::Cpu(threads.clone(), Arc::new(weights.collect()))
            }
            EngineRef::Gpu(gpu) => {
                Self::Gpu(Arc::clone(gpu), Arc::new(gpu.upload_weights(buffers, pack)?))
            }
        })
    }
}

/// A recording on an engine.
#[derive(Debug)]
pub enum Session {
    /// On the twins.
    Cpu(cpu::Engine),
    /// On the kernels.
    Gpu(Box<gpu::Engine>),
}

impl Session {
    /// Makes the buffers of `recording` in the memory that holds `weights`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and the other errors of the device.
    pub fn new(recording: Arc<Recording>, weights: &Weights) -> Result<Self> {
        Ok(match weights {
            Weights::Cpu(threads, weights) => {
                let engine = cpu::Engine::new(recording, Arc::clone(weights))?;
                Self::Cpu(engine.on(threads.clone()))
            }
            Weights::Gpu(gpu, buffers) => {
                Self::Gpu(Box::new(gpu::Engine::new(Arc::clone(gpu), recording, buffers)?))
            }
        })
    }

    /// Writes the first values of a buffer before a run.
    ///
    /// # Errors
    /// The errors of the device.
    ///
    /// # Panics
    /// When `values` is longer than the buffer.
    pub fn write(&mut self, id: BufferId, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(engine) => {
                engine.buffer_mut(id)[..values.len()].copy_from_slice(values);
                Ok(())
            }
            Self::Gpu(engine) => engine.write(id, values),
        }
    }

    /// Writes the first values of a buffer before a run, as [`write`](Self::write) does; `None`
    /// sets all values to zero. A GPU does that by itself, without a transfer.
    ///
    /// # Errors
    /// The errors of the device.
    ///
    /// # Panics
    /// When `values` is longer than the buffer.
    pub fn set(&mut self, id: BufferId, values: Option<&[f32]>) -> Result<()> {
        match (self, values) {
            (session, Some(values)) => session.write(id, values),
            (Self::Cpu(engine), None) => {
                engine.buffer_mut(id).fill(0.0);
                Ok(())
            }
            (Self::Gpu(engine), None) => {
                engine.clear(id);
                Ok(())
            }
        }
    }

    /// Writes values of a buffer, from `start` on, before a run.
    ///
    /// # Errors
    /// The errors of the device.
    ///
    /// # Panics
    /// When `values` exceed the buffer.
    pub fn write_at(&mut self, id: BufferId, start: usize, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(engine) => {
                engine.buffer_mut(id)[start..start + values.len()].copy_from_slice(values);
                Ok(())
            }
            Self::Gpu(engine) => engine.write_at(id, start, values),
        }
    }

    /// Starts to read a range of a buffer's values, after all runs started so far.
    ///
    /// # Errors
    /// The errors of the device.
    ///
    /// # Panics
    /// When the range exceeds the buffer.
    pub(crate) fn start_read(&self, id: BufferId, values: Range<usize>) -> Result<Reading> {
        match self {
            Self::Cpu(engine) => {
                copied(&engine.buffer(id)[values], "values to read").map(Reading::Ready)
            }
            Self::Gpu(engine) => engine.start_read(id, values).map(Reading::Pending),
        }
    }

    /// Starts a range of the recording's commands, and then a read of the first `count` values of a
    /// buffer. On a GPU the caller can await the values during other runs; on the CPU they are
    /// ready at once.
    ///
    /// # Errors
    /// The errors of the device.
    ///
    /// # Panics
    /// When the recording has fewer commands or the buffer has fewer values.
    pub(crate) fn start_commands(
        &mut self,
        commands: Range<usize>,
        (id, count): (BufferId, usize),
    ) -> Result<Reading> {
        match self {
            Self::Cpu(engine) => {
                engine.run_commands(commands)?;
                copied(&engine.buffer(id)[..count], "values to read").map(Reading::Ready)
            }
            Self::Gpu(engine) => engine.start_commands(commands, id, count).map(Reading::Pending),
        }
    }

    /// Reads all values of a buffer.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn read(&self, id: BufferId) -> Result<Vec<f32>> {
        pollster::block_on(self.fetch(id, self.blocking()?))
    }

    /// The asynchronous core of [`read`](Self::read).
    pub(crate) async fn fetch(&self, id: BufferId, waiting: Waiting) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(engine) => copied(&engine.buffer(id), "values to read"),
            Self::Gpu(engine) => {
                engine.fetch(id, 0..engine.recording().spec(id).len(), waiting).await
            }
        }
    }

    /// Runs the recording, reads `results`, then copies `pairs` as [`carry`](Self::carry) does.
    /// Returns the values of each result, in order. On a GPU the host waits once for all of it.
    ///
    /// # Errors
    /// The errors of [`carry`](Self::carry); [`Error::Gpu`] for an abandoned run.
    pub fn run(&mut self, results: &[BufferId], pairs: &[CopyPair]) -> Result<Vec<Vec<f32>>> {
        let results: Vec<_> = results.iter().map(|&id| (id, ())).collect();
        let mut values = Vec::with_capacity(results.len());
        let take = |(), of_one: &[f32]| values.push(of_one.to_vec());
        pollster::block_on(self.complete(&results, pairs, self.blocking()?, take))?;
        Ok(values)
    }

    /// The asynchronous core of [`run`](Self::run), for callers that do not run again.
    pub(crate) async fn complete<R: Copy>(
        &mut self,
        results: &[(BufferId, R)],
        pairs: &[CopyPair],
        waiting: Waiting,
        take: impl FnMut(R, &[f32]),
    ) -> Result<()> {
        match (self.execute(results, pairs, waiting, take).await?, self) {
            (Ran::Abandoned, Self::Gpu(engine)) => Err(Error::Gpu {
                adapter: engine.title(),
                message: "a run was abandoned, because a workgroup waited in vain for another"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Runs as [`complete`](Self::complete) does, but a run may be abandoned. `take` receives each
    /// result's values, in order, with the caller's name for it. After an abandoned run it received
    /// none, and the targets of `pairs` hold their values from before the run.
    pub(crate) async fn execute<R: Copy>(
        &mut self,
        results: &[(BufferId, R)],
        pairs: &[CopyPair],
        waiting: Waiting,
        mut take: impl FnMut(R, &[f32]),
    ) -> Result<Ran> {
        check_pairs(self.recording(), self.recording(), pairs)?;
        match self {
            Self::Cpu(engine) => {
                engine.run()?;
                results.iter().for_each(|&(id, result)| take(result, &engine.buffer(id)));
                pairs.iter().for_each(|&(from, to)| engine.copy(from, to));
                // The twins never wait.
                Ok(Ran::Done)
            }
            Self::Gpu(engine) => engine.execute(results, pairs, waiting, take).await,
        }
    }

    /// Copies buffers of this session to each other, pair by pair. On a GPU the values stay on the
    /// device, and the host does not wait. The queue orders the copies after the runs started
    /// before and before those started later.
    ///
    /// # Errors
    /// [`Error::Shape`] when the two buffers of a pair differ in length, [`Error::Option`] when the
    /// second is a weight; the errors of the device.
    pub fn carry(&mut self, pairs: &[CopyPair]) -> Result<()> {
        check_pairs(self.recording(), self.recording(), pairs)?;
        match self {
            Self::Cpu(engine) => pairs.iter().for_each(|&(from, to)| engine.copy(from, to)),
            Self::Gpu(engine) => engine.copy_from(engine, pairs)?,
        }
        Ok(())
    }

    /// Copies buffers of another session on the same device into buffers of this one.
    ///
    /// # Errors
    /// The errors of [`carry`](Self::carry); [`Error::Option`] when the sessions are on different
    /// devices.
    pub fn carry_from(&mut self, source: &Self, pairs: &[CopyPair]) -> Result<()> {
        check_pairs(source.recording(), self.recording(), pairs)?;
        match (self, source) {
            (Self::Cpu(engine), Self::Cpu(source)) => {
                pairs.iter().for_each(|&(from, to)| {
                    engine.buffer_mut(to).copy_from_slice(&source.buffer(from))
                });
                Ok(())
            }
            (Self::Gpu(engine), Self::Gpu(source)) if engine.shares_device(source) => {
                engine.copy_from(source, pairs)
            }
            _ => Err(Error::Option(
                "buffers can only be carried between sessions on the same device".to_owned(),
            )),
        }
    }

    /// The duration of the last run on a GPU, without waiting; zero on the CPU, which neither
    /// encodes nor waits.
    pub fn timing(&self) -> gpu::Timing {
        match self {
            Self::Cpu(_) => gpu::Timing::default(),
            Self::Gpu(engine) => engine.timing(),
        }
    }

    fn blocking(&self) -> Result<Waiting> {
        wait::blocking(matches!(self, Self::Gpu(_)))
    }

    fn recording(&self) -> &Recording {
        match self {
            Self::Cpu(engine) => engine.recording(),
            Self::Gpu(engine) => engine.recording(),
        }
    }
}

/// The values of a read, ready or pending.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Values in host memory.
    Ready(Vec<f32>),
    /// Values that the device has yet to deliver.
    Pending(gpu::Pending),
}

impl Reading {
    /// Waits for the values and returns them.
    ///
    /// # Errors
    /// The errors of the device.
    pub async fn values(self, waiting: Waiting) -> Result<Vec<f32>> {
        match self {
            Self::Ready(values) => Ok(values),
            Self::Pending(pending) => pending.values(waiting).await,
        }
    }
}

/// Refuses pairs of unequal length, and weights as targets.
fn check_pairs(from: &Recording, to: &Recording, pairs: &[CopyPair]) -> Result<()> {
    for &(source, target) in pairs {
        let (source, target) = (from.spec(source), to.spec(target));
        if source.len() != target.len() {
            return Err(Error::Shape(format!(
                "'{}' holds {} values, which '{}' of {} cannot take over",
                source.label,
                source.len(),
                target.label,
                target.len()
            )));
        }
        if target.role == Role::Weight {
            return Err(Error::Option(format!(
                "'{}' is a weight, which runs of a model share",
                target.label
            )));
        }
    }
    Ok(())
}
