//! Clears that wait for a submission.

use std::sync::Mutex;

use crate::plan::recording::BufferId;

/// Buffers to set to zero before the next submission.
///
/// A write of zeros would allocate upload memory and fill it; the device clears its memory itself.
#[derive(Debug, Default)]
pub(super) struct Clears(pub(super) Mutex<Vec<BufferId>>);
