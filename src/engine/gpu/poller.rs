//! Polling a device while a future waits for it.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::faults::Faults;
use super::progress::Progress;
use crate::engine::wait::lock;

/// The party that polls a device while a future waits. Native backends call back only when they are
/// polled.
///
/// A future also polls the device, without waiting, whenever it is polled itself. Blocking
/// functions wait by polling. Browsers poll by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polling {
    /// A thread of this crate. It starts with the first future that waits, sleeps while none does,
    /// and ends with the device. On a borrowed device this thread may run the program's callbacks.
    #[default]
    Thread,
    /// The program, for example each frame, by `wgpu::Device::poll` or `wgpu::Queue::submit`. Only
    /// these calls wake a future.
    Program,
}

/// The time that the thread leaves to callbacks on other polling threads before it polls again.
const PATIENCE: Duration = Duration::from_millis(1);

/// Polls a device on a separate thread while a future waits.
#[derive(Debug)]
pub(super) struct Poller {
    polling: Polling,
    watched: Arc<Watched>,
    /// `None` if the thread could not start.
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

    /// Polls `device` until `progress` is done, unless the program does.
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
                    log::warn!("futures may stall: no thread to poll the device: {error}")
                })
                .ok()
        });
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        lock(&self.watched.state).closed = true;
        self.watched.changed.notify_one();
        // A waker on the thread may drop the last handle of the device. A thread cannot join
        // itself; it ends by itself.
        if let Some(thread) =
            self.thread.take().flatten().filter(|own| own.thread().id() != thread::current().id())
        {
            // The thread does not panic, and a drop could not report it.
            let _ = thread.join();
        }
    }
}

impl Watched {
    /// The loop of the thread.
    fn poll(&self, device: &wgpu::Device, faults: &Faults) {
        while self.wait() {
            // The probe below finds a loss, whatever this returns.
            let _ = faults.poll(device, wgpu::PollType::wait_indefinitely());
            let unfinished = self.unfinished();
            if unfinished.is_empty() {
                continue;
            }
            // Either they were submitted later, or another polling thread is about to call back, or
            // the device is lost.
            if faults.is_lost(device) {
                unfinished.iter().for_each(|progress| progress.fail());
            } else {
                thread::sleep(PATIENCE);
            }
        }
    }

    /// Waits until a future waits; returns false once the poller is closed.
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
