//! Where a model runs: a GPU through wgpu, or this machine's CPU.

use std::sync::{Arc, OnceLock};

use crate::calibrate::Calibration;
use crate::error::{Error, Result};
use crate::gpu::{self, AdapterEntry, Gpu};
use crate::kernel::WeightType;
use crate::limits::Limits;
use crate::plan::{Storage, Tuning};
use crate::self_test;

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
    /// Loaded when it is first asked for.
    calibration: Arc<OnceLock<Calibration>>,
}

#[derive(Debug, Clone)]
enum Inner {
    Cpu(Arc<Limits>),
    Gpu(Arc<Gpu>),
}

/// What a device's engine is, for those who build on recordings.
#[derive(Debug, Clone, Copy)]
pub enum Engine<'a> {
    /// The twins on the CPU.
    Cpu,
    /// The kernels on a GPU.
    Gpu(&'a Arc<Gpu>),
}

/// How a device is opened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Limits to lower, by name; see [`Limits::set`].
    pub limits: Vec<(String, u64)>,
    /// Whether the device must reproduce the CPU's numbers on a small LSTM before it is handed out.
    pub self_test: bool,
    /// Whether runs are timed by the device's own clock, where it has one.
    pub timestamps: bool,
    /// What schedules are chosen by, in place of what the user's cache folder holds of the device.
    pub calibration: Option<Calibration>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { limits: Vec::new(), self_test: true, timestamps: false, calibration: None }
    }
}

impl OpenOptions {
    /// Lowers a limit; see [`Limits::set`] for the names.
    #[must_use]
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        self.limits.push((name.to_owned(), value));
        self
    }

    /// Bounds the bytes that one model may take on the device, weights and activations together.
    #[must_use]
    pub fn memory_budget(self, bytes: u64) -> Self {
        self.limit("memory_budget", bytes)
    }

    /// Hands the device out even if its driver computes wrongly, or without asking.
    #[must_use]
    pub fn skip_self_test(mut self) -> Self {
        self.self_test = false;
        self
    }

    /// Times runs by the device's own clock, where it has one (WebGPU's feature `timestamp-query`).
    #[must_use]
    pub fn timestamps(mut self) -> Self {
        self.timestamps = true;
        self
    }

    /// Chooses schedules by these figures, and reads none from the user's cache folder.
    #[must_use]
    pub fn calibration(mut self, calibration: Calibration) -> Self {
        self.calibration = Some(calibration);
        self
    }

    fn lower(&self, limits: &mut Limits) -> Result<()> {
        self.limits.iter().try_for_each(|(name, value)| limits.set(name, *value))
    }
}

impl Device {
    /// Opens one device by `selector`:
    ///
    /// * `auto`: the adapter that `WGPU_ADAPTER_NAME` names if it is set, else the first real GPU, else the CPU.
    ///   A software adapter is only taken when named.
    /// * `cpu`: this machine's CPU, no driver involved.
    /// * a number: that adapter in the order of [`gpu::adapters`].
    /// * anything else: the first adapter whose name contains it, in any case.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when nothing matches, [`Error::RequestDevice`] when the driver gives no device,
    /// [`Error::SelfTest`] when it computes wrong numbers.
    pub fn open(selector: &str) -> Result<Self> {
        Self::open_with(selector, &OpenOptions::default())
    }

    /// Opens one device by selector, with options.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Argument`] for a limit that cannot be set.
    pub fn open_with(selector: &str, options: &OpenOptions) -> Result<Self> {
        match Choice::of(selector)? {
            Choice::Cpu => Self::cpu_with(options),
            Choice::Adapter(entry) => Self::from_adapter(&entry, options),
        }
    }

    /// This machine's CPU.
    pub fn cpu() -> Self {
        Self::of(Inner::Cpu(Arc::new(Limits::host())), None)
    }

    /// This machine's CPU, with lowered limits.
    ///
    /// # Errors
    /// [`Error::Argument`] for a limit that cannot be set.
    pub fn cpu_with(options: &OpenOptions) -> Result<Self> {
        let mut limits = Limits::host();
        options.lower(&mut limits)?;
        Ok(Self::of(Inner::Cpu(Arc::new(limits)), options.calibration.as_ref()))
    }

    /// Opens an adapter of [`gpu::adapters`].
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn from_adapter(entry: &AdapterEntry, options: &OpenOptions) -> Result<Self> {
        let gpu = Gpu::open(entry, options.timestamps)?;
        let mut limits = gpu.limits().clone();
        options.lower(&mut limits)?;
        let lowered = Inner::Gpu(Arc::new(gpu.with_limits(limits)));
        let whole = Self::of(Inner::Gpu(Arc::new(gpu)), options.calibration.as_ref());
        if options.self_test {
            // Under the adapter's own limits: lowered ones may be too low for the self-test's network.
            self_test::run(&whole)?;
        }
        Ok(Self { inner: lowered, ..whole })
    }

    fn of(inner: Inner, calibration: Option<&Calibration>) -> Self {
        let known = calibration.map_or_else(OnceLock::new, |calibration| calibration.clone().into());
        Self { inner, calibration: Arc::new(known) }
    }

    /// What is known of the device's speed, by which schedules are chosen: what it was opened with, else as
    /// [`Calibration::load`], which reads a file when this is first called.
    pub fn calibration(&self) -> &Calibration {
        self.calibration.get_or_init(|| Calibration::load(self))
    }

    /// `cpu`, or the adapter's name.
    pub fn name(&self) -> &str {
        match &self.inner {
            Inner::Cpu(_) => "cpu",
            Inner::Gpu(gpu) => &gpu.info().name,
        }
    }

    /// `Vulkan`, `Metal` and so on; `cpu` for the CPU.
    pub fn backend(&self) -> String {
        match &self.inner {
            Inner::Cpu(_) => "cpu".to_owned(),
            Inner::Gpu(gpu) => gpu.info().backend.to_string(),
        }
    }

    /// The driver and its version as it calls itself; empty for the CPU.
    pub fn driver(&self) -> String {
        match &self.inner {
            Inner::Cpu(_) => String::new(),
            Inner::Gpu(gpu) => gpu::driver(gpu.info()),
        }
    }

    /// Whether kernels run on a software adapter, whose speed says nothing.
    pub fn is_software_adapter(&self) -> bool {
        matches!(&self.inner, Inner::Gpu(gpu) if gpu.info().device_type == wgpu::DeviceType::Cpu)
    }

    /// The limits that plans obey.
    pub fn limits(&self) -> &Limits {
        match &self.inner {
            Inner::Cpu(limits) => limits,
            Inner::Gpu(gpu) => gpu.limits(),
        }
    }

    /// How weights that are rounded to a type are stored: the CPU keeps them as f32, which its vectors are.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for f16 on an adapter whose shaders cannot widen it: OpenGL before 4.2.
    pub fn storage(&self, weights: WeightType) -> Result<Storage> {
        match &self.inner {
            Inner::Cpu(_) => Ok(Storage { weights, widened: true }),
            Inner::Gpu(gpu) if weights == WeightType::F16 && !gpu.unpacks_halves() => Err(Error::Unsupported(format!(
                "weights stored as f16 on {self}, whose shaders cannot widen them; use f32"
            ))),
            Inner::Gpu(_) => Ok(Storage { weights, widened: false }),
        }
    }

    /// How kernels are laid out.
    pub fn tuning(&self) -> Tuning {
        match &self.inner {
            Inner::Cpu(_) => Tuning { row_per_invocation: true, host: true },
            Inner::Gpu(gpu) => gpu.tuning(),
        }
    }

    /// The engine behind this device.
    pub fn engine(&self) -> Engine<'_> {
        match &self.inner {
            Inner::Cpu(_) => Engine::Cpu,
            Inner::Gpu(gpu) => Engine::Gpu(gpu),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.inner {
            Inner::Cpu(_) => f.write_str("cpu"),
            Inner::Gpu(gpu) => f.write_str(&gpu.title()),
        }
    }
}

/// What a selector stands for, before anything is opened.
#[derive(Debug, Clone)]
pub enum Choice {
    /// This machine's CPU.
    Cpu,
    /// An adapter.
    Adapter(Box<AdapterEntry>),
}

impl Choice {
    /// The one device that `selector` stands for.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when nothing matches; [`Error::Argument`] for `all`, which is several.
    pub fn of(selector: &str) -> Result<Self> {
        if selector == "cpu" {
            return Ok(Self::Cpu);
        }
        if selector == "all" {
            return Err(Error::Argument("'all' stands for several devices; name one".to_owned()));
        }
        let adapters = gpu::adapters();
        let adapter = |entry: AdapterEntry| Self::Adapter(Box::new(entry));
        if selector == "auto" {
            return Self::auto(&adapters);
        }
        if let Ok(index) = selector.parse::<usize>() {
            let count = adapters.len();
            return adapters.into_iter().nth(index).map(adapter).ok_or_else(|| {
                Error::NoAdapter(format!("there is no adapter {index}: this machine has {count}, counted from 0"))
            });
        }
        gpu::by_name(&adapters, selector).map(adapter)
    }

    /// What `auto` stands for among `adapters`: the one that `WGPU_ADAPTER_NAME` names if it is set, else the first real
    /// GPU, else the CPU.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when `WGPU_ADAPTER_NAME` names none of them.
    pub fn auto(adapters: &[AdapterEntry]) -> Result<Self> {
        let adapter = |entry: AdapterEntry| Self::Adapter(Box::new(entry));
        match std::env::var("WGPU_ADAPTER_NAME") {
            Ok(name) if !name.is_empty() => gpu::by_name(adapters, &name).map(adapter),
            _ => Ok(adapters.iter().find(|entry| !entry.is_software()).cloned().map_or(Self::Cpu, adapter)),
        }
    }

    /// The devices that several selectors stand for, `all` being every adapter and the CPU; none twice.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_all(selectors: &[String]) -> Result<Vec<Self>> {
        let mut choices: Vec<Self> = Vec::new();
        for selector in selectors {
            let more = if selector == "all" {
                let adapters = gpu::adapters().into_iter().map(|entry| Self::Adapter(Box::new(entry)));
                adapters.chain([Self::Cpu]).collect()
            } else {
                vec![Self::of(selector)?]
            };
            for choice in more {
                if !choices.iter().any(|known| known.is(&choice)) {
                    choices.push(choice);
                }
            }
        }
        Ok(choices)
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cpu, Self::Cpu) => true,
            (Self::Adapter(a), Self::Adapter(b)) => a.info == b.info,
            _ => false,
        }
    }

    /// `cpu`, or name, backend and driver.
    pub fn title(&self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Adapter(entry) => entry.title(),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Device::open_with`].
    pub fn open(&self, options: &OpenOptions) -> Result<Device> {
        match self {
            Self::Cpu => Device::cpu_with(options),
            Self::Adapter(entry) => Device::from_adapter(entry, options),
        }
    }
}
