//! The schedule `step_tiled`: a dispatch for each time step, for many rows. It is a matrix product
//! in register tiles with the gates in its epilogue. The recording is that of `step`.

use super::decision::refuse;
use super::linear::{LEAST, MANY_TILES, SPLIT, fits};
use super::step::{Specialised, StepShape, kernel, relu};
use super::{Profile, Request};
use crate::error::Result;
use crate::kernel::tiles::Tile;
use crate::kernel::{Cell, Family, Overrides, Schedule, WorkgroupUse};

/// The tile of many rows and units.
const LARGE: Tile = Tile { size: 64, depth: 16, rows: 4, slices: 1 };

/// The tile for a request, or the one that needs least where the device allows none.
///
/// | sums of a step / 64² | tile |
/// |---|---|
/// | fewer than 128 | 32 rows and columns, each sum split in four |
/// | 128 and more | 64 rows and columns |
///
/// Sums are those of all rows, units, gates and directions. The table was measured on an H200. All
/// tiles sum in the same order.
fn tile(request: &Request<'_>, profile: &Profile<'_>) -> Tile {
    let (config, area) = (request.config, (LARGE.size * LARGE.size) as usize);
    // A GRU's tiles have a fourth column for each unit.
    let columns = config.hidden_size * 4 / Cell::from(config.kind).units_of_quad();
    let sums = request.sizes.batch.saturating_mul(columns * config.num_directions());
    let preferred = if sums / area < MANY_TILES { SPLIT } else { LARGE };
    let kernel = kernel(Family::StepTiled, request);
    let runs = |tile: &Tile| fits(kernel, &tile.overrides(), profile.limits);
    Some(preferred).filter(runs).unwrap_or(LEAST)
}

/// Whether the schedule can run a module on a device.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) saying why not.
pub(super) fn check(request: &Request<'_>, profile: &Profile<'_>) -> Result<()> {
    if request.config.proj_size > 0 {
        return Err(refuse(Schedule::StepTiled, "has no projection (proj_size)"));
    }
    let (kernel, overrides) = (kernel(Family::StepTiled, request), LEAST.overrides());
    if !fits(kernel, &overrides, profile.limits) {
        let WorkgroupUse { size, storage } = kernel.workgroup(&overrides);
        let why = format!(
            "needs workgroups of {} invocations and {storage} bytes, which this device or its \
             limits do not allow",
            size[0]
        );
        return Err(refuse(Schedule::StepTiled, &why));
    }
    Ok(())
}

/// The kernel for a request.
///
/// # Errors
/// As [`check`].
pub(super) fn shape(request: &Request<'_>, profile: &Profile<'_>) -> Result<StepShape> {
    check(request, profile)?;
    let tile = tile(request, profile);
    let units_of_quad = Cell::from(request.config.kind).units_of_quad();
    let step = Specialised {
        kernel: kernel(Family::StepTiled, request),
        overrides: Overrides { relu: relu(request), ..tile.overrides() },
        units: tile.size as usize / 4 * units_of_quad,
        rows: tile.size as usize,
    };
    Ok(StepShape { step, projection: None })
}
