//! A module of a state dict, run over an input file.
//!
//! In Python: `safetensors.torch.save_file(model.state_dict(), "model.safetensors")`, then
//! `cargo run --release --example pytorch_weights -- model.safetensors encoder.rnn. input.safetensors`

use wgpu_rnn::{Device, Rnn, StateDict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, prefix, input] = arguments.as_slice() else {
        return Err("usage: pytorch_weights WEIGHTS PREFIX INPUT (PREFIX may be empty: '')".into());
    };
    let rnn = Rnn::load(&Device::open("auto")?, &StateDict::open(weights)?, prefix)?;
    println!("{:?} on {}", rnn.config(), rnn.device());
    let (output, state) = rnn.forward(&StateDict::open(input)?.input("input")?, None)?;
    println!("output {:?}, h_n {:?}", output.shape(), state.h.shape());
    Ok(())
}
