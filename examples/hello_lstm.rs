//! Runs a bidirectional LSTM on the best device of this machine and compares it with the
//! definition.
//!
//! `cargo run --release --example hello_lstm`

use wgpu_rnn::diagnostics::reference;
use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};

fn main() -> wgpu_rnn::Result<()> {
    let device = Device::open("auto")?;
    println!("device: {device}");

    // The values of torch.manual_seed(0); nn.LSTM(80, 128, num_layers=2, bidirectional=True).
    // Rnn::load(&device, &StateDict::open("model.safetensors")?, "encoder.rnn.") loads trained
    // weights.
    let params = Params::init(&Config::lstm(80, 128).num_layers(2).bidirectional(true), 0)?;
    let lstm = Rnn::new(&device, &params)?;

    let (seq_len, batch) = (50, 3);
    let input: Vec<f32> = (0..seq_len * batch * 80).map(|i| (i as f32 * 0.37).sin()).collect();
    let input = Tensor::new([seq_len, batch, 80], input)?;

    let (output, state) = lstm.forward(&input, None)?;
    println!("output {:?}, h_n {:?}", output.shape(), state.h.shape());

    // The state continues the sequences: the next 50 steps of the same rows.
    let (_, state) = lstm.forward(&input, Some(&state))?;
    println!("h_n of row 0, layer 1, reverse: {:.4?} ...", &state.h.row(3 * batch)[..4]);

    let want = reference(&params, &input, None, None)?;
    let error =
        output.data().iter().zip(&want.output).map(|(got, want)| (f64::from(*got) - want).abs());
    println!("largest difference from the definition in f64: {:.1e}", error.fold(0.0, f64::max));
    Ok(())
}
