//! The time of a call from Rust, for `overhead.py`.
//!
//! Prints a line of JSON for each network: its name, and the least and the median time in µs.

use std::time::Instant;

use wgpu_rnn::{Config, Device, Params, Result, Rnn, Tensor};

/// Name, network, steps, rows; `overhead.py` has the same list.
const CASES: &[(&str, Config, usize, usize)] = &[
    ("GRU(2, 3), 1 step of 1 row", Config::gru(2, 3), 1, 1),
    ("LSTM(64, 128), 1 step of 1 row", Config::lstm(64, 128), 1, 1),
    ("LSTM(64, 128), 10 steps of 8 rows", Config::lstm(64, 128), 10, 8),
    ("LSTM(64, 128), 100 steps of 64 rows", Config::lstm(64, 128), 100, 64),
];

fn main() -> Result<()> {
    let device = std::env::args().nth(1).unwrap_or_else(|| "cpu".to_owned());
    let calls = std::env::args().nth(2).and_then(|count| count.parse().ok()).unwrap_or(1000);
    let device = Device::open(&device)?;
    for (name, config, seq_len, batch) in CASES {
        let rnn = Rnn::new(&device, &Params::init(config, 0)?)?;
        let input = Tensor::zeros([*seq_len, *batch, config.input_size])?;
        let mut times = Vec::new();
        for call in 0..calls + calls / 10 {
            let start = Instant::now();
            let results = rnn.forward(&input, None)?;
            if call >= calls / 10 {
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            drop(results);
        }
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        println!("{{\"name\": \"{name}\", \"least\": {least:.3}, \"median\": {median:.3}}}");
    }
    Ok(())
}
