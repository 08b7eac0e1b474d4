//! Who polls a device while somebody awaits what it computes.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::faults::Faults;
use super::progress::Progress;
use crate::engine::wait::lock;

/// Who polls a device while a future waits for it: native backends call back when they are polled, and only then.
///
/// In any case a future polls the device, without waiting, whenever it is polled itself, and blocking functions wait by
/// polling. Browsers poll by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polling {
    /// A thread that begins with the first future that has to wait, sleeps while there is none, and ends with the device.
    /// On a device that the program brought it may be the one to run callbacks of the program.
    #[default]
    Thread,
    /// The program, each frame say, by `wgpu::Device::poll` or `wgpu::Queue::submit`. A future is woken by nothing else.
    Program,
}

/// How long the thread lets callbacks of other threads that poll take before it polls again.
const PATIENCE: Duration = Duration::from_millis(1);

/// Polls a device on a thread of its own as long as there is something to wait for.
#[derive(Debug)]
pub(super) struct Poller {
    polling: Polling,
    watched: Arc<Watched>,
    /// `None` where there are no threads.
    thread: OnceLock<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Watched {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    awaited: Vec<Arc<Progress>>,
    closed: bool,
}

impl Poller {
    pub fn new(polling: Polling) -> Self {
        Self { polling, watched: Arc::default(), thread: OnceLock::new() }
    }

    /// Polls `device` until `progress` is made.
    pub fn watch(&self, device: &wgpu::Device, faults: &Arc<Faults>, progress: &Arc<Progress>) {
        if self.polling == Polling::Program {
            return;
        }
        lock(&self.watched.state).awaited.push(Arc::clone(progress));
        self.watched.changed.notify_one();
        self.thread.get_or_init(|| {
            let (device, faults, watched) =
                (device.clone(), Arc::clone(faults), Arc::clone(&self.watched));
            let thread = thread::Builder::new().name("wgpu-rnn poll".to_owned());
            let spawned = thread.spawn(move || watched.poll(&device, &faults));
            spawned
                .inspect_err(|error| {
                    log::warn!("nobody polls the device for futures: no thread: {error}")
                })
                .ok()
        });
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        lock(&self.watched.state).closed = true;
        self.watched.changed.notify_one();
        // A waker that it calls may drop the last handle of the device: then the thread ends by itself.
        if let Some(thread) =
            self.thread.take().flatten().filter(|own| own.thread().id() != thread::current().id())
        {
            // It does not panic, and there is nobody to tell if it did.
            let _ = thread.join();
        }
    }
}

impl Watched {
    /// What the thread does.
    fn poll(&self, device: &wgpu::Device, faults: &Faults) {
        while self.wait() {
            // A loss is found below, whatever this says.
            let _ = faults.poll(device, wgpu::PollType::wait_indefinitely());
            let unfinished = self.unfinished();
            if unfinished.is_empty() {
                continue;
            }
            // They were submitted later, or another thread that polls is about to call back, or nobody ever will.
            if faults.is_lost(device) {
                unfinished.iter().for_each(|progress| progress.fail());
            } else {
                thread::sleep(PATIENCE);
            }
        }
    }

    /// Waits until something is awaited; false when nothing will be any more.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| {
            state.awaited.retain(|progress| !progress.is_done());
            state.awaited.is_empty() && !state.closed
        };
        let waited = self.changed.wait_while(lock(&self.state), idle);
        !waited.unwrap_or_else(PoisonError::into_inner).closed
    }

    fn unfinished(&self) -> Vec<Arc<Progress>> {
        lock(&self.state).awaited.iter().filter(|progress| !progress.is_done()).cloned().collect()
    }
}
