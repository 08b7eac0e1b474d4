//! Serves many clients from one module: each tick of a pool runs the frames of all waiting clients.
//!
//! `cargo run --release --example server -- [DEVICE] [CLIENTS]`, where DEVICE is `auto`, `cpu` or
//! part of an adapter's name.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use wgpu_rnn::pool::{Pool, PoolOptions, Slot};
use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};

const FEATURES: usize = 40;
const FRAMES: usize = 50;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A frame of one client, and the channel for its output.
struct Request {
    slot: Slot,
    frame: Vec<f32>,
    reply: oneshot::Sender<Vec<f32>>,
}

/// The frames of a client; its number gives the same frames on every machine.
fn frames(client: usize) -> Vec<Vec<f32>> {
    let value = |i: usize| ((client * FRAMES * FEATURES + i) as f32 * 12.9898).sin();
    let frame = |t| (t * FEATURES..(t + 1) * FEATURES).map(value).collect();
    (0..FRAMES).map(frame).collect()
}

/// Runs ticks until all clients have ended. Each tick takes every waiting request. Returns the
/// number of ticks.
async fn serve(pool: Arc<Pool>, mut requests: mpsc::Receiver<Request>) -> Outcome<usize> {
    let (mut waiting, mut ticks) = (Vec::new(), 0);
    while requests.recv_many(&mut waiting, pool.options().slots).await > 0 {
        let inputs: Vec<(Slot, &[f32])> =
            waiting.iter().map(|r| (r.slot, r.frame.as_slice())).collect();
        let outputs = pool.tick_async(&inputs).await?;
        ticks += 1;
        for (request, output) in waiting.drain(..).zip(outputs) {
            // A client that has ended needs no answer.
            let _ = request.reply.send(output?);
        }
    }
    Ok(ticks)
}

/// Opens a slot, sends a sequence frame by frame, and closes the slot. Returns the last output.
async fn client(
    number: usize,
    pool: Arc<Pool>,
    server: mpsc::Sender<Request>,
) -> Outcome<Vec<f32>> {
    let slot = pool.open()?;
    let mut last = Vec::new();
    for frame in frames(number) {
        let (reply, output) = oneshot::channel();
        server.send(Request { slot, frame, reply }).await.map_err(|_| "the server has ended")?;
        last = output.await?;
    }
    pool.close(slot)?;
    Ok(last)
}

async fn run(rnn: &Rnn, clients: usize) -> Outcome<()> {
    let pool = Arc::new(rnn.pool(&PoolOptions::new(clients))?);
    let (sender, receiver) = mpsc::channel(clients);
    let server = tokio::spawn(serve(Arc::clone(&pool), receiver));
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|number| tokio::spawn(client(number, Arc::clone(&pool), sender.clone())))
        .collect();
    drop(sender);
    let mut last = Vec::new();
    for task in tasks {
        last.push(task.await??);
    }
    let (ticks, took) = (server.await??, start.elapsed());
    println!(
        "{clients} clients, {} frames in {ticks} ticks, {took:.1?}: {:.0} frames a second, {:.1?} \
         a tick",
        clients * FRAMES,
        (clients * FRAMES) as f64 / took.as_secs_f64(),
        took / ticks.max(1) as u32
    );
    // Each client gets the output that it would get alone, however the frames fell into ticks.
    for number in [0, clients - 1] {
        let (alone, _) =
            rnn.forward(&Tensor::new([FRAMES, 1, FEATURES], frames(number).concat())?, None)?;
        let want = &alone.data()[alone.data().len() - last[number].len()..];
        let worst = want.iter().zip(&last[number]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "client {number}: {worst} from its sequence alone");
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = Device::open(arguments.first().map_or("auto", String::as_str))?;
    let clients = arguments.get(1).map_or(Ok(200), |clients| clients.parse::<usize>())?.max(1);
    // The values of torch.manual_seed(0); nn.GRU(40, 64, num_layers=2).
    let rnn = Rnn::new(&device, &Params::init(&Config::gru(FEATURES, 64).num_layers(2), 0)?)?;
    println!("device: {device}");
    tokio::runtime::Builder::new_current_thread().build()?.block_on(run(&rnn, clients))
}
