//! The device that a model runs on: a GPU through wgpu, or this machine's CPU.

use std::sync::Arc;

use crate::dtype::WeightType;
use crate::engine::gpu::{AdapterEntry, Gpu};
use crate::engine::options::OpenOptions;
use crate::engine::session::EngineRef;
use crate::engine::wait::{self, Waiting};
use crate::engine::{cpu, gpu, residence, self_test};
use crate::error::{Error, Result};
use crate::perf::calibration::{Calibration, DeviceId};
use crate::plan::limits::Limits;
use crate::plan::{Exchange, Profile, Storage, Target};

/// A device that models can be loaded onto. Clones share it.
///
/// ```no_run
/// # fn main() -> wgpu_rnn::Result<()> {
/// let device = wgpu_rnn::Device::open("auto")?;
/// println!("{device}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Device {
    inner: Inner,
    calibration: Arc<Calibration>,
}

#[derive(Debug, Clone)]
enum Inner {
    Cpu(Arc<Host>),
    Gpu(Arc<Gpu>),
}

/// This machine's CPU.
#[derive(Debug)]
struct Host {
    limits: Limits,
    threads: cpu::Threads,
}

impl Inner {
    fn id(&self) -> DeviceId {
        match self {
            Self::Cpu(_) => cpu::id(),
            Self::Gpu(gpu) => gpu::id(gpu.info()),
        }
    }
}

impl Device {
    /// Returns this machine's CPU as a device.
    pub fn cpu() -> Self {
        let host = Host { limits: Limits::host(), threads: cpu::Threads::default() };
        Self::of(Inner::Cpu(Arc::new(host)), None)
    }

    /// Returns this machine's CPU as a device, with lowered limits and a bound on its threads.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for an unknown limit; [`Error::Option`] for zero or a value above the
    /// device's, and for zero threads. [`Error::Unsupported`] when the system refuses a thread.
    pub fn cpu_with(options: &OpenOptions) -> Result<Self> {
        let mut limits = Limits::host();
        options.lower(&mut limits)?;
        let threads = options.threads.map_or_else(|| Ok(<_>::default()), cpu::Threads::at_most)?;
        let host = Host { limits, threads };
        Ok(Self::of(Inner::Cpu(Arc::new(host)), options.calibration.as_ref()))
    }

    /// Opens an adapter that [`gpu::adapters`] lists.
    ///
    /// # Errors
    /// The errors of [`open_with`](Self::open_with), except [`Error::NoAdapter`].
    pub fn from_adapter(entry: &AdapterEntry, options: &OpenOptions) -> Result<Self> {
        pollster::block_on(Self::open_adapter(entry, options, wait::blocking(true)?))
    }

    /// The asynchronous form of [`from_adapter`](Self::from_adapter).
    ///
    /// # Errors
    /// The errors of [`from_adapter`](Self::from_adapter).
    pub async fn from_adapter_async(entry: &AdapterEntry, options: &OpenOptions) -> Result<Self> {
        Self::open_adapter(entry, options, Waiting::Await).await
    }

    async fn open_adapter(
        entry: &AdapterEntry,
        options: &OpenOptions,
        waiting: Waiting,
    ) -> Result<Self> {
        Self::from_gpu(Gpu::open(entry, options).await?, options, waiting).await
    }

    /// Runs models on a device that the program opened; `queue` is the queue of that device.
    ///
    /// The device stays the program's: this crate replaces none of its callbacks. A call that meets
    /// a fault returns it as an error. Plans obey the limits that the device was opened with.
    /// WebGPU's default limits suffice; those of [`descriptor`](Self::descriptor) let larger models
    /// run in fewer pieces.
    ///
    /// The self-test, unless [skipped](OpenOptions::skip_self_test), submits a small network and
    /// waits for it. So does the probe for the schedule [`persistent`](OpenOptions::persistent).
    /// Callbacks of the program may run during these waits.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let adapter = wgpu_rnn::device::adapters().remove(0).adapter;
    /// use wgpu_rnn::{Device, device::OpenOptions};
    /// let descriptor = Device::descriptor(&adapter);
    /// let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    /// let device = Device::from_wgpu(device, queue, &OpenOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::SelfTest`] when the device computes wrong numbers. [`Error::UnknownName`] for an
    /// unknown limit; [`Error::Option`] for zero or a value above the device's.
    /// [`Error::DeviceLost`] and the other errors of the device.
    ///
    /// # Panics
    /// When `queue` belongs to another device: wgpu offers no way to check that.
    pub fn from_wgpu(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &OpenOptions,
    ) -> Result<Self> {
        pollster::block_on(Self::adopt(device, queue, options, wait::blocking(true)?))
    }

    /// The asynchronous form of [`from_wgpu`](Self::from_wgpu).
    ///
    /// # Errors
    /// The errors of [`from_wgpu`](Self::from_wgpu).
    ///
    /// # Panics
    /// When `queue` belongs to another device.
    pub async fn from_wgpu_async(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &OpenOptions,
    ) -> Result<Self> {
        Self::adopt(device, queue, options, Waiting::Await).await
    }

    async fn adopt(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &OpenOptions,
        waiting: Waiting,
    ) -> Result<Self> {
        Self::from_gpu(Gpu::adopt(device, queue, options)?, options, waiting).await
    }

    /// Returns a descriptor for a program that opens the device itself.
    ///
    /// The descriptor asks for the adapter's limits and for the features that this crate uses:
    /// `timestamp-query`, for [`OpenOptions::timestamps`]; subgroups and decorations of memory, for
    /// the schedule `persistent`. All of them are optional.
    ///
    /// The program adds its own needs, for example with `required_features |= ..`.
    pub fn descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        gpu::descriptor(adapter)
    }

    async fn from_gpu(gpu: Gpu, options: &OpenOptions, waiting: Waiting) -> Result<Self> {
        let gpu = Arc::new(gpu);
        let whole = Self::of(Inner::Gpu(Arc::clone(&gpu)), options.calibration.as_ref());
        let mut limits = gpu.limits().clone();
        options.lower(&mut limits)?;
        if !options.limits.iter().any(|(name, _)| name == "max_work_per_submission") {
            limits.slow_down(whole.calibration().slowest_multiply_adds_per_us());
        }
        let lowered = Inner::Gpu(Arc::new(gpu.with_limits(limits)));
        if options.self_test {
            // Run under the adapter's own limits: lowered ones may be too low for the self-test.
            self_test::run(whole.engine(), &whole.profile(), waiting).await?;
        }
        gpu.trust().set_exchange(residence::exchange(&gpu, options, waiting).await);
        if options.self_test {
            whole.test_exchange(waiting).await;
        }
        Ok(Self { inner: lowered, ..whole })
    }

    /// Tests the schedule `persistent` where workgroups wait for each other. A device that fails
    /// refuses the schedule, and runs the others.
    async fn test_exchange(&self, waiting: Waiting) {
        let (Inner::Gpu(gpu), profile) = (&self.inner, self.profile()) else { return };
        if !matches!(profile.exchange, Exchange::Resident(_)) {
            return;
        }
        if let Err(error) = self_test::run_persistent(self.engine(), &profile, waiting).await {
            log::warn!("{}: the schedule persistent fails its self-test: {error}", gpu.title());
            let why = "this device fails the self-test of the schedule";
            gpu.trust().set_exchange(Exchange::Refused(why));
        }
    }

    fn of(inner: Inner, calibration: Option<&Calibration>) -> Self {
        let device_type = match &inner {
            Inner::Cpu(_) => None,
            Inner::Gpu(gpu) => Some(gpu.info().device_type),
        };
        let known = calibration.cloned();
        let calibration =
            known.unwrap_or_else(|| Calibration::typical_of(device_type).named(inner.id()));
        Self { inner, calibration: Arc::new(calibration) }
    }

    /// The calibration that schedules are chosen by: the one from the options, or typical figures
    /// of the device's type.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Name, backend and driver: the key under which calibrations are kept.
    pub fn id(&self) -> DeviceId {
        self.inner.id()
    }

    /// `cpu`, or the adapter's name.
    pub fn name(&self) -> &str {
        match &self.inner {
            Inner::Cpu(_) => "cpu",
            Inner::Gpu(gpu) => &gpu.info().name,
        }
    }

    /// The wgpu backend, such as `Vulkan` or `Metal`; `cpu` for the CPU.
    pub fn backend(&self) -> String {
        match &self.inner {
            Inner::Cpu(_) => "cpu".to_owned(),
            Inner::Gpu(gpu) => gpu.info().backend.to_string(),
        }
    }

    /// The driver's own name and version; empty for the CPU.
    pub fn driver(&self) -> String {
        match &self.inner {
            Inner::Cpu(_) => String::new(),
            Inner::Gpu(gpu) => gpu::driver(gpu.info()),
        }
    }

    /// Whether kernels run on a software adapter: good for tests, not for speed.
    pub fn is_software_adapter(&self) -> bool {
        matches!(&self.inner, Inner::Gpu(gpu) if gpu.info().device_type == wgpu::DeviceType::Cpu)
    }

    /// Whether shaders have wgpu's run-time checks: by [option](OpenOptions::runtime_checks), and
    /// always in browsers. `true` for the CPU, which runs no shaders: Rust checks its indices.
    pub fn runtime_checks(&self) -> bool {
        match &self.inner {
            Inner::Cpu(_) => true,
            Inner::Gpu(gpu) => gpu.runtime_checks(),
        }
    }

    /// Probes the driver and returns whether the device is lost: removed, destroyed, or stopped by
    /// the system's watchdog. The CPU is never lost.
    ///
    /// A lost device stays lost: every call returns [`Error::DeviceLost`], and its memory loses all
    /// weights and states. To recover, keep the [`Params`](crate::Params) of each module and the
    /// last [state](crate::stream::Stream::state) or [snapshot](crate::pool::Pool::snapshot) of
    /// each sequence. Open this adapter again, another adapter, or the [CPU](Self::cpu). Then load
    /// the modules, and set the states of streams and slots.
    pub fn is_lost(&self) -> bool {
        match &self.inner {
            Inner::Cpu(_) => false,
            Inner::Gpu(gpu) => gpu.is_lost(),
        }
    }

    /// Probes the device and reports its loss.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for a lost device.
    pub(crate) fn ask(&self) -> Result<()> {
        match &self.inner {
            Inner::Cpu(_) => Ok(()),
            Inner::Gpu(gpu) => gpu.ask(),
        }
    }

    /// The limits that plans obey.
    pub fn limits(&self) -> &Limits {
        match &self.inner {
            Inner::Cpu(host) => &host.limits,
            Inner::Gpu(gpu) => gpu.limits(),
        }
    }

    /// Returns how this device stores weights of a type. The CPU rounds to the type but keeps f32,
    /// the type of its vectors.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for f16 on an adapter whose shaders cannot widen it: OpenGL before
    /// 4.2.
    #[doc(hidden)]
    pub fn storage(&self, weights: WeightType) -> Result<Storage> {
        match &self.inner {
            Inner::Cpu(_) => Ok(Storage { weights, widened: true }),
            Inner::Gpu(gpu) if weights == WeightType::F16 && !gpu.unpacks_halves() => {
                Err(Error::Unsupported(format!(
                    "weights stored as f16 on {self}, whose shaders cannot widen them; use f32"
                )))
            }
            Inner::Gpu(_) => Ok(Storage { weights, widened: false }),
        }
    }

    /// Returns the limits, the calibration and the target for plans on this device.
    #[doc(hidden)]
    pub fn profile(&self) -> Profile<'_> {
        let target = match &self.inner {
            Inner::Cpu(_) => Target::Host,
            Inner::Gpu(_) => Target::Gpu,
        };
        let (limits, calibration) = (self.limits(), self.calibration());
        Profile { limits, calibration, target, exchange: self.exchange() }
    }

    /// Returns how workgroups of this device exchange states.
    fn exchange(&self) -> Exchange {
        match &self.inner {
            Inner::Cpu(_) => Exchange::OneStep,
            Inner::Gpu(gpu) => gpu.trust().exchange(),
        }
    }

    /// Sets how workgroups of this device and its clones exchange states, as if a probe had found
    /// it. The CPU ignores it.
    #[doc(hidden)]
    pub fn set_exchange(&self, exchange: Exchange) {
        if let Inner::Gpu(gpu) = &self.inner {
            gpu.trust().set_exchange(exchange);
        }
    }

    /// The number of runs that were abandoned on this device, because a workgroup waited in vain
    /// for another. Each ran again by another schedule, so no result is affected. After the first,
    /// the device no longer runs the schedule `persistent`. Always 0 on the CPU.
    pub fn abandoned_runs(&self) -> u64 {
        match &self.inner {
            Inner::Cpu(_) => 0,
            Inner::Gpu(gpu) => gpu.trust().abandoned_runs(),
        }
    }

    /// The wgpu device and queue that models run on; `None` for the CPU.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        match &self.inner {
            Inner::Cpu(_) => None,
            Inner::Gpu(gpu) => Some((gpu.device(), gpu.queue())),
        }
    }

    /// Returns the waiting of a call that blocks.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a GPU in a browser.
    pub(crate) fn blocking(&self) -> Result<Waiting> {
        wait::blocking(matches!(self.inner, Inner::Gpu(_)))
    }

    /// The engine that runs recordings on this device.
    #[doc(hidden)]
    pub fn engine(&self) -> EngineRef<'_> {
        match &self.inner {
            Inner::Cpu(host) => EngineRef::Cpu(&host.threads),
            Inner::Gpu(gpu) => EngineRef::Gpu(gpu),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.engine().fmt(f)
    }
}
