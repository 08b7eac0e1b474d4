//! Faults of a device, as errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::engine::wait::lock;
use crate::error::{Error, Result};

/// The known faults of a device.
///
/// A device that this crate opens reports faults through its callbacks. wgpu has one callback of
/// each kind per device, so those of a borrowed device stay the program's. There, error scopes
/// report faults, and a probe after each failure detects a loss.
#[derive(Debug)]
pub(super) struct Faults {
    /// The adapter's name, for messages.
    adapter: String,
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

impl Faults {
    /// No faults yet. `adapter` is the adapter's name in messages.
    pub fn new(adapter: String) -> Arc<Self> {
        Arc::new(Self { adapter, lost: Mutex::default(), uncaptured: Mutex::default() })
    }

    /// Sets the callbacks of a device that this crate opened.
    pub fn watch(self: &Arc<Self>, device: &wgpu::Device) {
        let reported = Arc::clone(self);
        device.set_device_lost_callback(move |reason, message| {
            reported.lose(format!("{reason:?} {message}").trim());
        });
        let reported = Arc::clone(self);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&reported.uncaptured).get_or_insert_with(|| error.to_string());
        }));
    }

    /// Records the loss of the device; the first reason stays.
    pub fn lose(&self, reason: &str) {
        lock(&self.lost).get_or_insert_with(|| reason.to_owned());
    }

    /// Returns a fault that the device has reported, without a probe.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for a lost device; [`Error::Gpu`] for an uncaptured error, once.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = lock(&self.lost).clone() {
            return Err(Error::DeviceLost { adapter: self.adapter.clone(), reason });
        }
        match lock(&self.uncaptured).take() {
            Some(message) => Err(self.refused(message)),
            None => Ok(()),
        }
    }

    /// The error of a refusal by wgpu or the driver.
    pub fn refused(&self, message: String) -> Error {
        Error::Gpu { adapter: self.adapter.clone(), message }
    }

    /// Runs `work` and returns an error that wgpu reports during it on this thread. `doing` names
    /// the work in messages.
    pub fn scoped<T>(
        &self,
        device: &wgpu::Device,
        doing: &str,
        work: impl FnOnce() -> T,
    ) -> Result<T> {
        self.check()?;
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let value = work();
        // `pop` ends a scope at the call, innermost first. Native backends answer at once.
        let (memory, internal, validation) = (memory.pop(), internal.pop(), validation.pop());
        let error = pollster::block_on(async {
            match (memory.await, internal.await, validation.await) {
                (Some(error), _, _) | (None, Some(error), _) | (None, None, Some(error)) => {
                    Some(error)
                }
                (None, None, None) => None,
            }
        });
        match error {
            None => self.check().map(|()| value),
            Some(error) => Err(self.explain(device, doing, error)),
        }
    }

    /// Converts an error of wgpu. After a loss any call may fail in any way, so a loss takes
    /// precedence.
    fn explain(&self, device: &wgpu::Device, doing: &str, error: wgpu::Error) -> Error {
        if let Err(known) = self.ask(device) {
            return known;
        }
        match error {
            wgpu::Error::OutOfMemory { .. } => {
                Error::OutOfMemory { adapter: self.adapter.clone(), doing: doing.to_owned() }
            }
            error => self.refused(format!("{doing}: {error}")),
        }
    }

    /// Probes the device, then returns a fault as [`check`](Self::check) does.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or an error that the device reported before.
    pub fn ask(&self, device: &wgpu::Device) -> Result<()> {
        self.is_lost(device);
        self.check()
    }

    /// Probes the device and returns whether it is lost. A lost device maps no new buffer, and
    /// reports no error for it.
    pub fn is_lost(&self, device: &wgpu::Device) -> bool {
        if lock(&self.lost).is_some() {
            return true;
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
    pub fn poll(&self, device: &wgpu::Device, how: wgpu::PollType) -> Result<()> {
        // wgpu panics if the device is lost during the poll, which must not end the program.
        match catch_unwind(AssertUnwindSafe(|| device.poll(how))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refused(error.to_string())),
            Err(_) => {
                self.lose("it was lost during a poll");
                self.check()
            }
        }
    }
}
