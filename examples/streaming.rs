//! Streams audio through a cell frame by frame and reports the time of each frame. The state stays
//! on the device.
//!
//! `cargo run --release --example streaming -- [DEVICE] [WEIGHTS [PREFIX]]`, where DEVICE is
//! `auto`, `cpu` or part of an adapter's name. WEIGHTS is a safetensors file with the state dict of
//! an `nn.LSTMCell`, `nn.GRUCell` or `nn.RNNCell`.

use std::time::{Duration, Instant};

use wgpu_rnn::{Cell, Config, Device, Params, StateDict, Tensor};

const SAMPLE_RATE: usize = 16_000;
const SECONDS: usize = 2;

/// A tone that glides from 200 Hz to 800 Hz and swells three times a second, with some noise.
fn audio() -> Vec<f32> {
    let mut phase = 0.0_f32;
    let sample = |i: usize| {
        let noise = 0.05 * (i as f32 * 12.9898).sin();
        let time = i as f32 / SAMPLE_RATE as f32;
        let frequency = 200.0 + 600.0 * time / SECONDS as f32;
        phase = (phase + frequency / SAMPLE_RATE as f32).fract();
        let loudness = (std::f32::consts::TAU * 1.5 * time).sin().powi(2);
        0.5 * loudness * (std::f32::consts::TAU * phase).sin() + noise
    };
    (0..SAMPLE_RATE * SECONDS).map(sample).collect()
}

fn main() -> wgpu_rnn::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = Device::open(arguments.first().map_or("auto", String::as_str))?;
    let cell = match arguments.get(1) {
        Some(file) => {
            let prefix = arguments.get(2).map_or("", String::as_str);
            Cell::load(&device, &StateDict::open(file)?, prefix)?
        }
        // The values of torch.manual_seed(0); nn.LSTMCell(160, 128): frames of 10 ms.
        None => Cell::new(&device, &Params::init(&Config::lstm(160, 128), 0)?)?,
    };
    let (input_size, hidden_size) = (cell.config().input_size, cell.config().hidden_size);
    let frame_time = Duration::from_secs_f64(input_size as f64 / SAMPLE_RATE as f64);
    println!("device: {device}");
    println!(
        "{} with {hidden_size} units, frames of {input_size} samples ({frame_time:.1?})",
        cell.config().kind.cell()
    );

    let mut stream = cell.stream(1)?;
    let mut latencies = Vec::new();
    for (i, frame) in audio().chunks_exact(input_size).enumerate() {
        let frame = Tensor::new([input_size], frame.to_vec())?;
        let start = Instant::now();
        let h = stream.step(&frame)?;
        let latency = start.elapsed();
        latencies.push(latency);
        if i % 20 == 0 {
            // Untrained weights detect nothing, but their state follows the sound.
            let level = (h.data().iter().map(|v| v * v).sum::<f32>() / hidden_size as f32).sqrt();
            let bar = "#".repeat((level * 60.0) as usize);
            println!("frame {i:>4}: {latency:>9.1?}  |h| {level:.3} {bar}");
        }
    }
    latencies.sort_unstable();
    let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or_default();
    println!("{} frames: median {:.1?}, 95 % within {:.1?}", latencies.len(), at(50), at(95));
    println!(
        "real time needs {frame_time:.1?} a frame: {:.0} times faster",
        frame_time.as_secs_f64() / at(50).as_secs_f64()
    );
    Ok(())
}
