//! Copies and clears of whole buffers, encoded between the dispatches of runs.

use std::ops::Range;

use super::engine::Engine;
use crate::engine::wait::lock;
use crate::plan::recording::{BufferId, CopyPair};

impl Engine {
    /// Sets all values of a buffer to zero before the next run.
    pub(crate) fn clear(&self, id: BufferId) {
        lock(&self.clears.0).push(id);
    }

    /// Removes the clears that a write overlaps, and returns those that it does not cover. The
    /// caller writes their zeros first, because a write comes before all encoded commands.
    pub(super) fn take_clears(&self, id: BufferId, values: Range<usize>) -> Vec<BufferId> {
        let whole = |id: BufferId, values: Range<usize>| {
            let (whole, start) = self.recording().whole(id);
            (whole, start + values.start..start + values.end)
        };
        let (written, range) = whole(id, values);
        let mut uncovered = Vec::new();
        lock(&self.clears.0).retain(|&cleared| {
            let (buffer, zeros) = whole(cleared, 0..self.recording().spec(cleared).len());
            let overlaps = buffer == written && zeros.start < range.end && range.start < zeros.end;
            if overlaps && !(range.start <= zeros.start && zeros.end <= range.end) {
                uncovered.push(cleared);
            }
            !overlaps
        });
        uncovered
    }

    /// Encodes the clears that wait.
    pub(super) fn encode_clears(&self, encoder: &mut wgpu::CommandEncoder) {
        let clears = std::mem::take(&mut *lock(&self.clears.0));
        for id in clears {
            let size = self.recording().spec(id).size();
            encoder.clear_buffer(&self.buffers[id.0], self.start(id), Some(size));
        }
    }

    /// Encodes a copy of `size` bytes of a buffer, from the value `first` on, to `staging`.
    pub(super) fn encode_read(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        id: BufferId,
        first: usize,
        staging: &wgpu::Buffer,
        size: u64,
    ) {
        let start = self.start(id) + first as u64 * 4;
        encoder.copy_buffer_to_buffer(&self.buffers[id.0], start, staging, 0, size);
    }

    /// Encodes copies of whole buffers of `source` into buffers of this engine, in order.
    pub(super) fn encode_copies(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &Self,
        pairs: &[CopyPair],
    ) {
        source.encode_clears(encoder);
        for &(from, to) in pairs {
            let (first, start) = (source.start(from), self.start(to));
            let size = source.recording().spec(from).size().max(self.recording().spec(to).size());
            let (from, to) = (&source.buffers[from.0], &self.buffers[to.0]);
            // Skip copies of a buffer onto itself, which wgpu rejects.
            if (from, first) != (to, start) {
                encoder.copy_buffer_to_buffer(from, first, to, start, size);
            }
        }
    }
}
