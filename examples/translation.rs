//! Translation with attention, as in PyTorch's tutorial: the decoder reads the memory of an encoder
//! and writes tokens on the device.
//!
//!     cargo run --release --example translation FILE [DEVICE]
//!
//! FILE holds the encoder's outputs `memory` ([M, B, F]), their `lengths`, the decoder's first
//! state `h0`, and its weights below `model.`, such as
//! tests/fixtures/attention/bahdanau_additive_gru_l1_b3_m8.safetensors.

use wgpu_rnn::network::{Attention, Sequential};
use wgpu_rnn::{Device, State, StateDict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = StateDict::open(arguments.next().ok_or("give a file of weights")?)?;
    let device = Device::open(arguments.next().as_deref().unwrap_or("auto"))?;
    let score = Attention::additive("attention.Wa.", "attention.Ua.", "attention.Va.weight");
    let network = Sequential::tokens()
        .embedding("embedding.")
        .name("token")
        .hidden("rnn.") // the state before the step asks for its context
        .attention(score)
        .name("context")
        .concat(["token", "context"])
        .rnn("rnn.")
        .linear("out.")
        .load(&device, &file, "model.")?;
    let mut decoder = network.decoder(&file.tensor("memory")?, Some(&file.lengths()?))?;
    decoder.set_state_of("rnn.", &State { h: file.tensor("h0")?, c: None })?;
    let start = vec![1; decoder.batch()];
    for (step, tokens) in decoder.greedy(&start, 10)?.into_iter().enumerate() {
        println!("step {step}: {tokens:?}");
    }
    Ok(())
}
