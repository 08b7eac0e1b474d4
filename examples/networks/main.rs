//! Three published networks, frame by frame: one submission a frame, and all states stay on the
//! device.
//!
//!     python examples/networks/vad.py vad.safetensors    # or rnnoise.py, or dtln.py
//!     cargo run --release --example networks vad vad.safetensors [DEVICE]
//!
//! The script draws the weights and writes them below `model.`, with an input and PyTorch's output.

use std::time::Instant;

use wgpu_rnn::network::{Conv1d, PaddingMode, Sequential};
use wgpu_rnn::{Device, StateDict, TensorView};

/// Silero VAD: 512 samples, after 64 of the frame before, to the probability of speech.
fn voice_detector() -> Sequential {
    let encoder = |stride| Conv1d::new().stride(stride).padding(1);
    let stft = Conv1d::new().stride(128).padding_sides(0, 64).padding_mode(PaddingMode::Reflect);
    Sequential::new([1, 576])
        .conv1d("stft.", stft)
        .magnitude()
        .conv1d("encoder.0.", encoder(1))
        .relu()
        .conv1d("encoder.1.", encoder(2))
        .relu()
        .conv1d("encoder.2.", encoder(2))
        .relu()
        .conv1d("encoder.3.", encoder(1))
        .relu()
        .flatten()
        .cell("cell.")
        .relu()
        .conv1d("decoder.", Conv1d::new())
        .sigmoid()
}

/// RNNoise: 42 features to the gains of 22 bands and the probability of speech.
fn noise_suppressor() -> Sequential {
    Sequential::new(42)
        .name("features")
        .linear("input_dense.")
        .tanh()
        .name("dense")
        .rnn("vad_gru.")
        .name("vad")
        .linear("vad_output.")
        .sigmoid()
        .name("speech")
        .concat(["dense", "vad", "features"])
        .rnn("noise_gru.")
        .name("noise")
        .concat(["vad", "noise", "features"])
        .rnn("denoise_gru.")
        .linear("denoise_output.")
        .sigmoid()
        .name("gains")
        .concat(["gains", "speech"])
}

/// DTLN: 512 samples to 512 cleaner ones, by a mask of the spectrum and one of learned features.
fn two_masks() -> Sequential {
    Sequential::new(512)
        .linear("analysis.")
        .name("spectrum")
        .magnitude()
        .rnn("lstm1.")
        .linear("mask1.")
        .sigmoid()
        .name("mask")
        .concat(["mask", "mask"]) // of the real and of the imaginary parts
        .mul("spectrum")
        .linear("synthesis.")
        .linear("encoder.")
        .name("encoded")
        .layer_norm("norm.", 1e-7)
        .rnn("lstm2.")
        .linear("mask2.")
        .sigmoid()
        .mul("encoded")
        .linear("decoder.")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("give a network: vad, rnnoise or dtln")?;
    let definition = match name.as_str() {
        "vad" => voice_detector(),
        "rnnoise" => noise_suppressor(),
        "dtln" => two_masks(),
        other => return Err(format!("there is no network {other}: vad, rnnoise or dtln").into()),
    };
    let file = StateDict::open(arguments.next().ok_or("give the file that the script writes")?)?;
    let device = Device::open(arguments.next().as_deref().unwrap_or("auto"))?;
    let network = definition.load(&device, &file, "model.")?;

    let (input, wanted) = (file.tensor("input")?, file.tensor("output")?);
    let (frames, batch) = (input.shape()[0], input.shape()[1]);
    let shape = [&[1], &input.shape()[1..]].concat();
    let mut stream = network.stream(batch)?;
    let (mut output, mut times) = (Vec::new(), Vec::new());
    for frame in input.data().chunks_exact(input.data().len() / frames) {
        let begun = Instant::now();
        output.extend(stream.forward(TensorView::new(&shape, frame)?)?.into_data());
        times.push(begun.elapsed());
    }
    let differences = output.iter().zip(wanted.data()).map(|(got, want)| (got - want).abs());
    let whole = network.forward(&input)?;
    times.sort();
    println!(
        "{name} on {device}: {frames} frames of {batch} rows\n  \
         {:.1} us a frame (median), largest difference from PyTorch {:.1e}\n  \
         the frames have the bits of one call: {}",
        times[frames / 2].as_secs_f64() * 1e6,
        differences.fold(0.0, f32::max),
        output == whole.data(),
    );
    Ok(())
}
