//! Division of a run into submissions that are short enough for a device's watchdog.

use std::ops::Range;

use super::bound::BoundDispatch;
use super::timer::Timer;
use crate::plan::recording::{Command, Recording};

/// The dispatches of a command's even and odd steps; a plain dispatch has only even ones.
pub(super) type ByParity = [Vec<BoundDispatch>; 2];

/// One submission: ranges of steps, each with the index of its command.
pub(super) type Submission = Vec<(usize, Range<u32>)>;

/// The surroundings of a submission.
#[derive(Debug, Default)]
pub(crate) struct Around<'a> {
    /// The name of the passes in GPU debuggers.
    pub label: Option<&'a str>,
    /// Dispatches before the submission's.
    pub before: &'a [BoundDispatch],
    /// Dispatches after the submission's.
    pub after: &'a [BoundDispatch],
    /// A timer, and whether the submission starts and ends its measurement.
    pub timer: Option<(&'a Timer, [bool; 2])>,
}

/// The work of a whole recording, as `max_work_per_submission` counts it.
pub(super) fn work(recording: &Recording, bound: &[ByParity]) -> u64 {
    let commands = recording.commands.iter().zip(bound);
    let work = |(command, bound): (&Command, &ByParity)| {
        step_work(bound).saturating_mul(command.count().into())
    };
    commands.map(work).fold(0, u64::saturating_add)
}

/// The work of one step of a command.
fn step_work([even, _]: &ByParity) -> u64 {
    even.iter().map(BoundDispatch::work).fold(0, u64::saturating_add).max(1)
}

/// Divides commands into parts of at most `most` work. A single step that exceeds `most` is a part
/// by itself.
pub(super) fn divide(
    recording: &Recording,
    bound: &[ByParity],
    commands: Range<usize>,
    most: u64,
) -> Vec<Submission> {
    let mut parts = Vec::new();
    let mut part = Submission::new();
    let mut work = 0;
    for at in commands {
        let command = &recording.commands[at];
        let each = step_work(&bound[at]);
        let mut next = 0;
        while next < command.count() {
            let room =
                (most.saturating_sub(work) / each).min(u64::from(command.count() - next)) as u32;
            if room == 0 && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                work = 0;
                continue;
            }
            let count = room.max(1);
            part.push((at, next..next + count));
            work = work.saturating_add(each.saturating_mul(u64::from(count)));
            next += count;
        }
    }
    parts.push(part);
    parts
}
