//! Times other systems' recurrent networks at the shapes of a report of `wgpu-rnn bench --json`, and writes rows of the
//! same form, for `wgpu-rnn bench --with`.
//!
//!     wgpu-rnn-peers REPORT.json OUT.json [SECONDS]
//!
//! Weights are each system's own initialisation, or any: they do not matter to the time. What a system does not have is
//! left out, and said on stderr.

#![forbid(unsafe_code)]

mod measure;
#[cfg(any(feature = "rten", feature = "tract"))]
mod onnx;
mod shape;
mod systems;

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};

use shape::Shape;
use systems::Adapter;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let (report, out, seconds) = match args.as_slice() {
        [_, report, out] => (report, out, 10.0),
        [_, report, out, seconds] => (report, out, seconds.parse()?),
        _ => return Err("usage: wgpu-rnn-peers REPORT.json OUT.json [SECONDS]".into()),
    };
    let budget = Duration::try_from_secs_f64(seconds)?;
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report)?)?;
    let rows = report["rows"].as_array().ok_or("the report has no rows")?;
    let mut shapes: Vec<Shape> = Vec::new();
    let mut adapters: Vec<Adapter> = Vec::new();
    for row in rows {
        let shape = Shape::of(row).ok_or_else(|| format!("a row without a shape: {row}"))?;
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
        adapters.extend(Adapter::of(row).filter(|adapter| !adapters.contains(adapter)));
    }
    let systems = systems::all(&adapters);
    let mut measured = Vec::new();
    // Systems take turns, so that what disturbs the machine for a while disturbs all of them.
    for shape in &shapes {
        for system in &systems {
            match measure::measure(system, shape, budget) {
                Ok(row) => measured.push(row),
                Err(error) => eprintln!("{} on {}: {shape} left out: {error}", system.name, system.device),
            }
        }
    }
    // Beside its place first, so that nobody reads half of it.
    let temporary = format!("{out}.part");
    std::fs::write(&temporary, serde_json::to_string_pretty(&json!({ "rows": measured }))?)?;
    std::fs::rename(&temporary, out)?;
    Ok(())
}
