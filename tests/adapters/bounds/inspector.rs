//! An engine of instrumented kernels, with a guard after the end of each buffer.

use std::collections::HashMap;

use libtest_mimic::Failed;
use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_rnn::Device;
use wgpu_rnn::internals::kernel::{Access, Kernel, Overrides};
use wgpu_rnn::internals::plan::recording::{BufferId, Command, Dispatch, Recording};

use super::instrument::{GUARD, divisors, instrumented};
use crate::ensure;
use crate::recordings::Case;

/// The contents of guards: a NaN.
pub const UNTOUCHED: u32 = 0x7fc0_5afe;

struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    divisors: Vec<(usize, String)>,
}

/// The engine.
pub struct Inspector {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: HashMap<(Kernel, Overrides), Pipeline>,
    /// The meaning of each code of an instrumented kernel.
    codes: Vec<String>,
    /// The most overrides with which a kernel is inspected.
    most: Box<dyn Fn(Kernel) -> usize>,
}

impl Inspector {
    pub fn new(device: &Device, most: impl Fn(Kernel) -> usize + 'static) -> Result<Self, Failed> {
        let (device, queue) = device.wgpu().ok_or("WGSL runs on adapters")?;
        let (device, queue) = (device.clone(), queue.clone());
        // A guard that is touched holds a code, and 0 is none.
        let codes = vec!["nothing".to_owned()];
        Ok(Self { device, queue, pipelines: HashMap::new(), codes, most: Box::new(most) })
    }

    /// Runs a recording.
    ///
    /// # Errors
    /// An index out of bounds, by the name of its kernel and array; a divisor of 0.
    pub fn run(&mut self, case: &Case) -> Result<(), Failed> {
        let Case { what, recording, contents, .. } = case;
        let mut buffers: Vec<wgpu::Buffer> = Vec::new();
        for (index, words) in contents.iter().enumerate() {
            let (whole, _) = recording.whole(BufferId(index));
            let guarded: Vec<u32> = words.iter().copied().chain([UNTOUCHED; GUARD]).collect();
            let usage = wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST;
            let buffer = buffers.get(whole.0).cloned();
            buffers.push(buffer.unwrap_or_else(|| self.filled(&guarded, usage)));
        }
        let steps = recording.commands.iter().map(|command| command.count()).max().unwrap_or(1);
        let table: Vec<u32> = (0..steps)
            .flat_map(|index| std::iter::once(index).chain(std::iter::repeat_n(0, 63)))
            .collect();
        let table = self.filled(&table, wgpu::BufferUsages::UNIFORM);
        for command in &recording.commands {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            if let &Command::Clear { buffer, start, len } = command {
                let (whole, first) = recording.whole(buffer);
                let [start, len] = [first + start, len].map(|words| words as u64 * 4);
                encoder.clear_buffer(&buffers[whole.0], start, Some(len));
            }
            for index in 0..command.count() {
                for dispatch in command.dispatches(index) {
                    let key = (dispatch.kernel, dispatch.overrides);
                    if self.has_enough_of(key) {
                        continue;
                    }
                    self.prepare(what, dispatch)?;
                    let Pipeline { pipeline, .. } = &self.pipelines[&key];
                    let group = self.group(pipeline, dispatch, (&table, index), &buffers);
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, &group, &[]);
                    let [x, y, z] = dispatch.workgroups;
                    pass.dispatch_workgroups(x, y, z);
                }
            }
            self.queue.submit([encoder.finish()]);
        }
        self.check_guards(what, recording, &buffers)
    }

    /// Whether a kernel has been inspected with enough other overrides. Then its dispatch is left
    /// out, since drivers compile slowly; no index depends on what it writes.
    fn has_enough_of(&self, (kernel, overrides): (Kernel, Overrides)) -> bool {
        let alike = || self.pipelines.keys().filter(|(other, _)| *other == kernel).count();
        !self.pipelines.contains_key(&(kernel, overrides)) && alike() >= (self.most)(kernel)
    }

    fn filled(&self, words: &[u32], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let contents = bytemuck::cast_slice(words);
        self.device.create_buffer_init(&BufferInitDescriptor { label: None, contents, usage })
    }

    /// Builds the pipeline of a dispatch, and looks at its divisors.
    fn prepare(&mut self, what: &str, dispatch: &Dispatch) -> Result<(), Failed> {
        let (kernel, overrides) = (dispatch.kernel, dispatch.overrides);
        if !self.pipelines.contains_key(&(kernel, overrides)) {
            let made = instrumented(kernel, &overrides, self.codes.len());
            let name = kernel.name();
            ensure(made.sites > 0, format!("{name}: no index is tested"))?;
            self.codes.extend(made.arrays.iter().map(|array| format!("{name}: {array}")));
            let source = wgpu::ShaderSource::Wgsl(made.wgsl.into());
            let label = Some(name.as_str());
            let module =
                self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            let constants: Vec<(&str, f64)> =
                kernel.overrides().map(|o| (o.name, f64::from((o.get)(&overrides)))).collect();
            let compilation_options =
                wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() };
            let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: None,
                module: &module,
                entry_point: Some(kernel.row().entry),
                compilation_options,
                cache: None,
            });
            let divisors = divisors(kernel, &overrides);
            self.pipelines.insert((kernel, overrides), Pipeline { pipeline, divisors });
        }
        let dims: &[u32] = bytemuck::cast_slice(dispatch.dims.bytes());
        for (word, member) in &self.pipelines[&(kernel, overrides)].divisors {
            ensure(dims[*word] > 0, format!("{what}: {} divides by {member} = 0", kernel.name()))?;
        }
        Ok(())
    }

    fn group(
        &self,
        pipeline: &wgpu::ComputePipeline,
        dispatch: &Dispatch,
        (table, index): (&wgpu::Buffer, u32),
        buffers: &[wgpu::Buffer],
    ) -> wgpu::BindGroup {
        let dims =
            self.filled(bytemuck::cast_slice(dispatch.dims.bytes()), wgpu::BufferUsages::UNIFORM);
        let mut entries =
            vec![wgpu::BindGroupEntry { binding: 0, resource: dims.as_entire_binding() }];
        if dispatch.kernel.row().stepped {
            let offset = u64::from(dispatch.index(index)) * 256;
            let size = wgpu::BufferSize::new(16);
            let buffer = wgpu::BufferBinding { buffer: table, offset, size };
            let resource = wgpu::BindingResource::Buffer(buffer);
            entries.push(wgpu::BindGroupEntry { binding: 1, resource });
        }
        entries.extend(dispatch.kernel.bindings().zip(&dispatch.bindings).map(|(binding, id)| {
            let resource = buffers[id.0].as_entire_binding();
            wgpu::BindGroupEntry { binding: binding.index, resource }
        }));
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Fails with the first touched guard.
    fn check_guards(
        &self,
        what: &str,
        recording: &Recording,
        buffers: &[wgpu::Buffer],
    ) -> Result<(), Failed> {
        let size = GUARD as u64 * 4;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: size * buffers.len() as u64,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for (at, buffer) in (0..).zip(buffers) {
            let guard = buffer.size() - size;
            encoder.copy_buffer_to_buffer(buffer, guard, &staging, at * size, size);
        }
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("a live device"));
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let view = staging.get_mapped_range(..)?;
        let guards: Vec<u32> = bytemuck::pod_collect_to_vec(&view);
        for (guard, spec) in guards.chunks_exact(GUARD).zip(&recording.buffers) {
            touched(guard, &self.codes).map_or(Ok(()), |by| {
                Err(format!("{what}: past the end of '{}': {by}", spec.label))
            })?;
        }
        Ok(())
    }

    /// Checks that the engine reports a read past the end, and an index past workgroup memory.
    pub fn self_check(&mut self, case: &Case) -> Result<(), Failed> {
        self.run(case)?;
        let mut short = case.clone();
        let written = |dispatch: &Dispatch| {
            let mut bound = dispatch.kernel.bindings().zip(&dispatch.bindings);
            bound.find(|(binding, _)| binding.access == Access::ReadWrite).map(|(_, id)| *id)
        };
        for dispatch in case.recording.commands.iter().flat_map(|command| command.dispatches(0)) {
            for &id in &dispatch.bindings {
                // One quad less than the kernel uses.
                let whole = short.contents[id.0].clone();
                short.contents[id.0].truncate(whole.len() - 4);
                let found = self.run(&short).map_err(|failed| format!("{failed:?}"));
                let name = &case.recording.spec(id).label;
                let sink = written(dispatch).is_some();
                ensure(sink && found.is_err(), format!("'{name}' is too short: {found:?}"))?;
                short.contents[id.0] = whole;
            }
        }
        Ok(())
    }
}

/// The access that touched a guard.
fn touched(guard: &[u32], codes: &[String]) -> Option<String> {
    let word = *guard.iter().rev().find(|&&word| word != UNTOUCHED)?;
    // Buffers of floats hold the code as a float.
    let code = if word < 1 << 16 { word as usize } else { f32::from_bits(word) as usize };
    Some(codes.get(code).map_or_else(|| format!("a value {word:#x}"), |name| format!("{name}[..]")))
}
