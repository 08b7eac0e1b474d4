//! Faults of a device, as errors.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use smallvec::SmallVec;

use super::role::Role;
use crate::engine::wait::lock;
use crate::error::{Error, Result};

/// The time between two polls by submissions.
const PAUSE: Duration = Duration::from_micros(50);

/// The errors that a call can meet: those that error scopes filter.
pub(super) type Errors = &'static [wgpu::ErrorFilter];

/// The errors of calls that create something.
pub(super) const CREATION: Errors =
    &[wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];

/// The errors of uploads, which may need memory.
pub(super) const UPLOAD: Errors = &[wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory];

/// The errors of calls that use what is there. Each other failure is a loss of the device.
pub(super) const USE: Errors = &[wgpu::ErrorFilter::Validation];

/// The known faults of a device.
///
/// A device that this crate opens reports faults through its callbacks. wgpu has one callback of
/// each kind per device, so those of a borrowed device stay the program's. There, error scopes
/// report faults, and a probe after each failure detects a loss.
///
/// A browser reports the loss of every device to any number of listeners. Its error scopes answer
/// after the call: the next call, or the next read-back, returns their error.
#[derive(Debug)]
pub(super) struct Faults {
    /// The adapter's name, for messages.
    adapter: String,
    lost: Mutex<Option<String>>,
    /// The first error of a scope that answered after its call.
    late: Mutex<Option<Error>>,
}

impl Faults {
    /// No faults yet. `adapter` is the adapter's name in messages.
    pub fn new(adapter: String) -> Arc<Self> {
        Arc::new(Self { adapter, lost: Mutex::default(), late: Mutex::default() })
    }

    /// Sets the callbacks of a device that this crate opened.
    pub fn watch(self: &Arc<Self>, device: &wgpu::Device) {
        self.watch_loss(device);
        // Error scopes capture all errors of this crate. The others are the program's: no call of
        // this crate fails for them.
        let adapter = self.adapter.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{adapter}: an operation of the program on this device failed: {error}");
        }));
    }

    /// Sets the callback for the loss of a device.
    pub fn watch_loss(self: &Arc<Self>, device: &wgpu::Device) {
        let reported = Arc::clone(self);
        device.set_device_lost_callback(move |reason, message| {
            // The message is a sentence, and the error goes on after it.
            reported.lose(format!("{reason:?} {message}").trim_end_matches(['.', ' ']));
        });
    }

    /// Records the loss of the device; the first reason stays.
    pub fn lose(&self, reason: &str) {
        lock(&self.lost).get_or_insert_with(|| reason.to_owned());
    }

    /// Returns the faults that the device has reported, without a probe.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for a lost device; once, the error of a scope that answered late.
    pub fn check(&self) -> Result<()> {
        match lock(&self.lost).clone() {
            Some(reason) => Err(Error::DeviceLost { adapter: self.adapter.clone(), reason }),
            None => lock(&self.late).take().map_or(Ok(()), Err),
        }
    }

    /// The error of a refusal by wgpu or the driver.
    pub fn refused(&self, message: String) -> Error {
        Error::Gpu { adapter: self.adapter.clone(), message }
    }

    /// Runs `work` and returns an error that wgpu reports during it on this thread. `doing` names
    /// the work in messages. `errors` are those that a browser watches for: each scope takes 40 µs
    /// there, since another process answers. Natively a scope costs nothing.
    pub fn scoped<T>(
        self: &Arc<Self>,
        device: &wgpu::Device,
        errors: Errors,
        doing: &str,
        work: impl FnOnce() -> T,
    ) -> Result<T> {
        self.check()?;
        let errors = if cfg!(target_arch = "wasm32") { errors } else { CREATION };
        let scopes: SmallVec<[_; CREATION.len()]> =
            errors.iter().map(|&filter| device.push_error_scope(filter)).collect();
        let value = Role::Crate.during(work);
        // `pop` ends a scope at the call, innermost first. Native backends answer at once.
        let answers: SmallVec<[_; CREATION.len()]> =
            scopes.into_iter().rev().map(wgpu::ErrorScopeGuard::pop).collect();
        let found = async {
            let mut found = None;
            for answer in answers {
                found = found.or(answer.await);
            }
            found
        };
        self.conclude(device, doing, found).map(|()| value)
    }

    /// Returns the error that scopes found.
    #[cfg(not(target_arch = "wasm32"))]
    fn conclude(
        &self,
        device: &wgpu::Device,
        doing: &str,
        found: impl Future<Output = Option<wgpu::Error>>,
    ) -> Result<()> {
        match pollster::block_on(found) {
            None => self.check(),
            // After a loss any call may fail in any way, so a loss takes precedence.
            Some(error) => {
                Err(self.ask(device).err().unwrap_or_else(|| self.converted(doing, error)))
            }
        }
    }

    /// Records the error that scopes will have found.
    #[cfg(target_arch = "wasm32")]
    fn conclude(
        self: &Arc<Self>,
        _: &wgpu::Device,
        doing: &str,
        found: impl Future<Output = Option<wgpu::Error>> + 'static,
    ) -> Result<()> {
        let (faults, doing) = (Arc::clone(self), doing.to_owned());
        wasm_bindgen_futures::spawn_local(async move {
            if let Some(error) = found.await {
                lock(&faults.late).get_or_insert_with(|| faults.converted(&doing, error));
            }
        });
        Ok(())
    }

    /// Waits until all scopes so far have answered, and a loss was reported. Natively both happen
    /// during the call.
    pub async fn settle(&self, device: &wgpu::Device) {
        if cfg!(target_arch = "wasm32") {
            // Scopes answer in order.
            device.push_error_scope(wgpu::ErrorFilter::Internal).pop().await;
        }
    }

    /// Converts an error of wgpu.
    fn converted(&self, doing: &str, error: wgpu::Error) -> Error {
        match error {
            wgpu::Error::OutOfMemory { .. } => {
                Error::OutOfMemory { adapter: self.adapter.clone(), doing: doing.to_owned() }
            }
            error => self.refused(format!("{doing}: {error}")),
        }
    }

    /// Probes the device, then returns a loss as [`check`](Self::check) does.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for a lost device.
    pub fn ask(&self, device: &wgpu::Device) -> Result<()> {
        self.is_lost(device);
        self.check()
    }

    /// Probes the device and returns whether it is lost. A lost device maps no new buffer, and
    /// reports no error for it.
    pub fn is_lost(&self, device: &wgpu::Device) -> bool {
        let reported = lock(&self.lost).is_some();
        // A browser maps memory of lost devices too, and reports each loss.
        if reported || cfg!(target_arch = "wasm32") {
            return reported;
        }
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("device probe"),
            size: wgpu::MAP_ALIGNMENT,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let answers = buffer.get_mapped_range(..).is_ok();
        if pollster::block_on(memory.pop()).is_none() && !answers {
            self.lose("it does not respond");
            return true;
        }
        false
    }

    /// Polls the device and records a loss.
    ///
    /// # Errors
    /// [`Error::Gpu`] when wgpu refuses the poll; [`Error::DeviceLost`] when the device is lost
    /// during it.
    pub fn poll(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        how: wgpu::PollType,
    ) -> Result<()> {
        if cfg!(target_arch = "wasm32") {
            return self.check();
        }
        // wgpu panics if the device is lost during a poll, which must not end the program.
        if cfg!(panic = "unwind") {
            self.caught(device, || device.poll(how))
        } else {
            self.poll_by_submitting(device, queue, how)
        }
    }

    /// Polls by `poll`. Its panic is a loss only if the device is lost. Every other panic goes on:
    /// it is the program's, from a callback on a borrowed device.
    fn caught<T>(
        &self,
        device: &wgpu::Device,
        poll: impl FnOnce() -> Result<T, wgpu::PollError>,
    ) -> Result<()> {
        match catch_unwind(AssertUnwindSafe(|| Role::Crate.during(poll))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refused(error.to_string())),
            Err(_) if self.is_lost(device) => self.check(),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Polls by empty submissions. wgpu reports a loss from these and does not panic.
    fn poll_by_submitting(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        how: wgpu::PollType,
    ) -> Result<()> {
        let done = Arc::new(AtomicBool::new(matches!(how, wgpu::PollType::Poll)));
        let noted = Arc::clone(&done);
        queue.on_submitted_work_done(move || noted.store(true, Ordering::Release));
        loop {
            Role::Crate.during(|| queue.submit([]));
            if self.is_lost(device) || done.load(Ordering::Acquire) {
                return self.check();
            }
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Faults;
    use crate::engine::gpu::imaginary;
    use crate::engine::options::OpenOptions;
    use crate::error::Error;

    const WAIT: wgpu::PollType = wgpu::PollType::wait_indefinitely();

    #[test]
    fn a_panic_during_a_poll_is_a_loss_only_if_the_device_is_lost() {
        let gpu = imaginary::open(&OpenOptions::default());
        let faults = Faults::new("imaginary".to_owned());
        let poll = || -> Result<(), wgpu::PollError> { panic!("on purpose") };
        let caught = catch_unwind(AssertUnwindSafe(|| faults.caught(gpu.device(), poll)));
        caught.expect_err("a caller's panic goes on");
        faults.ask(gpu.device()).expect("the device is healthy");
        gpu.device().destroy();
        let error = faults.caught(gpu.device(), poll).expect_err("the device is lost");
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }

    /// The way of programs that abort on a panic.
    #[test]
    fn submissions_poll_and_report_a_loss() {
        let gpu = imaginary::open(&OpenOptions::default());
        let (device, queue) = (gpu.device(), gpu.queue());
        let faults = Faults::new("imaginary".to_owned());
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("read-back", 4, usage).expect("a buffer");
        let mapped = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&mapped);
        buffer.map_async(wgpu::MapMode::Read, .., move |answer| {
            noted.store(answer.is_ok(), Ordering::SeqCst);
        });
        faults.poll_by_submitting(device, queue, WAIT).expect("a healthy device");
        assert!(mapped.load(Ordering::SeqCst), "the callback ran");
        faults.poll_by_submitting(device, queue, wgpu::PollType::Poll).expect("nothing to do");
        device.destroy();
        let error = faults.poll_by_submitting(device, queue, WAIT).expect_err("it is lost");
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
}
