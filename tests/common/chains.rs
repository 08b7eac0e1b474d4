//! Checks of whole networks on a device, which name what is wrong.

#![allow(dead_code, reason = "each test program uses some of it")]

use wgpu_rnn::diagnostics::compare::{Comparison, Tolerance};
use wgpu_rnn::network::{Network, NetworkStream};
use wgpu_rnn::{Device, LoadOptions, Tensor};

use crate::networks::{Fixture, Input};

/// Compares an output with PyTorch's. The definition in f64 differs from PyTorch as well, and by
/// how much is in the fixture.
pub fn compared(fixture: &Fixture, output: &Tensor) -> Result<(), String> {
    let tolerance = Tolerance::new(fixture.atol.max(1e-5), fixture.rtol);
    if output.shape() != fixture.output.shape() {
        return Err(format!("the shape {:?}, want {:?}", output.shape(), fixture.output.shape()));
    }
    let mut comparison = Comparison::default();
    let want: Vec<f64> = fixture.output.data().iter().map(|&value| value.into()).collect();
    comparison.add("output", output.shape(), output.data(), &want, tolerance);
    if comparison.agrees() { Ok(()) } else { Err(format!("{comparison:?}")) }
}

fn failed(error: wgpu_rnn::Error) -> String {
    error.to_string()
}

/// The network of a fixture on a device.
pub fn load(
    fixture: &Fixture,
    device: &Device,
    options: &LoadOptions,
) -> Result<Network, wgpu_rnn::Error> {
    fixture.definition.load_with(device, &fixture.weights, fixture.prefix, options)
}

/// The whole output.
pub fn forward(network: &Network, input: &Input) -> Result<Tensor, String> {
    match input {
        Input::Values(input) => network.forward(input).map_err(failed),
        Input::Tokens(tokens, shape) => network.forward_tokens(tokens, shape).map_err(failed),
    }
}

/// T and B of an input.
pub fn sizes_of(input: &Input) -> [usize; 2] {
    match input {
        Input::Values(input) => [input.shape()[0], input.shape()[1]],
        Input::Tokens(_, shape) => [shape[0], shape[1]],
    }
}

/// Some steps of an input.
fn piece(input: &Input, steps: std::ops::Range<usize>) -> Input {
    let sliced = |shape: &[usize]| {
        let of_step: usize = shape[1..].iter().product();
        let shape = [&[steps.len()], &shape[1..]].concat();
        (steps.start * of_step..steps.end * of_step, shape)
    };
    match input {
        Input::Values(input) => {
            let (range, shape) = sliced(input.shape());
            let values = input.data()[range].to_vec();
            Input::Values(Tensor::new(shape, values).expect("some steps"))
        }
        Input::Tokens(tokens, shape) => {
            let (range, shape) = sliced(shape);
            Input::Tokens(tokens[range].to_vec(), shape)
        }
    }
}

fn advance(stream: &mut NetworkStream, input: &Input) -> Result<Tensor, String> {
    match input {
        Input::Values(input) => stream.forward(input).map_err(failed),
        Input::Tokens(tokens, shape) => stream.forward_tokens(tokens, shape).map_err(failed),
    }
}

/// Pieces of a sequence have the bits of the whole, and a state continues it anywhere. A network
/// that cannot run in pieces says so.
pub fn pieces(fixture: &Fixture, network: &Network) -> Result<(), String> {
    let [seq_len, batch] = sizes_of(&fixture.input);
    let mut stream = match (network.stream(batch), fixture.streamable) {
        (Ok(stream), true) => stream,
        (Err(_), false) => return Ok(()),
        (Ok(_), false) => return Err("it streams, but reads later steps".to_owned()),
        (Err(error), true) => return Err(error.to_string()),
    };
    let stride = stream.stride();
    let steps = seq_len / stride * stride;
    if steps == 0 {
        return Ok(());
    }
    let whole = forward(network, &piece(&fixture.input, 0..steps))?;
    let mut joined = Vec::new();
    let (mut start, mut count) = (0, 1);
    while start < steps {
        let end = steps.min(start + count * stride);
        joined.extend(advance(&mut stream, &piece(&fixture.input, start..end))?.into_data());
        (start, count) = (end, count % 3 + 1);
        if start < steps {
            // Another stream continues from the state.
            let state = stream.state().map_err(failed)?;
            stream = network.stream(batch).map_err(failed)?;
            stream.set_state(&state).map_err(failed)?;
            let again = stream.state().map_err(failed)?;
            if again != state {
                return Err("the state that was set is another".to_owned());
            }
        }
    }
    same_bits("pieces", &joined, whole.data())
}

/// A batch-first network reads the axes in the other order, and gives the same bits.
pub fn batch_first(fixture: &Fixture, network: &Network) -> Result<(), String> {
    let Input::Values(input) = &fixture.input else { return Ok(()) };
    let options = network.options().clone().batch_first(true);
    let turned = load(fixture, network.device(), &options).map_err(failed)?;
    let output = turned.forward(&transposed(input)).map_err(failed)?;
    let want = network.forward(input).map_err(failed)?;
    let output = transposed(&output);
    if output.shape() != want.shape() {
        return Err(format!(
            "batch first: the shape {:?}, want {:?}",
            output.shape(),
            want.shape()
        ));
    }
    same_bits("batch first", output.data(), want.data())
}

/// The tensor with its first two axes in the other order.
fn transposed(tensor: &Tensor) -> Tensor {
    let (outer, inner) = (tensor.shape()[0], tensor.shape()[1]);
    let block: usize = tensor.shape()[2..].iter().product();
    let block_at = |at: usize| &tensor.data()[at * block..][..block];
    let blocks = (0..inner).flat_map(|i| (0..outer).map(move |o| o * inner + i));
    let values: Vec<f32> = blocks.flat_map(block_at).copied().collect();
    Tensor::new([&[inner, outer], &tensor.shape()[2..]].concat(), values).expect("the same values")
}

/// Each row alone has the bits that it has in the batch.
pub fn rows_alone(fixture: &Fixture, network: &Network) -> Result<(), String> {
    let Input::Values(input) = &fixture.input else { return Ok(()) };
    let whole = transposed(&network.forward(input).map_err(failed)?);
    let by_row = transposed(input);
    let of_row: usize = by_row.shape()[1..].iter().product();
    let of_output: usize = whole.shape()[1..].iter().product();
    for row in 0..by_row.shape()[0] {
        let values = by_row.data()[row * of_row..][..of_row].to_vec();
        let alone = Tensor::new(&by_row.shape()[1..], values).expect("a row");
        let alone = network.forward(&alone).map_err(failed)?;
        same_bits("a row alone", alone.data(), &whole.data()[row * of_output..][..of_output])?;
    }
    Ok(())
}

pub fn same_bits(what: &str, got: &[f32], want: &[f32]) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{what}: {} values, want {}", got.len(), want.len()));
    }
    let differs = |(got, want): (&f32, &f32)| got.to_bits() != want.to_bits();
    match got.iter().zip(want).position(differs) {
        None => Ok(()),
        Some(at) => Err(format!("{what}: {} at {at}, want {}", got[at], want[at])),
    }
}

/// All checks of a fixture on a device; the error names the fixture.
pub fn check(fixture: &Fixture, device: &Device) -> Result<(), String> {
    check_with(fixture, device, &LoadOptions::new())
}

/// [`check`] of a network that is loaded with options.
pub fn check_with(fixture: &Fixture, device: &Device, options: &LoadOptions) -> Result<(), String> {
    let check = || {
        let network = load(fixture, device, options).map_err(failed)?;
        compared(fixture, &forward(&network, &fixture.input)?)?;
        pieces(fixture, &network)?;
        batch_first(fixture, &network)?;
        rows_alone(fixture, &network)
    };
    check().map_err(|message| format!("{}: {message}", fixture.name))
}
