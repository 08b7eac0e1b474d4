//! Pipelines: kernels specialised by override values.

use crate::kernel::{Access, Kernel, Overrides};

/// A compute pipeline and the layout of its one bind group.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Builds `kernel` with override values. The caller has checked them against the limits; wgpu
    /// does not.
    pub fn new(device: &wgpu::Device, kernel: Kernel, overrides: &Overrides) -> Self {
        let name = kernel.name();
        let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, false)];
        if kernel.row().stepped {
            entries.push(entry(1, wgpu::BufferBindingType::Uniform, true));
        }
        entries.extend(kernel.bindings().map(|binding| {
            let read_only = binding.access == Access::Read;
            entry(binding.index, wgpu::BufferBindingType::Storage { read_only }, false)
        }));
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name.as_str()),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name.as_str()),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name.as_str()),
            source: wgpu::ShaderSource::Wgsl(kernel.wgsl().into()),
        });
        let constants: Vec<(&str, f64)> =
            kernel.overrides().map(|o| (o.name, f64::from((o.get)(overrides)))).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name.as_str()),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(kernel.row().entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Self { pipeline, layout }
    }
}
