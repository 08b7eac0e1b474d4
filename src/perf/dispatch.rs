//! The work of a dispatch, by which the cost model predicts a step.

/// The work of one dispatch of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerDispatch {
    /// Time steps.
    pub steps: usize,
    /// Whether its invocations keep the weights in registers from step to step.
    pub in_registers: bool,
    /// The work of a workgroup of `persistent` at a step.
    pub held: Option<HeldWork>,
}

/// The work of a workgroup that holds its weights, at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldWork {
    /// Rows of the workgroup.
    pub rows: u32,
    /// Units of an invocation.
    pub units: u32,
    /// Quads of each gate's weights that an invocation holds.
    pub quads: u32,
    /// Registers that hold weights.
    pub registers: u32,
}

/// Quads whose products take as long as the joining of the lanes' sums and the gates. It is a fit
/// of an H200: 29.4 µs with (rows, units, quads) = (64, 2, 4), 43.2 with (64, 4, 2), 4.3 with
/// (8, 2, 4).
const QUADS_OF_A_JOIN: f64 = 3.5;

impl HeldWork {
    /// Returns the products of an invocation at a step, of a quad of weights each. Joining the sums
    /// of a unit counts as some more.
    pub fn products(&self) -> f64 {
        f64::from(self.rows * self.units) * (f64::from(self.quads) + QUADS_OF_A_JOIN)
    }
}

impl PerDispatch {
    /// A single step, as in all schedules that make a dispatch for each step.
    pub const ONE_STEP: Self = Self { steps: 1, in_registers: false, held: None };

    /// Several steps of [`Schedule::Sequence`](crate::kernel::Schedule::Sequence).
    pub fn several(steps: usize, in_registers: bool) -> Self {
        Self { steps, in_registers, held: None }
    }

    /// Several steps of [`Schedule::Persistent`](crate::kernel::Schedule::Persistent).
    pub fn held(steps: usize, work: HeldWork) -> Self {
        Self { steps, in_registers: true, held: Some(work) }
    }
}
