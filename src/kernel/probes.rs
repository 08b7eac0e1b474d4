//! The rows of the kernels that measure a device.

use super::families::*;
use super::rows::{COPY, flat, read, write};
use super::text::shader;
use super::uniforms::Dims;

/// A family that measures a device.
const PROBE: Row = Row {
    workgroup: |_, _| flat(PROBE_WORKGROUP as u32, 0),
    loop_iterations: |dims, _| {
        let Dims::Probe(dims) = dims else { return 0 };
        u64::from(dims.iterations)
    },
    ..COPY
};

pub(super) const CHAIN: Row = Row {
    name: "chain",
    entry: "chain",
    source: shader!("probe/chain"),
    stepped: true,
    bindings: &[read(2, "x"), write(3, "y")],
    loop_iterations: |_, _| 0,
    ..PROBE
};

pub(super) const BARRIER: Row = Row {
    name: "barrier",
    entry: "barrier",
    source: shader!("probe/barrier"),
    bindings: &[write(1, "y")],
    workgroup: |_, _| flat(PROBE_WORKGROUP as u32, PROBE_WORKGROUP as u32 * 4),
    ..PROBE
};

pub(super) const BANDWIDTH: Row = Row {
    name: "bandwidth",
    entry: "bandwidth",
    source: shader!("probe/bandwidth"),
    bindings: &[read(1, "x"), write(2, "y")],
    workgroup: |_, _| flat(BANDWIDTH_TILE_QUADS as u32, 0),
    ..PROBE
};

pub(super) const MULTIPLY_ADD: Row = Row {
    name: "multiply_add",
    entry: "multiply_add",
    source: shader!("probe/multiply_add"),
    bindings: &[write(1, "y")],
    ..PROBE
};

pub(super) const RESIDENCE: Row = Row {
    name: "residence",
    entry: "residence",
    source: shader!("probe/residence"),
    bindings: &[write(1, "values"), write(2, "arrivals"), write(3, "verdict")],
    workgroup: |_, _| flat(RESIDENCE_WORKGROUP as u32, 0),
    loop_iterations: |dims, _| {
        let Dims::Residence(dims) = dims else { return 0 };
        // A round looks once at the arrivals of several workgroups, and again while it waits.
        u64::from(dims.rounds) * (1 + RESIDENCE_MOST.div_ceil(RESIDENCE_WORKGROUP as u64))
            + u64::from(dims.looks)
    },
    ..COPY
};
