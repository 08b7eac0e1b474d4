//! The path from sizes to a run: plans with their buffers, kept for later calls.

use std::sync::{Arc, Mutex};

use crate::engine::gpu::Timing;
use crate::engine::session::{Session, Weights};
use crate::engine::wait::{Waiting, lock};
use crate::error::Result;
use crate::plan::Exchange;
use crate::plan::recording::{BufferId, Recording};

/// The number of plans that a runner keeps: for calls of one size, and of a last, shorter one.
const KEPT: usize = 2;

/// The plans of a module by their keys, such as the sizes of a call.
///
/// A call takes a plan out and puts it back. Calls with other keys or from other threads therefore
/// don't wait for it. A call that fails doesn't put its plan back, and the next call makes a new
/// one. Plans end when the device exchanges states in another way, such as after an abandoned run.
#[derive(Debug)]
pub(crate) struct Runner<K, P> {
    weights: Weights,
    /// Kept plans, the most recent one first.
    kept: Mutex<Vec<Prepared<K, P>>>,
}

/// A plan with its buffers, whose contents are undefined.
#[derive(Debug)]
pub(crate) struct Prepared<K, P> {
    key: K,
    /// The way in which the device exchanged states when the plan was made.
    exchange: Exchange,
    /// The plan, with the ids of the buffers that a caller writes and reads.
    pub plan: P,
    /// The session that runs the plan's recording.
    pub session: Session,
    /// Memory in which callers pack inputs before they write them.
    pub packed: Vec<f32>,
}

impl<K: PartialEq, P: AsRef<Recording>> Runner<K, P> {
    /// Creates a runner of plans that read `weights`.
    pub fn new(weights: Weights) -> Self {
        Self { weights, kept: Mutex::default() }
    }

    /// Returns the weights that all plans read.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Returns a plan of this key that no other call uses: a kept one, or a new one from `plan`.
    ///
    /// # Errors
    /// The errors of `plan` and of the device.
    pub fn take(&self, key: K, plan: impl FnOnce() -> Result<P>) -> Result<Prepared<K, P>> {
        // Before the plan is made: an abandoned run of another thread may change it meanwhile.
        let exchange = self.weights.exchange();
        {
            let mut kept = lock(&self.kept);
            kept.retain(|prepared| prepared.exchange == exchange);
            if let Some(found) = kept.iter().position(|prepared| prepared.key == key) {
                return Ok(kept.remove(found));
            }
        }
        let plan = plan()?;
        let session = Session::new(Arc::new(plan.as_ref().clone()), &self.weights)?;
        Ok(Prepared { key, exchange, plan, session, packed: Vec::new() })
    }

    /// Returns whether the device exchanges states as it did when the plan was made.
    pub fn is_current(&self, prepared: &Prepared<K, P>) -> bool {
        prepared.exchange == self.weights.exchange()
    }

    /// Keeps a plan for a later call, if it is current.
    pub fn put(&self, prepared: Prepared<K, P>) {
        if !self.is_current(&prepared) {
            return;
        }
        let mut kept = lock(&self.kept);
        kept.insert(0, prepared);
        kept.truncate(KEPT);
    }

    /// Returns the device time of the last run of the plan that was put back last.
    pub fn timing(&self) -> Timing {
        lock(&self.kept).first().map(|prepared| prepared.session.timing()).unwrap_or_default()
    }
}

/// A recording that turns rows into the same number of rows.
#[derive(Debug)]
pub(crate) struct RowPlan {
    pub recording: Recording,
    /// The input rows.
    pub x: BufferId,
    /// The output rows.
    pub y: BufferId,
}

impl AsRef<Recording> for RowPlan {
    fn as_ref(&self) -> &Recording {
        &self.recording
    }
}

impl Runner<usize, RowPlan> {
    /// Runs the plan of `rows` rows over `x` and hands the output rows to `take`.
    ///
    /// # Errors
    /// The errors of `plan` and of the device.
    pub async fn run(
        &self,
        rows: usize,
        plan: impl FnOnce() -> Result<RowPlan>,
        x: &[f32],
        waiting: Waiting,
        mut take: impl FnMut(&[f32]),
    ) -> Result<()> {
        let mut prepared = self.take(rows, plan)?;
        let Prepared { plan, session, .. } = &mut prepared;
        session.write(plan.x, x)?;
        session.complete(&[(plan.y, ())], &[], waiting, |(), y| take(y)).await?;
        self.put(prepared);
        Ok(())
    }
}
