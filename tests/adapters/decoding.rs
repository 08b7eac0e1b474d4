//! Decoders, pools and recorded passes of networks on a device.

use libtest_mimic::Failed;
use wgpu_rnn::LoadOptions;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::pass::PassBindings;
use wgpu_rnn::pool::PoolOptions;

use crate::chains::{load, same_bits};
use crate::decoders::decoders;
use crate::networks::{Fixture, fixtures as all_fixtures};
use crate::record::Program;
use crate::{Target, ensure, seeded};

/// PyTorch's logits and tokens, for each score. Software adapters have two of the decoders.
pub fn fixtures(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let all = decoders();
    let most = if target.is_software() { 2 } else { all.len() };
    let scores = ["bahdanau_additive_lstm", "luong_concat_lstm", ""];
    let chosen = scores.iter().flat_map(|name| all.iter().filter(move |d| d.name.contains(name)));
    let failed: Vec<String> =
        chosen.take(most).filter_map(|decoder| decoder.check(&device).err()).collect();
    ensure(failed.is_empty(), failed.join("\n"))
}

/// A network with a causal convolution of stride 2, and one with two recurrent modules and joins.
fn networks() -> Vec<Fixture> {
    let names = ["chain_subsampler", "chain_concat_skip"];
    let all = all_fixtures().into_iter();
    all.filter(|fixture| names.contains(&fixture.name.as_str())).collect()
}

/// Slots have the bits of a stream, alone and together.
pub fn slots(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    for fixture in networks() {
        let network = load(&fixture, &device, &LoadOptions::new())?;
        let mut stream = network.stream(2)?;
        let (stride, features) = (stream.stride(), network.input().count());
        let pool = network.pool(&PoolOptions::new(3).steps(stride))?;
        let slots = [pool.open()?, pool.open()?];
        for tick in 0..3 {
            let input = seeded::tensor(tick, &[stride, 2, features], 1.0);
            let want = stream.forward(&input)?;
            let frame = |row: usize| -> Vec<f32> {
                (0..stride).flat_map(|step| input.row(step * 2 + row)).copied().collect()
            };
            let frames = [frame(0), frame(1)];
            let mut outputs = Vec::new();
            let inputs = [(slots[0], &frames[0][..]), (slots[1], &frames[1])];
            for some in inputs.chunks(if tick == 1 { 1 } else { 2 }) {
                for output in pool.tick(some)? {
                    outputs.extend(output?);
                }
            }
            same_bits(&fixture.name, &outputs, want.data())?;
        }
    }
    Ok(())
}

/// Passes that share a state have the bits of a stream. Without a state, each begins with zeros.
pub fn recorded(target: &Target) -> Result<(), Failed> {
    let program = Program::open(target, &OpenOptions::default())?;
    for fixture in networks() {
        let network = load(&fixture, &program.rnn, &LoadOptions::new())?;
        let mut stream = network.stream(2)?;
        let recorder = network.recorder(stream.stride(), 2)?;
        let state = program.buffer(&vec![0.0; recorder.state_shape().iter().product()]);
        let (output, alone) = [(); 2].map(|()| program.untouched(recorder.output_shape())).into();
        for frame in 0..3 {
            let input = seeded::tensor(frame, &recorder.input_shape(), 1.0);
            let buffer = program.buffer(input.data());
            let bindings = PassBindings::new(&buffer).output(&output).state(&state);
            let mut encoder = program.encoder();
            recorder.bind(&bindings)?.record(&mut encoder)?;
            recorder.bind(&PassBindings::new(&buffer).output(&alone))?.record(&mut encoder)?;
            program.submit(encoder);
            let want = stream.forward(&input)?;
            same_bits(&fixture.name, &program.read(&output)?, want.data())?;
            same_bits(&fixture.name, &program.read(&state)?, stream.state()?.data())?;
            let want = network.forward(&input)?;
            same_bits(&fixture.name, &program.read(&alone)?, want.data())?;
        }
        let buffer = program.untouched(recorder.input_shape());
        let bindings = PassBindings::new(&buffer).output(&output);
        for (refused, text) in [
            (bindings.h_0(&state), "h_0: a network has one state"),
            (PassBindings::new(&buffer), "give output"),
        ] {
            let error = recorder.bind(&refused).expect_err(text).to_string();
            ensure(error.contains(text), error)?;
        }
    }
    Ok(())
}
