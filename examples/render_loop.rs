//! An application with its own device, whose particles each have a GRU.
//!
//! `cargo run --release --example render_loop`
//!
//! Every frame is one submission of three compute passes. The application's particles sense their
//! surroundings. The GRU reads the senses from the particles' records and updates its state. The
//! application then paints each particle by its GRU's output. Nothing waits and nothing goes
//! through the host. At the end, the example compares the last frame with the CPU's.

use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::pass::{PassBindings, TensorBinding};
use wgpu_rnn::wgpu::{self, BufferUsages};
use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PARTICLES: usize = 100;
/// Senses of a particle: features of the GRU's input.
const SENSES: usize = 3;
const UNITS: usize = 8;
const FRAMES: u32 = 60;

/// The application's own shaders.
const SHADERS: &str = "
struct Particle {
    sense: vec3<f32>,
    colour: u32,
}

@group(0) @binding(0) var<uniform> frame: vec4<u32>;
@group(0) @binding(1) var<storage, read_write> particles: array<Particle>;
@group(0) @binding(2) var<storage, read_write> hidden: array<array<f32, 8>>;   // the GRU's output

@compute @workgroup_size(64)
fn sense(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&particles) {
        let seen = (vec3<u32>(3u, 5u, 7u) * frame.x + id.x) % vec3<u32>(64u);
        particles[id.x].sense = vec3<f32>(seen) / 32.0 - 1.0;
    }
}

@compute @workgroup_size(64)
fn paint(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&particles) {
        let h = hidden[id.x];
        particles[id.x].colour = pack4x8snorm(vec4<f32>(h[0], h[1], h[2], h[7]));
    }
}
";

/// Bytes of a `Particle`. Its stride, below, is in values.
const PARTICLE: usize = 16;
const STRIDE: usize = PARTICLE / 4;

/// Computes the senses of `sense` on the host.
fn sensed(frame: u32) -> Vec<f32> {
    let seen = |i: usize, k: u32| ((k * frame + i as u32) % 64) as f32 / 32.0 - 1.0;
    (0..PARTICLES).flat_map(|i| [3, 5, 7].map(|k| seen(i, k))).collect()
}

/// Runs the application on an adapter. Returns the GRU's output of the last frame and the colours
/// painted from it.
fn run(adapter: &wgpu::Adapter, params: &Params) -> Result<(Vec<f32>, Vec<u32>)> {
    // The application's device. Any descriptor works; this one also requests the adapter's limits.
    let (device, queue) = pollster::block_on(adapter.request_device(&Device::descriptor(adapter)))?;

    let buffer = |label, size: usize, usage| {
        let size = size as u64;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let frame = buffer("frame", 16, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
    let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let particles = buffer("particles", PARTICLES * PARTICLE, storage);
    let hidden = buffer("hidden", PARTICLES * UNITS * 4, storage);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("particles"),
        source: wgpu::ShaderSource::Wgsl(SHADERS.into()),
    });
    let stage = |entry| Stage::new(&device, &module, entry, [&frame, &particles, &hidden]);
    let (sense, paint) = (stage("sense"), stage("paint"));

    // The GRU on that device: one step of all particles, read from their records. Its output is
    // also its state, which stays in `hidden` from frame to frame. A new wgpu buffer holds zeros.
    let rnn = Rnn::new(
        &Device::from_wgpu(device.clone(), queue.clone(), &OpenOptions::default())?,
        params,
    )?;
    let senses = TensorBinding::from(&particles).strides([0, STRIDE, 1]);
    let think =
        rnn.recorder(1, PARTICLES)?.bind(&PassBindings::new(senses).h_0(&hidden).h_n(&hidden))?;

    for n in 0..FRAMES {
        queue.write_buffer(&frame, 0, bytemuck::bytes_of(&[n, 0, 0, 0]));
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        sense.record(&mut encoder);
        think.record(&mut encoder)?;
        paint.record(&mut encoder);
        queue.submit([encoder.finish()]);
        // An application that draws would present here.
    }

    let read = |from: &wgpu::Buffer| -> Result<Vec<u32>> {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let staging = buffer("read-back", from.size() as usize, usage);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(from, 0, &staging, 0, None);
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., |_| {});
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let words = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?);
        Ok(words)
    };
    let output = read(&hidden)?.into_iter().map(f32::from_bits).collect();
    let colours = read(&particles)?.into_iter().skip(STRIDE - 1).step_by(STRIDE).collect();
    Ok((output, colours))
}

/// A compute pass of the application.
struct Stage {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
}

impl Stage {
    fn new(
        device: &wgpu::Device,
        module: &wgpu::ShaderModule,
        entry: &str,
        buffers: [&wgpu::Buffer; 3],
    ) -> Self {
        let kinds = [
            wgpu::BufferBindingType::Uniform,
            wgpu::BufferBindingType::Storage { read_only: false },
            wgpu::BufferBindingType::Storage { read_only: false },
        ];
        let entries: Vec<_> = (0..)
            .zip(kinds)
            .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&pipeline_layout),
            module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &entries,
        });
        Self { pipeline, group }
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(PARTICLES.div_ceil(64) as u32, 1, 1);
    }
}

/// Runs the application on an adapter and returns the largest difference from the CPU's last frame.
pub(crate) fn compare(adapter: &wgpu::Adapter) -> Result<f32> {
    // The values of torch.manual_seed(0); nn.GRU(3, 8).
    let params = Params::init(&Config::gru(SENSES, UNITS), 0)?;
    let (output, colours) = run(adapter, &params)?;

    let senses: Vec<f32> = (0..FRAMES).flat_map(sensed).collect();
    let input = Tensor::new([FRAMES as usize, PARTICLES, SENSES], senses)?;
    let (_, state) = Rnn::new(&Device::cpu(), &params)?.forward(&input, None)?;
    let off =
        output.iter().zip(state.h.data()).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-5, "the GRU's state is off by {off}");
    assert!(state.h.data().iter().any(|h| h.abs() > 0.1), "the particles think of something");

    // Packed like pack4x8snorm: the colours come from the output of the same frame.
    let painted =
        |h: &[f32]| [h[0], h[1], h[2], h[7]].map(|v| (0.5 + 127.0 * v).floor() as i8 as u8);
    for (i, (colour, h)) in colours.iter().zip(output.chunks_exact(UNITS)).enumerate() {
        let near = |(got, want): (u8, u8)| (got as i8).abs_diff(want as i8) <= 1;
        let agree = colour.to_le_bytes().into_iter().zip(painted(h)).all(near);
        assert!(agree, "particle {i} is painted {colour:08x} by {h:?}");
    }
    Ok(off)
}

fn main() -> Result<()> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    }))?;
    let off = compare(&adapter)?;
    println!(
        "{}: {FRAMES} frames of {PARTICLES} particles, the last within {off:e} of the CPU's",
        adapter.get_info().name
    );
    Ok(())
}
