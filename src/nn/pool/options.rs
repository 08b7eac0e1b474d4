//! The sizes of a pool.

/// The sizes of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolOptions {
    /// The number of slots: sequences that can be open at the same time.
    pub slots: usize,
    /// The most time steps of one slot in a tick.
    pub steps: usize,
    /// The most slots in one submission; a tick of more slots takes several submissions. By default
    /// all slots, or the most that the device's limits allow.
    pub rows: usize,
}

impl PoolOptions {
    /// Creates options for `slots` slots and ticks of one step.
    pub fn new(slots: usize) -> Self {
        Self { slots, steps: 1, rows: slots }
    }

    /// Sets the most time steps of one slot in a tick.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the most slots in one submission.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }
}
