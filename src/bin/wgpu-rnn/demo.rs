//! `wgpu-rnn` without a command: a network of real size on the best device and on the CPU, against the definition.

use std::time::{Duration, Instant};

use wgpu_rnn::compare::{Comparison, Tolerance};
use wgpu_rnn::device::{Choice, OpenOptions};
use wgpu_rnn::random::Mt19937;
use wgpu_rnn::{Config, Device, Error, Params, Rnn, Tensor};

use crate::Outcome;
use crate::compare::definition;
use crate::run::Input;
use crate::terminal::{BAD, FAINT, GOOD, STRONG, duration, line};

const SEQ_LEN: usize = 100;
const INPUT_SIZE: usize = 512;
const HIDDEN_SIZE: usize = 256;
const NUM_LAYERS: usize = 2;

/// How long each device is timed.
const TIMED: Duration = Duration::from_millis(800);

pub fn demo() -> Result<Outcome, Error> {
    let config = Config::lstm(INPUT_SIZE, HIDDEN_SIZE).num_layers(NUM_LAYERS).bidirectional(true);
    let params = Params::init(&config, 0)?;
    let input = Mt19937::new(1).uniform_vec(SEQ_LEN * INPUT_SIZE, -1.0, 1.0);
    let given = Input { input: Tensor::new([SEQ_LEN, 1, INPUT_SIZE], input)?, lengths: None, state: None };
    line!(
        "{STRONG}nn.LSTM({INPUT_SIZE}, {HIDDEN_SIZE}, num_layers={NUM_LAYERS}, bidirectional=True){STRONG:#} \
         over {SEQ_LEN} steps, weights as PyTorch initialises them"
    );
    let want = definition(&params, &given)?;
    let best = Choice::of("auto")?;
    let found_gpu = matches!(best, Choice::Adapter(_));
    let choices = if found_gpu { vec![best, Choice::Cpu] } else { vec![Choice::Cpu] };
    if !found_gpu {
        line!("no GPU here, so the CPU does the work (software adapters run only when named)");
    }
    let mut agreed = true;
    for choice in choices {
        line!("\n{STRONG}{}{STRONG:#}", choice.title());
        let device = match choice.open(&OpenOptions::default()) {
            Ok(device) => device,
            // A GPU that cannot be used must not hide that the CPU can.
            Err(error) if matches!(choice, Choice::Adapter(_)) => {
                line!("  {BAD}{error}{BAD:#}");
                agreed = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        agreed &= show(&device, &params, &given.input, &want.output)?;
    }
    // The commands as they can be typed here, wherever the program was started from.
    let program = std::env::args().next().unwrap_or_else(|| "wgpu-rnn".to_owned());
    line!("\nnext:");
    line!("  {program} devices");
    line!("  {program} verify --device all tests/fixtures/pytorch");
    line!("  {program} run --weights model.safetensors --input input.safetensors --output output.safetensors");
    Ok(if agreed { Outcome::Agreed } else { Outcome::Disagreed })
}

/// Runs, judges and times the network on one device.
fn show(device: &Device, params: &Params, input: &Tensor, want: &[f64]) -> Result<bool, Error> {
    let opened = Instant::now();
    let rnn = Rnn::new(device, params)?;
    let (output, _) = rnn.forward(input, None)?;
    let first = opened.elapsed();
    let mut comparison = Comparison::default();
    comparison.add("output", output.shape(), output.data(), want, Tolerance::F32);
    let (colour, word) = if comparison.agrees() { (GOOD, "agrees") } else { (BAD, "disagrees") };
    line!(
        "  {colour}{word}{colour:#} with the definition in f64: largest difference {:.1e} over {} values",
        comparison.max_abs,
        comparison.count
    );
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < 3 || (started.elapsed() < TIMED && times.len() < 200) {
        let one = Instant::now();
        rnn.forward(input, None)?;
        times.push(one.elapsed());
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    let per_step = median / (SEQ_LEN * NUM_LAYERS) as u32;
    line!(
        "  {} per time step and layer, both directions; {} for all {SEQ_LEN} steps (median of {})",
        duration(per_step),
        duration(median),
        times.len()
    );
    line!("  {FAINT}weights loaded and first pass done in {}{FAINT:#}", duration(first));
    Ok(comparison.agrees())
}
