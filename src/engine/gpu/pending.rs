//! Results that a caller awaits while the engine executes other runs.

use std::sync::{Arc, Mutex};

use super::context::Gpu;
use super::mapping::Mapping;
use crate::engine::wait::{Waiting, lock};
use crate::error::Result;

/// Read-back buffers that are free for reuse.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<wgpu::Buffer>>);

impl Spare {
    /// Returns a buffer of at least `size` bytes: the smallest that fits, or a new one.
    pub fn take(&self, gpu: &Gpu, size: u64) -> Result<wgpu::Buffer> {
        {
            let mut spare = lock(&self.0);
            let fits = spare.iter().enumerate().filter(|(_, buffer)| buffer.size() >= size);
            if let Some((at, _)) = fits.min_by_key(|(_, buffer)| buffer.size()) {
                return Ok(spare.swap_remove(at));
            }
        }
        gpu.buffer("read-back", size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }
}

/// The values of a read that was started.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) gpu: Arc<Gpu>,
    pub(super) staging: wgpu::Buffer,
    /// The bytes to read.
    pub(super) size: u64,
    pub(super) spare: Arc<Spare>,
}

impl Pending {
    /// Waits for the values and returns them.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost) and the other errors of the device.
    pub async fn values(self, waiting: Waiting) -> Result<Vec<f32>> {
        let mapping = Mapping::start(&self.gpu, vec![self.staging.slice(..self.size)])?;
        let values = mapping.values(waiting).await?;
        // After an error or a dropped future the mapping's state is unknown: do not reuse the
        // buffer.
        lock(&self.spare.0).push(self.staging);
        Ok(values.into_iter().next().unwrap_or_default())
    }
}
