//! Bandwidth of an adapter: its memory, and its cache. Both are of reads only.
//!
//! Each word is read once a pass, by one workgroup, and counts in a sum that the host checks. A
//! buffer of 8 MiB stays in the cache that all cores share. The other one is far larger than any
//! cache, so that its words come from memory.

use super::probe::{MAX_ITERATIONS, Probe};
use super::{Run, slope};
use crate::engine::device::Device;
use crate::engine::session::{EngineRef, Weights};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::Family;
use crate::kernel::families::{BANDWIDTH_BLOCK_TILES, BANDWIDTH_TILE_QUADS};
use crate::perf::calibration::Bandwidth;
use crate::plan::recording::{Axis, BufferSpec, Role};
use crate::wgpu::DeviceType;

/// Bytes of a tile.
const TILE: u64 = (BANDWIDTH_TILE_QUADS * 16) as u64;

/// Bytes that `bandwidth` reads in one iteration of a workgroup.
const BLOCK: u64 = BANDWIDTH_BLOCK_TILES as u64 * TILE;

/// The sizes to measure, in ascending order: powers of two.
pub(super) fn sizes(device: &Device) -> Vec<u64> {
    let EngineRef::Gpu(gpu) = device.engine() else { return Vec::new() };
    let (cache, memory) = match gpu.info().device_type {
        // Larger buffers only take longer: a software adapter reads 10 GB/s.
        DeviceType::Cpu => (1 << 20, 1 << 25),
        DeviceType::DiscreteGpu => (1 << 23, 1 << 30),
        // The memory is the host's too.
        _ => (1 << 23, 1 << 28),
    };
    let limits = device.limits();
    let allowed = limits.max_binding().min(limits.memory_budget / 4).max(BLOCK);
    let largest = 1 << memory.min(allowed).ilog2();
    if largest > cache { vec![cache, largest] } else { vec![largest] }
}

/// The buffer that is read.
pub(super) struct Source {
    weights: Weights,
    spec: BufferSpec,
}

/// Returns word `i` of the buffer: a hash, so that no hardware stores the words compressed.
fn word(i: u32) -> u32 {
    let x = (i ^ (i >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Returns the sum of the words of a buffer.
fn sum(bytes: u64) -> u32 {
    (0..(bytes / 4) as u32).fold(0, |sum, i| sum.wrapping_add(word(i)))
}

impl Source {
    /// Makes a buffer of the largest of these sizes. If the device has too little memory, a quarter
    /// replaces that size.
    ///
    /// # Errors
    /// The errors of the device.
    pub(super) fn of_largest(device: &Device, sizes: &mut [u64]) -> Result<Option<Self>> {
        let Some((largest, smaller)) = sizes.split_last_mut() else { return Ok(None) };
        let least = smaller.last().map_or(BLOCK, |bytes| 4 * bytes);
        loop {
            match Self::new(device, *largest) {
                Err(Error::OutOfMemory { .. }) if *largest / 4 >= least => *largest /= 4,
                made => return made.map(Some),
            }
        }
    }

    /// Makes a buffer of this size.
    fn new(device: &Device, bytes: u64) -> Result<Self> {
        let axes = vec![(Axis::Word, bytes as usize / 4)];
        let spec = BufferSpec { label: "x".to_owned(), axes, role: Role::Weight };
        let weights = Weights::load(device.engine(), std::slice::from_ref(&spec), |_| {
            (0..(bytes / 4) as u32).map(|i| f32::from_bits(word(i))).collect()
        })?;
        Ok(Self { weights, spec })
    }

    /// Measures reads of the first `bytes` bytes by all cores, and by one where `one` says so.
    pub(super) async fn measure(
        &self,
        device: &Device,
        bytes: u64,
        one: bool,
        waiting: Waiting,
    ) -> Result<Bandwidth> {
        // More workgroups than any GPU runs at the same time. A software adapter has few cores.
        let most = if device.is_software_adapter() { 16 } else { 2048 };
        let all_gb_per_s = self.gb_per_s(device, bytes, most.min(bytes / BLOCK), waiting).await?;
        let one_gb_per_s = match one {
            true => Some(self.gb_per_s(device, bytes, 1, waiting).await?),
            false => None,
        };
        Ok(Bandwidth { bytes, all_gb_per_s, one_gb_per_s })
    }

    /// Measures reads by a power of two of workgroups, in whole passes.
    ///
    /// # Errors
    /// [`Error::Gpu`] if a word was not read, or was read twice in a pass.
    async fn gb_per_s(
        &self,
        device: &Device,
        bytes: u64,
        groups: u64,
        waiting: Waiting,
    ) -> Result<f64> {
        let iterations = bytes / BLOCK / groups;
        let once = sum(bytes);
        let mut wrong = None;
        let pass_us = slope(1, (MAX_ITERATIONS / iterations).max(1), async |passes| {
            let x = Some((&self.weights, &self.spec));
            let dims = (passes * iterations, bytes / TILE);
            let quads = groups * BANDWIDTH_TILE_QUADS as u64 / 4;
            let mut probe = Probe::on(device, Family::Bandwidth, x, groups, dims, quads)?;
            let Run { us, values: sums, .. } = probe.run(waiting).await?;
            let got = sums.iter().fold(0_u32, |sum, word| sum.wrapping_add(word.to_bits()));
            let want = once.wrapping_mul(passes as u32);
            if got != want {
                wrong = Some((passes, got, want));
            }
            Ok(us)
        })
        .await?;
        match wrong {
            None => Ok(bytes as f64 / pass_us / 1e3),
            Some((passes, got, want)) => {
                let message = format!(
                    "{passes} passes over {bytes} bytes gave the sum {got:#x}, expected \
                     {want:#x}; a kernel did not read each word once, so use another driver"
                );
                Err(Error::Gpu { adapter: device.to_string(), message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{sum, word};

    #[test]
    fn the_words_differ_and_count_in_the_sum() {
        let words: HashSet<u32> = (0..1 << 16).map(word).collect();
        assert_eq!(words.len(), 1 << 16);
        let want = words.iter().fold(0_u32, |sum, word| sum.wrapping_add(*word));
        assert_eq!(sum(4 << 16), want);
        assert_ne!(sum((4 << 16) - 4), want, "one word less");
    }
}
