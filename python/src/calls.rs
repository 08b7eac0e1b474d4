//! Calls of the library: without Python's lock, and with Ctrl-C.
//!
//! Python handles signals in its main thread, between two steps of its interpreter. So the main
//! thread hands a call to a worker, waits in slices, and handles signals between two slices. A
//! signal handler that raises ends the wait. The worker then finishes the call for nobody, with
//! data that it owns. Other threads run their calls themselves, and so does the main thread with
//! calls that are short on the CPU: a hand-over there takes longer than some of them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use wgpu_rnn::{Device, Error};

use crate::errors::{defect, error, exception};
use crate::{forks, logs};

/// The time between two looks for signals.
const SLICE: Duration = Duration::from_millis(20);

/// The time for which the main thread looks for a result before it sleeps. Waking a thread takes
/// longer than a short call. It gives its core to the threads that compute.
const LOOK: Duration = Duration::from_micros(250);

/// The time for which a worker looks for the next call before it sleeps.
const LINGER: Duration = Duration::from_micros(50);

/// The multiply-adds of a short call: a few milliseconds of one slow core.
const SHORT: f64 = 16e6;

/// The expected time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Shorter than a person waits for Ctrl-C.
    Short,
    /// Possibly longer.
    Long,
}

impl Length {
    /// The length of a call on a device with this number of multiply-adds.
    pub fn of(device: &Device, multiply_adds: f64) -> Self {
        // A driver may wait for anything.
        if device.wgpu().is_some() { Self::Long } else { Self::on_cpu(multiply_adds) }
    }

    /// The length of a call on the CPU.
    pub fn on_cpu(multiply_adds: f64) -> Self {
        if multiply_adds < SHORT { Self::Short } else { Self::Long }
    }
}

/// Whether the caller of a call has gone.
#[derive(Debug, Clone, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// Returns whether nobody waits for the call any more.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A result on its way to Python.
type Finished<T> = Result<T, Error>;

type Job = Box<dyn FnOnce() + Send>;

/// The worker that waits for the next call of the main thread.
static IDLE: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// Calls that run on for nobody.
static ABANDONED: AtomicUsize = AtomicUsize::new(0);

/// Whether this process has opened an adapter.
static DRIVER: AtomicBool = AtomicBool::new(false);

/// Calls that run, in any thread.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Whether the process ends: other threads than the main one start no call any more.
static ENDING: AtomicBool = AtomicBool::new(false);

const RUNNING: u8 = 0;
const DONE: u8 = 1;
const LEFT: u8 = 2;

/// Runs a call of the library without Python's lock.
///
/// # Errors
/// The exception of the call's error, or of a signal handler.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    length: Length,
    work: impl FnOnce() -> Finished<T> + Send + 'static,
) -> PyResult<T> {
    run_cancellable(py, length, |_| work(), || ())
}

/// [`run`] for work that can see whether its caller has gone. `left` runs when a signal handler
/// ends the wait; the work then runs on, or has just ended.
///
/// # Errors
/// Those of [`run`].
pub fn run_cancellable<T: Send + 'static>(
    py: Python<'_>,
    length: Length,
    work: impl FnOnce(&Cancelled) -> Finished<T> + Send + 'static,
    left: impl FnOnce(),
) -> PyResult<T> {
    forks::check(py)?;
    let cancelled = Cancelled::default();
    let result = if length == Length::Short || !is_main_thread(py)? {
        let in_main = is_main_thread(py)?;
        let ends = || !in_main && ENDING.load(Ordering::SeqCst);
        py.detach(|| guarded(|| if ends() { Err(ending()) } else { work(&cancelled) }))
    } else {
        match hand_over(py, cancelled.clone(), work)? {
            Ok(result) => result,
            Err(interrupt) => {
                cancelled.0.store(true, Ordering::Release);
                left();
                return Err(interrupt);
            }
        }
    };
    logs::deliver(py)?;
    result.map_err(|error| exception(py, error))
}

/// Runs work that takes no time, with Python's lock.
///
/// # Errors
/// The exception of the work's error.
pub fn at_once<T>(py: Python<'_>, work: impl FnOnce() -> Finished<T>) -> PyResult<T> {
    guarded(work).map_err(|error| exception(py, error))
}

/// Runs work and returns a panic as an error.
fn guarded<T>(work: impl FnOnce() -> Finished<T>) -> Finished<T> {
    CALLS.fetch_add(1, Ordering::SeqCst);
    let result = catch_unwind(AssertUnwindSafe(work));
    CALLS.fetch_sub(1, Ordering::SeqCst);
    result.unwrap_or_else(|panic| Err(defect(&*panic)))
}

fn ending() -> Error {
    Error::Unsupported("a call while the process ends: the driver of its device goes".to_owned())
}

/// Returns whether this is Python's main thread, where signals are handled.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local!(static MAIN: Cell<Option<bool>> = const { Cell::new(None) });
    if let Some(known) = MAIN.get() {
        return Ok(known);
    }
    let threading = py.import("threading")?;
    let main: u64 = threading.call_method0("main_thread")?.getattr("ident")?.extract()?;
    let this: u64 = threading.call_method0("get_ident")?.extract()?;
    MAIN.set(Some(main == this));
    Ok(main == this)
}

/// Hands work to a worker and waits for it. Returns its result, or the exception of a signal
/// handler.
fn hand_over<T: Send + 'static>(
    py: Python<'_>,
    cancelled: Cancelled,
    work: impl FnOnce(&Cancelled) -> Finished<T> + Send + 'static,
) -> PyResult<Result<Finished<T>, PyErr>> {
    let (send, mut receive) = sync_channel(1);
    let stage = Arc::new(AtomicU8::new(RUNNING));
    let job: Job = Box::new({
        let stage = Arc::clone(&stage);
        move || {
            let result = guarded(|| work(&cancelled));
            // Fails only if nobody waits any more.
            _ = send.send(result);
            if stage.swap(DONE, Ordering::AcqRel) == LEFT {
                ABANDONED.fetch_sub(1, Ordering::AcqRel);
            }
        }
    });
    let worker = start(job).map_err(|refused| {
        error(py, "UnsupportedError", format!("a thread for the call: {refused}"))
    })?;
    loop {
        let waited = py.detach(move || (wait(&receive, LOOK, Some(SLICE)), receive));
        receive = waited.1;
        match waited.0 {
            Ok(result) => {
                keep(worker);
                return Ok(Ok(result));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(error(py, "DeviceError", "the thread of the call has ended"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(interrupt) = py.check_signals() {
            ABANDONED.fetch_add(1, Ordering::AcqRel);
            if stage.swap(LEFT, Ordering::AcqRel) == DONE {
                ABANDONED.fetch_sub(1, Ordering::AcqRel);
            }
            // Without its sender the worker ends after this job.
            return Ok(Err(interrupt));
        }
    }
}

/// Starts a job on the idle worker, or on a new one.
fn start(mut job: Job) -> std::io::Result<Sender<Job>> {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(worker) = idle {
        match worker.send(job) {
            Ok(()) => return Ok(worker),
            Err(refused) => job = refused.0,
        }
    }
    let (worker, jobs) = channel::<Job>();
    std::thread::Builder::new().name("wgpu_rnn call".to_owned()).spawn(move || {
        job();
        while let Ok(job) = wait(&jobs, LINGER, None) {
            job();
        }
    })?;
    Ok(worker)
}

/// Keeps a worker for the next call. A second one ends.
fn keep(worker: Sender<Job>) {
    *IDLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
}

/// Receives a value: looks for it for a time, then sleeps until it comes or the time is over.
fn wait<T>(
    receive: &Receiver<T>,
    look: Duration,
    sleep: Option<Duration>,
) -> Result<T, RecvTimeoutError> {
    let start = Instant::now();
    loop {
        match receive.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        if start.elapsed() >= look {
            break;
        }
        std::thread::yield_now();
    }
    match sleep {
        Some(time) => receive.recv_timeout(time),
        None => receive.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Panics in a call, for the test that no panic reaches Python.
///
/// # Errors
/// `GpuError` with the text.
#[pyfunction]
#[pyo3(name = "_panic")]
pub fn panic_in_a_call(py: Python<'_>, text: String, long: bool) -> PyResult<()> {
    let length = if long { Length::Long } else { Length::Short };
    run(py, length, move || panic!("{text}"))
}

/// Returns the number of calls that run on for nobody.
#[pyfunction]
#[pyo3(name = "_abandoned_calls")]
pub fn abandoned_calls() -> usize {
    ABANDONED.load(Ordering::Acquire)
}

/// Waits until no call runs on for nobody, at most some seconds.
///
/// # Errors
/// The exception of a signal handler.
#[pyfunction]
#[pyo3(name = "_wait_for_abandoned")]
pub fn wait_for_abandoned(py: Python<'_>, seconds: f64) -> PyResult<()> {
    none_left(py, &ABANDONED, seconds).map(drop)
}

/// Waits until a number is 0, at most some seconds. Returns whether it is.
///
/// # Errors
/// The exception of a signal handler.
fn none_left(py: Python<'_>, number: &AtomicUsize, seconds: f64) -> PyResult<bool> {
    let (start, limit) = (Instant::now(), Duration::try_from_secs_f64(seconds).unwrap_or_default());
    while number.load(Ordering::SeqCst) > 0 {
        if start.elapsed() >= limit {
            return Ok(false);
        }
        py.detach(|| std::thread::sleep(Duration::from_millis(5)));
        py.check_signals()?;
    }
    Ok(true)
}

/// Waits, if an adapter is open, until no call runs, at most some seconds. Python calls it at its
/// end: a driver that is unloaded while a call uses it ends the process with a fault of memory. If
/// a call still runs then, the process ends here, with status 1 and without unloading anything.
///
/// # Errors
/// The exception of a signal handler, such as that of another Ctrl-C.
#[pyfunction]
#[pyo3(name = "_at_exit", signature = (seconds = 60.0))]
pub fn at_exit(py: Python<'_>, seconds: f64) -> PyResult<()> {
    if !DRIVER.load(Ordering::Relaxed) {
        return Ok(());
    }
    ENDING.store(true, Ordering::SeqCst);
    if none_left(py, &CALLS, seconds)? {
        return Ok(());
    }
    let sys = py.import("sys")?;
    let text = format!(
        "wgpu_rnn: a call still runs on a device {seconds} s after the end of the program; the \
         process ends without it, with status 1\n"
    );
    // A program without a console has no streams.
    for (stream, text) in [("stdout", ""), ("stderr", &*text)] {
        let stream = sys.getattr(stream)?;
        if !stream.is_none() {
            stream.call_method1("write", (text,))?;
            stream.call_method0("flush")?;
        }
    }
    py.import("os")?.call_method1("_exit", (1,)).map(drop)
}

/// Notes that a driver is in use.
pub fn note_driver() {
    DRIVER.store(true, Ordering::Relaxed);
}
