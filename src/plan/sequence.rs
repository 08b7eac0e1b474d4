//! The schedule `sequence`: workgroups own batch rows and iterate over time, many steps per
//! dispatch.

use super::decision::refuse;
use super::layers::{Layers, Scratch};
use super::second::check_one_product;
use super::step::{kernel, relu};
use super::{LayerState, Profile, Request, halvings, largest};
use crate::error::Result;
use crate::kernel::families::{SEQUENCE_REGISTER_QUADS, SEQUENCE_STATES, STEP_MAX_ROWS};
use crate::kernel::uniforms::{Dims, SequenceDims};
use crate::kernel::{Family, Kernel, Overrides, Schedule};
use crate::plan::recording::{BufferId, Place};
use crate::tensor::padded;

/// A specialised kernel and the extent of one of its dispatches.
#[derive(Debug, Clone, Copy)]
pub(super) struct SequenceShape {
    kernel: Kernel,
    overrides: Overrides,
    /// The sizes of a dispatch for one step of the first layer.
    dims: SequenceDims,
    /// The most steps of a dispatch.
    pub(super) steps: usize,
}

/// The workgroups to fill before a workgroup takes several rows: one for each core.
const WORKGROUPS: usize = 64;

/// Workgroup sizes in increasing order.
const WORKGROUP_SIZES: [u32; 3] = [8, 64, 256];

/// Checks that the schedule can run a module on a device.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the reason.
pub(super) fn check(request: &Request<'_>, profile: &Profile<'_>) -> Result<()> {
    shape(request, profile).map(drop)
}

/// Returns the kernel for a request.
///
/// # Errors
/// The errors of [`check`].
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<SequenceShape> {
    let (config, weights, limits) = (request.config, request.weights, profile.limits);
    let no = |why: &str| Err(refuse(Schedule::Sequence, why));
    check_one_product(config, Schedule::Sequence)?;
    if (0..config.num_layers).any(|layer| weights.layer(layer).len() > 1) {
        return no("needs the weights of a layer in one binding, which this device or its limits \
                   cut into several");
    }
    let kernel = kernel(Family::Sequence, request);
    let (batch, directions) = (request.sizes.batch, config.num_directions());
    let state_quads = padded(config.hidden_size) / 4;
    // LANES decides the order of the sums, so it depends on the state's size alone. Four lanes read
    // a cache sector of a weight row; more lanes would only add partial sums.
    let lanes = (state_quads / 2).checked_ilog2().map_or(1, |pairs| 1 << pairs.min(2));
    let Some(workgroup_size) = workgroup_size(request, profile, lanes) else {
        return no(
            "needs workgroups of 8 invocations, which this device or its limits do not allow",
        );
    };
    let all_units = (workgroup_size / lanes) as usize >= config.hidden_size;
    let in_registers = all_units && state_quads.div_ceil(lanes as usize) <= SEQUENCE_REGISTER_QUADS;
    let dims = SequenceDims {
        seq_len: request.sizes.seq_len as u32,
        first_step: 0,
        first_index: 0,
        steps: 1,
        batch: batch as u32,
        directions: directions as u32,
        hidden_size: config.hidden_size as u32,
        state_quads: state_quads as u32,
        row_tiles: 0,
        weight_base: 0,
        pad: [0; 2],
    };
    let overrides = |rows: usize| {
        // Two halves, which swap at each step.
        let values = 2 * rows * state_quads * 4;
        let state = SEQUENCE_STATES.iter().copied().find(|&state| state as usize >= values);
        Overrides {
            workgroup_size,
            lanes,
            rows: rows as u32,
            state: state.unwrap_or(u32::MAX / 8),
            in_registers: u32::from(in_registers),
            relu: relu(request),
            ..Overrides::default()
        }
    };
    let iterations = |rows, steps| {
        let dims = Dims::Sequence(SequenceDims { steps, ..dims });
        kernel.loop_iterations(&dims, &overrides(rows))
    };
    let storage_fits = |rows| {
        kernel.workgroup(&overrides(rows)).storage <= limits.max_compute_workgroup_storage_size
    };
    // The most rows that workgroup memory and loops allow.
    let wanted = (batch.saturating_mul(directions) / WORKGROUPS).clamp(1, batch);
    let wanted = wanted.next_power_of_two().min(STEP_MAX_ROWS as usize);
    let fits =
        |&rows: &usize| storage_fits(rows) && iterations(rows, 1) <= limits.max_loop_iterations;
    let Some(rows) = largest(halvings(wanted), fits) else {
        let (hidden_size, one) = (config.hidden_size, iterations(1, 1));
        return if storage_fits(1) {
            no(&format!(
                "needs {one} loop iterations for one step of hidden_size {hidden_size}, and \
                 max_loop_iterations is {}",
                limits.max_loop_iterations
            ))
        } else {
            no(&format!(
                "keeps the state of a row in workgroup memory: hidden_size {hidden_size} does not \
                 fit the {} bytes of max_compute_workgroup_storage_size",
                limits.max_compute_workgroup_storage_size
            ))
        };
    };
    let (none, one) = (iterations(rows, 0), iterations(rows, 1));
    let by_iterations = (limits.max_loop_iterations - none) / (one - none).max(1);
    let work = (batch as u64 * directions as u64)
        .saturating_mul((config.hidden_size * state_quads * 16) as u64);
    let by_work = limits.max_work_per_submission / work.max(1);
    let most = u64::from(limits.max_steps_per_dispatch);
    Ok(SequenceShape {
        kernel,
        overrides: overrides(rows),
        dims: SequenceDims { row_tiles: batch.div_ceil(rows) as u32, ..dims },
        steps: by_iterations.min(by_work).min(most).max(1) as usize,
    })
}

/// Returns the smallest workgroup size that covers all units, or the largest that the limits allow.
fn workgroup_size(request: &Request<'_>, profile: &Profile<'_>, lanes: u32) -> Option<u32> {
    let limits = profile.limits;
    let most =
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let allowed = || WORKGROUP_SIZES.into_iter().filter(|&size| size <= most);
    let enough = |size: &u32| (size / lanes) as usize >= request.config.hidden_size;
    allowed().find(enough).or(allowed().next_back())
}

impl SequenceShape {
    /// Returns whether invocations keep their weights in registers from step to step.
    pub(super) fn in_registers(&self) -> bool {
        self.overrides.in_registers == 1
    }
}

/// Records the steps of a segment of one layer. Each dispatch reads the state from one buffer and
/// leaves it in the other.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) if a dispatch exceeds the limits.
pub(super) fn record(
    layers: &mut Layers<'_>,
    shape: &SequenceShape,
    place: Place,
    steps: usize,
    state: LayerState,
    y: BufferId,
    Scratch { gates_x, lengths, .. }: Scratch,
) -> Result<()> {
    let [shard] = layers.request.weights.layer(place.layer) else {
        unreachable!("sequence runs layers of one shard")
    };
    let workgroups = u64::from(shape.dims.row_tiles) * u64::from(shape.dims.directions);
    layers.dispatches_of_several(
        steps,
        shape.steps,
        state,
        |layers, first_index, steps, [h_in, h_out]| {
            let dims = SequenceDims {
                first_step: place.first_step as u32,
                first_index,
                steps,
                weight_base: shard.state_base as u32,
                ..shape.dims
            };
            let mut bindings = vec![gates_x, shard.weight_hh, h_in, h_out, y, lengths];
            bindings.extend(shard.own(state.c));
            let (kernel, overrides, dims) = (shape.kernel, shape.overrides, Dims::Sequence(dims));
            layers.dispatch(kernel, place, overrides, dims, bindings, workgroups)
        },
    )
}
