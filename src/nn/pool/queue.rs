//! Queues: frames that arrive at any time, in ticks of all slots that have one.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use super::{Pool, Slot};
use crate::engine::wait::lock;
use crate::error::{Error, Result};

/// Options of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// The longest time that a frame waits for frames of other slots: 2 ms by default.
    pub deadline: Duration,
    /// The most frames of one slot that wait: 16 by default. It bounds the memory of the queue.
    pub frames: usize,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(2), frames: 16 }
    }
}

impl QueueOptions {
    /// Sets the longest time that a frame waits for frames of other slots.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the most frames of one slot that wait.
    #[must_use]
    pub fn frames(mut self, frames: usize) -> Self {
        self.frames = frames;
        self
    }
}

/// A queue of frames for a pool, such as the requests to a server.
///
/// A thread of the queue runs the ticks. A tick has the first waiting frame of each slot. It starts
/// when the deadline of a frame has passed, or when every open slot has a frame, or when a
/// submission is full. Frames of one slot run in the order of their arrival, in successive ticks.
/// The outputs have the bits of [`Pool::tick`].
///
/// Clients do not influence each other: a wrong frame fails alone, and a client that is slow, or
/// does not take its answers, delays nobody. Dropping the queue closes it.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::pool::{PoolOptions, Queue, QueueOptions};
/// use wgpu_rnn::{Config, Device, Params, Rnn};
/// let gru = Rnn::new(&Device::cpu(), &Params::init(&Config::gru(2, 3), 0)?)?;
/// let queue = Queue::new(gru.pool(&PoolOptions::new(1000))?, &QueueOptions::default())?;
/// let slot = queue.pool().open()?;
/// let (first, second) = (queue.submit(slot, [0.1, 0.2]), queue.submit(slot, [0.3, 0.4]));
/// assert_eq!(first.wait()?.len(), 3); // in an asynchronous program: first.await?
/// assert_eq!(second.wait()?.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The output of a frame, `[T, R]`, once its tick has run.
///
/// It is a future for any executor. Its waker runs on a thread of the queue and must not wait for
/// another answer. Dropping an answer does not withdraw the frame: the state of the slot advances.
#[derive(Debug)]
#[must_use = "the output is lost unless the answer is awaited"]
pub struct Answer(oneshot::Receiver<Result<Vec<f32>>>);

#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    options: QueueOptions,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The waiting frames of each slot, in the order of their arrival; no slot has none.
    lines: HashMap<Slot, VecDeque<Frame>>,
    /// The number of frames in all lines.
    count: usize,
    /// The number of lines with which a tick starts before the deadline.
    enough: usize,
    closed: bool,
    phase: Phase,
}

/// The work of the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// It waits for frames, or has ended.
    #[default]
    Waiting,
    /// It runs a tick.
    Ticking,
    /// It answers, and so runs wakers.
    Answering,
}

#[derive(Debug)]
struct Frame {
    values: Vec<f32>,
    arrived: Instant,
    answer: oneshot::Sender<Result<Vec<f32>>>,
}

impl Frame {
    /// Answers the client, who may be gone. A panic of its waker harms no other client.
    fn answer(self, result: Result<Vec<f32>>) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.answer.send(result)));
    }
}

impl Queue {
    /// Creates a queue for a pool, or for an `Arc` of one, and starts its thread.
    ///
    /// # Errors
    /// [`Error::Option`] for 0 frames of a slot; [`Error::Unsupported`] when the system refuses a
    /// thread.
    pub fn new(pool: impl Into<Arc<Pool>>, options: &QueueOptions) -> Result<Self> {
        if options.frames == 0 {
            return Err(Error::Option("a queue needs at least one frame of a slot".to_owned()));
        }
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared =
            Arc::new(Shared { pool: pool.into(), options: options.clone(), state, changed });
        let worker = Worker(Arc::clone(&shared));
        let thread = thread::Builder::new().name("wgpu-rnn queue".to_owned());
        let thread = thread.spawn(move || worker.run());
        let refused = |error| Error::Unsupported(format!("the thread of a queue: {error}"));
        Ok(Self { shared, thread: Some(thread.map_err(refused)?) })
    }

    /// Returns the queue's pool, to open, close, reset and restore slots. Await the answers of a
    /// slot first: calls of the pool do not wait for frames in the queue.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.shared.pool
    }

    /// Returns the number of waiting frames.
    pub fn waiting(&self) -> usize {
        lock(&self.shared.state).count
    }

    /// Adds a frame of a slot: `[T, I]`, with 0 to
    /// [`PoolOptions::steps`](super::PoolOptions::steps) steps. This call does not wait.
    ///
    /// # Errors
    /// The answer is [`Error::FrameSize`] when the frame does not fit; [`Error::QueueFull`] when
    /// too many frames wait; [`Error::QueueClosed`] when the queue was closed before the tick; an
    /// error of the slot or of the device as [`Pool::tick`] returns it. An error of the device is
    /// the answer to all frames of its tick.
    pub fn submit(&self, slot: Slot, frame: impl Into<Vec<f32>>) -> Answer {
        let Shared { pool, options, state, changed } = &*self.shared;
        let (answer, receiver) = oneshot::channel();
        let values = frame.into();
        let fits = pool.check_frame(slot, &values);
        let frame = Frame { values, arrived: Instant::now(), answer };
        let mut state = lock(state);
        let most = [options.frames, options.frames.saturating_mul(pool.options().slots)];
        match fits.and_then(|()| state.check_room(slot, most)) {
            Ok(()) => {
                if state.push(slot, frame) {
                    changed.notify_all();
                }
            }
            Err(refused) => frame.answer(Err(refused)),
        }
        Answer(receiver)
    }

    /// Closes the queue. A tick that runs still answers its frames; the answer to all others, and
    /// to later ones, is [`Error::QueueClosed`].
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
        let Shared { state, changed, .. } = &*self.shared;
        let ticking = |state: &mut State| state.phase == Phase::Ticking;
        let waited = changed.wait_while(lock(state), ticking);
        let phase = waited.unwrap_or_else(PoisonError::into_inner).phase;
        // Wakers may drop the queue, or wait for the thread that drops it. A thread that runs
        // wakers ends by itself.
        if let Some(thread) = self.thread.take().filter(|_| phase == Phase::Waiting) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Answer {
    /// Waits for the output on this thread.
    ///
    /// # Errors
    /// The errors of [`Queue::submit`].
    pub fn wait(self) -> Result<Vec<f32>> {
        pollster::block_on(self)
    }
}

impl Future for Answer {
    type Output = Result<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A frame that is dropped unanswered is one of a queue that has ended.
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

impl State {
    /// Checks that another frame may wait, by the most frames of its slot and of all slots.
    fn check_room(&self, slot: Slot, [of_slot, of_all]: [usize; 2]) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        let (whose, most) = match self.lines.get(&slot) {
            Some(line) if line.len() >= of_slot => (format!("slot {}", slot.index), of_slot),
            _ if self.count >= of_all => ("all slots".to_owned(), of_all),
            _ => return Ok(()),
        };
        Err(Error::QueueFull(format!(
            "{most} frames of {whose} wait, and the queue holds no more; await an answer before \
             the next frame, or raise QueueOptions::frames"
        )))
    }

    /// Adds a frame and returns whether the thread has a reason to wake.
    fn push(&mut self, slot: Slot, frame: Frame) -> bool {
        let line = self.lines.entry(slot).or_default();
        line.push_back(frame);
        let (begins, lines) = (line.len() == 1, self.lines.len());
        self.count += 1;
        begins && (lines == 1 || lines >= self.enough)
    }

    /// Takes the first frame of each slot.
    fn take(&mut self) -> Vec<(Slot, Frame)> {
        let mut batch = Vec::with_capacity(self.lines.len());
        self.lines.retain(|slot, line| {
            batch.extend(line.pop_front().map(|frame| (*slot, frame)));
            !line.is_empty()
        });
        self.count -= batch.len();
        batch
    }

    /// Returns the arrival of the frame that has waited longest.
    fn oldest(&self) -> Option<Instant> {
        self.lines.values().filter_map(|line| line.front()).map(|frame| frame.arrived).min()
    }
}

impl Shared {
    fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.count = 0;
        let lines = std::mem::take(&mut state.lines);
        drop(state);
        self.changed.notify_all();
        lines.into_values().flatten().for_each(|frame| frame.answer(Err(closed())));
    }

    fn enter(&self, phase: Phase) {
        lock(&self.state).phase = phase;
        self.changed.notify_all();
    }

    /// Waits until a slot has a frame; returns false once the queue is closed.
    fn any(&self) -> bool {
        let idle = |state: &mut State| state.lines.is_empty() && !state.closed;
        let waited = self.changed.wait_while(lock(&self.state), idle);
        !waited.unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Waits for the deadline or for frames of `enough` slots. Returns the frames of a tick; `None`
    /// once the queue is closed.
    fn batch(&self, enough: usize) -> Option<Vec<(Slot, Frame)>> {
        let mut state = lock(&self.state);
        state.enough = enough;
        while !state.closed {
            let due = state.oldest().and_then(|first| first.checked_add(self.options.deadline));
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if state.lines.len() >= enough || left.is_some_and(|left| left.is_zero()) {
                state.phase = Phase::Ticking;
                return Some(state.take());
            }
            state = match left {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        None
    }
}

/// The thread of a queue. Its end closes the queue, so that every client has an answer.
struct Worker(Arc<Shared>);

impl Worker {
    fn run(&self) {
        let Shared { pool, .. } = &*self.0;
        while self.0.any() {
            let enough = pool.open_count().min(pool.plan().tick.sizes.batch).max(1);
            let Some(batch) = self.0.batch(enough) else { break };
            let inputs: Vec<(Slot, &[f32])> =
                batch.iter().map(|(slot, frame)| (*slot, &frame.values[..])).collect();
            let ran = pool.tick(&inputs);
            self.0.enter(Phase::Answering);
            let frames = batch.into_iter().map(|(_, frame)| frame);
            match ran {
                Ok(results) => frames.zip(results).for_each(|(frame, result)| frame.answer(result)),
                Err(error) => frames.for_each(|frame| frame.answer(Err(repeated(&error)))),
            }
            self.0.enter(Phase::Waiting);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.enter(Phase::Waiting);
        self.0.close();
    }
}

fn closed() -> Error {
    Error::QueueClosed("the queue is closed and runs no more frames; make a new one".to_owned())
}

/// Returns the error of a tick for one of its frames.
fn repeated(error: &Error) -> Error {
    match error {
        Error::DeviceLost { adapter, reason } => {
            Error::DeviceLost { adapter: adapter.clone(), reason: reason.clone() }
        }
        Error::OutOfMemory { adapter, doing } => {
            Error::OutOfMemory { adapter: adapter.clone(), doing: doing.clone() }
        }
        Error::Gpu { adapter, message } => {
            Error::Gpu { adapter: adapter.clone(), message: message.clone() }
        }
        other => Error::StateLost(format!("the tick of a frame failed: {other}")),
    }
}
