//! Queues: frames of many clients arrive at any time, and each client gets the bits of its stream.

use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use libtest_mimic::Failed;
use wgpu_rnn::pool::{Answer, PoolOptions, Queue, QueueOptions, Slot};
use wgpu_rnn::{Config, Error, Params, Rnn, Tensor, wgpu};

use crate::bits::bits;
use crate::waiting::poll_once;
use crate::{Target, ensure, seeded};

const CLIENTS: usize = 64;
const FRAMES: usize = 6;
const FEATURES: usize = 3;

/// The behaviour of a client. Every client submits the frames of one sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Client {
    /// It submits a frame after the answer to the one before.
    InTurns,
    /// It submits all frames at once and takes the answers then.
    AtOnce,
    /// It takes no answer before the clients above have ended.
    Slow,
    /// It never takes an answer, and leaves its slot open.
    Gone,
}

impl Client {
    fn of(number: usize) -> Self {
        [Self::InTurns, Self::AtOnce, Self::InTurns, Self::Slow, Self::InTurns, Self::Gone]
            [number % 6]
    }

    /// Returns the outputs, and the slot if it stays open.
    fn run(
        self,
        queue: &Queue,
        frames: &[f32],
        end: &Barrier,
    ) -> wgpu_rnn::Result<(Vec<f32>, Option<Slot>)> {
        let slot = queue.pool().open()?;
        let mut frames = frames.chunks(FEATURES).map(|frame| queue.submit(slot, frame));
        let outputs: Vec<Vec<f32>> = match self {
            Self::InTurns => frames.map(Answer::wait).collect::<Result<_, _>>()?,
            Self::AtOnce | Self::Slow => {
                let answers: Vec<Answer> = frames.collect();
                if self == Self::Slow {
                    end.wait();
                }
                answers.into_iter().map(Answer::wait).collect::<Result<_, _>>()?
            }
            Self::Gone => {
                frames.by_ref().for_each(drop);
                return Ok((Vec::new(), Some(slot)));
            }
        };
        queue.pool().close(slot)?;
        Ok((outputs.concat(), None))
    }
}

fn queue(rnn: &Rnn, slots: usize, options: &QueueOptions) -> Result<Queue, Failed> {
    Ok(Queue::new(rnn.pool(&PoolOptions::new(slots))?, options)?)
}

/// One device serves all checks: opening one takes longer than they do.
pub fn serve(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let rnn = target.rnn(&device, &Params::init(&Config::gru(FEATURES, 4), 40)?)?;
    for check in [load, deadlines, refusals, wakers] {
        check(&rnn)?;
    }
    device.wgpu().map_or(Ok(()), |(device, _)| lost(&rnn, device))
}

/// A queue whose ticks wait until each of its open slots has a frame.
fn patient() -> QueueOptions {
    QueueOptions::default().deadline(Duration::MAX)
}

/// Nothing is lost, the order of each client is kept, and slow or absent clients harm nobody.
fn load(rnn: &Rnn) -> Result<(), Failed> {
    let queue = queue(rnn, CLIENTS, &QueueOptions::default())?;
    let input = seeded::tensor(41, &[CLIENTS, FRAMES, 1, FEATURES], 1.0);
    let frames = |client: usize| &input.data()[client * FRAMES * FEATURES..][..FRAMES * FEATURES];
    let slow = (0..CLIENTS).filter(|&number| Client::of(number) == Client::Slow).count();
    let end = Barrier::new(slow + 1);
    let results = std::thread::scope(|scope| {
        let start = |number| {
            let (queue, end) = (&queue, &end);
            (number, scope.spawn(move || Client::of(number).run(queue, frames(number), end)))
        };
        let (waiting, quick): (Vec<_>, Vec<_>) =
            (0..CLIENTS).map(start).partition(|&(number, _)| Client::of(number) == Client::Slow);
        let join = |(number, thread): (usize, std::thread::ScopedJoinHandle<'_, _>)| {
            (number, thread.join().expect("a client that does not panic"))
        };
        let mut results: Vec<_> = quick.into_iter().map(join).collect();
        end.wait();
        results.extend(waiting.into_iter().map(join));
        results
    });
    for (number, result) in results {
        let what = format!("client {number}, {:?}", Client::of(number));
        let (output, open) = result.map_err(|error| format!("{what}: {error}"))?;
        let mut stream = rnn.stream(1)?;
        let want = stream.forward(&Tensor::new([FRAMES, 1, FEATURES], frames(number).to_vec())?)?;
        let Some(slot) = open else {
            ensure(bits(&output) == bits(want.data()), format!("{what}: its outputs"))?;
            continue;
        };
        // Its frames ran: an empty one runs after them.
        ensure(queue.submit(slot, []).wait()?.is_empty(), format!("{what}: an empty frame"))?;
        let state = queue.pool().state(slot)?;
        ensure(bits(state.h.data()) == bits(stream.state()?.h.data()), format!("{what}: state"))?;
        queue.pool().close(slot)?;
    }
    ensure(queue.waiting() == 0 && queue.pool().open_count() == 0, "nothing is left over")
}

/// A tick waits for frames of other slots, but not beyond the deadline.
fn deadlines(rnn: &Rnn) -> Result<(), Failed> {
    let together = queue(rnn, 3, &patient())?;
    let (a, b) = (together.pool().open()?, together.pool().open()?);
    let mut first = together.submit(a, [0.5; FEATURES]);
    let second = together.submit(a, [0.25; FEATURES]);
    ensure(poll_once(pin!(&mut first)).is_pending(), "it waits for the other open slot")?;
    ensure(together.waiting() == 2, "two frames wait")?;
    let other = together.submit(b, [0.5; FEATURES]);
    let [first, other] = [first.wait()?, other.wait()?];
    ensure(bits(&first) == bits(&other), "both ran from zeros")?;
    ensure(together.waiting() == 1, "one frame of a slot runs in a tick")?;
    let again = together.submit(b, [0.25; FEATURES]);
    ensure(bits(&second.wait()?) == bits(&again.wait()?), "both went on alike")?;
    for deadline in [Duration::ZERO, Duration::from_millis(1)] {
        let alone = queue(rnn, 3, &QueueOptions::default().deadline(deadline))?;
        let (slot, _idle) = (alone.pool().open()?, alone.pool().open()?);
        let output = alone.submit(slot, [0.5; FEATURES]).wait()?;
        ensure(bits(&output) == bits(&first), format!("alone, after {deadline:?}"))?;
    }
    Ok(())
}

/// Every frame has an answer: its own refusal, or that the queue is full or closed.
fn refusals(rnn: &Rnn) -> Result<(), Failed> {
    let none = Queue::new(rnn.pool(&PoolOptions::new(1))?, &QueueOptions::default().frames(0));
    ensure(matches!(none, Err(Error::Option(_))), format!("no frames: {none:?}"))?;
    let queue = queue(rnn, 2, &patient().frames(2))?;
    let (a, b) = (queue.pool().open()?, queue.pool().open()?);
    let good = [0.5; FEATURES];
    let wrong = queue.submit(a, [0.5; FEATURES + 1]).wait();
    ensure(matches!(wrong, Err(Error::FrameSize(_))), format!("{wrong:?}"))?;
    let waiting = [queue.submit(a, good), queue.submit(a, good)];
    let full = queue.submit(a, good).wait();
    ensure(
        matches!(&full, Err(Error::QueueFull(text)) if text.contains("2 frames of slot 0 wait")),
        format!("{full:?}"),
    )?;
    queue.pool().close(b)?;
    // The tick of a closed slot and an open one: only the closed one is refused.
    let closed = queue.submit(b, good).wait();
    ensure(matches!(closed, Err(Error::SlotClosed(_))), format!("{closed:?}"))?;
    let [first, second] = waiting;
    ensure(first.wait()?.len() == 4, "it ran in the tick of the closed slot")?;
    // One slot is open now: a frame of it fills a tick.
    ensure(second.wait()?.len() == 4, "it ran alone")?;
    let (_c, waiting) = (queue.pool().open()?, queue.submit(a, good));
    let mut waiting = pin!(waiting);
    ensure(poll_once(waiting.as_mut()).is_pending(), "it waits for the other slot")?;
    queue.close();
    let late = queue.submit(a, good).wait();
    for closed in [poll_once(waiting), Poll::Ready(late)] {
        let is_closed = matches!(&closed, Poll::Ready(Err(Error::QueueClosed(_))));
        ensure(is_closed, format!("a frame of a closed queue: {closed:?}"))?;
    }
    let pool = Arc::clone(queue.pool());
    drop(queue);
    // The thread may still be leaving its last answer.
    while Arc::strong_count(&pool) > 1 {
        std::thread::yield_now();
    }
    // The pool goes on, also in another queue.
    pool.reset(a)?;
    let queue = Queue::new(Arc::clone(&pool), &QueueOptions::default())?;
    let output = queue.submit(a, good).wait()?;
    pool.reset(a)?;
    let want = pool.tick(&[(a, &good)])?.remove(0)?;
    ensure(bits(&output) == bits(&want), "a later queue")
}

/// A waker that does something once.
struct Act(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Act {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().expect("no panic holds it").take();
        act.into_iter().for_each(|act| act());
    }
}

/// Polls an answer with a waker that acts.
fn wake_with(answer: &mut Answer, act: impl FnOnce() + Send + 'static) {
    let waker = Waker::from(Arc::new(Act(Mutex::new(Some(Box::new(act))))));
    let polled = pin!(answer).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending(), "its tick waits");
}

/// A client's waker may panic or drop the queue: the other clients still have their answers.
fn wakers(rnn: &Rnn) -> Result<(), Failed> {
    let queue = Arc::new(queue(rnn, 2, &patient())?);
    let (a, b) = (queue.pool().open()?, queue.pool().open()?);
    // A second poll would replace the waker: it comes after the wake.
    let (done, woken) = channel();
    let mut doomed = queue.submit(a, [0.5; FEATURES]);
    let panics = done.clone();
    wake_with(&mut doomed, move || {
        let _ = panics.send(());
        panic!("this panic is a waker's, on purpose")
    });
    let other = queue.submit(b, [0.5; FEATURES]).wait()?;
    woken.recv()?;
    ensure(bits(&doomed.wait()?) == bits(&other), "the client whose waker panicked")?;

    let mut last = queue.submit(a, [0.25; FEATURES]);
    let left = queue.submit(a, [0.125; FEATURES]);
    let held = Arc::clone(&queue);
    let (go, gone) = channel();
    // The waker waits for the other handle to go, so that it drops the last one.
    wake_with(&mut last, move || {
        let _ = gone.recv();
        drop(held);
        let _ = done.send(());
    });
    let other = queue.submit(b, [0.25; FEATURES]);
    drop(queue);
    go.send(())?;
    woken.recv()?;
    ensure(bits(&last.wait()?) == bits(&other.wait()?), "both ran in the last tick")?;
    let left = left.wait();
    ensure(matches!(left, Err(Error::QueueClosed(_))), format!("a frame that was left: {left:?}"))
}

/// A device that is lost answers all frames, those of later ticks too.
fn lost(rnn: &Rnn, device: &wgpu::Device) -> Result<(), Failed> {
    let queue = queue(rnn, 2, &patient())?;
    let (a, b) = (queue.pool().open()?, queue.pool().open()?);
    let good = [0.5; FEATURES];
    let mut answers: Vec<Answer> = (0..3).map(|_| queue.submit(a, good)).collect();
    device.destroy();
    answers.extend((0..4).map(|_| queue.submit(b, good)));
    answers.push(queue.submit(a, good));
    for answer in answers {
        let answer = answer.wait();
        ensure(matches!(answer, Err(Error::DeviceLost { .. })), format!("{answer:?}"))?;
    }
    Ok(())
}
