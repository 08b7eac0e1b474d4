//! An opened device with its queue, limits, pipelines and faults.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::adapter::{AdapterEntry, title};
use super::faults::{CREATION, Errors, Faults};
use super::pipeline::Pipeline;
use super::poller::{Answer, Poller};
use super::progress::Progress;
use super::trust::Trust;
use crate::engine::options::OpenOptions;
use crate::engine::wait::lock;
use crate::error::{Error, Result};
use crate::kernel::uniforms::Step;
use crate::kernel::{Kernel, Overrides};
use crate::plan::MAX_SEGMENT_STEPS;
use crate::plan::limits::Limits;

/// Bytes from one uniform to the next in a buffer. No adapter requires a larger offset alignment:
/// this is WebGPU's default for `minUniformBufferOffsetAlignment`.
pub(super) const UNIFORM_STRIDE: u64 = 256;

/// The key of a pipeline in the cache.
type PipelineKey = (Kernel, Overrides);

/// A wgpu device with the resources that all recordings on it share.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: Limits,
    /// Whether shaders can widen f16 to f32: WebGPU guarantees it, old OpenGL lacks it.
    unpacks_halves: bool,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    /// One [`Step`] every [`UNIFORM_STRIDE`] bytes.
    pub(super) steps: wgpu::Buffer,
    faults: Arc<Faults>,
    poller: Arc<Poller>,
    timestamps: bool,
    /// Whether shaders have wgpu's run-time checks.
    runtime_checks: bool,
    made: Arc<AtomicU64>,
    trust: Arc<Trust>,
}

/// The features that this crate uses where an adapter has them: a clock, and what workgroups that
/// exchange states need.
const FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SUBGROUP).union(VOLATILE);

/// The features with which shaders may declare memory as coherent and volatile.
pub(crate) const VOLATILE: wgpu::Features =
    wgpu::Features::MEMORY_DECORATION_COHERENT.union(wgpu::Features::MEMORY_DECORATION_VOLATILE);

/// Returns a device descriptor with the adapter's limits, and with those of its features that this
/// crate uses.
pub(crate) fn descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    wgpu::DeviceDescriptor {
        label: Some("wgpu-rnn"),
        required_features: adapter.features() & FEATURES,
        required_limits: adapter.limits(),
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
        memory_hints: wgpu::MemoryHints::Performance,
        trace: wgpu::Trace::Off,
    }
}

impl Gpu {
    /// Opens `entry` with the adapter's own limits. With [`OpenOptions::timestamps`] runs are timed
    /// if the adapter has a clock for it.
    ///
    /// # Errors
    /// [`Error::RequestDevice`] when the driver refuses a device; [`Error::Limit`] when the device
    /// cannot hold the step table; the errors of the device.
    pub async fn open(entry: &AdapterEntry, options: &OpenOptions) -> Result<Self> {
        let mut descriptor = descriptor(&entry.adapter);
        if !options.timestamps {
            descriptor.required_features.remove(wgpu::Features::TIMESTAMP_QUERY);
        }
        let requested = entry.adapter.request_device(&descriptor).await;
        let (device, queue) =
            requested.map_err(|source| Error::RequestDevice { adapter: entry.title(), source })?;
        let faults = Faults::new(entry.title());
        faults.watch(&device);
        Self::new(device, queue, faults, entry.info.clone(), options)
    }

    /// Uses a device that the program opened, and leaves its callbacks alone.
    ///
    /// # Errors
    /// [`Error::Limit`] when the device cannot hold the step table; the errors of the device.
    pub fn adopt(device: wgpu::Device, queue: wgpu::Queue, options: &OpenOptions) -> Result<Self> {
        let info = device.adapter_info();
        let faults = Faults::new(title(&info));
        if cfg!(target_arch = "wasm32") {
            // Natively there is one callback, the program's.
            faults.watch_loss(&device);
        }
        Self::new(device, queue, faults, info, options)
    }

    fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        faults: Arc<Faults>,
        info: wgpu::AdapterInfo,
        options: &OpenOptions,
    ) -> Result<Self> {
        faults.ask(&device)?;
        let software = info.device_type == wgpu::DeviceType::Cpu;
        Ok(Self {
            limits: Limits::of(&device.limits(), software),
            unpacks_halves: unpacks_halves(&device, &faults)?,
            pipelines: Mutex::default(),
            steps: step_table(&device, &queue, &faults)?,
            timestamps: options.timestamps
                && device.features().contains(wgpu::Features::TIMESTAMP_QUERY),
            // Browsers check in any case.
            runtime_checks: options.runtime_checks || info.backend == wgpu::Backend::BrowserWebGpu,
            poller: Arc::new(Poller::new(options.polling, &device, &queue, &faults)),
            made: Arc::default(),
            trust: Arc::new(Trust::new(software)),
            info,
            faults,
            device,
            queue,
        })
    }

    /// Returns the same device with other limits for plans.
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
            poller: Arc::clone(&self.poller),
            made: Arc::clone(&self.made),
            trust: Arc::clone(&self.trust),
            timestamps: self.timestamps,
            runtime_checks: self.runtime_checks,
        }
    }

    /// The wgpu device; a clone is the same device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The device's queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
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

    /// Whether workgroups of this device may wait for each other, for all plans on it.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether runs are timed by the device's own clock.
    pub fn timestamps(&self) -> bool {
        self.timestamps
    }

    /// Whether shaders have wgpu's run-time checks.
    pub fn runtime_checks(&self) -> bool {
        self.runtime_checks
    }

    /// The number of buffers, bind groups and pipelines made so far. A call that reuses a plan
    /// makes none.
    pub fn resources_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Counts one more buffer, bind group or pipeline.
    pub(super) fn note_made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the pipeline of a kernel with override values, built on first use.
    pub(super) fn pipeline(&self, kernel: Kernel, overrides: &Overrides) -> Result<Arc<Pipeline>> {
        let key = (kernel, *overrides);
        if let Some(found) = lock(&self.pipelines).get(&key) {
            return Ok(Arc::clone(found));
        }
        self.note_made();
        // Built outside the lock: a driver may take long, and building a pipeline twice is
        // harmless.
        let built = Arc::new(self.scoped("building a pipeline", || {
            Pipeline::new(&self.device, kernel, overrides, self.runtime_checks)
        })?);
        Ok(Arc::clone(lock(&self.pipelines).entry(key).or_insert(built)))
    }

    /// Creates a storage buffer that the host can write and read back by copies.
    pub(super) fn storage(&self, label: &str, size: u64) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        self.buffer(label, size, usage)
    }

    /// Creates a buffer. An error names the buffer and its size.
    pub(super) fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        self.note_made();
        self.scoped(&format!("creating the buffer '{label}' of {size} bytes"), || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// Creates a buffer that holds `words` from the next submission on.
    pub(crate) fn filled(
        &self,
        label: &str,
        usage: wgpu::BufferUsages,
        words: &[u32],
    ) -> Result<wgpu::Buffer> {
        let buffer =
            self.buffer(label, size_of_val(words) as u64, usage | wgpu::BufferUsages::COPY_DST)?;
        self.scoped("uploading", || {
            self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words))
        })?;
        Ok(buffer)
    }

    /// Probes the device and returns whether it is lost.
    pub fn is_lost(&self) -> bool {
        self.faults.is_lost(&self.device)
    }

    /// Probes the device.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for a lost device.
    pub(crate) fn ask(&self) -> Result<()> {
        self.faults.ask(&self.device)
    }

    /// Runs `work`, which creates something, and returns an error that wgpu reports during it.
    /// `doing` names the work in messages.
    pub(super) fn scoped<T>(&self, doing: &str, work: impl FnOnce() -> T) -> Result<T> {
        self.scoped_for(CREATION, doing, work)
    }

    /// Runs `work` as [`scoped`](Self::scoped) does. It meets no other errors than `errors`.
    pub(super) fn scoped_for<T>(
        &self,
        errors: Errors,
        doing: &str,
        work: impl FnOnce() -> T,
    ) -> Result<T> {
        self.faults.scoped(&self.device, errors, doing, work)
    }

    /// The error of a failed read-back: the loss of the device, or `message`.
    pub(super) fn explain(&self, message: String) -> Error {
        match self.faults.ask(&self.device) {
            Err(known) => known,
            Ok(()) => self.faults.refused(message),
        }
    }

    /// Polls the device and reports its faults.
    pub(super) fn poll(&self, how: wgpu::PollType) -> Result<()> {
        let polled = self.faults.poll(&self.device, &self.queue, how);
        self.faults.check()?;
        polled
    }

    /// Waits until every fault that has happened is known.
    pub(super) async fn settle(&self) {
        self.faults.settle(&self.device).await;
    }

    /// Returns the faults that were reported meanwhile.
    ///
    /// # Errors
    /// The errors of the device.
    pub(super) fn check(&self) -> Result<()> {
        self.faults.check()
    }

    /// Lets the poller poll the device until `progress` is done.
    pub(super) fn watch(&self, progress: &Arc<Progress>) {
        self.poller.watch(progress);
    }

    /// An answer that the device owes to `progress`.
    pub(super) fn answer(&self, progress: &Arc<Progress>) -> Answer {
        Answer::new(progress, self.poller.watched())
    }
}

/// Probes whether shaders can widen f16 to f32, by making a shader module: wgpu reports this for
/// adapters, not for devices.
fn unpacks_halves(device: &wgpu::Device, faults: &Arc<Faults>) -> Result<bool> {
    let text = "@compute @workgroup_size(1) fn main() { _ = unpack2x16float(0u); }";
    let create = || {
        device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("unpack2x16float probe"),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        })
    };
    match faults.scoped(device, CREATION, "probing unpack2x16float", create) {
        Ok(_) => Ok(true),
        Err(Error::Gpu { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Creates the step table: one [`Step`] every [`UNIFORM_STRIDE`] bytes.
fn step_table(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    faults: &Arc<Faults>,
) -> Result<wgpu::Buffer> {
    let (size, allowed) =
        (MAX_SEGMENT_STEPS as u64 * UNIFORM_STRIDE, device.limits().max_buffer_size);
    if size > allowed {
        return Err(Error::Limit {
            limit: "max_buffer_size",
            what: "the step table of a device".to_owned(),
            needed: size,
            allowed,
            advice: "request a higher limit, or use another device or the CPU",
        });
    }
    faults.scoped(device, CREATION, "creating the step table", || {
        let steps = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("steps"),
            size,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut table = vec![0_u8; size as usize];
        for (index, entry) in table.chunks_exact_mut(UNIFORM_STRIDE as usize).enumerate() {
            let step = Step { index: index as u32, pad: [0; 3] };
            entry[..size_of::<Step>()].copy_from_slice(bytemuck::bytes_of(&step));
        }
        queue.write_buffer(&steps, 0, &table);
        steps
    })
}
