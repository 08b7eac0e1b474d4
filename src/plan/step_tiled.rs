//! The schedule `step_tiled`: a dispatch for each time step, for many rows. It is a matrix product
//! in register tiles with the gates in its epilogue. The recording is that of `step`.

use super::decision::refuse;
use super::second::{SecondProduct, second_product};
use super::step::{Specialised, StepShape, kernel, relu};
use super::tiles::{LEAST, choose, fits};
use super::{Profile, Request};
use crate::error::Result;
use crate::kernel::{Cell, Family, Kernel, Overrides, Schedule, WorkgroupUse};

/// Returns the units that four columns of a tile hold. A GRU's have a fourth column for each unit.
/// Without a cell a unit has one sum: the projection's.
fn units_of_quad(kernel: Kernel) -> usize {
    kernel.cell.map_or(4, Cell::units_of_quad)
}

/// Returns a kernel that sums for `units` units in `parts` directions or layers.
pub(super) fn specialise(
    family: Family,
    request: &Request<'_>,
    profile: &Profile<'_>,
    units: usize,
    parts: usize,
) -> Specialised {
    let kernel = kernel(family, request);
    let columns = units * 4 / units_of_quad(kernel);
    let area = [request.sizes.batch, columns, parts];
    // Without limits for any tile, check refuses.
    let tile = choose(kernel, area, profile.limits).unwrap_or(LEAST);
    Specialised {
        kernel,
        overrides: Overrides { relu: relu(request), ..tile.overrides() },
        units: tile.columns as usize / 4 * units_of_quad(kernel),
        rows: tile.rows as usize,
    }
}

/// Checks that the schedule can run a module on a device.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the reason.
pub(super) fn check(request: &Request<'_>, profile: &Profile<'_>) -> Result<()> {
    let family = match second_product(request.config) {
        None => Family::StepTiled,
        Some(_) => Family::StepTiledUnprojected,
    };
    let (kernel, overrides) = (kernel(family, request), LEAST.overrides());
    if fits(kernel, &overrides, profile.limits) {
        return Ok(());
    }
    let WorkgroupUse { size, storage } = kernel.workgroup(&overrides);
    let why = format!(
        "needs workgroups of {} invocations and {storage} bytes, which this device or its limits \
         do not allow",
        size[0]
    );
    Err(refuse(Schedule::StepTiled, &why))
}

/// Returns the kernels for a request.
///
/// # Errors
/// The errors of [`check`].
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<StepShape> {
    check(request, profile)?;
    let config = request.config;
    let of = |family, units| specialise(family, request, profile, units, config.num_directions());
    let (first, second) = match second_product(config) {
        None => (Family::StepTiled, None),
        Some(SecondProduct::Projection) => {
            (Family::StepTiledUnprojected, Some(Family::StepTiledProjection))
        }
        Some(SecondProduct::Candidate) => {
            (Family::StepTiledUnprojected, Some(Family::StepTiledCandidate))
        }
    };
    Ok(StepShape {
        step: of(first, config.hidden_size),
        second: second.map(|family| of(family, config.state_size())),
    })
}
