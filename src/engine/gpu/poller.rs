//! Polling a device while a future waits for it, and waking the future.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::faults::Faults;
use super::polling::Polling;
use super::progress::Progress;
use super::role::Role;
use crate::engine::wait::lock;

/// The time that the thread leaves to callbacks on other polling threads before it polls again.
const PATIENCE: Duration = Duration::from_millis(1);

/// Polls a device on a separate thread while a future waits, and wakes futures.
#[derive(Debug)]
pub(super) struct Poller(Arc<Watched>);

/// A device, and the futures that wait for it.
#[derive(Debug)]
pub(super) struct Watched {
    polling: Polling,
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Arc<Faults>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The futures that nobody has woken yet.
    awaited: Vec<Arc<Progress>>,
    closed: bool,
    phase: Phase,
    thread: Option<JoinHandle<()>>,
}

/// The work of the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// The thread does not exist, or has nothing more to do.
    #[default]
    Absent,
    /// It waits for a future or for the device.
    Polling,
    /// It runs wakers.
    Waking,
}

impl Poller {
    pub fn new(
        polling: Polling,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        faults: &Arc<Faults>,
    ) -> Self {
        Self(Arc::new(Watched {
            polling,
            device: device.clone(),
            queue: queue.clone(),
            faults: Arc::clone(faults),
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Lets the thread, or the program, wake the future of `progress` when that is done.
    pub fn watch(&self, progress: &Arc<Progress>) {
        let mut state = lock(&self.0.state);
        state.awaited.push(Arc::clone(progress));
        self.0.changed.notify_all();
        if self.0.polling == Polling::Thread && state.phase == Phase::Absent {
            Watched::start(&self.0, &mut state);
        }
    }

    /// The place that answers of the device go to.
    pub fn watched(&self) -> Weak<Watched> {
        Arc::downgrade(&self.0)
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.closed = true;
        self.0.changed.notify_all();
        // Wakers may drop the last handle of a device, or wait for the thread that drops it. A
        // thread that runs wakers ends by itself, and so does one that ends here, in a callback.
        let here = thread::current().id();
        let polling = |state: &mut State| {
            let thread = state.thread.as_ref().filter(|thread| thread.thread().id() != here);
            thread.is_some() && state.phase == Phase::Polling
        };
        let waited = self.0.changed.wait_while(state, polling);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let thread = state.thread.take().filter(|_| state.phase == Phase::Absent);
        drop(state);
        if let Some(thread) = thread {
            // A waker's panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Watched {
    /// Starts the thread.
    fn start(self: &Arc<Self>, state: &mut State) {
        let own = Arc::clone(self);
        let thread = thread::Builder::new().name("wgpu-rnn poll".to_owned());
        match thread.spawn(move || Thread(own).poll()) {
            Ok(thread) => (state.thread, state.phase) = (Some(thread), Phase::Polling),
            Err(error) => log::warn!("futures may stall: no thread to poll the device: {error}"),
        }
    }

    /// Wakes the futures whose answers have come, if the program polls: in its own poll. An answer
    /// that comes during a call of this crate waits for the next poll.
    pub fn answered(self: &Arc<Self>) {
        if self.polling == Polling::Thread {
            return;
        }
        if Role::current() == Role::Crate {
            let own = Arc::downgrade(self);
            self.queue.on_submitted_work_done(move || {
                if let Some(own) = own.upgrade() {
                    own.answered();
                }
            });
        } else {
            self.wake_done();
        }
    }

    /// Wakes the futures whose results are there. Returns whether there were any.
    ///
    /// A waker may run any code, so nothing is locked. It may panic: later ones stay in the list.
    fn wake_done(&self) -> bool {
        let mut any = false;
        while let Some(progress) = self.take_done() {
            any = true;
            Role::Waker.during(|| progress.wake());
        }
        any
    }

    fn take_done(&self) -> Option<Arc<Progress>> {
        let awaited = &mut lock(&self.state).awaited;
        let done = awaited.iter().position(|progress| progress.is_done())?;
        Some(awaited.remove(done))
    }
}

/// The thread. If a waker's panic ends it, another one takes over.
struct Thread(Arc<Watched>);

impl Thread {
    fn poll(&self) {
        let Watched { device, queue, faults, .. } = &*self.0;
        while self.wait() {
            // The probe below finds a loss, whatever this returns.
            let _ = faults.poll(device, queue, wgpu::PollType::wait_indefinitely());
            if self.wake() {
                continue;
            }
            // Either they were submitted later, or another polling thread is about to call back, or
            // the device is lost.
            if faults.is_lost(device) {
                lock(&self.0.state).awaited.iter().for_each(|progress| progress.fail());
                self.wake();
            } else {
                thread::sleep(PATIENCE);
            }
        }
    }

    /// Waits until a future waits; returns false once the poller is closed.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| state.awaited.is_empty() && !state.closed;
        let waited = self.0.changed.wait_while(lock(&self.0.state), idle);
        !waited.unwrap_or_else(PoisonError::into_inner).closed
    }

    fn wake(&self) -> bool {
        self.enter(Phase::Waking);
        let any = self.0.wake_done();
        self.enter(Phase::Polling);
        any
    }

    fn enter(&self, phase: Phase) {
        lock(&self.0.state).phase = phase;
        self.0.changed.notify_all();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.phase = Phase::Absent;
        if thread::panicking() && !state.closed {
            Watched::start(&self.0, &mut state);
        }
        self.0.changed.notify_all();
    }
}

/// The answer to a request to map a buffer. Without a call it is a failure: wgpu drops a callback
/// that it can't call any more.
#[derive(Debug)]
pub(super) struct Answer {
    progress: Arc<Progress>,
    watched: Weak<Watched>,
    mapped: bool,
}

impl Answer {
    pub fn new(progress: &Arc<Progress>, watched: Weak<Watched>) -> Self {
        Self { progress: Arc::clone(progress), watched, mapped: false }
    }

    /// Gives the answer.
    pub fn give(mut self, mapped: bool) {
        self.mapped = mapped;
        let watched = self.watched.clone();
        drop(self);
        if let Some(watched) = watched.upgrade() {
            watched.answered();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // wgpu may hold locks here, so this wakes nobody.
        self.progress.called_back(self.mapped);
    }
}
