//! The schedule `step`: one dispatch for each time step, for few rows. Lanes split each sum.

use std::ops::Range;

use super::layers::{Layers, Scratch};
use super::second::{SecondProduct, second_product};
use super::{LayerState, Profile, Request, halvings, largest};
use crate::error::Result;
use crate::kernel::families::STEP_MAX_ROWS;
use crate::kernel::uniforms::{Dims, StepDims};
use crate::kernel::{Cell, Family, Kernel, Overrides};
use crate::params::config::{Config, Kind};
use crate::params::variant::Reset;
use crate::plan::recording::{BufferId, Command, Dispatch, Place};
use crate::tensor::padded;

/// A specialised kernel of a time step, and the extent of one workgroup.
#[derive(Debug, Clone, Copy)]
pub(super) struct Specialised {
    pub(super) kernel: Kernel,
    pub(super) overrides: Overrides,
    /// Units of a workgroup.
    pub(super) units: usize,
    /// Batch rows of a workgroup.
    pub(super) rows: usize,
}

/// The kernels of a time step.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepShape {
    /// The step itself.
    pub(super) step: Specialised,
    /// The second product of the step: an LSTM's projection, or the candidate of a GRU whose reset
    /// gate comes before the product.
    pub(super) second: Option<Specialised>,
}

/// Returns the kernels for a request. Every module can run by them.
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> StepShape {
    let config = request.config;
    let of = |family, width| specialise(family, request, profile, padded(width) / 4);
    let (first, second) = match second_product(config) {
        None => (Family::Step, None),
        Some(SecondProduct::Projection) => (Family::StepUnprojected, Some(Family::StepProjection)),
        Some(SecondProduct::Candidate) => (Family::StepUnprojected, Some(Family::StepCandidate)),
    };
    StepShape {
        step: of(first, config.state_size()),
        second: second.map(|family| of(family, config.hidden_size)),
    }
}

/// Returns a kernel that sums over `quads` quads.
pub(super) fn specialise(
    family: Family,
    request: &Request<'_>,
    profile: &Profile<'_>,
    quads: usize,
) -> Specialised {
    let limits = profile.limits;
    let kernel = kernel(family, request);
    let invocations =
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let workgroup_size = if invocations < 64 { 32 } else { 64 };
    let lanes = profile.exchange.lanes(quads);
    let overrides = |rows| Overrides {
        workgroup_size,
        lanes,
        rows,
        relu: relu(request),
        ..Overrides::default()
    };
    let wanted = request.sizes.batch.next_power_of_two().min(STEP_MAX_ROWS as usize);
    let fits = |rows: &usize| {
        let storage = kernel.workgroup(&overrides(*rows as u32)).storage;
        storage <= limits.max_compute_workgroup_storage_size
    };
    // If not even one row fits, the checks of the dispatch name the limit.
    let rows = largest(halvings(wanted), fits).unwrap_or(1);
    let units = (workgroup_size / lanes) as usize;
    Specialised { kernel, overrides: overrides(rows as u32), units, rows }
}

/// Returns the kernel of a family for a request's cell and weights.
pub(super) fn kernel(family: Family, request: &Request<'_>) -> Kernel {
    let weights = request.weights.storage().read_as();
    if family.row().cells.is_empty() {
        return with_variant(Kernel::new(family, weights), request);
    }
    let Config { kind, variant, .. } = request.config;
    let cell = match variant.reset {
        Reset::AfterProduct => Cell::from(*kind),
        Reset::BeforeProduct => Cell::Reset,
    };
    with_variant(Kernel::with_cell(family, cell, weights), request)
}

/// Returns the kernel of the request's variant, if the kernel has variants.
fn with_variant(kernel: Kernel, request: &Request<'_>) -> Kernel {
    Kernel { variant: kernel.has_variant() && request.config.is_variant(), ..kernel }
}

/// Returns the override RELU, which only the kernels of a plain RNN read.
pub(super) fn relu(request: &Request<'_>) -> u32 {
    u32::from(request.config.kind == Kind::RnnRelu)
}

/// Records the steps of a segment of one layer.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) if a dispatch exceeds the limits.
pub(super) fn record(
    layers: &mut Layers<'_>,
    shape: &StepShape,
    place: Place,
    steps: usize,
    state: LayerState,
    y: BufferId,
    scratch: Scratch,
) -> Result<()> {
    let by_parity = [
        dispatches(layers, shape, place, state, 0, y, scratch)?,
        dispatches(layers, shape, place, state, 1, y, scratch)?,
    ];
    let first_step = place.first_step as u32;
    layers.push(Command::Steps { count: steps as u32, first_step, by_parity })?;
    layers.turns += steps;
    Ok(())
}

/// Returns the dispatches of a step whose index has the given parity: one for each shard of the
/// layer. A second product adds one for each of its shards.
///
/// # Errors
/// The errors of [`record`].
pub(super) fn dispatches(
    layers: &Layers<'_>,
    shape: &StepShape,
    place: Place,
    state: LayerState,
    parity: usize,
    y: BufferId,
    Scratch { gates_x, m, lengths, .. }: Scratch,
) -> Result<Vec<Dispatch>> {
    let (config, weights) = (layers.request.config, layers.request.weights);
    let (h_in, h_out) = (state.h[parity], state.h[1 - parity]);
    let mut dispatches = Vec::new();
    for shard in weights.layer(place.layer) {
        let mut bindings = vec![gates_x, shard.weight_hh, h_in];
        match m {
            Some(m) => bindings.extend([m, lengths]),
            None => bindings.extend([h_out, y, lengths]),
        }
        let z = (shape.step.kernel.cell == Some(Cell::Reset)).then_some(h_out);
        bindings.extend(shard.own(state.c.or(z)));
        let sums = Sums { over: config.state_size(), units: config.hidden_size };
        let dims = StepDims {
            weight_base: shard.state_base as u32,
            ..step_dims(layers, place, sums, shard.units.clone())
        };
        dispatches.push(dispatch(layers, &shape.step, place, dims, bindings)?);
    }
    let (Some(second), Some(m)) = (&shape.second, m) else { return Ok(dispatches) };
    let sums = Sums { over: config.hidden_size, units: config.state_size() };
    let mut push = |units: &Range<usize>, bindings: Vec<BufferId>| -> Result<()> {
        let dims = step_dims(layers, place, sums, units.clone());
        dispatches.push(dispatch(layers, second, place, dims, bindings)?);
        Ok(())
    };
    for shard in weights.projection(place.layer) {
        let mut bindings = vec![shard.weight_hr, m, h_out, y, lengths, h_in];
        bindings.extend(weights.layer(place.layer)[0].variant);
        push(&shard.units, bindings)?;
    }
    for shard in weights.layer(place.layer) {
        let Some(weight_hn) = shard.weight_hn else { continue };
        let mut bindings = vec![gates_x, weight_hn, m, h_out, y, lengths, h_in];
        bindings.extend(shard.variant);
        push(&shard.units, bindings)?;
    }
    Ok(dispatches)
}

/// The length of the vector that a kernel of a time step multiplies, and the units that it
/// computes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// Values of the vector.
    pub(super) over: usize,
    /// Units of one direction.
    pub(super) units: usize,
}

/// Returns the sizes of a step of some units, without its tiles.
pub(super) fn step_dims(
    layers: &Layers<'_>,
    place: Place,
    sums: Sums,
    units: Range<usize>,
) -> StepDims {
    let sizes = layers.request.sizes;
    StepDims {
        seq_len: sizes.seq_len as u32,
        first_step: place.first_step as u32,
        batch: sizes.batch as u32,
        directions: layers.request.config.num_directions() as u32,
        hidden_size: sums.units as u32,
        state_quads: (padded(sums.over) / 4) as u32,
        units: units.len() as u32,
        unit_offset: units.start as u32,
        unit_tiles: 0,
        row_tiles: 0,
        weight_base: 0,
        first_index: 0,
        layer_delay: 0,
        steps: 0,
        pad: [0; 2],
    }
}

/// Returns a dispatch of a specialised kernel, and counts its tiles.
///
/// # Errors
/// The errors of [`record`].
pub(super) fn dispatch(
    layers: &Layers<'_>,
    specialised: &Specialised,
    place: Place,
    dims: StepDims,
    bindings: Vec<BufferId>,
) -> Result<Dispatch> {
    let &Specialised { kernel, overrides, units, rows } = specialised;
    let dims = StepDims {
        unit_tiles: dims.units.div_ceil(units as u32),
        row_tiles: dims.batch.div_ceil(rows as u32),
        ..dims
    };
    let tiles = u64::from(dims.unit_tiles) * u64::from(dims.row_tiles);
    let workgroups = tiles * u64::from(dims.directions);
    layers.dispatch(kernel, place, overrides, Dims::Step(dims), bindings, workgroups)
}
