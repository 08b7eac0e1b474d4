//! Selectors: strings that name a device, such as `auto`, `cpu` or `1`.

use crate::engine::cpu;
use crate::engine::device::Device;
use crate::engine::gpu::{self, AdapterEntry};
use crate::engine::options::OpenOptions;
use crate::engine::wait;
use crate::error::{Error, Result};
use crate::perf::calibration::DeviceId;

/// The selector of this machine's CPU.
const CPU: &str = "cpu";

/// The device that a selector names, not yet opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Selection {
    /// This machine's CPU.
    Cpu,
    /// An adapter.
    Adapter(Box<AdapterEntry>),
}

impl Selection {
    /// Finds the one device that `selector` names.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when nothing matches, or `WGPU_BACKEND` names no backend;
    /// [`Error::UnknownName`] for an empty selector, and for `all`, which names several devices.
    pub fn of(selector: &str) -> Result<Self> {
        if selector != CPU {
            wait::blocking(true)?;
        }
        pollster::block_on(Self::of_async(selector))
    }

    /// The asynchronous form of [`of`](Self::of).
    ///
    /// # Errors
    /// The errors of [`of`](Self::of).
    pub async fn of_async(selector: &str) -> Result<Self> {
        if selector == CPU {
            return Ok(Self::Cpu);
        }
        if selector == "all" {
            return Err(Error::UnknownName(
                "'all' stands for several devices; name one".to_owned(),
            ));
        }
        if selector.trim().is_empty() {
            return Err(Error::UnknownName(format!(
                "'{selector}' names no device; give auto, cpu, an index or part of an adapter's \
                 name"
            )));
        }
        gpu::check_backends()?;
        let adapters = gpu::adapters_async().await;
        let adapter = |entry: AdapterEntry| Self::Adapter(Box::new(entry));
        if selector == "auto" {
            return Self::auto(&adapters);
        }
        if let Ok(index) = selector.parse::<usize>() {
            let why = match adapters.len() {
                0 => gpu::why_none(),
                count => format!("this machine has {count}, counted from 0"),
            };
            let refuse = || Error::NoAdapter(format!("there is no adapter {index}: {why}"));
            return adapters.into_iter().nth(index).map(adapter).ok_or_else(refuse);
        }
        gpu::by_name(&adapters, selector).map(adapter)
    }

    /// Finds the device that `auto` names. `WGPU_ADAPTER_NAME` comes first if it is set, then the
    /// first real GPU among `adapters`, then the CPU.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when no adapter has the name in `WGPU_ADAPTER_NAME`, or `WGPU_BACKEND`
    /// names no backend.
    pub fn auto(adapters: &[AdapterEntry]) -> Result<Self> {
        gpu::check_backends()?;
        let adapter = |entry: AdapterEntry| Self::Adapter(Box::new(entry));
        match std::env::var("WGPU_ADAPTER_NAME") {
            Ok(name) if !name.is_empty() => gpu::by_name(adapters, &name)
                .map(adapter)
                .map_err(|error| Error::NoAdapter(format!("WGPU_ADAPTER_NAME: {error}"))),
            _ => Ok(adapters
                .iter()
                .find(|entry| !entry.is_software())
                .cloned()
                .map_or(Self::Cpu, adapter)),
        }
    }

    /// Finds the devices that several selectors name, each once. `all` names every adapter and the
    /// CPU.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when a selector matches nothing, or `WGPU_BACKEND` names no backend;
    /// [`Error::UnknownName`] for an empty selector.
    pub fn of_all(selectors: &[String]) -> Result<Vec<Self>> {
        wait::blocking(true)?;
        pollster::block_on(Self::of_all_async(selectors))
    }

    /// The asynchronous form of [`of_all`](Self::of_all).
    ///
    /// # Errors
    /// The errors of [`of_all`](Self::of_all).
    pub async fn of_all_async(selectors: &[String]) -> Result<Vec<Self>> {
        let mut selections: Vec<Self> = Vec::new();
        for selector in selectors {
            let more = if selector == "all" {
                gpu::check_backends()?;
                let adapters = gpu::adapters_async().await.into_iter();
                adapters.map(|entry| Self::Adapter(Box::new(entry))).chain([Self::Cpu]).collect()
            } else {
                vec![Self::of_async(selector).await?]
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

    /// `cpu`, or the adapter's name, backend and driver.
    pub fn title(&self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Adapter(entry) => entry.title(),
        }
    }

    /// Name, backend and driver: the key under which calibrations are kept.
    pub fn id(&self) -> DeviceId {
        match self {
            Self::Cpu => cpu::id(),
            Self::Adapter(entry) => gpu::id(&entry.info),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// The errors of [`Device::open_with`], except [`Error::NoAdapter`].
    pub fn open(&self, options: &OpenOptions) -> Result<Device> {
        match self {
            Self::Cpu => Device::cpu_with(options),
            Self::Adapter(entry) => Device::from_adapter(entry, options),
        }
    }

    /// The asynchronous form of [`open`](Self::open).
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub async fn open_async(&self, options: &OpenOptions) -> Result<Device> {
        match self {
            Self::Cpu => Device::cpu_with(options),
            Self::Adapter(entry) => Device::from_adapter_async(entry, options).await,
        }
    }
}

impl Device {
    /// Opens the device that `selector` names:
    ///
    /// * `auto`: the adapter that `WGPU_ADAPTER_NAME` names if it is set, otherwise the first real
    ///   GPU, otherwise the CPU. A software adapter is taken only by name.
    /// * `cpu`: this machine's CPU, without any driver.
    /// * a number: the adapter at that index, counted from 0, in the order of [`gpu::adapters`].
    /// * any other text: the first adapter whose name contains it, in any case.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when nothing matches; [`Error::UnknownName`] for `all` and an empty
    /// selector; [`Error::RequestDevice`] when the driver refuses a device;
    /// [`Error::SelfTest`] when the device computes wrong numbers. In a browser
    /// [`Error::Unsupported`] for every selector but `cpu`: await
    /// [`open_async`](Self::open_async).
    pub fn open(selector: &str) -> Result<Self> {
        Self::open_with(selector, &OpenOptions::default())
    }

    /// Opens the device that `selector` names, with options.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open); [`Error::UnknownName`] or [`Error::Option`] for a limit
    /// that cannot be set; [`Error::Option`] for zero threads of the CPU.
    pub fn open_with(selector: &str, options: &OpenOptions) -> Result<Self> {
        Selection::of(selector)?.open(options)
    }

    /// The asynchronous form of [`open`](Self::open).
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub async fn open_async(selector: &str) -> Result<Self> {
        Self::open_with_async(selector, &OpenOptions::default()).await
    }

    /// The asynchronous form of [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// The errors of [`open_with`](Self::open_with).
    pub async fn open_with_async(selector: &str, options: &OpenOptions) -> Result<Self> {
        Selection::of_async(selector).await?.open_async(options).await
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;
    use crate::engine::gpu::imaginary;

    #[test]
    fn a_device_is_only_itself() {
        let one = Selection::Adapter(Box::new(imaginary::adapter()));
        let mut other = imaginary::adapter();
        other.info.driver.push('x');
        let other = Selection::Adapter(Box::new(other));
        let all = [Selection::Cpu, one, other];
        for (i, a) in all.iter().enumerate() {
            let same = all.iter().map(|b| a.is(b));
            assert!(same.eq((0..all.len()).map(|j| i == j)), "{}", a.title());
        }
    }
}
