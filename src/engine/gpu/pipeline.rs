//! Pipelines: kernels specialised by override values.

use crate::kernel::{Access, Compiler, Kernel, Overrides};

/// A compute pipeline and the layout of its one bind group.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Builds `kernel` with override values. The caller has checked them against the limits; wgpu
    /// does not. With `checks` the shader has wgpu's run-time checks.
    pub fn new(device: &wgpu::Device, kernel: Kernel, overrides: &Overrides, checks: bool) -> Self {
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
        let module = module(device, kernel, overrides, checks);
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

/// Makes the shader module of a kernel. wgpu validates its text in any case. Without `checks` it
/// adds no code that clamps indices, counts loop iterations or guards divisions. In browsers the
/// checks stay on.
#[allow(unsafe_code, reason = "wgpu offers modules without run-time checks in no other way")]
fn module(
    device: &wgpu::Device,
    kernel: Kernel,
    overrides: &Overrides,
    checks: bool,
) -> wgpu::ShaderModule {
    let name = kernel.name();
    let compiler = match device.adapter_info().backend {
        wgpu::Backend::BrowserWebGpu => Compiler::Browser,
        _ => Compiler::Naga,
    };
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(name.as_str()),
        source: wgpu::ShaderSource::Wgsl(kernel.wgsl(overrides, compiler).into()),
    };
    if checks {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: without checks a shader must stay inside its arrays, end its loops, and divide
    // integers by no 0. The text is always one of this crate's kernels; plans determine its sizes
    // and buffers.
    // * Indices: kernels compare places with the sizes in their dims. Indices from memory (tokens,
    //   targets, lengths) are compared in the kernel; the host checks slots before it writes them.
    //   `tests/planning` compares the sizes of many plans with their buffers.
    //   `indices_stay_in_bounds` in `tests/adapters` tests each index of each kernel as it runs.
    // * Loops count to a size or halve a number. `Limits::max_loop_iterations` bounds them.
    // * Divisors are sizes, counts of tiles, and overrides. The same test finds a 0.
    // CI runs the fixtures on every schedule with checks and without, and
    // `runtime_checks_change_nothing` compares all buffers of both.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}
