//! Timing of runs by the device's own clock.

use std::time::Duration;

use super::context::Gpu;
use crate::error::Result;

/// The duration of a run, without the wait for its results.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timing {
    /// Host time for encoding and for the first submission. Later submissions do not count: they
    /// may wait for earlier ones.
    pub encode: Duration,
    /// Device time from the start of the first pass to the end of the last. `None` if the device
    /// was opened without [`timestamps`](crate::engine::options::OpenOptions::timestamps) or has
    /// none.
    pub gpu: Option<Duration>,
}

/// Two timestamps and their read-back buffer.
#[derive(Debug)]
pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    pub staging: wgpu::Buffer,
    nanoseconds_per_tick: f64,
}

/// The size of the two timestamps in bytes.
const SIZE: u64 = 2 * 8;

impl Timer {
    pub fn new(gpu: &Gpu) -> Result<Self> {
        let descriptor = wgpu::QuerySetDescriptor {
            label: Some("timer"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        };
        Ok(Self {
            queries: gpu.scoped("creating a timer", || gpu.device.create_query_set(&descriptor))?,
            resolved: gpu.buffer(
                "timer",
                SIZE,
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            )?,
            staging: gpu.buffer(
                "timer read-back",
                SIZE,
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            )?,
            nanoseconds_per_tick: f64::from(gpu.queue.get_timestamp_period()),
        })
    }

    /// The timestamps that a pass writes: its start if it is the first, its end if it is the last.
    pub fn writes(&self, first: bool, last: bool) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (first || last).then_some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: last.then_some(1),
        })
    }

    /// Copies both timestamps to the read-back buffer.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, SIZE);
    }

    /// Returns the time between the timestamps, from the words of the read-back; `None` if the
    /// clock did not advance.
    pub fn elapsed(&self, words: &[f32]) -> Option<Duration> {
        let elapsed = ticks(words)?;
        Some(Duration::from_nanos((elapsed as f64 * self.nanoseconds_per_tick) as u64))
    }
}

/// Returns the ticks between two timestamps of two words each, low word first; `None` for no tick.
fn ticks(words: &[f32]) -> Option<u64> {
    let [start, end] = [0, 2].map(|at| {
        let words = words.get(at..at + 2)?;
        Some(u64::from(words[0].to_bits()) | u64::from(words[1].to_bits()) << 32)
    });
    end?.checked_sub(start?).filter(|&elapsed| elapsed > 0)
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn timestamps_have_two_words() {
        let of = |words: &[u32]| {
            let words: Vec<f32> = words.iter().map(|&word| f32::from_bits(word)).collect();
            ticks(&words)
        };
        assert_eq!(of(&[u32::MAX, 6, 3, 7]), Some(4), "the low word overflows");
        assert_eq!(of(&[5, 1, 7, 3]), Some((2 << 32) + 2));
        assert_eq!(of(&[5, 1, 5, 1]), None, "the clock stands still");
        assert_eq!(of(&[5, 2, 6, 1]), None, "the clock runs back");
        assert_eq!(of(&[0, 0, 1]), None, "a word is missing");
    }
}
