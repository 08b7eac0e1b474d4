//! What goes wrong on a device, told as errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::engine::wait::lock;
use crate::error::{Error, Result};

/// What is known of a device's faults.
///
/// A device of our own reports through its callbacks. Those of a device that the program brought are the program's: there
/// error scopes tell of faults, and whether the device is still there is asked after a failure.
#[derive(Debug)]
pub(super) struct Faults {
    /// The adapter's name, for messages.
    adapter: String,
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

impl Faults {
    /// Nothing yet; `adapter` is its name in messages.
    pub fn new(adapter: String) -> Arc<Self> {
        Arc::new(Self { adapter, lost: Mutex::default(), uncaptured: Mutex::default() })
    }

    /// Takes the callbacks of a device, which nobody else may want.
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

    /// Notes that the device is gone; the first reason stays.
    pub fn lose(&self, reason: &str) {
        lock(&self.lost).get_or_insert_with(|| reason.to_owned());
    }

    /// Whether the device is still there and has reported nothing.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = lock(&self.lost).clone() {
            return Err(Error::DeviceLost { adapter: self.adapter.clone(), reason });
        }
        match lock(&self.uncaptured).take() {
            Some(message) => Err(self.refused(message)),
            None => Ok(()),
        }
    }

    /// What wgpu or the driver refused.
    pub fn refused(&self, message: String) -> Error {
        Error::Gpu { adapter: self.adapter.clone(), message }
    }

    /// Runs `work` and turns what wgpu reports meanwhile on this thread into an error.
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
        // Popping takes effect at the call, innermost first; native backends have the answer at once.
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

    /// An error of wgpu in our words. What a device refuses after it was lost is a consequence, whatever the error says.
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

    /// As [`check`](Self::check), and asks the device itself: one that is gone gives no memory to write to, and no error.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or what was reported before.
    pub fn ask(&self, device: &wgpu::Device) -> Result<()> {
        self.is_lost(device);
        self.check()
    }

    /// Whether the device is gone; it is asked.
    pub fn is_lost(&self, device: &wgpu::Device) -> bool {
        if lock(&self.lost).is_some() {
            return true;
        }
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("is the device there?"),
            size: wgpu::MAP_ALIGNMENT,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let answers = buffer.get_mapped_range(..).is_ok();
        if pollster::block_on(memory.pop()).is_none() && !answers {
            self.lose("it does not answer");
            return true;
        }
        false
    }

    /// Polls the device, and notes if it is gone.
    ///
    /// # Errors
    /// What wgpu says.
    pub fn poll(&self, device: &wgpu::Device, how: wgpu::PollType) -> Result<()> {
        // Where the device is lost meanwhile, wgpu panics; that must not take the program along.
        match catch_unwind(AssertUnwindSafe(|| device.poll(how))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refused(error.to_string())),
            Err(_) => {
                self.lose("it was lost at work");
                self.check()
            }
        }
    }
}
