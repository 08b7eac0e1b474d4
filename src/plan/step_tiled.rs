//! The schedule `step_tiled`: a dispatch for each time step, for many rows. It is a matrix product
//! in register tiles with the gates in its epilogue. The recording is that of `step`.

use super::decision::refuse;
use super::linear::{LEAST, MANY_TILES, SPLIT, fits};
use super::step::{Specialised, StepShape, kernel, relu};
use super::{Profile, Request};
use crate::error::Result;
use crate::kernel::tiles::Tile;
use crate::kernel::{Cell, Family, Kernel, Overrides, Schedule, WorkgroupUse};

/// The tile of many rows and units.
const LARGE: Tile = Tile { size: 64, depth: 16, rows: 4, slices: 1 };

/// The tile for sums over `units` units in `parts` directions or layers, or the one that needs
/// least where the device allows none.
///
/// | sums of a step / 64² | tile |
/// |---|---|
/// | fewer than 128 | 32 rows and columns, each sum split in four |
/// | 128 and more | 64 rows and columns |
///
/// Sums are those of all rows, units, gates and parts. The table was measured on an H200. All
/// tiles sum in the same order.
fn tile(
    kernel: Kernel,
    request: &Request<'_>,
    profile: &Profile<'_>,
    units: usize,
    parts: usize,
) -> Tile {
    let area = (LARGE.size * LARGE.size) as usize;
    // A GRU's tiles have a fourth column for each unit.
    let columns = units * 4 / units_of_quad(kernel);
    let sums = request.sizes.batch.saturating_mul(columns * parts);
    let preferred = if sums / area < MANY_TILES { SPLIT } else { LARGE };
    let runs = |tile: &Tile| fits(kernel, &tile.overrides(), profile.limits);
    Some(preferred).filter(runs).unwrap_or(LEAST)
}

/// Returns the units that four columns of a tile hold. Without a cell a unit has one sum: the
/// projection's.
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
    let tile = tile(kernel, request, profile, units, parts);
    Specialised {
        kernel,
        overrides: Overrides { relu: relu(request), ..tile.overrides() },
        units: tile.size as usize / 4 * units_of_quad(kernel),
        rows: tile.size as usize,
    }
}

/// Checks that the schedule can run a module on a device.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) with the reason.
pub(super) fn check(request: &Request<'_>, profile: &Profile<'_>) -> Result<()> {
    let (kernel, overrides) = (kernel(Family::StepTiled, request), LEAST.overrides());
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
    if config.proj_size == 0 {
        return Ok(StepShape { step: of(Family::StepTiled, config.hidden_size), projection: None });
    }
    Ok(StepShape {
        step: of(Family::StepTiledUnprojected, config.hidden_size),
        projection: Some(of(Family::StepTiledProjection, config.state_size())),
    })
}
