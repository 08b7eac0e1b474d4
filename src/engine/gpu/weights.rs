//! Upload of a model's weights to a device.

use super::context::Gpu;
use crate::error::Result;
use crate::plan::recording::BufferSpec;

impl Gpu {
    /// Makes and fills the weight buffers of a model, one at a time. `pack` returns the values of
    /// the buffer at an index.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and the other errors of the device.
    pub fn upload_weights(
        &self,
        buffers: &[BufferSpec],
        pack: impl Fn(usize) -> Vec<f32>,
    ) -> Result<Vec<wgpu::Buffer>> {
        let upload = |(index, spec): (usize, &BufferSpec)| {
            let buffer = self.storage(&spec.label, spec.size())?;
            let values = pack(index);
            self.scoped("uploading weights", || {
                self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&values));
                // wgpu keeps a copy until its next submission has run. Submitting after each buffer
                // bounds these copies to one buffer.
                self.queue.submit([]);
            })?;
            Ok(buffer)
        };
        buffers.iter().enumerate().map(upload).collect()
    }
}
