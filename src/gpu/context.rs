//! An opened device: queue, limits, pipelines, and what went wrong with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::adapter::{AdapterEntry, title};
use super::pipeline::Pipeline;
use crate::dims::Step;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::limits::Limits;
use crate::plan::{MAX_SEGMENT_STEPS, Tuning};

/// Distance of two uniforms in a buffer; no adapter asks for a larger offset alignment.
pub(super) const UNIFORM_STRIDE: u64 = 256;

/// Override names and values, which with the kernel's name identify a pipeline.
type PipelineKey = (&'static str, Vec<(&'static str, u32)>);

/// A device of wgpu with everything that recordings share on it.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: Limits,
    /// Whether shaders can widen halves, which WebGPU promises and old OpenGL lacks.
    unpacks_halves: bool,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// One [`Step`] every [`UNIFORM_STRIDE`] bytes.
    pub(super) steps: wgpu::Buffer,
    faults: Arc<Faults>,
    timestamps: bool,
}

/// What the callbacks of the device have reported.
#[derive(Debug, Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

/// Nothing here is left half-written by a panic, so that a poisoned lock is as good as another.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens `entry` with all that it offers; with `timestamps` its runs are timed, if it has a clock for that.
    ///
    /// # Errors
    /// [`Error::RequestDevice`] when the driver gives no device.
    pub fn open(entry: &AdapterEntry, timestamps: bool) -> Result<Self> {
        let wanted = if timestamps { wgpu::Features::TIMESTAMP_QUERY } else { wgpu::Features::empty() };
        let features = entry.adapter.features() & wanted;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu-rnn"),
            required_features: features,
            required_limits: entry.adapter.limits(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(entry.adapter.request_device(&descriptor))
            .map_err(|source| Error::RequestDevice { adapter: entry.title(), source })?;
        let faults = Arc::new(Faults::default());
        let reported = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            *lock(&reported.lost) = Some(format!("{reason:?} {message}").trim().to_owned());
        });
        let reported = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&reported.uncaptured).get_or_insert_with(|| error.to_string());
        }));
        let limits = Limits::of(&device.limits(), entry.is_software());
        let steps = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("steps"),
            size: MAX_SEGMENT_STEPS as u64 * UNIFORM_STRIDE,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut table = vec![0_u8; MAX_SEGMENT_STEPS * UNIFORM_STRIDE as usize];
        for (index, entry) in table.chunks_exact_mut(UNIFORM_STRIDE as usize).enumerate() {
            let step = Step { index: index as u32, pad: [0; 3] };
            entry[..size_of::<Step>()].copy_from_slice(bytemuck::bytes_of(&step));
        }
        queue.write_buffer(&steps, 0, &table);
        let info = entry.info.clone();
        let downlevel = entry.adapter.get_downlevel_capabilities().flags;
        let unpacks_halves = downlevel.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32);
        Ok(Self {
            device,
            queue,
            info,
            limits,
            unpacks_halves,
            pipelines: Mutex::default(),
            steps,
            faults,
            timestamps: !features.is_empty(),
        })
    }

    /// The same device, whose plans obey other limits.
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
        Self {
            device: self.device.clone(),
            queue: self.queue.clone(),
            info: self.info.clone(),
            limits,
            unpacks_halves: self.unpacks_halves,
            pipelines: Mutex::new(lock(&self.pipelines).clone()),
            steps: self.steps.clone(),
            faults: Arc::clone(&self.faults),
            timestamps: self.timestamps,
        }
    }

    /// Whether kernels can read weights that are stored as f16.
    pub fn unpacks_halves(&self) -> bool {
        self.unpacks_halves
    }

    /// Name, backend, driver and type of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// `name (backend, driver)`.
    pub fn title(&self) -> String {
        title(&self.info)
    }

    /// The limits that plans for this device obey.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How kernels are laid out for this adapter.
    pub fn tuning(&self) -> Tuning {
        Tuning { row_per_invocation: self.info.device_type == wgpu::DeviceType::Cpu, host: false }
    }

    /// Whether runs are timed by the device's own clock.
    pub fn timestamps(&self) -> bool {
        self.timestamps
    }

    /// The pipeline of a kernel with override values, built on first use.
    pub(super) fn pipeline(&self, kernel: &'static Kernel, overrides: &[(&'static str, u32)]) -> Result<Arc<Pipeline>> {
        let key = (kernel.name, overrides.to_vec());
        if let Some(found) = lock(&self.pipelines).get(&key) {
            return Ok(Arc::clone(found));
        }
        // Built outside the lock: drivers take long, and two builders of the same pipeline do no harm.
        let built = Arc::new(self.scoped("building a pipeline", || Pipeline::new(&self.device, kernel, overrides))?);
        Ok(Arc::clone(lock(&self.pipelines).entry(key).or_insert(built)))
    }

    /// A storage buffer that the host can write and read back by copies.
    pub(super) fn storage(&self, label: &str, size: u64) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffer(label, size, usage)
    }

    /// A buffer, or the reason why there is none.
    pub(super) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.scoped(&format!("creating the buffer '{label}' of {size} bytes"), || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// Runs `work` and turns what wgpu reports meanwhile into an error.
    pub(super) fn scoped<T>(&self, doing: &str, work: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let value = work();
        // Popping takes effect at the call, innermost first; waiting comes after.
        let (memory, internal, validation) = (memory.pop(), internal.pop(), validation.pop());
        let error = pollster::block_on(async {
            match (memory.await, internal.await, validation.await) {
                (Some(error), _, _) | (None, Some(error), _) | (None, None, Some(error)) => Some(error),
                (None, None, None) => None,
            }
        });
        self.check()?;
        match error {
            None => Ok(value),
            Some(wgpu::Error::OutOfMemory { .. }) => {
                Err(Error::OutOfMemory { adapter: self.title(), doing: doing.to_owned() })
            }
            Some(error) => Err(Error::Gpu { adapter: self.title(), message: format!("{doing}: {error}") }),
        }
    }

    /// Whether the device is still there and has reported nothing.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(reason) = lock(&self.faults.lost).clone() {
            return Err(Error::DeviceLost { adapter: self.title(), reason });
        }
        match lock(&self.faults.uncaptured).take() {
            Some(message) => Err(Error::Gpu { adapter: self.title(), message }),
            None => Ok(()),
        }
    }

    /// Waits until everything submitted is done.
    pub(super) fn wait(&self) -> Result<()> {
        let result = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        result.map(|_| ()).map_err(|error| Error::Gpu { adapter: self.title(), message: error.to_string() })
    }
}
