//! A device of wgpu's backend that checks every call and executes none, for tests.

use super::adapter::AdapterEntry;
use super::context::Gpu;
use crate::engine::options::OpenOptions;

/// The adapter of the device.
pub(crate) fn adapter() -> AdapterEntry {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop =
        wgpu::NoopBackendOptions { enable: true, ..Default::default() };
    let adapters = wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::NOOP);
    let adapter = pollster::block_on(adapters).into_iter().next().expect("it has one adapter");
    AdapterEntry::new(adapter)
}

/// Opens the device.
pub(super) fn open(options: &OpenOptions) -> Gpu {
    pollster::block_on(Gpu::open(&adapter(), options)).expect("it opens")
}
