//! The GPU engine of a recording. It makes bind groups once; each run only encodes and submits.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use super::bound::{BoundDispatch, Uniforms};
use super::clears::Clears;
use super::context::Gpu;
use super::faults::{UPLOAD, USE};
use super::mapping::Mapping;
use super::parts::{Around, ByParity, Submission, divide, work};
use super::pending::{Pending, Spare};
use super::timer::{Timer, Timing};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::plan::Transfer;
use crate::plan::recording::{BufferId, Command, CopyPair, Dispatch, Recording};
use crate::tensor::zeroed;

/// A recording on a device.
#[derive(Debug)]
pub struct Engine {
    pub(super) gpu: Arc<Gpu>,
    pub(super) recording: Arc<Recording>,
    /// Indexed by [`BufferId`]; a part of a buffer maps to its whole.
    pub(super) buffers: Vec<wgpu::Buffer>,
    /// Buffers that the next submission clears first.
    pub(super) clears: Clears,
    /// The bound dispatches of each command.
    bound: Vec<ByParity>,
    /// The submissions of a run, in order; at least one.
    pub(super) parts: Arc<Vec<Submission>>,
    /// Cached submissions of [`start_commands`](Self::start_commands), by the start and end of the
    /// command range.
    programs: HashMap<(usize, usize), Arc<Vec<Submission>>>,
    /// Read-back buffers of results, made at first use.
    pub(super) staging: HashMap<BufferId, wgpu::Buffer>,
    /// Copies of buffers that an abandoned run must not change, made at first use.
    pub(super) kept: HashMap<BufferId, wgpu::Buffer>,
    /// Read-back buffers of values that callers await during other runs.
    spare: Arc<Spare>,
    /// `Some` if the device was opened with timestamps.
    pub(super) timer: Option<Box<Timer>>,
    pub(super) timing: Timing,
}

impl Engine {
    /// Makes the buffers, pipelines and bind groups of `recording`, whose first buffers are
    /// `weights`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and the other errors of the device.
    pub fn new(gpu: Arc<Gpu>, recording: Arc<Recording>, weights: &[wgpu::Buffer]) -> Result<Self> {
        let mut buffers = weights.to_vec();
        for (index, spec) in recording.buffers.iter().enumerate().skip(weights.len()) {
            let (whole, _) = recording.whole(BufferId(index));
            // A part follows its whole in the list, so the buffer of the whole exists.
            buffers.push(match buffers.get(whole.0) {
                Some(buffer) => buffer.clone(),
                None => gpu.storage(&spec.label, spec.size())?,
            });
        }
        let mut uniforms = Uniforms::of(&recording);
        let uniform = uniforms.upload(&gpu)?;
        let own = |id: BufferId| buffers[id.0].as_entire_buffer_binding();
        let mut bound = Vec::with_capacity(recording.commands.len());
        for command in &recording.commands {
            let mut bind = |dispatches: &[Dispatch]| -> Result<Vec<BoundDispatch>> {
                dispatches
                    .iter()
                    .map(|d| BoundDispatch::new(&gpu, d, own, (&uniform, uniforms.add(d))))
                    .collect()
            };
            bound.push(match command {
                Command::Dispatch(dispatch) => [bind(std::slice::from_ref(dispatch))?, Vec::new()],
                Command::Steps { by_parity: [even, odd], .. } => [bind(even)?, bind(odd)?],
                Command::Clear { .. } => [Vec::new(), Vec::new()],
            });
        }
        let timer = gpu.timestamps().then(|| Timer::new(&gpu).map(Box::new)).transpose()?;
        let most = gpu.limits().max_work_per_submission;
        let parts = Arc::new(divide(&recording, &bound, 0..recording.commands.len(), most));
        Ok(Self {
            gpu,
            recording,
            buffers,
            clears: Clears::default(),
            bound,
            parts,
            programs: HashMap::new(),
            staging: HashMap::new(),
            kept: HashMap::new(),
            spare: Arc::default(),
            timer,
            timing: Timing::default(),
        })
    }

    /// Writes the first values of a buffer before the next run.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn write(&self, id: BufferId, values: &[f32]) -> Result<()> {
        self.write_at(id, 0, values)
    }

    /// Writes values of a buffer, from `start` on, before the next run.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn write_at(&self, id: BufferId, start: usize, values: &[f32]) -> Result<()> {
        let cleared = self.take_clears(id, start..start + values.len()).into_iter();
        let zeros = |id| zeroed(self.recording.spec(id).len(), "zeros").map(|zeros| (id, zeros));
        let cleared: Vec<_> = cleared.map(zeros).collect::<Result<_>>()?;
        self.gpu.scoped_for(UPLOAD, "uploading", || {
            let write = |id: BufferId, first: usize, values: &[f32]| {
                let at = self.start(id) + first as u64 * 4;
                self.gpu.queue.write_buffer(&self.buffers[id.0], at, bytemuck::cast_slice(values));
            };
            for (id, zeros) in cleared {
                write(id, 0, &zeros);
            }
            write(id, start, values);
        })
    }

    /// The device's name in messages.
    pub(crate) fn title(&self) -> String {
        self.gpu.title()
    }

    /// The recording that the engine executes.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Copies whole buffers of `source` into buffers of this engine, in order. `source` may execute
    /// another recording. The copies are one submission, and the host does not wait for it.
    ///
    /// # Errors
    /// The errors of the device; [`Error::Gpu`] when two buffers differ in length or device.
    pub fn copy_from(&self, source: &Self, pairs: &[CopyPair]) -> Result<()> {
        let encode = |encoder: &mut _| self.encode_copies(encoder, source, pairs);
        self.submit("copying buffers", encode).map(drop)
    }

    /// Whether both engines are on one device, so that buffers can be copied between them.
    pub fn shares_device(&self, other: &Self) -> bool {
        self.gpu.device == other.gpu.device
    }

    /// Starts a range of the recording's commands, and then a read of the first `count` values of a
    /// buffer. The caller can await the values during other runs. Nothing reads a flag, so the
    /// recording must have none.
    ///
    /// # Errors
    /// The errors of [`execute`](Self::execute).
    pub(crate) fn start_commands(
        &mut self,
        commands: Range<usize>,
        id: BufferId,
        count: usize,
    ) -> Result<Pending> {
        let most = self.gpu.limits().max_work_per_submission;
        let key = (commands.start, commands.end);
        let divide = || Arc::new(divide(&self.recording, &self.bound, commands, most));
        let parts = Arc::clone(self.programs.entry(key).or_insert_with(divide));
        let staging = self.spare.take(&self.gpu, self.recording.spec(id).size())?;
        let size = count as u64 * 4;
        for (at, part) in parts.iter().enumerate() {
            self.submit("running a recording", |encoder| {
                self.encode_part(encoder, part, &Around::default());
                if at + 1 == parts.len() {
                    self.encode_read(encoder, id, 0, &staging, size);
                }
            })?;
        }
        Ok(Pending { gpu: Arc::clone(&self.gpu), staging, size, spare: Arc::clone(&self.spare) })
    }

    /// Starts to read a range of a buffer's values. The caller can await them during other runs.
    ///
    /// # Errors
    /// The errors of [`execute`](Self::execute).
    pub(crate) fn start_read(&self, id: BufferId, values: Range<usize>) -> Result<Pending> {
        let size = values.len() as u64 * 4;
        let staging = self.spare.take(&self.gpu, size)?;
        self.submit("reading a buffer", |encoder| {
            self.encode_read(encoder, id, values.start, &staging, size);
        })?;
        Ok(Pending { gpu: Arc::clone(&self.gpu), staging, size, spare: Arc::clone(&self.spare) })
    }

    /// The duration of the last [`execute`](Self::execute).
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Reads a range of a buffer's values.
    ///
    /// # Errors
    /// The errors of the device.
    pub(crate) async fn fetch(
        &self,
        id: BufferId,
        values: Range<usize>,
        waiting: Waiting,
    ) -> Result<Vec<f32>> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = values.len() as u64 * 4;
        let staging = self.gpu.buffer("read-back", size, usage)?;
        self.submit("reading a buffer", |encoder| {
            self.encode_read(encoder, id, values.start, &staging, size);
        })?;
        let values = Mapping::start(&self.gpu, vec![staging.slice(..)])?.values(waiting).await?;
        Ok(values.into_iter().next().unwrap_or_default())
    }

    /// The bound dispatches of a command.
    pub(super) fn bound(&self, command: usize) -> &ByParity {
        &self.bound[command]
    }

    /// The buffer that holds a buffer's values, and their offset in bytes.
    pub(super) fn buffer(&self, id: BufferId) -> (&wgpu::Buffer, u64) {
        (&self.buffers[id.0], self.start(id))
    }

    /// The number of submissions of a run. None exceeds `max_work_per_submission`, except a single
    /// step that does so alone.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Encodes one submission of a run. Each dispatch sees the writes of those before it.
    pub(crate) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        part: usize,
        around: &Around<'_>,
    ) {
        self.encode_part(encoder, &self.parts[part], around);
    }

    /// The work of a run, as `max_work_per_submission` counts it.
    pub(crate) fn work(&self) -> u64 {
        work(&self.recording, &self.bound)
    }

    /// Binds transfers between this engine's buffers and `theirs`, whose ids follow the engine's.
    /// The caller has checked everything except the device, which wgpu checks here.
    pub(crate) fn bind(
        &self,
        transfers: &[Transfer],
        theirs: &[wgpu::BufferBinding<'_>],
    ) -> Result<Vec<BoundDispatch>> {
        let mut uniforms = Uniforms::default();
        transfers.iter().for_each(|(_, dispatch)| _ = uniforms.add(dispatch));
        let uniform = uniforms.upload(&self.gpu)?;
        let resource = |BufferId(id)| match self.buffers.get(id) {
            Some(own) => own.as_entire_buffer_binding(),
            None => theirs[id - self.buffers.len()].clone(),
        };
        let bind = |(tensor, dispatch): &Transfer| {
            let bound = BoundDispatch::new(
                &self.gpu,
                dispatch,
                resource,
                (&uniform, uniforms.add(dispatch)),
            );
            bound.map_err(|error| match error {
                Error::Gpu { adapter, message } => Error::Option(format!(
                    "{tensor}: expected a buffer of the module's device, {adapter}: {message}"
                )),
                error => error,
            })
        };
        transfers.iter().map(bind).collect()
    }

    /// Submits the commands that `encode` encodes. Returns the host time until the end of encoding,
    /// and until the end of submitting.
    pub(super) fn submit(
        &self,
        doing: &str,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<(Duration, Duration)> {
        let start = Instant::now();
        self.gpu.scoped_for(USE, doing, || {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            self.encode_clears(&mut encoder);
            encode(&mut encoder);
            let commands = encoder.finish();
            let encoded = start.elapsed();
            self.gpu.queue.submit([commands]);
            (encoded, start.elapsed())
        })
    }

    /// The byte offset of a buffer in its whole.
    pub(super) fn start(&self, id: BufferId) -> u64 {
        self.recording.whole(id).1 as u64 * 4
    }
}
