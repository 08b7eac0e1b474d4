//! The types that threads may share and the futures that any thread may await: the compiler checks
//! them.

use wgpu_rnn::internals::engine::session::Session;
use wgpu_rnn::language_model::{GenerateOptions, Generator, LanguageModel};
use wgpu_rnn::pass::{Pass, Recorder};
use wgpu_rnn::pool::{Pool, Slot};
use wgpu_rnn::stream::{CellStream, Stream};
use wgpu_rnn::{Cell, Device, Embedding, Error, ForwardOptions, Linear, Rnn, Tensor};

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
    shared::<Generator<'_>>();
    shared::<Session>();
    shared::<Recorder>();
    shared::<Pass>();
    shared::<Pool>();
}

/// A struct may hold a module and its streams, and a thread may take it.
#[test]
fn modules_and_streams_are_owned() {
    owned::<(Rnn, Stream)>();
    owned::<(Cell, CellStream)>();
    owned::<(Linear, Embedding, Pool, Recorder)>();
}

/// Never run: that it compiles is the test.
#[expect(dead_code, reason = "the compiler checks it")]
fn futures(
    rnn: &Rnn,
    stream: &mut Stream,
    cell: &mut CellStream,
    (linear, embedding): (&Linear, &Embedding),
    (model, generator): (&LanguageModel, &mut Generator<'_>),
    (pool, slot): (&Pool, Slot),
    input: &Tensor,
) {
    awaited_anywhere(Device::open_async("auto"));
    awaited_anywhere(rnn.forward_async(input, None));
    awaited_anywhere(rnn.forward_with_async(input, &ForwardOptions::default()));
    awaited_anywhere(stream.forward_async(input));
    awaited_anywhere(stream.state_async());
    awaited_anywhere(cell.step_async(input));
    awaited_anywhere(cell.state_async());
    awaited_anywhere(linear.forward_async(input));
    awaited_anywhere(embedding.forward_async(&[0], &[1]));
    awaited_anywhere(model.forward_with_async(&[0], 1, &ForwardOptions::default()));
    awaited_anywhere(model.score_async(&[0], 1));
    awaited_anywhere(model.generate_async(&[&[0]], &GenerateOptions::default()));
    awaited_anywhere(generator.next_async());
    awaited_anywhere(generator.state_async());
    awaited_anywhere(pool.tick_async(&[]));
    awaited_anywhere(pool.state_async(slot));
    awaited_anywhere(pool.snapshot_async(slot));
}
