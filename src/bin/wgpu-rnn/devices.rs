//! `wgpu-rnn devices`.

use clap::Args;
use serde::Serialize;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::engine::gpu::{AdapterEntry, adapters};
use wgpu_rnn::{Error, Schedule, wgpu};

use crate::Outcome;
use crate::output::JsonArgs;
use crate::terminal::{FAINT, STRONG, line, message};

#[derive(Debug, Args)]
pub struct DevicesArgs {
    #[command(flatten)]
    pub json: JsonArgs,
}

/// A device in the JSON report.
#[derive(Serialize)]
struct DeviceEntry {
    /// The index that `--device` accepts.
    index: Option<usize>,
    name: String,
    backend: String,
    #[serde(rename = "type")]
    kind: &'static str,
    driver: String,
    /// Whether `--device auto` selects it.
    auto: bool,
    limits: Option<Limits>,
}

#[derive(Serialize)]
struct Limits {
    max_storage_buffer_binding_size: u64,
    max_buffer_size: u64,
    max_compute_workgroup_storage_size: u32,
    max_compute_invocations_per_workgroup: u32,
}

fn kind(entry: &AdapterEntry) -> &'static str {
    match entry.info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Other => "other",
        wgpu::DeviceType::Cpu => "software adapter",
    }
}

fn device_entry(index: usize, entry: &AdapterEntry) -> DeviceEntry {
    let limits = entry.adapter.limits();
    DeviceEntry {
        index: Some(index),
        name: entry.info.name.clone(),
        backend: entry.info.backend.to_string(),
        kind: kind(entry),
        driver: entry.driver(),
        auto: false,
        limits: Some(Limits {
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        }),
    }
}

/// Explains two lines of Mesa, which a machine without a desktop prints on stderr: a Vulkan layer
/// looks for Wayland. Only a variable silences it, and setting one here would need `unsafe`.
pub fn explain_mesa(adapters: &[AdapterEntry]) {
    let vulkan = |entry: &AdapterEntry| entry.info.backend == wgpu::Backend::Vulkan;
    let no_desktop = std::env::var_os("XDG_RUNTIME_DIR").is_none();
    let silenced = std::env::var_os("NODEVICE_SELECT").is_some();
    if cfg!(target_os = "linux") && no_desktop && !silenced && adapters.iter().any(vulkan) {
        message!(
            "note: lines about XDG_RUNTIME_DIR are of Mesa, which looks for a desktop. They change \
             nothing; NODEVICE_SELECT=1 silences them."
        );
    }
}

pub fn devices(args: &DevicesArgs) -> Result<Outcome, Error> {
    args.json.check(&[])?;
    let adapters = adapters();
    explain_mesa(&adapters);
    let mut devices: Vec<DeviceEntry> =
        adapters.iter().enumerate().map(|(index, entry)| device_entry(index, entry)).collect();
    devices.push(DeviceEntry {
        index: None,
        name: "cpu".to_owned(),
        backend: "cpu".to_owned(),
        kind: "CPU engine",
        driver: String::new(),
        auto: false,
        limits: None,
    });
    let auto = match Selection::auto(&adapters) {
        Ok(Selection::Cpu) => Some(adapters.len()),
        Ok(Selection::Adapter(chosen)) => {
            adapters.iter().position(|entry| entry.info == chosen.info)
        }
        // A variable selects nothing. The list still shows the names that exist.
        Err(error) => {
            anstream::eprintln!("note: no device is `auto`: {error}");
            None
        }
        Ok(_) => None,
    };
    if let Some(device) = auto.and_then(|auto| devices.get_mut(auto)) {
        device.auto = true;
    }
    let schedules: Vec<&str> = Schedule::ALL.iter().map(|schedule| schedule.name()).collect();
    args.json.write(&serde_json::json!({ "devices": devices, "schedules": schedules }))?;
    if !args.json.leaves_stdout() {
        return Ok(Outcome::Agreed);
    }
    for device in &devices {
        let index = device.index.map_or_else(|| "cpu".to_owned(), |index| index.to_string());
        let name =
            if device.index.is_some() { device.name.as_str() } else { "this machine's processor" };
        let auto = if device.auto { "  <- auto" } else { "" };
        line!("{STRONG}{index:>3}{STRONG:#}  {name}{auto}");
        if let Some(limits) = &device.limits {
            line!(
                "     {FAINT}{}, {}, {}, bindings up to {} MiB, {} invocations{FAINT:#}",
                device.kind,
                device.backend,
                if device.driver.is_empty() { "unknown driver" } else { &device.driver },
                limits.max_storage_buffer_binding_size >> 20,
                limits.max_compute_invocations_per_workgroup,
            );
        }
    }
    Ok(Outcome::Agreed)
}
