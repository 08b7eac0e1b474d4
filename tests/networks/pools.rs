//! Slots of a pool have the bits of streams, and refusals name what is missing.

use wgpu_rnn::pool::PoolOptions;
use wgpu_rnn::{Device, LoadOptions, Tensor};

use crate::chains::{load, same_bits};
use crate::networks::{Fixture, Input, fixtures};

/// Runs the rows of a fixture in slots: all in one tick, then each alone.
fn check(fixture: &Fixture, device: &Device) -> Result<(), String> {
    let network = load(fixture, device, &LoadOptions::new()).map_err(|error| error.to_string())?;
    let Input::Values(input) = &fixture.input else { return Ok(()) };
    let failed = |error: wgpu_rnn::Error| error.to_string();
    let batch = input.shape()[1];
    let mut stream = network.stream(batch).map_err(failed)?;
    let stride = stream.stride();
    let pool = network.pool(&PoolOptions::new(batch + 1).steps(stride)).map_err(failed)?;
    let slots: Vec<_> = (0..batch).map(|_| pool.open().expect("a free slot")).collect();
    let of_step: usize = input.shape()[2..].iter().product();
    let step = stride * batch * of_step;
    for (at, values) in input.data().chunks_exact(step).enumerate() {
        let shape = [&[stride], &input.shape()[1..]].concat();
        let want = stream
            .forward(&Tensor::new(shape, values.to_vec()).expect("some steps"))
            .map_err(failed)?;
        let frames: Vec<Vec<f32>> = (0..batch)
            .map(|row| {
                let steps = values.chunks_exact(batch * of_step);
                steps.flat_map(|step| &step[row * of_step..][..of_step]).copied().collect()
            })
            .collect();
        let inputs: Vec<_> = slots.iter().copied().zip(frames.iter().map(Vec::as_slice)).collect();
        // Together in even steps, one by one in odd ones.
        let size = if at % 2 == 0 { batch } else { 1 };
        let mut outputs = Vec::new();
        for some in inputs.chunks(size) {
            for output in pool.tick(some).map_err(failed)? {
                outputs.extend(output.map_err(failed)?);
            }
        }
        same_bits("slots", &outputs, want.data())?;
    }
    Ok(())
}

#[test]
fn slots_have_the_bits_of_streams() {
    let device = Device::cpu();
    let mut pooled = 0;
    let failed: Vec<String> = fixtures()
        .iter()
        .filter(|fixture| fixture.streamable && fixture.output.shape().len() == 3)
        .filter(|fixture| matches!(fixture.input, Input::Values(_)))
        .inspect(|_| pooled += 1)
        .filter_map(|fixture| {
            check(fixture, &device).err().map(|e| format!("{}: {e}", fixture.name))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(pooled >= 40, "only {pooled} networks ran in pools");
}

#[test]
fn pools_refuse_what_they_lack() {
    let device = Device::cpu();
    for (name, options, text) in [
        ("embedding", PoolOptions::new(1), "a pool of a network of tokens"),
        ("magnitude_step", PoolOptions::new(1), "end it with flatten()"),
        ("lstm_bidirectional", PoolOptions::new(1), "reads sequences from their end"),
        ("conv_time_k5_s2", PoolOptions::new(1), "no causal convolution"),
        ("conv_time_causal_s2", PoolOptions::new(1), "a multiple of 2 steps, got 1"),
        ("relu", PoolOptions::new(0), "at least one slot"),
    ] {
        let fixture = fixtures().into_iter().find(|f| f.name == name).expect(name);
        let network = load(&fixture, &device, &LoadOptions::new()).expect(name);
        let message = network.pool(&options).expect_err(text).to_string();
        assert!(message.contains(text), "{name}: {message}");
    }
}
