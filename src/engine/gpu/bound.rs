//! Dispatches with their pipelines and bind groups.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::{Gpu, UNIFORM_STRIDE};
use super::pipeline::Pipeline;
use crate::error::Result;
use crate::kernel::uniforms::Step;
use crate::plan::recording::{BufferId, Dispatch, Recording};

/// A dispatch with its pipeline and bind group.
#[derive(Debug)]
pub(crate) struct BoundDispatch {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
    stepped: bool,
    in_place: bool,
    work: u64,
}

impl BoundDispatch {
    /// Binds the buffers of `dispatch` to the resources that `resource` returns, and its dims to an
    /// offset of a uniform buffer.
    pub fn new<'a>(
        gpu: &Gpu,
        dispatch: &Dispatch,
        resource: impl Fn(BufferId) -> wgpu::BufferBinding<'a>,
        (uniform, offset): (&wgpu::Buffer, u64),
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
        if dispatch.kernel.row().stepped {
            entries.push(uniform_at(1, &gpu.steps, 0, size_of::<Step>()));
        }
        entries.extend(dispatch.kernel.bindings().zip(&dispatch.bindings).map(|(binding, id)| {
            wgpu::BindGroupEntry {
                binding: binding.index,
                resource: wgpu::BindingResource::Buffer(resource(*id)),
            }
        }));
        gpu.note_made();
        let group = gpu.scoped("binding buffers", || {
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&dispatch.kernel.name()),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        Ok(Self {
            pipeline,
            group,
            workgroups: dispatch.workgroups,
            stepped: dispatch.kernel.row().stepped,
            in_place: dispatch.in_place,
            work: dispatch.work(),
        })
    }

    /// The work of the dispatch, as `max_work_per_submission` counts it.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Encodes the dispatch for step `index` of its command. `last` is the dispatch before it in
    /// the pass, if the caller knows it. One with the same pipeline leaves it set.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, index: u32, last: Option<&Self>) {
        if !last.is_some_and(|last| Arc::ptr_eq(&last.pipeline, &self.pipeline)) {
            pass.set_pipeline(&self.pipeline.pipeline);
        }
        let index = if self.in_place { 0 } else { index };
        let offset = [index * UNIFORM_STRIDE as u32];
        pass.set_bind_group(0, &self.group, if self.stepped { &offset } else { &[] });
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The dims of all dispatches, for one buffer; equal dims are stored once.
#[derive(Debug, Default)]
pub(super) struct Uniforms {
    offsets: HashMap<Vec<u8>, u64>,
    data: Vec<u8>,
}

impl Uniforms {
    /// The dims of all dispatches of a recording.
    pub fn of(recording: &Recording) -> Self {
        let mut uniforms = Self::default();
        for command in &recording.commands {
            let parities = 0..command.count().min(2);
            let dispatches = parities.flat_map(|parity| command.dispatches(parity));
            dispatches.for_each(|dispatch| _ = uniforms.add(dispatch));
        }
        uniforms
    }

    /// Adds the dims of a dispatch and returns their offset in bytes.
    pub fn add(&mut self, dispatch: &Dispatch) -> u64 {
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

    /// Creates the buffer and uploads all dims.
    pub fn upload(&self, gpu: &Gpu) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("dims", self.data.len() as u64, usage)?;
        gpu.scoped("uploading dims", || gpu.queue.write_buffer(&buffer, 0, &self.data))?;
        Ok(buffer)
    }
}
