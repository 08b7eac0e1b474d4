//! The rows of families before and after the recurrence, and of those that move values.

use super::rows::{COPY, constant, flat, read, shader, write};
use super::uniforms::Dims;
use super::{Override, Row};

/// Rounds of `philox`.
const PHILOX_ROUNDS: u64 = 10;

const ROW_OVERRIDES: &[Override] = &[constant!("WORKGROUP_SIZE", workgroup_size, &[32, 64, 256])];

pub(super) const EMBED: Row = Row {
    name: "embed",
    entry: "embed",
    source: shader!("head/embed"),
    weights: true,
    bindings: &[read(1, "tokens"), read(3, "weight"), write(2, "y")],
    ..COPY
};

pub(super) const DROPOUT: Row = Row {
    name: "dropout",
    entry: "dropout",
    source: shader!("head/dropout"),
    fragments: &[shader!("lib/philox")],
    bindings: &[read(1, "settings"), write(2, "y")],
    loop_iterations: |_, _| PHILOX_ROUNDS,
    ..COPY
};

pub(super) const NLL: Row = Row {
    name: "nll",
    entry: "nll",
    source: shader!("head/nll"),
    fragments: &[shader!("lib/softmax"), shader!("lib/log")],
    bindings: &[read(1, "logits"), read(2, "targets"), write(3, "loss")],
    overrides: ROW_OVERRIDES,
    workgroup: |_, o| flat(o.workgroup_size, o.workgroup_size * 4),
    loop_iterations: |dims, o| {
        let Dims::Nll(dims) = dims else { return 0 };
        // Columns and rounds of the reduction, for the maximum and for the sum.
        let columns = u64::from(dims.columns.div_ceil(o.workgroup_size));
        2 * (columns + u64::from(o.workgroup_size.ilog2()))
    },
    ..COPY
};

pub(super) const SAMPLE: Row = Row {
    name: "sample",
    entry: "sample",
    source: shader!("head/sample"),
    fragments: &[shader!("lib/softmax"), shader!("lib/philox")],
    stepped: true,
    bindings: &[read(2, "logits"), read(3, "settings"), write(4, "token"), write(5, "tokens")],
    overrides: ROW_OVERRIDES,
    // The sums, a counter for each bit, and two words of 16 bytes each.
    workgroup: |_, o| flat(o.workgroup_size, o.workgroup_size * 4 + 32 * 4 + 2 * 16),
    loop_iterations: |dims, o| {
        let Dims::Sample(dims) = dims else { return 0 };
        let chunk = u64::from(dims.columns.div_ceil(o.workgroup_size));
        // The maximum, 32 rounds of counting, 33 of sums, the chunk's sum. Then, for one
        // invocation, the random number, the sums twice and one chunk.
        let one = PHILOX_ROUNDS + 2 * u64::from(o.workgroup_size) + chunk;
        let sum = chunk + u64::from(o.workgroup_size.ilog2());
        chunk + 32 * (1 + chunk) + 33 * (1 + sum) + chunk + one
    },
    ..COPY
};

pub(super) const GATHER: Row = Row {
    name: "gather",
    entry: "gather",
    source: shader!("pool/gather"),
    fragments: &[shader!("pool/io")],
    bindings: &[read(1, "slots"), read(2, "store"), write(3, "state")],
    ..COPY
};

pub(super) const SCATTER: Row = Row {
    name: "scatter",
    entry: "scatter",
    source: shader!("pool/scatter"),
    bindings: &[read(1, "slots"), read(2, "state"), write(3, "store")],
    ..GATHER
};

pub(super) const PACK: Row = Row {
    name: "pack",
    entry: "pack",
    source: shader!("pack/pack"),
    fragments: &[shader!("pack/io")],
    bindings: &[read(1, "x"), write(2, "y")],
    ..COPY
};

pub(super) const UNPACK: Row =
    Row { name: "unpack", entry: "unpack", source: shader!("pack/unpack"), ..PACK };
