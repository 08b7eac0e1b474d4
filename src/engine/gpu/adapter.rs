//! The adapters that this process can see.

use crate::error::{Error, Result, printable};
use crate::perf::calibration::DeviceId;

/// An adapter with its description.
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
    ///
    /// Its names are [`printable`].
    pub fn new(adapter: wgpu::Adapter) -> Self {
        let mut info = adapter.get_info();
        for name in [&mut info.name, &mut info.driver, &mut info.driver_info] {
            *name = printable(name).into_owned();
        }
        Self { adapter, info }
    }

    /// Whether the adapter is software on the CPU: good for tests, not for speed.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The driver's own name and version; empty if the adapter reports none.
    pub fn driver(&self) -> String {
        driver(&self.info)
    }

    /// `name (backend, driver)`, for messages.
    pub fn title(&self) -> String {
        title(&self.info)
    }
}

/// The driver's own name and version; empty if the adapter reports none.
pub(crate) fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

/// Name, backend and driver: the key of an adapter's calibration.
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

/// Lists all adapters, the most capable type first, in a stable order. Honours `WGPU_BACKEND`.
///
/// Browsers answer later, so this function does not exist there; see [`adapters_async`].
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<AdapterEntry> {
    pollster::block_on(adapters_async())
}

/// Lists all adapters as `adapters` does. The first poll queries native drivers and may take long.
///
/// A browser shows one adapter, its fastest, often without a name.
pub async fn adapters_async() -> Vec<AdapterEntry> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    // An allocation beyond 95 % of a heap's budget then returns an error; otherwise the driver may
    // lose the device.
    descriptor.memory_budget_thresholds =
        wgpu::MemoryBudgetThresholds { for_resource_creation: Some(95), for_device_loss: None };
    let backends = descriptor.backends;
    if wgpu::Instance::enabled_backend_features().is_empty() {
        // Instance::new panics if no backend was compiled in.
        return Vec::new();
    }
    let instance = wgpu::Instance::new(descriptor);
    let found = if cfg!(target_arch = "wasm32") {
        // Lists that browsers give do not say which adapter they should prefer.
        let fastest = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        instance.request_adapter(&fastest).await.into_iter().collect()
    } else {
        instance.enumerate_adapters(backends).await
    };
    let mut found: Vec<AdapterEntry> = found.into_iter().map(AdapterEntry::new).collect();
    found.sort_by_key(|entry| match entry.info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    found
}

/// The variable that selects adapters by backend.
const BACKEND: &str = "WGPU_BACKEND";

/// Refuses a `WGPU_BACKEND` that names no backend. wgpu lists no adapter for it.
///
/// # Errors
/// [`Error::NoAdapter`] with the names that exist.
pub(crate) fn check_backends() -> Result<()> {
    check_backends_of(std::env::var(BACKEND).ok().as_deref())
}

fn check_backends_of(names: Option<&str>) -> Result<()> {
    let unknown = |name: &&str| wgpu::Backends::from_comma_list(name).is_empty();
    match names.and_then(|names| names.split(',').find(unknown)) {
        None => Ok(()),
        Some(name) => Err(Error::NoAdapter(format!(
            "{BACKEND} names the backend '{name}', which does not exist; give vulkan, metal, dx12 \
             or gl, or unset the variable"
        ))),
    }
}

/// The reason for an empty list of adapters, for messages.
pub(crate) fn why_none() -> String {
    let backends = wgpu::Instance::enabled_backend_features();
    why_none_with(backends, std::env::var(BACKEND).ok().as_deref())
}

fn why_none_with(backends: wgpu::Backends, selected: Option<&str>) -> String {
    match selected {
        _ if backends.is_empty() => {
            "this build of wgpu-rnn has no backend for this system; enable its feature vulkan, \
             metal, dx12, gles or webgpu"
                .to_owned()
        }
        Some(names) => format!("this machine has none for {BACKEND}={names}"),
        None => "this machine has none".to_owned(),
    }
}

/// Finds the first adapter whose name contains `part`, in any case.
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
    use super::{check_backends_of, why_none_with};

    #[test]
    fn a_variable_that_excludes_all_adapters_is_named() {
        for names in [None, Some("vulkan"), Some("VK, gl"), Some("noop")] {
            check_backends_of(names).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        }
        for (names, unknown) in [("vulcan", "'vulcan'"), ("vulkan,metall", "'metall'"), ("", "''")]
        {
            let error = check_backends_of(Some(names)).expect_err(names).to_string();
            assert!(error.contains("WGPU_BACKEND names the backend"), "{names}: {error}");
            assert!(error.contains(unknown), "{names}: {error}");
        }
        let none = why_none_with(wgpu::Backends::VULKAN, Some("metal"));
        assert_eq!(none, "this machine has none for WGPU_BACKEND=metal");
    }

    /// Builds that run tests have backends, so the test passes an empty set.
    #[test]
    fn a_build_without_backends_names_the_features() {
        let manifest = include_str!("../../../Cargo.toml");
        let none = why_none_with(wgpu::Backends::empty(), Some("vulkan"));
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
        assert_eq!(why_none_with(wgpu::Backends::VULKAN, None), "this machine has none");
    }
}
