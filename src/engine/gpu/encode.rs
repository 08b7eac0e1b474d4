//! The compute passes of a submission. A clear is no dispatch, so it separates two passes.

use super::bound::BoundDispatch;
use super::engine::Engine;
use super::parts::{Around, Submission};
use crate::error::Result;
use crate::plan::recording::{BufferId, Command};

impl Engine {
    /// Executes a command that clears values.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn run_clear(&self, command: usize) -> Result<()> {
        self.submit("clearing a buffer", |encoder| {
            self.encode_part(encoder, &vec![(command, 0..1)], &Around::default());
        })
        .map(drop)
    }

    /// Executes one dispatch of one step of one command.
    ///
    /// # Errors
    /// The errors of the device.
    pub fn run_dispatch(&self, command: usize, index: u32, dispatch: usize) -> Result<()> {
        self.submit("running a dispatch", |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.set(command, index)[dispatch].encode(&mut pass, index, None);
        })
        .map(drop)
    }

    /// Encodes one submission of a run. Each dispatch sees the writes of those before it.
    pub(super) fn encode_part(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        part: &Submission,
        around: &Around<'_>,
    ) {
        let clears: Vec<_> =
            part.iter().filter_map(|&(command, _)| self.cleared(command)).collect();
        let passes = part.split(|&(command, _)| self.cleared(command).is_some());
        for (at, pass_commands) in passes.enumerate() {
            let (first, last) = (at == 0, at == clears.len());
            let timestamp_writes = around
                .timer
                .and_then(|(timer, [starts, ends])| timer.writes(starts && first, ends && last));
            let descriptor = wgpu::ComputePassDescriptor { label: around.label, timestamp_writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            let before = around.before.iter().filter(|_| first);
            before.for_each(|dispatch| dispatch.encode(&mut pass, 0, None));
            let mut previous = None;
            for (command, range) in pass_commands {
                for index in range.clone() {
                    for bound in self.set(*command, index) {
                        bound.encode(&mut pass, index, previous.replace(bound));
                    }
                }
            }
            let after = around.after.iter().filter(|_| last);
            after.for_each(|dispatch| dispatch.encode(&mut pass, 0, None));
            drop(pass);
            if let Some(&clear) = clears.get(at) {
                self.encode_clear(encoder, clear);
            }
        }
    }

    /// The dispatches of a step of a command.
    pub(super) fn set(&self, command: usize, index: u32) -> &[BoundDispatch] {
        let parity = match &self.recording().commands[command] {
            Command::Dispatch(_) | Command::Clear { .. } => 0,
            Command::Steps { first_step, .. } => ((first_step + index) % 2) as usize,
        };
        &self.bound(command)[parity]
    }

    /// The buffer, the first value and the number of values that a command clears, if it does.
    fn cleared(&self, command: usize) -> Option<(BufferId, usize, usize)> {
        match self.recording().commands[command] {
            Command::Clear { buffer, start, len } => Some((buffer, start, len)),
            _ => None,
        }
    }

    fn encode_clear(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        (id, start, len): (BufferId, usize, usize),
    ) {
        let (buffer, first) = self.buffer(id);
        encoder.clear_buffer(buffer, first + start as u64 * 4, Some(len as u64 * 4));
    }
}
