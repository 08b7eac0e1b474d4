//! A whole run: submissions, results, and the flag of a run that was abandoned.

use std::time::Duration;

use super::engine::Engine;
use super::mapping::Mapping;
use super::parts::Around;
use super::timer::Timing;
use crate::engine::ran::Ran;
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::plan::recording::{BufferId, CopyPair};

/// Bytes of the flag.
const FLAG_SIZE: u64 = 4;

/// The index of the flag among the results of a run. The flag comes first, so that the values of an
/// abandoned run never reach the caller.
const FLAG: usize = 0;

impl Engine {
    /// Executes the recording, reads the results, then copies the buffers of `then` within this
    /// engine. The next run starts from the values that this one leaves. `take` receives each
    /// result's values, in order, with the caller's name for it.
    ///
    /// An abandoned run hands out no results, and the targets of `then` keep their values. The
    /// device then refuses to exchange states.
    ///
    /// A future that is dropped while it waits loses the results only: the run and its copies are
    /// already submitted.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`] and the other errors of the device.
    ///
    /// [`Error::DeviceLost`]: crate::Error::DeviceLost
    /// [`Error::OutOfMemory`]: crate::Error::OutOfMemory
    pub(crate) async fn execute<R: Copy>(
        &mut self,
        results: &[(BufferId, R)],
        then: &[CopyPair],
        waiting: Waiting,
        mut take: impl FnMut(R, &[f32]),
    ) -> Result<Ran> {
        let flag = self.recording.flag;
        self.stage(results)?;
        if flag.is_some() {
            self.stage_kept(then)?;
        }
        let last = self.parts.len() - 1;
        let mut encode = Duration::ZERO;
        for part in 0..=last {
            let before = |encoder: &mut _| {
                if part == 0 && flag.is_some() {
                    self.encode_kept(encoder, then, Way::Aside);
                }
            };
            let after = |encoder: &mut _| {
                if part == last {
                    self.encode_results(encoder, results);
                    self.encode_copies(encoder, self, then);
                }
            };
            encode += self.submit_part(part, before, after)?;
        }
        self.timing = Timing { encode, gpu: None };
        let read = flag.iter().chain(results.iter().map(|(id, _)| id));
        let mut read_back: Vec<_> = read.map(|id| self.staging[id].slice(..)).collect();
        read_back.extend(self.timer.as_ref().map(|timer| timer.staging.slice(..)));
        let (timer, timing) = (&self.timer, &mut self.timing);
        let first = usize::from(flag.is_some());
        let mut ran = Ran::Done;
        let of_any = |index: usize, values: &[f32]| {
            if index == FLAG && first > 0 {
                if values.iter().any(|word| word.to_bits() != 0) {
                    ran = Ran::Abandoned;
                }
            } else if let Some(&(_, result)) = results.get(index - first) {
                if ran == Ran::Done {
                    take(result, values);
                }
            } else {
                timing.gpu = timer.as_ref().and_then(|timer| timer.elapsed(values));
            }
        };
        Mapping::start(&self.gpu, read_back)?.each(waiting, of_any).await?;
        if ran == Ran::Abandoned {
            self.gpu.trust().abandon(&self.gpu.title());
            self.submit("restoring a state", |encoder| {
                self.encode_kept(encoder, then, Way::Back);
            })?;
        }
        Ok(ran)
    }

    /// Encodes `before`, one submission of a run and `after`, and submits all. Returns the host
    /// time. For a later submission the time excludes the submit call, in which some drivers wait
    /// for earlier submissions.
    fn submit_part(
        &self,
        part: usize,
        before: impl FnOnce(&mut wgpu::CommandEncoder),
        after: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<Duration> {
        let (first, last) = (part == 0, part + 1 == self.parts.len());
        let (encoded, submitted) = self.submit("running a recording", |encoder| {
            before(encoder);
            let timer = self.timer.as_deref().map(|timer| (timer, [first, last]));
            self.encode(encoder, part, &Around { timer, ..Around::default() });
            after(encoder);
            if let Some(timer) = self.timer.as_ref().filter(|_| last) {
                timer.resolve(encoder);
            }
        })?;
        Ok(if first { submitted } else { encoded })
    }

    /// Makes the missing read-back buffers of `results` and of the flag.
    fn stage<R>(&mut self, results: &[(BufferId, R)]) -> Result<()> {
        let flag = self.recording.flag.map(|id| (id, FLAG_SIZE));
        let results = results.iter().map(|&(id, _)| (id, self.recording.spec(id).size()));
        for (id, size) in flag.into_iter().chain(results) {
            if !self.staging.contains_key(&id) {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                self.staging.insert(id, self.gpu.buffer("read-back", size, usage)?);
            }
        }
        Ok(())
    }

    /// Makes the missing copies of the targets of `pairs`.
    fn stage_kept(&mut self, pairs: &[CopyPair]) -> Result<()> {
        for &(_, target) in pairs {
            if !self.kept.contains_key(&target) {
                let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
                let size = self.recording.spec(target).size();
                self.kept.insert(target, self.gpu.buffer("kept state", size, usage)?);
            }
        }
        Ok(())
    }

    /// Encodes the reads of the flag and of the results.
    fn encode_results<R>(&self, encoder: &mut wgpu::CommandEncoder, results: &[(BufferId, R)]) {
        for id in self.recording.flag.iter().chain(results.iter().map(|(id, _)| id)) {
            let staging = &self.staging[id];
            self.encode_read(encoder, *id, 0, staging, staging.size());
        }
    }

    /// Encodes the copies of the targets of `pairs`, aside before a run or back after it.
    fn encode_kept(&self, encoder: &mut wgpu::CommandEncoder, pairs: &[CopyPair], way: Way) {
        for (_, target) in pairs {
            let ((buffer, start), kept) = (self.buffer(*target), &self.kept[target]);
            match way {
                Way::Aside => {
                    encoder.copy_buffer_to_buffer(buffer, start, kept, 0, kept.size());
                }
                Way::Back => encoder.copy_buffer_to_buffer(kept, 0, buffer, start, kept.size()),
            }
        }
    }
}

/// The direction of the copies of a state that an abandoned run must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Aside,
    Back,
}
