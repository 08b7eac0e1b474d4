//! Wakers are a caller's code: they may panic, await, or drop the last handle of a device. None of
//! it makes a healthy device a lost one, and nothing hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::Polling;
use wgpu_rnn::{Config, Device, Params, Rnn, State, Tensor, wgpu};

use crate::brought::request;
use crate::waiting::block_on;
use crate::{Target, ensure, seeded};

/// A waker that does something once.
struct Act(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Act {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(act) = act {
            act();
        }
    }
}

fn act(act: impl FnOnce() + Send + 'static) -> Waker {
    Waker::from(Arc::new(Act(Mutex::new(Some(Box::new(act))))))
}

type Output = wgpu_rnn::Result<(Tensor, State)>;

/// A future that owns everything it uses.
type Owned = Pin<Box<dyn Future<Output = Output> + Send>>;

/// A module whose passes last until after a first poll.
struct Setup {
    rnn: Arc<Rnn>,
    input: Tensor,
    want: (Tensor, State),
}

impl Setup {
    fn new(device: &Device) -> Result<Self, Failed> {
        let rnn = Rnn::new(device, &Params::init(&Config::lstm(16, 64), 0)?)?;
        let input = seeded::tensor(3, &[100, 2, 16], 1.0);
        let want = rnn.forward(&input, None)?;
        Ok(Self { rnn: Arc::new(rnn), input, want })
    }

    fn future(&self) -> Owned {
        let (rnn, input) = (Arc::clone(&self.rnn), self.input.clone());
        Box::pin(async move { rnn.forward_async(&input, None).await })
    }

    /// Polls a future once, with this waker.
    fn begin(&self, waker: &Waker) -> Result<Owned, Failed> {
        let mut future = self.future();
        let first = future.as_mut().poll(&mut Context::from_waker(waker));
        ensure(first.is_pending(), "the device is at it")?;
        Ok(future)
    }

    fn works(&self, what: &str) -> Result<(), Failed> {
        ensure(!self.rnn.device().is_lost(), format!("{what}: the device is there"))?;
        ensure(self.rnn.forward(&self.input, None)? == self.want, format!("{what}: it computes"))?;
        ensure(block_on(self.future())? == self.want, format!("{what}: it wakes other futures"))
    }
}

/// Waits for a message. The time only turns a hang into a failure.
fn receive<T>(from: &Receiver<T>, what: &str) -> Result<T, Failed> {
    match from.recv_timeout(Duration::from_secs(60)) {
        Ok(message) => Ok(message),
        Err(RecvTimeoutError::Timeout) => Err(format!("{what}: it hangs").into()),
        Err(RecvTimeoutError::Disconnected) => Err(format!("{what}: it panicked").into()),
    }
}

/// The panic of one waker costs neither the device nor another future.
pub fn panics(target: &Target) -> Result<(), Failed> {
    let setup = Setup::new(&target.device()?)?;
    for round in 0..2 {
        let (woken, wakes) = channel();
        let doomed = setup.begin(&act(move || {
            _ = woken.send(());
            panic!("this panic is a waker's, on purpose");
        }))?;
        let other = block_on(setup.future())?;
        ensure(other == setup.want, "a future that waits at the same time")?;
        receive(&wakes, "the waker that panics")?;
        setup.works(&format!("after panic {round}"))?;
        ensure(block_on(doomed)? == setup.want, "the future whose waker panicked")?;
    }
    Ok(())
}

/// A waker awaits another future on the polling thread.
pub fn awaits(target: &Target) -> Result<(), Failed> {
    let setup = Setup::new(&target.device()?)?;
    let (send, results) = channel();
    let second = setup.future();
    let first = setup.begin(&act(move || _ = send.send(block_on(second))))?;
    let got = receive(&results, "a future inside a waker")??;
    ensure(got == setup.want, "a future inside a waker")?;
    ensure(block_on(first)? == setup.want, "the future of this waker")?;
    setup.works("after a future inside a waker")
}

/// A waker drops the last handles of the device: its own future and module.
pub fn drops(target: &Target) -> Result<(), Failed> {
    let (send, ends) = channel();
    {
        let setup = Setup::new(&target.device()?)?;
        let kept: Arc<Mutex<Option<Owned>>> = Arc::default();
        let last = Arc::clone(&kept);
        let (ready, go) = channel::<()>();
        let waker = act(move || {
            _ = go.recv();
            drop(last.lock().unwrap_or_else(PoisonError::into_inner).take());
            _ = send.send(());
        });
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(setup.begin(&waker)?);
        drop(setup);
        ready.send(())?;
    }
    receive(&ends, "the last handle, dropped in a waker")?;
    // Another thread drops the last handle while a waker waits for that thread.
    let setup = Setup::new(&target.device()?)?;
    let ((ready, go), (woken, wakes)) = (channel::<()>(), channel());
    let future = setup.begin(&act(move || {
        _ = woken.send(());
        _ = go.recv();
    }))?;
    receive(&wakes, "a waker that waits")?;
    let (dropped, drops) = channel();
    std::thread::spawn(move || {
        drop((future, setup));
        _ = dropped.send(());
    });
    let outcome = receive(&drops, "the last handle, dropped during a waker");
    drop(ready);
    outcome
}

/// If the program polls, wakers run in its polls, and never in a call of this crate.
pub fn of_the_program(target: &Target) -> Result<(), Failed> {
    let (device, queue) = request(target, |_| {})?;
    let options = OpenOptions::default().polling(Polling::Program);
    let setup = Setup::new(&Device::from_wgpu(device.clone(), queue, &options)?)?;
    let poll = || _ = device.poll(wgpu::PollType::wait_indefinitely());

    let (woken, wakes) = channel();
    let future = setup.begin(&act(move || _ = woken.send(())))?;
    setup.rnn.forward(&setup.input, None)?;
    ensure(wakes.try_recv().is_err(), "a blocking call wakes nobody")?;
    poll();
    receive(&wakes, "the program's poll")?;
    ensure(block_on(future)? == setup.want, "the future that was woken")?;

    let doomed = setup.begin(&act(|| panic!("this panic is a waker's, on purpose")))?;
    let polled = catch_unwind(AssertUnwindSafe(poll));
    ensure(polled.is_err(), "the program's poll panics as its waker does")?;
    ensure(!setup.rnn.device().is_lost(), "the device is there")?;
    ensure(setup.rnn.forward(&setup.input, None)? == setup.want, "it computes")?;
    drop(doomed);

    let (send, results) = channel();
    let second = setup.future();
    let first = setup.begin(&act(move || _ = send.send(block_on(second))))?;
    poll();
    ensure(receive(&results, "a future inside a waker")?? == setup.want, "inside a waker")?;
    ensure(block_on(first)? == setup.want, "the future of this waker")
}

/// The program's errors on a device are no errors of calls to this crate.
pub fn uncaptured(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let setup = Setup::new(&device)?;
    // A buffer without a use is refused.
    drop(device.wgpu().ok_or("an adapter")?.0.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::empty(),
        mapped_at_creation: false,
    }));
    setup.works("after an error of the program")
}
