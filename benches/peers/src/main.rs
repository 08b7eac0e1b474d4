//! Times the recurrent networks of other systems at the shapes of a `wgpu-rnn bench --json` report.
//!
//!     wgpu-rnn-peers REPORT.json OUT.json [SECONDS]
//!
//! Writes rows of the same form, for `wgpu-rnn bench --with`. SECONDS is the time limit for each
//! shape on each system (default: 10). The values of the weights do not affect the time. A message
//! on stderr names each shape that a system lacks.

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
        let shape = Shape::from_row(row).ok_or_else(|| format!("a row lacks a size: {row}"))?;
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
        adapters.extend(Adapter::from_row(row).filter(|adapter| !adapters.contains(adapter)));
    }
    let systems = systems::all(&adapters);
    let mut measured = Vec::new();
    // Systems alternate, so that a disturbance of the machine affects all of them.
    for shape in &shapes {
        for system in &systems {
            match measure::measure(system, shape, budget) {
                Ok(row) => measured.push(row),
                Err(error) => {
                    eprintln!("{} on {}: {shape} left out: {error}", system.name, system.device)
                }
            }
        }
    }
    // Move the complete file: a reader must not see half of it.
    let temporary = format!("{out}.part");
    std::fs::write(&temporary, serde_json::to_string_pretty(&json!({ "rows": measured }))?)?;
    std::fs::rename(&temporary, out)?;
    Ok(())
}
