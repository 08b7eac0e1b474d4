//! Times other systems' recurrent networks at the shapes of a report of `wgpu-rnn bench --json`, and writes rows of the
//! same form, for `wgpu-rnn bench --with`.
//!
//! A run is timed from the input in host memory to the output in host memory, as there. Weights are each system's own
//! initialisation: they do not matter to the time. What a system cannot express is left out, and named on stderr.

#![forbid(unsafe_code)]

mod burn_nn;
mod candle;

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A network and the sizes of its input.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    kind: String,
    seq_len: usize,
    batch: usize,
    input_size: usize,
    hidden_size: usize,
    num_layers: usize,
    bidirectional: bool,
}

impl Shape {
    fn of(row: &Value) -> Option<Self> {
        let size = |key: &str| row[key].as_u64().map(|size| size as usize);
        Some(Self {
            kind: row["kind"].as_str()?.to_owned(),
            seq_len: size("seq_len")?,
            batch: size("batch")?,
            input_size: size("input_size")?,
            hidden_size: size("hidden_size")?,
            num_layers: size("num_layers")?,
            bidirectional: row["bidirectional"].as_bool()?,
        })
    }

    /// Features that a layer reads.
    fn layer_input_size(&self, layer: usize) -> usize {
        if layer == 0 { self.input_size } else { self.directions() * self.hidden_size }
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

/// A forward pass: the input in, the output out.
type Forward = Box<dyn FnMut() -> Result<Vec<f32>, Box<dyn Error>>>;

/// A system on a device.
struct System {
    name: &'static str,
    device: String,
    backend: &'static str,
    /// Builds the network of a shape around an input, `[B, T, I]`; or says why it cannot.
    build: Box<dyn Fn(&Shape, Vec<f32>) -> Result<Forward, Box<dyn Error>>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let (report, out, seconds) = match args.as_slice() {
        [_, report, out] => (report, out, 10.0),
        [_, report, out, seconds] => (report, out, seconds.parse()?),
        _ => return Err("usage: wgpu-rnn-peers REPORT.json OUT.json [SECONDS]".into()),
    };
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report)?)?;
    let mut shapes: Vec<Shape> = Vec::new();
    for row in report["rows"].as_array().ok_or("the report has no rows")? {
        let shape = Shape::of(row).ok_or_else(|| format!("a row without a shape: {row}"))?;
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let mut systems = burn_nn::systems();
    systems.push(candle::system());
    let mut rows = Vec::new();
    for shape in &shapes {
        for system in &systems {
            match measure(system, shape, Duration::from_secs_f64(seconds)) {
                Ok(row) => rows.push(row),
                Err(error) => eprintln!("{} on {}: {shape:?} left out: {error}", system.name, system.device),
            }
        }
    }
    // Beside its place first, so that nobody reads half of it.
    let temporary = format!("{out}.part");
    std::fs::write(&temporary, serde_json::to_string_pretty(&json!({ "rows": rows }))?)?;
    std::fs::rename(&temporary, out)?;
    Ok(())
}

/// Times a shape on a system for about as long as allowed.
fn measure(system: &System, shape: &Shape, budget: Duration) -> Result<Value, Box<dyn Error>> {
    let values = shape.seq_len * shape.batch * shape.input_size;
    // Any numbers in ±1 do.
    let input = (0..values as u32).map(|i| i.wrapping_mul(2_654_435_769) as f32 / 2_147_483_648.0 - 1.0).collect();
    let mut forward = (system.build)(shape, input)?;
    let begin = Instant::now();
    let output = forward()?;
    let expected = shape.seq_len * shape.batch * shape.directions() * shape.hidden_size;
    if output.len() != expected || !output.iter().all(|value| value.is_finite()) {
        return Err(format!("{} values, want {expected} that are finite", output.len()).into());
    }
    // Warm: systems that tune themselves do so in their first runs.
    while begin.elapsed() < budget / 4 {
        forward()?;
    }
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < 50 && begin.elapsed() < budget) {
        let start = Instant::now();
        forward()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let rank = |share: f64| times[((times.len() as f64 * share).ceil() as usize).max(1) - 1];
    eprintln!("{} on {}: {shape:?} {:.3} ms", system.name, system.device, rank(0.5) / 1e3);
    Ok(json!({
        "system": system.name, "device": system.device, "backend": system.backend, "driver": "",
        "kind": shape.kind, "input_size": shape.input_size, "hidden_size": shape.hidden_size,
        "num_layers": shape.num_layers, "bidirectional": shape.bidirectional, "seq_len": shape.seq_len,
        "batch": shape.batch, "dtype": "f32",
        "wall_us": {"median": rank(0.5), "min": times[0], "p95": rank(0.95)}, "gpu_us": null,
        "us_per_step": rank(0.5) / (shape.seq_len * shape.num_layers) as f64, "repetitions": times.len(),
    }))
}
