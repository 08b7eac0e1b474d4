//! Executes a recording: bind groups are made once, then each run only encodes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use super::context::{Gpu, UNIFORM_STRIDE};
use super::pipeline::Pipeline;
use super::timer::{Timer, Timing};
use crate::dims::Step;
use crate::error::{Error, Result};
use crate::recording::{BufferId, BufferSpec, Command, CopyPair, Dispatch, Recording};

/// A dispatch with its pipeline and bind group.
#[derive(Debug)]
struct Bound {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
    stepped: bool,
    in_place: bool,
    work: u64,
}

/// A recording on a device.
#[derive(Debug)]
pub struct Engine {
    gpu: Arc<Gpu>,
    recording: Arc<Recording>,
    /// For a part of another, the other.
    buffers: Vec<wgpu::Buffer>,
    /// For each command, its dispatches by parity; a plain dispatch has the same in both.
    bound: Vec<[Vec<Bound>; 2]>,
    /// Where results are copied to be mapped, made on first use and kept.
    staging: HashMap<BufferId, wgpu::Buffer>,
    /// Where the device was opened with timestamps.
    timer: Option<Box<Timer>>,
    timing: Timing,
}

/// A part of a run that is submitted in one go: commands and their steps, and whether the run begins and ends with it.
#[derive(Debug, Default)]
struct Part {
    commands: Vec<(usize, Range<u32>)>,
    first: bool,
    last: bool,
}

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
        gpu.scoped("uploading weights", || gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&values)))?;
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
        let mut bound = Vec::with_capacity(recording.commands.len());
        for command in &recording.commands {
            let mut bind = |dispatches: &[Dispatch]| -> Result<Vec<Bound>> {
                dispatches.iter().map(|d| Bound::new(&gpu, d, &buffers, &uniform, uniforms.add(d))).collect()
            };
            bound.push(match command {
                Command::Dispatch(dispatch) => [bind(std::slice::from_ref(dispatch))?, Vec::new()],
                Command::Steps { by_parity: [even, odd], .. } => [bind(even)?, bind(odd)?],
            });
        }
        let timer = gpu.timestamps().then(|| Timer::new(&gpu).map(Box::new)).transpose()?;
        Ok(Self { gpu, recording, buffers, bound, staging: HashMap::new(), timer, timing: Timing::default() })
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
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
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
        self.stage(results)?;
        let most = self.gpu.limits().max_work_per_submission;
        let recording = Arc::clone(&self.recording);
        let start = Instant::now();
        let mut part = Part { first: true, ..Part::default() };
        let mut work = 0;
        for (at, command) in recording.commands.iter().enumerate() {
            let each: u64 = self.bound[at][0].iter().map(|b| b.work).sum::<u64>().max(1);
            let mut next = 0;
            while next < command.count() {
                let room = (most.saturating_sub(work) / each).min(u64::from(command.count() - next)) as u32;
                if room == 0 && !part.commands.is_empty() {
                    self.submit(&part, &[], &[])?;
                    part = Part::default();
                    work = 0;
                    continue;
                }
                // What exceeds the bound by itself has to run all the same.
                let count = room.max(1);
                part.commands.push((at, next..next + count));
                work = work.saturating_add(each.saturating_mul(u64::from(count)));
                next += count;
            }
        }
        part.last = true;
        self.submit(&part, results, then)?;
        self.timing = Timing { encode: start.elapsed(), gpu: None };
        let mut read_back: Vec<_> = results.iter().map(|id| &self.staging[id]).collect();
        read_back.extend(self.timer.as_ref().map(|timer| &timer.staging));
        let mut values = self.map(&read_back)?;
        if let Some(timer) = &self.timer {
            self.timing.gpu = values.pop().and_then(|words| timer.elapsed(&words));
        }
        Ok(values)
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
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.set(command, index)[dispatch]
                .encode(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()), index);
            self.gpu.queue.submit([encoder.finish()]);
        })
    }

    /// Reads a range of a buffer's values.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn read(&self, id: BufferId, values: Range<usize>) -> Result<Vec<f32>> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = values.len() as u64 * 4;
        let staging = self.gpu.buffer("read-back", size, usage)?;
        self.gpu.scoped("reading a buffer", || {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let start = self.start(id) + values.start as u64 * 4;
            encoder.copy_buffer_to_buffer(&self.buffers[id.0], start, &staging, 0, size);
            self.gpu.queue.submit([encoder.finish()]);
        })?;
        Ok(self.map(&[&staging])?.pop().unwrap_or_default())
    }

    fn set(&self, command: usize, index: u32) -> &[Bound] {
        let parity = match &self.recording.commands[command] {
            Command::Dispatch(_) => 0,
            Command::Steps { first_step, .. } => ((first_step + index) % 2) as usize,
        };
        &self.bound[command][parity]
    }

    /// Encodes a part of a run into one pass, and copies behind it, and submits them.
    fn submit(&self, part: &Part, results: &[BufferId], then: &[CopyPair]) -> Result<()> {
        self.gpu.scoped("running a recording", || {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let timestamp_writes = self.timer.as_ref().and_then(|timer| timer.writes(part.first, part.last));
                let mut pass =
                    encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
                for (command, range) in &part.commands {
                    for index in range.clone() {
                        for bound in self.set(*command, index) {
                            bound.encode(&mut pass, index);
                        }
                    }
                }
            }
            self.copy_results(&mut encoder, results);
            self.encode_copies(&mut encoder, self, then);
            if let Some(timer) = self.timer.as_ref().filter(|_| part.last) {
                timer.resolve(&mut encoder);
            }
            self.gpu.queue.submit([encoder.finish()]);
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

    /// Maps buffers, waits, and copies their values out.
    fn map(&self, buffers: &[&wgpu::Buffer]) -> Result<Vec<Vec<f32>>> {
        let (sender, receiver) = mpsc::channel();
        for buffer in buffers {
            let sender = sender.clone();
            buffer.map_async(wgpu::MapMode::Read, .., move |result| {
                // The receiver outlives the wait below; if it is gone, nobody needs the result.
                let _ = sender.send(result);
            });
        }
        self.gpu.wait()?;
        let failed = |message: String| Error::Gpu { adapter: self.gpu.title(), message };
        for _ in buffers {
            receiver
                .try_recv()
                .map_err(|_| failed("a read-back did not finish".to_owned()))?
                .map_err(|error| failed(format!("a read-back failed: {error}")))?;
        }
        buffers
            .iter()
            .map(|buffer| {
                let values = {
                    let view = buffer.get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
                    bytemuck::pod_collect_to_vec::<u8, f32>(&view)
                };
                buffer.unmap();
                Ok(values)
            })
            .collect()
    }
}

impl Bound {
    fn new(
        gpu: &Gpu,
        dispatch: &Dispatch,
        buffers: &[wgpu::Buffer],
        uniform: &wgpu::Buffer,
        offset: u64,
    ) -> Result<Self> {
        let pipeline = gpu.pipeline(dispatch.kernel, &dispatch.overrides)?;
        let uniform_at = |binding, buffer, offset, size: usize| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: wgpu::BufferSize::new(size as u64),
            }),
        };
        let mut entries = vec![uniform_at(0, uniform, offset, dispatch.dims.bytes().len())];
        if dispatch.kernel.stepped {
            entries.push(uniform_at(1, &gpu.steps, 0, size_of::<Step>()));
        }
        entries.extend(dispatch.kernel.bindings.iter().zip(&dispatch.bindings).map(|(binding, id)| {
            wgpu::BindGroupEntry { binding: binding.index, resource: buffers[id.0].as_entire_binding() }
        }));
        let group = gpu.scoped("binding buffers", || {
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(dispatch.kernel.name),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        Ok(Self {
            pipeline,
            group,
            workgroups: dispatch.workgroups,
            stepped: dispatch.kernel.stepped,
            in_place: dispatch.in_place,
            work: dispatch.work(),
        })
    }

    fn encode(&self, pass: &mut wgpu::ComputePass<'_>, index: u32) {
        pass.set_pipeline(&self.pipeline.pipeline);
        let index = if self.in_place { 0 } else { index };
        let offset = [index * UNIFORM_STRIDE as u32];
        pass.set_bind_group(0, &self.group, if self.stepped { &offset } else { &[] });
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The dims of all dispatches in one buffer, equal ones once.
#[derive(Debug, Default)]
struct Uniforms {
    offsets: HashMap<Vec<u8>, u64>,
    data: Vec<u8>,
}

impl Uniforms {
    /// The offset of the dispatch's dims.
    fn add(&mut self, dispatch: &Dispatch) -> u64 {
        let bytes = dispatch.dims.bytes();
        if let Some(&offset) = self.offsets.get(bytes) {
            return offset;
        }
        let offset = self.data.len() as u64;
        self.data.extend_from_slice(bytes);
        self.data.resize(self.data.len().next_multiple_of(UNIFORM_STRIDE as usize), 0);
        self.offsets.insert(bytes.to_vec(), offset);
        offset
    }

    fn upload(&self, gpu: &Gpu) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("dims", self.data.len() as u64, usage)?;
        gpu.scoped("uploading dims", || gpu.queue.write_buffer(&buffer, 0, &self.data))?;
        Ok(buffer)
    }
}
