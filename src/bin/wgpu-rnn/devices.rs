//! `wgpu-rnn devices`.

use serde::Serialize;
use wgpu_rnn::device::Selection;
use wgpu_rnn::internals::engine::gpu::{AdapterEntry, adapters};
use wgpu_rnn::{Error, wgpu};

use crate::Outcome;
use crate::args::DevicesArgs;
use crate::terminal::{FAINT, STRONG, line, print_json};

#[derive(Serialize)]
struct Row {
    /// What `--device` takes.
    index: Option<usize>,
    name: String,
    backend: String,
    #[serde(rename = "type")]
    kind: &'static str,
    driver: String,
    /// Whether `--device auto` would take it.
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

fn row(index: usize, entry: &AdapterEntry) -> Row {
    let limits = entry.adapter.limits();
    Row {
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

pub fn devices(args: &DevicesArgs) -> Result<Outcome, Error> {
    let adapters = adapters();
    let mut rows: Vec<Row> =
        adapters.iter().enumerate().map(|(index, entry)| row(index, entry)).collect();
    rows.push(Row {
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
        // WGPU_ADAPTER_NAME names none of them: the list tells which there are.
        Err(_) => None,
    };
    if let Some(row) = auto.and_then(|auto| rows.get_mut(auto)) {
        row.auto = true;
    }
    if args.json {
        print_json(&serde_json::json!({ "devices": rows }))?;
        return Ok(Outcome::Agreed);
    }
    for row in &rows {
        let index = row.index.map_or_else(|| "cpu".to_owned(), |index| index.to_string());
        let name = if row.index.is_some() { row.name.as_str() } else { "this machine's processor" };
        let auto = if row.auto { "  <- auto" } else { "" };
        line!("{STRONG}{index:>3}{STRONG:#}  {name}{auto}");
        if let Some(limits) = &row.limits {
            line!(
                "     {FAINT}{}, {}, {}, binds up to {} MiB, {} invocations{FAINT:#}",
                row.kind,
                row.backend,
                if row.driver.is_empty() { "driver unknown" } else { &row.driver },
                limits.max_storage_buffer_binding_size >> 20,
                limits.max_compute_invocations_per_workgroup,
            );
        }
    }
    Ok(Outcome::Agreed)
}
