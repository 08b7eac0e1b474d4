//! Executes a recording: bind groups are made once, then each run only encodes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bound::{Bound, Uniforms};
use super::context::Gpu;
use super::mapping::{Mapping, Waiting};
use super::pending::{Pending, Spare};
use super::timer::{Timer, Timing};
use crate::error::{Error, Result};
use crate::plan::Transfer;
use crate::plan::recording::{BufferId, BufferSpec, Command, CopyPair, Dispatch, Recording};

/// A recording on a device.
#[derive(Debug)]
pub struct Engine {
    gpu: Arc<Gpu>,
    recording: Arc<Recording>,
    /// For a part of another, the other.
    buffers: Vec<wgpu::Buffer>,
    /// For each command, its dispatches by parity; a plain dispatch has the same in both.
    bound: Vec<[Vec<Bound>; 2]>,
    /// What a run submits, one after the other; at least one.
    parts: Arc<Vec<Part>>,
    /// The same for parts of the recording that have been run by themselves, by their first command and the one behind.
    programs: HashMap<(usize, usize), Arc<Vec<Part>>>,
    /// Where results are copied to be mapped, made on first use and kept.
    staging: HashMap<BufferId, wgpu::Buffer>,
    /// The same for what is awaited while others run.
    spare: Arc<Spare>,
    /// Where the device was opened with timestamps.
    timer: Option<Box<Timer>>,
    timing: Timing,
}

/// What is submitted in one go: commands and their steps.
type Part = Vec<(usize, Range<u32>)>;

/// Makes and fills the weight buffers of a model, one at a time; `pack` gives the values of each.
///
/// # Errors
/// [`Error::OutOfMemory`] and the other errors of the device.
pub fn upload_weights(
    gpu: &Gpu,
    buffers: &[BufferSpec],
    pack: impl Fn(usize) -> Vec<f32>,
) -> Result<Vec<wgpu::Buffer>> {
    let upload = |(index, spec): (usize, &BufferSpec)| {
        let buffer = gpu.storage(&spec.label, spec.size())?;
        let values = pack(index);
        gpu.scoped("uploading weights", || {
            gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&values));
            // wgpu keeps a copy until the next submission has run: not of the whole model, for want of one.
            gpu.queue.submit([]);
        })?;
        Ok(buffer)
    };
    buffers.iter().enumerate().map(upload).collect()
}

impl Engine {
    /// Buffers, pipelines and bind groups for `recording`, whose first buffers are `weights`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and the other errors of the device.
    pub fn new(gpu: Arc<Gpu>, recording: Arc<Recording>, weights: &[wgpu::Buffer]) -> Result<Self> {
        let mut buffers = weights.to_vec();
        for (index, spec) in recording.buffers.iter().enumerate().skip(weights.len()) {
            let (whole, _) = recording.whole(BufferId(index));
            // A part comes behind its whole.
            buffers.push(match buffers.get(whole.0) {
                Some(buffer) => buffer.clone(),
                None => gpu.storage(&spec.label, spec.size())?,
            });
        }
        let mut uniforms = Uniforms::default();
        for command in &recording.commands {
            for parity in 0..command.count().min(2) {
                for dispatch in command.dispatches(parity) {
                    uniforms.add(dispatch);
                }
            }
        }
        let uniform = uniforms.upload(&gpu)?;
        let own = |id: BufferId| buffers[id.0].as_entire_buffer_binding();
        let mut bound = Vec::with_capacity(recording.commands.len());
        for command in &recording.commands {
            let mut bind = |dispatches: &[Dispatch]| -> Result<Vec<Bound>> {
                dispatches
                    .iter()
                    .map(|d| Bound::new(&gpu, d, own, (&uniform, uniforms.add(d))))
                    .collect()
            };
            bound.push(match command {
                Command::Dispatch(dispatch) => [bind(std::slice::from_ref(dispatch))?, Vec::new()],
                Command::Steps { by_parity: [even, odd], .. } => [bind(even)?, bind(odd)?],
            });
        }
        let timer = gpu.timestamps().then(|| Timer::new(&gpu).map(Box::new)).transpose()?;
        let parts = divide(
            &recording,
            &bound,
            0..recording.commands.len(),
            gpu.limits().max_work_per_submission,
        );
        Ok(Self {
            gpu,
            recording,
            buffers,
            bound,
            parts,
            programs: HashMap::new(),
            staging: HashMap::new(),
            spare: Arc::default(),
            timer,
            timing: Timing::default(),
        })
    }

    /// Writes a buffer before the next run.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn write(&self, id: BufferId, values: &[f32]) -> Result<()> {
        self.write_at(id, 0, values)
    }

    /// Writes a buffer's values from `start` on.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn write_at(&self, id: BufferId, start: usize, values: &[f32]) -> Result<()> {
        self.gpu.scoped("uploading", || {
            let start = self.start(id) + start as u64 * 4;
            self.gpu.queue.write_buffer(&self.buffers[id.0], start, bytemuck::cast_slice(values));
        })
    }

    /// What the engine executes.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Copies whole buffers of `source`, which may be of another recording, into buffers of this engine, in order. The
    /// copies take their place among the submissions; nothing waits for them.
    ///
    /// # Errors
    /// The errors of the device; [`Error::Gpu`] when two buffers differ in length or are on different devices.
    pub fn copy_from(&self, source: &Self, pairs: &[CopyPair]) -> Result<()> {
        self.gpu.scoped("copying buffers", || {
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.encode_copies(&mut encoder, source, pairs);
            self.gpu.queue.submit([encoder.finish()]);
        })
    }

    /// Whether both are on one device, so that buffers can be copied between them.
    pub fn shares_device(&self, other: &Self) -> bool {
        self.gpu.device == other.gpu.device
    }

    /// Executes the recording and reads `results` back; then copies buffers of this engine among themselves, so that
    /// the next run finds there what this one has left.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`] and the other errors of the device.
    pub fn run(&mut self, results: &[BufferId], then: &[CopyPair]) -> Result<Vec<Vec<f32>>> {
        pollster::block_on(self.run_as(results, then, Waiting::Block))
    }

    /// As [`run`](Self::run), waiting in one way or the other. After a future that was dropped the results are lost; the
    /// rest of the run has taken place.
    pub(crate) async fn run_as(
        &mut self,
        results: &[BufferId],
        then: &[CopyPair],
        waiting: Waiting,
    ) -> Result<Vec<Vec<f32>>> {
        let mut values = Vec::with_capacity(results.len());
        self.run_with(results, then, waiting, |_, of_one| values.push(of_one.to_vec())).await?;
        Ok(values)
    }

    /// As [`run_as`](Self::run_as), showing the values of each result, in order, where they are.
    pub(crate) async fn run_with(
        &mut self,
        results: &[BufferId],
        then: &[CopyPair],
        waiting: Waiting,
        mut take: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        self.stage(results)?;
        let last = self.parts.len() - 1;
        let mut encode = Duration::ZERO;
        for part in 0..last {
            encode += self.submit(part, &[], &[])?;
        }
        encode += self.submit(last, results, then)?;
        self.timing = Timing { encode, gpu: None };
        let mut read_back: Vec<_> = results.iter().map(|id| self.staging[id].slice(..)).collect();
        read_back.extend(self.timer.as_ref().map(|timer| timer.staging.slice(..)));
        let (timer, timing) = (&self.timer, &mut self.timing);
        let of_any = |index: usize, values: &[f32]| match timer {
            Some(timer) if index == results.len() => timing.gpu = timer.elapsed(values),
            _ => take(index, values),
        };
        Mapping::start(&self.gpu, read_back)?.each(waiting, of_any).await
    }

    /// Starts some commands of the recording, behind which the first values of a buffer can be awaited while others run.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn start_commands(
        &mut self,
        commands: Range<usize>,
        id: BufferId,
        count: usize,
    ) -> Result<Pending> {
        let most = self.gpu.limits().max_work_per_submission;
        let key = (commands.start, commands.end);
        let parts = self
            .programs
            .entry(key)
            .or_insert_with(|| divide(&self.recording, &self.bound, commands, most));
        let parts = Arc::clone(parts);
        let staging = self.spare.take(&self.gpu, self.recording.spec(id).size())?;
        let size = count as u64 * 4;
        for (at, part) in parts.iter().enumerate() {
            self.gpu.scoped("running a recording", || {
                let mut encoder = self
                    .gpu
                    .device
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                self.encode_part(
                    &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                    part,
                );
                if at + 1 == parts.len() {
                    encoder.copy_buffer_to_buffer(
                        &self.buffers[id.0],
                        self.start(id),
                        &staging,
                        0,
                        size,
                    );
                }
                self.gpu.queue.submit([encoder.finish()]);
            })?;
        }
        Ok(Pending { gpu: Arc::clone(&self.gpu), staging, size, spare: Arc::clone(&self.spare) })
    }

    /// Starts reading a range of a buffer's values, which can be awaited while others run.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn start_read(&self, id: BufferId, values: Range<usize>) -> Result<Pending> {
        let (start, size) = (self.start(id) + values.start as u64 * 4, values.len() as u64 * 4);
        let staging = self.spare.take(&self.gpu, size)?;
        self.gpu.scoped("reading a buffer", || {
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&self.buffers[id.0], start, &staging, 0, size);
            self.gpu.queue.submit([encoder.finish()]);
        })?;
        Ok(Pending { gpu: Arc::clone(&self.gpu), staging, size, spare: Arc::clone(&self.spare) })
    }

    /// What the last [`run`](Self::run) took.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Executes one dispatch of one step of one command.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_dispatch(&self, command: usize, index: u32, dispatch: usize) -> Result<()> {
        self.gpu.scoped("running a dispatch", || {
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.set(command, index)[dispatch].encode(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                index,
            );
            self.gpu.queue.submit([encoder.finish()]);
        })
    }

    /// Reads a range of a buffer's values.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn read(&self, id: BufferId, values: Range<usize>) -> Result<Vec<f32>> {
        pollster::block_on(self.read_as(id, values, Waiting::Block))
    }

    /// As [`read`](Self::read), waiting in one way or the other.
    pub(crate) async fn read_as(
        &self,
        id: BufferId,
        values: Range<usize>,
        waiting: Waiting,
    ) -> Result<Vec<f32>> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = values.len() as u64 * 4;
        let staging = self.gpu.buffer("read-back", size, usage)?;
        self.gpu.scoped("reading a buffer", || {
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let start = self.start(id) + values.start as u64 * 4;
            encoder.copy_buffer_to_buffer(&self.buffers[id.0], start, &staging, 0, size);
            self.gpu.queue.submit([encoder.finish()]);
        })?;
        let values = Mapping::start(&self.gpu, vec![staging.slice(..)])?.values(waiting).await?;
        Ok(values.into_iter().next().unwrap_or_default())
    }

    fn set(&self, command: usize, index: u32) -> &[Bound] {
        let parity = match &self.recording.commands[command] {
            Command::Dispatch(_) => 0,
            Command::Steps { first_step, .. } => ((first_step + index) % 2) as usize,
        };
        &self.bound[command][parity]
    }

    /// How many submissions a run takes, so that none exceeds `max_work_per_submission`.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Encodes a part of a run. Each dispatch sees what those before it wrote.
    pub(crate) fn encode(&self, pass: &mut wgpu::ComputePass<'_>, part: usize) {
        self.encode_part(pass, &self.parts[part]);
    }

    fn encode_part(&self, pass: &mut wgpu::ComputePass<'_>, part: &Part) {
        for (command, range) in part {
            for index in range.clone() {
                for bound in self.set(*command, index) {
                    bound.encode(pass, index);
                }
            }
        }
    }

    /// What a run counts for against `max_work_per_submission`.
    pub(crate) fn work(&self) -> u64 {
        let commands = self.recording.commands.iter().zip(&self.bound);
        let work = |(command, bound): (&Command, &[Vec<Bound>; 2])| {
            each(bound).saturating_mul(command.count().into())
        };
        commands.map(work).fold(0, u64::saturating_add)
    }

    /// Binds transfers between this engine's buffers and `theirs`, whose numbers follow, and which have passed all checks
    /// but that of the device.
    pub(crate) fn bind(
        &self,
        transfers: &[Transfer],
        theirs: &[wgpu::BufferBinding<'_>],
    ) -> Result<Vec<Bound>> {
        let mut uniforms = Uniforms::default();
        transfers.iter().for_each(|(_, dispatch)| _ = uniforms.add(dispatch));
        let uniform = uniforms.upload(&self.gpu)?;
        let resource = |BufferId(id)| match self.buffers.get(id) {
            Some(own) => own.as_entire_buffer_binding(),
            None => theirs[id - self.buffers.len()].clone(),
        };
        let bind = |(tensor, dispatch): &Transfer| {
            let bound =
                Bound::new(&self.gpu, dispatch, resource, (&uniform, uniforms.add(dispatch)));
            bound.map_err(|error| match error {
                Error::Gpu { adapter, message } => Error::Argument(format!(
                    "{tensor}: expected a buffer of the module's device, {adapter}: {message}"
                )),
                error => error,
            })
        };
        transfers.iter().map(bind).collect()
    }

    /// Encodes a part of a run into one pass, and copies behind it, and submits them. Returns what that took on the host:
    /// without the submission where others came before, since some drivers wait for those.
    fn submit(&self, part: usize, results: &[BufferId], then: &[CopyPair]) -> Result<Duration> {
        let start = Instant::now();
        let (first, last) = (part == 0, part + 1 == self.parts.len());
        self.gpu.scoped("running a recording", || {
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let timestamp_writes =
                    self.timer.as_ref().and_then(|timer| timer.writes(first, last));
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                self.encode(&mut encoder.begin_compute_pass(&descriptor), part);
            }
            self.copy_results(&mut encoder, results);
            self.encode_copies(&mut encoder, self, then);
            if let Some(timer) = self.timer.as_ref().filter(|_| last) {
                timer.resolve(&mut encoder);
            }
            let commands = encoder.finish();
            let encoded = start.elapsed();
            self.gpu.queue.submit([commands]);
            if first { start.elapsed() } else { encoded }
        })
    }

    fn stage(&mut self, results: &[BufferId]) -> Result<()> {
        for id in results {
            if !self.staging.contains_key(id) {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                let spec = self.recording.spec(*id);
                self.staging.insert(*id, self.gpu.buffer("read-back", spec.size(), usage)?);
            }
        }
        Ok(())
    }

    fn copy_results(&self, encoder: &mut wgpu::CommandEncoder, results: &[BufferId]) {
        for id in results {
            encoder.copy_buffer_to_buffer(
                &self.buffers[id.0],
                self.start(*id),
                &self.staging[id],
                0,
                self.staging[id].size(),
            );
        }
    }

    fn encode_copies(&self, encoder: &mut wgpu::CommandEncoder, source: &Self, pairs: &[CopyPair]) {
        for &(from, to) in pairs {
            let (first, start) = (source.start(from), self.start(to));
            let size = source.recording.spec(from).size().max(self.recording.spec(to).size());
            let (from, to) = (&source.buffers[from.0], &self.buffers[to.0]);
            // A buffer has nothing to be told by itself, and wgpu refuses to copy one into itself.
            if (from, first) != (to, start) {
                encoder.copy_buffer_to_buffer(from, first, to, start, size);
            }
        }
    }

    /// Where the bytes of a buffer begin in the one that has them.
    fn start(&self, id: BufferId) -> u64 {
        self.recording.whole(id).1 as u64 * 4
    }
}

/// The work of one step of a command.
fn each([even, _]: &[Vec<Bound>; 2]) -> u64 {
    even.iter().map(Bound::work).fold(0, u64::saturating_add).max(1)
}

/// Divides a run so that no part does more than `most`. What exceeds that by itself has to run all the same.
fn divide(
    recording: &Recording,
    bound: &[[Vec<Bound>; 2]],
    commands: Range<usize>,
    most: u64,
) -> Arc<Vec<Part>> {
    let mut parts = Vec::new();
    let mut part = Part::new();
    let mut work = 0;
    for at in commands {
        let command = &recording.commands[at];
        let each = each(&bound[at]);
        let mut next = 0;
        while next < command.count() {
            let room =
                (most.saturating_sub(work) / each).min(u64::from(command.count() - next)) as u32;
            if room == 0 && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                work = 0;
                continue;
            }
            let count = room.max(1);
            part.push((at, next..next + count));
            work = work.saturating_add(each.saturating_mul(u64::from(count)));
            next += count;
        }
    }
    parts.push(part);
    Arc::new(parts)
}
