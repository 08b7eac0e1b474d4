//! Recordings of a few dispatches, made by hand and run on any device.

use std::sync::Arc;

use libtest_mimic::Failed;
use wgpu_rnn::internals::engine::session::{Session, Weights};
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Family, Kernel, Overrides};
use wgpu_rnn::internals::plan::check_kernel;
use wgpu_rnn::internals::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};
use wgpu_rnn::{Device, WeightType};

use crate::bits::difference;
use crate::ensure;

/// A recording and the initial contents of its buffers.
#[derive(Default)]
pub struct ByHand {
    recording: Recording,
    contents: Vec<Vec<f32>>,
}

impl ByHand {
    /// Adds a buffer that holds `values` before the run.
    pub fn buffer(&mut self, values: impl Into<Vec<f32>>) -> BufferId {
        let values = values.into();
        let axes = vec![(Axis::Feature, values.len())];
        self.contents.push(values);
        self.recording.buffer(BufferSpec { label: "by hand".to_owned(), axes, role: Role::State })
    }

    /// Adds a buffer of integers.
    pub fn words(&mut self, values: &[u32]) -> BufferId {
        self.buffer(from_words(values))
    }

    /// Adds a dispatch of `workgroups` workgroups, once for each of `steps`.
    pub fn dispatch(
        &mut self,
        (family, overrides): (Family, Overrides),
        dims: Dims,
        bindings: &[BufferId],
        workgroups: [u32; 3],
        steps: u32,
    ) {
        let dispatch = Dispatch {
            kernel: Kernel::new(family, WeightType::F32),
            place: Place::default(),
            overrides,
            dims,
            bindings: bindings.to_vec(),
            workgroups,
            in_place: false,
        };
        let by_parity = [vec![dispatch.clone()], vec![dispatch]];
        self.recording.commands.push(Command::Steps { count: steps, first_step: 0, by_parity });
    }

    /// Returns the contents of `results` after a run on `device`.
    pub fn run<const N: usize>(
        &self,
        device: &Device,
        results: [BufferId; N],
    ) -> Result<[Vec<f32>; N], Failed> {
        for command in &self.recording.commands {
            for dispatch in command.dispatches(0) {
                check_kernel(
                    dispatch.kernel,
                    &dispatch.overrides,
                    &dispatch.dims,
                    device.limits(),
                )?;
            }
        }
        let weights = Weights::load(device.engine(), &[], |_| Vec::new())?;
        let mut session = Session::new(Arc::new(self.recording.clone()), &weights)?;
        for (id, values) in (0..).map(BufferId).zip(&self.contents) {
            session.write(id, values)?;
        }
        session
            .run(&results, &[])?
            .try_into()
            .map_err(|_| Failed::from("one result for each requested buffer"))
    }
}

/// Returns words as the floats that buffers of both engines hold.
pub fn from_words(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&word| f32::from_bits(word)).collect()
}

/// Returns the words of a buffer.
pub fn to_words(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Fails with the first value whose bits differ. NaN equals any NaN.
pub fn same_bits(what: &str, got: &[f32], want: &[f32]) -> Result<(), Failed> {
    ensure(
        got.len() == want.len() && !got.is_empty(),
        format!("{what}: {} values of {}", got.len(), want.len()),
    )?;
    difference(got, want)
        .map_or(Ok(()), |difference| Err(Failed::from(format!("{what}: {difference}"))))
}

/// Fails with the first value that differs by more than `tolerance`, relative to values above 1.
pub fn close(what: &str, got: &[f32], want: &[f64], tolerance: f64) -> Result<(), Failed> {
    ensure(
        got.len() == want.len() && !got.is_empty(),
        format!("{what}: {} values of {}", got.len(), want.len()),
    )?;
    let near = |(&g, &w): (&f32, &f64)| {
        let difference = (f64::from(g) - w).abs();
        difference <= tolerance * w.abs().max(1.0) || (g.is_nan() && w.is_nan())
    };
    match got.iter().zip(want).position(|pair| !near(pair)) {
        None => Ok(()),
        Some(at) => {
            Err(Failed::from(format!("{what}: at {at} got {:e}, want {:e}", got[at], want[at])))
        }
    }
}

/// Fails unless `count` of `draws` matches probability `p` within four standard deviations.
pub fn as_often_as(what: &str, count: usize, draws: usize, p: f64) -> Result<(), Failed> {
    let (mean, deviation) = (draws as f64 * p, (draws as f64 * p * (1.0 - p)).sqrt());
    let off = (count as f64 - mean).abs();
    ensure(
        off <= 4.0 * deviation,
        format!("{what}: {count} of {draws}, want {mean:.1} ± 4 · {deviation:.1}"),
    )
}

/// Asserts that the comparisons of this file refuse wrong values.
pub fn comparisons_can_fail() -> Result<(), Failed> {
    let accepts = |verdict: Result<(), Failed>| verdict.is_ok();
    let bits = |got: &[f32]| accepts(same_bits("", got, &[1.0, f32::NAN, 0.0]));
    ensure(bits(&[1.0, -f32::NAN, 0.0]), "equal values are accepted")?;
    for wrong in [
        &[1.000_000_1, f32::NAN, 0.0][..],
        &[1.0, 1.0, 0.0],
        &[1.0, f32::NAN, -0.0],
        &[1.0, f32::NAN],
        &[],
    ] {
        ensure(!bits(wrong), format!("{wrong:?} has other bits"))?;
    }
    let near = |got: &[f32]| accepts(close("", got, &[0.5, 100.0, f64::NAN], 1e-6));
    ensure(near(&[0.500_000_9, 100.000_09, f32::NAN]), "values within the tolerance are accepted")?;
    for wrong in [
        [0.500_002, 100.0, f32::NAN],
        [0.5, 100.000_2, f32::NAN],
        [0.5, f32::NAN, f32::NAN],
        [0.5, 100.0, 0.0],
    ] {
        ensure(!near(&wrong), format!("{wrong:?} is too far off"))?;
    }
    // 100 draws at one half: the deviation is 5.
    ensure(
        accepts(as_often_as("", 70, 100, 0.5)) && accepts(as_often_as("", 30, 100, 0.5)),
        "4 deviations are accepted",
    )?;
    ensure(
        !accepts(as_often_as("", 71, 100, 0.5)) && !accepts(as_often_as("", 29, 100, 0.5)),
        "more deviations are refused",
    )?;
    ensure(
        !accepts(as_often_as("", 1, 100, 0.0)) && !accepts(as_often_as("", 99, 100, 1.0)),
        "impossible counts are refused",
    )
}

/// Runs WGSL on a GPU. Its entry point is `main`; its only binding, 0, holds `values`.
pub fn run_text(
    device: &Device,
    wgsl: &str,
    values: &[f32],
    workgroups: u32,
) -> Result<Vec<f32>, Failed> {
    let (gpu, queue) = device.wgpu().ok_or("WGSL runs on adapters")?;
    let size = size_of_val(values) as u64;
    let buffer = |usage| {
        let (label, mapped_at_creation) = (Some("by hand"), false);
        gpu.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
    };
    let (both, read) = (wgpu::BufferUsages::COPY_SRC, wgpu::BufferUsages::MAP_READ);
    let to = wgpu::BufferUsages::COPY_DST;
    let (storage, staging) = (buffer(wgpu::BufferUsages::STORAGE | both | to), buffer(read | to));
    queue.write_buffer(&storage, 0, bytemuck::cast_slice(values));
    let source = wgpu::ShaderSource::Wgsl(wgsl.into());
    let module = gpu.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("by hand"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let group = gpu.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("by hand"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: storage.as_entire_binding() }],
    });
    let mut encoder = gpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(workgroups, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&storage, 0, &staging, 0, size);
    queue.submit([encoder.finish()]);
    staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    gpu.poll(wgpu::PollType::wait_indefinitely())?;
    let mapped = staging.slice(..).get_mapped_range()?;
    Ok(bytemuck::cast_slice(&mapped).to_vec())
}
