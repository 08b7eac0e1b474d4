//! A table of one network on every adapter and the CPU: is it right, and how fast is it?
//!
//! `cargo run --release --example adapters`

use wgpu_rnn::diagnostics::bench::{Attempt, Options, Workload};
use wgpu_rnn::diagnostics::every_device;
use wgpu_rnn::{Params, Result, StateDict, WeightType};

fn main() -> Result<()> {
    let weights = StateDict::open("models/shakespeare.safetensors")?;
    let params = Params::from_state_dict(&weights, "rnn.")?;
    let workload = Workload::of_params(&params, (100, 1), WeightType::F32)?;
    println!("{}: largest error, µs a step", workload.shape().name);
    for device in every_device()? {
        match workload.measure(&device, device.calibration(), &Options::default())? {
            Attempt::Measured(row) => {
                let error = row.max_abs_vs_f64.unwrap_or(f64::NAN);
                println!("{error:10.1e} {:10.2}  {device}", row.us_per_step);
            }
            other => println!("{other:?}  {device}"),
        }
    }
    Ok(())
}
