//! The adapters that this process can see.

use crate::error::{Error, Result};
use crate::perf::calibration::DeviceId;

/// An adapter and what it says of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterEntry {
    /// The adapter.
    pub adapter: wgpu::Adapter,
    /// Name, backend, driver and type.
    pub info: wgpu::AdapterInfo,
}

impl AdapterEntry {
    /// The entry of an adapter that the caller requested from wgpu.
    pub fn new(adapter: wgpu::Adapter) -> Self {
        Self { info: adapter.get_info(), adapter }
    }

    /// Whether the adapter is a program on the CPU: good for testing, not for speed.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The driver and its version as it calls itself; empty where it does not.
    pub fn driver(&self) -> String {
        driver(&self.info)
    }

    /// `name (backend, driver)`, as it stands in messages.
    pub fn title(&self) -> String {
        title(&self.info)
    }
}

/// The driver and its version as it calls itself; empty where it does not.
pub(crate) fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

/// How an adapter is called among devices.
pub(crate) fn id(info: &wgpu::AdapterInfo) -> DeviceId {
    DeviceId { device: info.name.clone(), backend: info.backend.to_string(), driver: driver(info) }
}

pub(super) fn title(info: &wgpu::AdapterInfo) -> String {
    let name = if info.name.is_empty() { "unnamed adapter" } else { &info.name };
    match driver(info).as_str() {
        "" => format!("{name} ({})", info.backend),
        driver => format!("{name} ({}, {driver})", info.backend),
    }
}

/// All adapters, the most capable type first, in a stable order. `WGPU_BACKEND` is honoured.
pub fn adapters() -> Vec<AdapterEntry> {
    pollster::block_on(adapters_async())
}

/// As [`adapters`], for asynchronous programs; native drivers are asked before the future is first pending.
pub async fn adapters_async() -> Vec<AdapterEntry> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    // An allocation that would take the heap over 95 % of its budget becomes an error in place of a lost device.
    descriptor.memory_budget_thresholds =
        wgpu::MemoryBudgetThresholds { for_resource_creation: Some(95), for_device_loss: None };
    let backends = descriptor.backends;
    if wgpu::Instance::enabled_backend_features().is_empty() {
        // Instance::new panics where no backend was compiled in.
        return Vec::new();
    }
    let instance = wgpu::Instance::new(descriptor);
    let found = instance.enumerate_adapters(backends).await.into_iter();
    let mut found: Vec<AdapterEntry> =
        found.map(|adapter| AdapterEntry { info: adapter.get_info(), adapter }).collect();
    found.sort_by_key(|entry| match entry.info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    found
}

/// Why there is no adapter where there is none.
pub(crate) fn why_none() -> &'static str {
    why_none_with(wgpu::Instance::enabled_backend_features())
}

fn why_none_with(backends: wgpu::Backends) -> &'static str {
    if backends.is_empty() {
        "this build of wgpu-rnn has no backend for this system; its features vulkan, metal, dx12, gles and webgpu add them"
    } else {
        "this machine has none"
    }
}

/// The first adapter whose name contains `part` in any case.
pub(crate) fn by_name(adapters: &[AdapterEntry], part: &str) -> Result<AdapterEntry> {
    let wanted = part.to_lowercase();
    adapters
        .iter()
        .find(|entry| entry.info.name.to_lowercase().contains(&wanted))
        .cloned()
        .ok_or_else(|| {
            Error::NoAdapter(match adapters {
                [] => format!("no adapter is called '{part}': {}", why_none()),
                some => {
                    let names: Vec<String> = some.iter().map(AdapterEntry::title).collect();
                    format!("no adapter's name contains '{part}'; there are: {}", names.join("; "))
                }
            })
        })
}

#[cfg(test)]
mod tests {
    use super::why_none_with;

    /// Said of builds that the tests cannot be of: they have backends themselves.
    #[test]
    fn a_build_without_backends_names_the_features() {
        let manifest = include_str!("../../../Cargo.toml");
        let none = why_none_with(wgpu::Backends::empty());
        let features: Vec<&str> = manifest
            .lines()
            .filter_map(|line| line.split_once(" = [\"wgpu/"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            features,
            ["vulkan", "metal", "dx12", "gles", "webgpu"],
            "the backends of Cargo.toml"
        );
        for name in features {
            assert!(none.contains(name), "{name} is not in: {none}");
        }
        assert_eq!(why_none_with(wgpu::Backends::VULKAN), "this machine has none");
    }
}
