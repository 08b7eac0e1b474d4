//! Runs a module of a state dict over an input file.
//!
//! In Python: `torch.save(model.state_dict(), "model.pt")`, `torch.save({"input": x}, "input.pt")`.
//! Then:
//!
//!     cargo run --release --example pytorch_weights -- model.pt encoder.rnn. input.pt
//!
//! An empty prefix is ''. A last argument `batch_first` reads the input as [B, T, I].

use wgpu_rnn::{Device, LoadOptions, Rnn, StateDict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (batch_first, [weights, prefix, input]) = match arguments.as_slice() {
        [weights, prefix, input] => (false, [weights, prefix, input]),
        [weights, prefix, input, flag] if flag == "batch_first" => (true, [weights, prefix, input]),
        _ => return Err("usage: pytorch_weights WEIGHTS PREFIX INPUT [batch_first]".into()),
    };
    // A state dict does not hold batch_first: without the option the input is [T, B, I].
    let options = LoadOptions::new().batch_first(batch_first);
    let device = Device::open("auto")?;
    let rnn = Rnn::load_with(&device, &StateDict::open(weights)?, prefix, &options)?;
    println!("{:?} on {}", rnn.config(), rnn.device());
    let (output, state) = rnn.forward(&StateDict::open(input)?.input("input")?, None)?;
    println!("output {:?}, h_n {:?}", output.shape(), state.h.shape());
    Ok(())
}
