//! What a selector stands for.

use crate::engine::cpu;
use crate::engine::device::Device;
use crate::engine::gpu::{self, AdapterEntry};
use crate::engine::options::OpenOptions;
use crate::error::{Error, Result};
use crate::perf::calibration::DeviceId;

/// What a selector stands for, before anything is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Selection {
    /// This machine's CPU.
    Cpu,
    /// An adapter.
    Adapter(Box<AdapterEntry>),
}

impl Selection {
    /// The one device that `selector` stands for.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when nothing matches; [`Error::UnknownName`] for `all`, which names
    /// several devices.
    pub fn of(selector: &str) -> Result<Self> {
        pollster::block_on(Self::of_async(selector))
    }

    /// As [`of`](Self::of), for asynchronous programs.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub async fn of_async(selector: &str) -> Result<Self> {
        if selector == "cpu" {
            return Ok(Self::Cpu);
        }
        if selector == "all" {
            return Err(Error::UnknownName(
                "'all' stands for several devices; name one".to_owned(),
            ));
        }
        let adapters = gpu::adapters_async().await;
        let adapter = |entry: AdapterEntry| Self::Adapter(Box::new(entry));
        if selector == "auto" {
            return Self::auto(&adapters);
        }
        if let Ok(index) = selector.parse::<usize>() {
            let why = match adapters.len() {
                0 => gpu::why_none().to_owned(),
                count => format!("this machine has {count}, counted from 0"),
            };
            let refuse = || Error::NoAdapter(format!("there is no adapter {index}: {why}"));
            return adapters.into_iter().nth(index).map(adapter).ok_or_else(refuse);
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
            _ => Ok(adapters
                .iter()
                .find(|entry| !entry.is_software())
                .cloned()
                .map_or(Self::Cpu, adapter)),
        }
    }

    /// The devices that several selectors stand for, `all` being every adapter and the CPU; none twice.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_all(selectors: &[String]) -> Result<Vec<Self>> {
        let mut selections: Vec<Self> = Vec::new();
        for selector in selectors {
            let more = if selector == "all" {
                let adapters =
                    gpu::adapters().into_iter().map(|entry| Self::Adapter(Box::new(entry)));
                adapters.chain([Self::Cpu]).collect()
            } else {
                vec![Self::of(selector)?]
            };
            for selection in more {
                if !selections.iter().any(|known| known.is(&selection)) {
                    selections.push(selection);
                }
            }
        }
        Ok(selections)
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

    /// Name, backend and driver, under which calibrations are kept.
    pub fn id(&self) -> DeviceId {
        match self {
            Self::Cpu => cpu::id(),
            Self::Adapter(entry) => gpu::id(&entry.info),
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
    /// As [`open`](Self::open); [`Error::UnknownName`] or [`Error::Option`] for a limit that
    /// cannot be set.
    pub fn open_with(selector: &str, options: &OpenOptions) -> Result<Self> {
        Selection::of(selector)?.open(options)
    }

    /// As [`open`](Self::open), for asynchronous programs.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_async(selector: &str) -> Result<Self> {
        Self::open_with_async(selector, &OpenOptions::default()).await
    }

    /// As [`open_with`](Self::open_with), for asynchronous programs.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn open_with_async(selector: &str, options: &OpenOptions) -> Result<Self> {
        match Selection::of_async(selector).await? {
            Selection::Cpu => Self::cpu_with(options),
            Selection::Adapter(entry) => Self::from_adapter_async(&entry, options).await,
        }
    }
}
