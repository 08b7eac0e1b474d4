//! The schedule `persistent`: invocations hold their weights for many steps, and the workgroups of
//! a dispatch exchange the state through memory.

use super::decision::refuse;
use super::exchange::Resident;
use super::layers::{Layers, Scratch};
use super::second::check_one_product;
use super::step::{kernel, relu};
use super::{LayerState, Profile, Request, halvings, largest};
use crate::error::{Error, Result};
use crate::kernel::persistent::{
    EXCHANGE_START, MAX_CHUNK, MAX_HELD, MAX_QUADS, MAX_ROWS, PERSISTENT_WORKGROUP, Persistent,
};
use crate::kernel::uniforms::{Dims, PersistentDims};
use crate::kernel::{Cell, Family, Kernel, Overrides, Schedule};
use crate::perf::dispatch::HeldWork;
use crate::plan::recording::{BufferId, Command, Place};
use crate::tensor::padded;

/// A specialised kernel and the extent of one of its dispatches.
#[derive(Debug, Clone, Copy)]
pub(super) struct PersistentShape {
    kernel: Kernel,
    overrides: Overrides,
    /// The sizes of a dispatch for one step of the first layer.
    dims: PersistentDims,
    /// The most steps of a dispatch.
    pub(super) steps: usize,
    /// Whether workgroups may wait for each other.
    pub(super) waits: bool,
    /// The work of a workgroup at a step.
    pub(super) work: HeldWork,
}

/// The order in which the numbers of units of an invocation are tried. With two, workgroups are
/// many and the lanes share the reads of the state.
const UNITS: [u32; 3] = [2, 4, 1];

/// The workgroups that share the rows where no workgroup waits for another. Few of them have many
/// rows, so that software adapters run all parts of the kernel.
const ONE_STEP_WORKGROUPS: u32 = 4;

/// Checks that the schedule can run a module on a device.
///
/// # Errors
/// [`Error::Unsupported`] with the reason.
pub(super) fn check(request: &Request<'_>, profile: &Profile<'_>) -> Result<()> {
    shape(request, profile).map(drop)
}

/// Returns the kernel for a request.
///
/// # Errors
/// The errors of [`check`].
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<PersistentShape> {
    let (config, weights, limits) = (request.config, request.weights, profile.limits);
    let no = |why: &str| -> Error { refuse(Schedule::Persistent, why) };
    check_one_product(config, Schedule::Persistent)?;
    if config.is_variant() {
        return Err(no(
            "has PyTorch's cells only: no other functions, clips, peepholes or coupled \
                       gates",
        ));
    }
    if (0..config.num_layers).any(|layer| weights.layer(layer).len() > 1) {
        return Err(no("needs the weights of a layer in one binding, which this device or its \
                       limits cut into several"));
    }
    let resident = profile.exchange.resident()?;
    let invocations =
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    if invocations < PERSISTENT_WORKGROUP {
        return Err(no(&format!(
            "needs workgroups of {PERSISTENT_WORKGROUP} invocations, and this device or its limits \
             allow {invocations}"
        )));
    }
    let lanes = profile.exchange.lanes(padded(config.hidden_size) / 4);
    let kernel = kernel(Family::Persistent, request);
    let storage = limits.max_compute_workgroup_storage_size;
    let shape = workgroup(request, kernel, (lanes, resident), storage).map_err(|why| no(&why))?;
    let (batch, directions) = (request.sizes.batch as u32, config.num_directions() as u32);
    let hidden_size = config.hidden_size as u32;
    let dims = PersistentDims {
        seq_len: request.sizes.seq_len as u32,
        first_step: 0,
        first_index: 0,
        steps: 1,
        batch,
        directions,
        hidden_size,
        state_quads: (padded(config.hidden_size) / 4) as u32,
        unit_tiles: hidden_size.div_ceil(shape.tile()),
        row_tiles: batch.div_ceil(shape.rows),
        weight_base: 0,
        spins: resident.map_or(0, |resident| resident.spins),
    };
    let exchange = exchange_size(request, 1);
    if exchange > limits.max_binding() {
        return Err(no(&format!(
            "exchanges {exchange} bytes in a step, and {} is {}",
            limits.max_binding_name(),
            limits.max_binding()
        )));
    }
    let iterations = |steps| shape.loop_iterations(&PersistentDims { steps, ..dims });
    if iterations(1) > limits.max_loop_iterations {
        return Err(no(&format!(
            "needs {} loop iterations for one step, and max_loop_iterations is {}",
            iterations(1),
            limits.max_loop_iterations
        )));
    }
    Ok(PersistentShape {
        kernel,
        overrides: Overrides { relu: relu(request), ..shape.overrides() },
        dims,
        steps: if resident.is_some() || shape.alone {
            steps(&dims, iterations, profile)
        } else {
            1
        },
        waits: resident.is_some() && !shape.alone,
        work: HeldWork {
            rows: shape.rows,
            units: shape.units,
            quads: shape.quads,
            registers: shape.held(kernel_gates(kernel)),
        },
    })
}

/// Returns the most steps of a dispatch.
fn steps(dims: &PersistentDims, iterations: impl Fn(u32) -> u64, profile: &Profile<'_>) -> usize {
    let limits = profile.limits;
    let work = [dims.batch, dims.directions, dims.hidden_size, dims.state_quads, 16];
    let work = work.iter().fold(1_u64, |work, &size| work.saturating_mul(u64::from(size)));
    let by_work = limits.max_work_per_submission / work.max(1);
    // One step more may bring waits, and then as many iterations as each step after it.
    let (two, three) = (iterations(2), iterations(3));
    let by_iterations = if two > limits.max_loop_iterations {
        1
    } else {
        2 + (limits.max_loop_iterations - two) / (three - two).max(1)
    };
    by_work.min(by_iterations).min(u64::from(limits.max_steps_per_dispatch)).max(1) as usize
}

fn kernel_gates(kernel: Kernel) -> u32 {
    kernel.cell.map_or(1, Cell::gates) as u32
}

/// Returns the shape of a workgroup, or the reason why there is none.
///
/// QUADS is a power of two: with three of them an H200 takes twice the time of four.
fn workgroup(
    request: &Request<'_>,
    kernel: Kernel,
    (lanes, resident): (u32, Option<Resident>),
    storage: u32,
) -> std::result::Result<Persistent, String> {
    let hidden_size = request.config.hidden_size;
    let (batch, directions) = (request.sizes.batch, request.config.num_directions());
    let state_quads = padded(hidden_size) / 4;
    let quads = state_quads.div_ceil(lanes as usize).next_power_of_two();
    if quads > MAX_QUADS as usize {
        return Err(format!(
            "holds the weights in registers: a hidden_size of {hidden_size} is more than the {} \
             for which they have room",
            lanes * MAX_QUADS * 4
        ));
    }
    let of = |units: u32| {
        let one_row = Persistent {
            lanes,
            quads: quads as u32,
            units,
            chunk: 1,
            rows: 1,
            alone: false,
            subgroups: resident.is_some_and(Resident::has_subgroups),
            volatile: resident.is_some_and(|resident| resident.volatile),
        };
        let unit_tiles = hidden_size.div_ceil(one_row.tile() as usize) * directions;
        let workgroups = resident.map_or(ONE_STEP_WORKGROUPS, |resident| resident.workgroups);
        let row_tiles = workgroups as usize / unit_tiles;
        if one_row.held(kernel_gates(kernel)) > MAX_HELD || (resident.is_some() && row_tiles == 0) {
            return None;
        }
        let most = if resident.is_some() { usize::MAX } else { MAX_ROWS as usize };
        let rows = batch.div_ceil(row_tiles.max(1)).next_power_of_two().min(most) as u32;
        (rows <= MAX_ROWS).then_some(Persistent { rows, ..one_row })
    };
    let fits =
        |shape: &Persistent| shape.is_legal() && shape.workgroup(kernel.cell).storage <= storage;
    // The state of all rows at a time, or of some of them.
    let in_chunks = |shape: Persistent| {
        let chunk = |&chunk: &usize| fits(&Persistent { chunk: chunk as u32, ..shape });
        let chunk = largest(halvings(shape.rows.min(MAX_CHUNK) as usize), chunk)? as u32;
        let alone = shape.tile() as usize >= hidden_size && chunk == shape.rows;
        Some(Persistent { chunk, alone, ..shape })
    };
    // More workgroups may share the rows where no workgroup waits for another.
    let chunked = |shape: Persistent| {
        let fewer = if resident.is_some() { 1 } else { usize::MAX };
        let rows = halvings(shape.rows as usize).take(fewer);
        rows.map(|rows| Persistent { rows: rows as u32, ..shape }).find_map(in_chunks)
    };
    let shapes = || UNITS.into_iter().filter_map(of);
    // A workgroup with all units exchanges nothing. Next, fewer rows are less to read.
    let best = shapes().filter_map(chunked).min_by_key(|shape| (!shape.alone, shape.rows));
    best.ok_or_else(|| match (shapes().next(), resident) {
        (Some(_), _) | (None, None) => format!(
            "keeps the state of a row in workgroup memory: hidden_size {hidden_size} does not fit \
             the {storage} bytes of max_compute_workgroup_storage_size"
        ),
        (None, Some(Resident { workgroups, .. })) => format!(
            "has no room for {batch} rows of hidden_size {hidden_size} in {workgroups} workgroups, \
             which is what this device runs at the same time"
        ),
    })
}

/// Returns the values of the exchange for segments of `steps` steps.
pub(super) fn exchange_len(request: &Request<'_>, steps: usize) -> usize {
    let config = request.config;
    let state = config.num_directions() * padded(config.state_size());
    state.saturating_mul(request.sizes.batch).saturating_mul(steps).saturating_add(EXCHANGE_START)
}

/// Returns the bytes of [`exchange_len`] values.
fn exchange_size(request: &Request<'_>, steps: usize) -> u64 {
    (exchange_len(request, steps) as u64).saturating_mul(4)
}

/// Records the steps of a segment of one layer. Each dispatch reads the state from one buffer and
/// leaves it in the other.
///
/// # Errors
/// [`Error::Limit`] if a dispatch exceeds the limits.
pub(super) fn record(
    layers: &mut Layers<'_>,
    shape: &PersistentShape,
    place: Place,
    steps: usize,
    state: LayerState,
    y: BufferId,
    Scratch { gates_x, lengths, exchange, .. }: Scratch,
) -> Result<()> {
    let [shard] = layers.request.weights.layer(place.layer) else {
        unreachable!("persistent runs layers of one shard")
    };
    let Some(exchange) = exchange else { unreachable!("persistent has an exchange") };
    // The flag is cleared once, so that it stays raised until the host reads it.
    let start = if place == Place::default() { 0 } else { EXCHANGE_START };
    let len = exchange_len(&layers.request, steps) - start;
    layers.push(Command::Clear { buffer: exchange, start, len })?;
    if shape.waits {
        layers.recording.flag = Some(exchange);
    }
    let tiles = u64::from(shape.dims.unit_tiles) * u64::from(shape.dims.row_tiles);
    let workgroups = tiles * u64::from(shape.dims.directions);
    layers.dispatches_of_several(
        steps,
        shape.steps,
        state,
        |layers, first_index, steps, [h_in, h_out]| {
            let dims = PersistentDims {
                first_step: place.first_step as u32,
                first_index,
                steps,
                weight_base: shard.state_base as u32,
                ..shape.dims
            };
            let mut bindings = vec![gates_x, shard.weight_hh, h_in, h_out, y, lengths, exchange];
            bindings.extend(shard.own(state.c));
            let (kernel, overrides, dims) = (shape.kernel, shape.overrides, Dims::Persistent(dims));
            layers.dispatch(kernel, place, overrides, dims, bindings, workgroups)
        },
    )
}
