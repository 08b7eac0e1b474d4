//! The schedule `sequence`: how much of time and batch a dispatch takes.

use super::schedule::refuse;
use super::{Tuning, WeightLayout, subgroup};
use crate::error::Result;
use crate::kernel::Schedule;
use crate::kernel::uniforms::{Dims, SequenceDims};
use crate::kernel::{self, Kernel, SEQUENCE_MAX_HELD, SEQUENCE_STATES, STEP_MAX_ROWS};
use crate::params::config::{Config, Kind};
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::tensor::padded;

/// A specialised kernel and what one of its dispatches covers.
#[derive(Debug, Clone)]
pub(super) struct SequenceShape {
    pub(super) kernel: &'static Kernel,
    pub(super) overrides: Vec<(&'static str, u32)>,
    /// Of a dispatch: all of a segment's steps if `steps` is not fewer.
    pub(super) dims: SequenceDims,
    /// The most steps of a dispatch.
    pub(super) steps: usize,
}

impl SequenceShape {
    /// The kernel for these sizes.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::error::Error::Unsupported) saying why there is none.
    pub(super) fn of(
        config: &Config,
        weights: &WeightLayout,
        sizes: Sizes,
        limits: &Limits,
        tuning: Tuning,
    ) -> Result<Self> {
        let no = |why: &str| Err(refuse(Schedule::Sequence, why));
        if config.proj_size > 0 {
            return no("has no projection (proj_size)");
        }
        if (0..config.num_layers).any(|layer| weights.layer(layer).len() > 1) {
            return no(
                "needs the weights of a layer in one binding, which this device or its limits cut into several",
            );
        }
        let most =
            limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        let holding = subgroup::sequence_kernel(config, most).filter(|_| tuning.subgroups);
        let kernel = holding.unwrap_or(match config.kind {
            Kind::RnnTanh | Kind::RnnRelu => &kernel::SEQUENCE_RNN,
            Kind::Lstm => &kernel::SEQUENCE_LSTM,
            Kind::Gru => &kernel::SEQUENCE_GRU,
        });
        let (batch, directions) = (sizes.batch, config.num_directions());
        let state_quads = padded(config.hidden_size) / 4;
        // LANES decides the order of the sums, so that it depends on the state's size and the adapter alone. Four lanes
        // read a cache sector of a weight row; more would only have more to join.
        let lanes = match (tuning.row_per_invocation, state_quads / 2) {
            (true, _) | (false, 0) => 1,
            (false, pairs) => 1 << pairs.ilog2().min(2),
        };
        let sizes_to_try: &[u32] = match (holding, tuning.row_per_invocation) {
            (Some(_), _) => &[16, 32, 64, 128, 256],
            (None, true) => &[8],
            (None, false) => &[8, 64, 256],
        };
        let mut fitting = sizes_to_try.iter().copied().filter(|&size| size <= most);
        let Some(smallest) = fitting.next() else {
            return no(
                "needs workgroups of 8 invocations, which this device or its limits do not allow",
            );
        };
        let enough = |size: &u32| (size / lanes) as usize >= config.hidden_size;
        let workgroup_size = if enough(&smallest) {
            smallest
        } else {
            let larger: Vec<u32> = fitting.collect();
            larger.iter().copied().find(enough).or(larger.last().copied()).unwrap_or(smallest)
        };
        // Few enough for the registers of a GPU.
        let held = !tuning.row_per_invocation
            && enough(&workgroup_size)
            && state_quads.div_ceil(lanes as usize) <= SEQUENCE_MAX_HELD;
        // Tiles of rows for every core before rows to a tile.
        let tiles = if tuning.row_per_invocation { 2 } else { 64 };
        let wanted = (batch.saturating_mul(directions) / tiles).clamp(1, batch);
        let mut rows = wanted.next_power_of_two().min(STEP_MAX_ROWS as usize) as u32;
        let dims = SequenceDims {
            seq_len: sizes.seq_len as u32,
            first_step: 0,
            first_index: 0,
            steps: 1,
            batch: batch as u32,
            directions: directions as u32,
            hidden_size: config.hidden_size as u32,
            state_quads: state_quads as u32,
            row_tiles: 0,
            slot: 0,
            pad: [0; 2],
        };
        // As many rows as workgroup memory and loops allow.
        let (overrides, none, one) = loop {
            let values = 2 * rows * state_quads as u32 * 4;
            let state = SEQUENCE_STATES.iter().copied().find(|&state| state >= values);
            let mut overrides = vec![("WORKGROUP_SIZE", workgroup_size)];
            overrides.extend(holding.is_none().then_some(("LANES", lanes)));
            overrides.extend([("ROWS", rows), ("STATE", state.unwrap_or(0))]);
            overrides.extend(holding.is_none().then_some(("HELD", u32::from(held))));
            overrides.extend(holding.map(|_| ("GROUPS", subgroup::groups(state_quads))));
            if config.gate_count() == 1 {
                overrides.push(("RELU", u32::from(config.kind == Kind::RnnRelu)));
            }
            let iterations = |steps| {
                (kernel.loop_iterations)(
                    &Dims::Sequence(SequenceDims { steps, ..dims }),
                    &overrides,
                )
            };
            let (none, one) = (iterations(0), iterations(1));
            let fits = state.is_some()
                && (kernel.workgroup)(&overrides).storage
                    <= limits.max_compute_workgroup_storage_size;
            if fits && one <= limits.max_loop_iterations {
                break (overrides, none, one);
            }
            if rows == 1 && fits {
                return no(&format!(
                    "needs {one} loop iterations for one step of hidden_size {}, and max_loop_iterations is {}",
                    config.hidden_size, limits.max_loop_iterations
                ));
            }
            if rows == 1 {
                return no(&format!(
                    "keeps the state of a row in workgroup memory: hidden_size {} does not fit the {} bytes of \
                     max_compute_workgroup_storage_size",
                    config.hidden_size, limits.max_compute_workgroup_storage_size
                ));
            }
            rows /= 2;
        };
        let dims = SequenceDims { row_tiles: batch.div_ceil(rows as usize) as u32, ..dims };
        let by_iterations = (limits.max_loop_iterations - none) / (one - none).max(1);
        let work = (batch as u64 * directions as u64)
            .saturating_mul((config.hidden_size * state_quads * 16) as u64);
        let by_work = limits.max_work_per_submission / work.max(1);
        let steps = by_iterations.min(by_work).min(u64::from(limits.max_steps_per_dispatch)).max(1)
            as usize;
        Ok(Self { kernel, overrides, dims, steps })
    }

    /// Whether invocations hold the weights from step to step.
    pub(super) fn holds_weights(&self) -> bool {
        holds_weights(self.kernel, &self.overrides)
    }

    /// Workgroups of a dispatch.
    pub(super) fn workgroups(&self) -> u64 {
        u64::from(self.dims.row_tiles) * u64::from(self.dims.directions)
    }
}

/// Whether invocations of a kernel of `sequence` hold the weights from step to step.
pub(crate) fn holds_weights(kernel: &Kernel, overrides: &[(&'static str, u32)]) -> bool {
    kernel.needs_subgroups() || overrides.contains(&("HELD", 1))
}
