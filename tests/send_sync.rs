//! The types that threads may share and the futures that any thread may await: the compiler checks
//! them.

use wgpu_rnn::internals::engine::session::Session;
use wgpu_rnn::language_model::{
    GenerateOptions, Generator, LanguageModel, LanguageModelConfig, LanguageModelParams,
};
use wgpu_rnn::network::{Network, NetworkStream};
use wgpu_rnn::pass::{NetworkRecorder, Pass, Recorder};
use wgpu_rnn::pool::{Pool, Queue, Slot};
use wgpu_rnn::stream::{CellStream, Stream};
use wgpu_rnn::{
    Cell, Config, Device, Embedding, Error, ForwardOptions, Kind, Linear, Params, Rnn, Tensor,
};

fn shared<T: Send + Sync>() {}

fn awaited_anywhere<T>(future: impl Future<Output = T> + Send) {
    drop(future);
}

fn owned<T: Send + 'static>() {}

#[test]
fn everything_is_shared_between_threads() {
    shared::<Device>();
    shared::<Error>();
    shared::<Rnn>();
    shared::<Stream>();
    shared::<Cell>();
    shared::<CellStream>();
    shared::<Linear>();
    shared::<Embedding>();
    shared::<LanguageModel>();
    shared::<Generator>();
    shared::<Session>();
    shared::<Recorder>();
    shared::<Pass>();
    shared::<Pool>();
    shared::<Queue>();
    shared::<Network>();
    shared::<NetworkStream>();
    shared::<NetworkRecorder>();
}

#[test]
fn modules_and_streams_are_owned() {
    owned::<(Rnn, Stream)>();
    owned::<(Cell, CellStream)>();
    owned::<(LanguageModel, Generator)>();
    owned::<(Linear, Embedding, Pool, Recorder, Pass)>();
    owned::<(Network, NetworkStream)>();
}

/// A program's own struct, which no lifetime binds to other variables.
struct Program {
    rnn: Rnn,
    stream: Stream,
    steps: CellStream,
    text: Generator,
    frame: Tensor,
}

impl Program {
    fn new(device: &Device) -> wgpu_rnn::Result<Self> {
        let params = Params::init(&Config::gru(3, 4), 0)?;
        let rnn = Rnn::new(device, &params)?;
        let model = LanguageModelConfig::new(Kind::Lstm, 10, 4, 8, 1);
        let model = LanguageModel::new(device, &LanguageModelParams::init(&model, 0)?)?;
        Ok(Self {
            stream: rnn.stream(2)?,
            rnn,
            steps: Cell::new(device, &params)?.stream(2)?,
            text: model.generate(&[&[3, 1]], &GenerateOptions::default().seed(7))?,
            frame: Tensor::new([1, 2, 3], vec![0.5; 6])?,
        })
    }

    /// Runs two steps of everything.
    fn run(&mut self) -> wgpu_rnn::Result<(Vec<Tensor>, Vec<Vec<u32>>)> {
        let mut outputs = vec![self.rnn.forward(&self.frame, None)?.0];
        for _ in 0..2 {
            outputs.push(self.stream.forward(&self.frame)?);
            outputs.push(self.steps.step(&self.frame.clone().reshaped([2, 3])?)?);
        }
        Ok((outputs, self.text.by_ref().take(2).collect::<wgpu_rnn::Result<_>>()?))
    }
}

#[test]
fn a_thread_takes_a_module_with_its_streams() {
    let program = || Program::new(&Device::cpu()).expect("small modules");
    let want = program().run().expect("on this thread");
    let mut moved = program();
    let got = std::thread::spawn(move || moved.run()).join().expect("no panic");
    assert_eq!(got.expect("on another thread"), want);
    let (outputs, tokens) = want;
    assert_eq!(tokens.len(), 2, "a token for each step");
    assert_eq!(outputs[0], outputs[1], "a stream begins as a forward pass does");
    assert_ne!(outputs[1], outputs[3], "a stream goes on from its state");
}

/// Never run: that it compiles is the test.
#[expect(dead_code, reason = "the compiler checks it")]
fn futures(
    (rnn, stream): (&Rnn, &mut Stream),
    cell: &mut CellStream,
    (linear, embedding): (&Linear, &Embedding),
    (model, generator): (&LanguageModel, &mut Generator),
    (pool, queue, slot): (&Pool, &Queue, Slot),
    (input, output): (&Tensor, &mut Tensor),
    (network, decoder): (&Network, &mut NetworkStream),
) {
    awaited_anywhere(network.forward_async(input));
    awaited_anywhere(network.forward_tokens_async(&[], &[]));
    awaited_anywhere(decoder.greedy_async(&[], 1));
    awaited_anywhere(decoder.forward_async(input));
    awaited_anywhere(decoder.state_async());
    awaited_anywhere(Device::open_async("auto"));
    awaited_anywhere(rnn.forward_async(input, None));
    awaited_anywhere(rnn.forward_with_async(input, &ForwardOptions::default()));
    awaited_anywhere(stream.forward_async(input));
    awaited_anywhere(stream.state_async());
    awaited_anywhere(rnn.forward_lengths_async(input, &[1], None));
    awaited_anywhere(stream.forward_into_async(input, output));
    awaited_anywhere(stream.forward_async(input.view()));
    awaited_anywhere(cell.step_async(input));
    awaited_anywhere(cell.step_into_async(input, output));
    awaited_anywhere(cell.state_async());
    awaited_anywhere(linear.forward_async(input));
    awaited_anywhere(embedding.forward_async(&[0], &[1]));
    awaited_anywhere(model.forward_async(&[0], 1, None));
    awaited_anywhere(model.forward_with_async(&[0], 1, &ForwardOptions::default()));
    awaited_anywhere(model.score_async(&[0], 1));
    awaited_anywhere(model.generate_async(&[&[0]], &GenerateOptions::default()));
    awaited_anywhere(generator.next_async());
    awaited_anywhere(generator.state_async());
    awaited_anywhere(pool.tick_async(&[]));
    awaited_anywhere(queue.submit(slot, []));
    awaited_anywhere(pool.state_async(slot));
    awaited_anywhere(pool.snapshot_async(slot));
}
