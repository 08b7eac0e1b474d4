//! Keyword spotting: a convolution, normalisation, a bidirectional LSTM and a head, in one call.
//!
//!     cargo run --release --example keyword_spotting FILE [DEVICE]
//!
//! FILE holds `input` ([T, B, 13]) and the weights below `model.`, such as
//! tests/fixtures/networks/chain_keyword_spotter.safetensors.

use wgpu_rnn::network::{Conv1d, Sequential};
use wgpu_rnn::{Device, StateDict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = StateDict::open(arguments.next().ok_or("give a file of weights")?)?;
    let device = Device::open(arguments.next().as_deref().unwrap_or("auto"))?;
    let network = Sequential::new(13)
        .conv1d("conv.", Conv1d::new().padding(1))
        .batch_norm1d("bn.", 1e-5)
        .relu()
        .layer_norm("norm.", 1e-5)
        .rnn("lstm.")
        .linear("fc.")
        .log_softmax()
        .load(&device, &file, "model.")?;
    let scores = network.forward(&file.tensor("input")?)?; // [T, B, keywords]
    let (rows, keywords) = (scores.shape()[1], scores.shape()[2]);
    for (at, scores) in scores.data().chunks_exact(keywords).enumerate() {
        let best = (0..keywords).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        println!("step {}, row {}: keyword {best}, {:.3}", at / rows, at % rows, scores[best]);
    }
    Ok(())
}
