//! Waking futures in a browser, which polls devices by itself.

use std::sync::Arc;

use super::faults::Faults;
use super::polling::Polling;
use super::progress::Progress;

/// The browser, which has one for all devices.
#[derive(Debug)]
pub(super) struct Poller;

impl Poller {
    pub fn new(_: Polling, _: &wgpu::Device, _: &wgpu::Queue, _: &Arc<Faults>) -> Self {
        Self
    }

    /// Does nothing: an [`Answer`] wakes its future.
    pub fn watch(&self, _: &Arc<Progress>) {}

    /// The place that answers of the device go to.
    pub fn watched(&self) -> Self {
        Self
    }
}

/// The answer to a request to map a buffer.
#[derive(Debug)]
pub(super) struct Answer(Arc<Progress>);

impl Answer {
    pub fn new(progress: &Arc<Progress>, _: Poller) -> Self {
        Self(Arc::clone(progress))
    }

    /// Gives the answer, in no call of this crate: the browser calls back between calls.
    pub fn give(self, mapped: bool) {
        self.0.called_back(mapped);
        if self.0.is_done() {
            self.0.wake();
        }
    }
}
