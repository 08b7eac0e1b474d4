//! The rows of families before and after the recurrence, and of those that move values.

use super::rows::{COPY, constant, flat, read, write};
use super::text::shader;
use super::uniforms::Dims;
use super::{Override, Row};

/// Rounds of `philox`.
const PHILOX_ROUNDS: u64 = 10;

/// Bytes of workgroup memory of `lib/draw.wgsl` without its sums: a counter for each digit of each
/// round, and four words of 16 bytes each.
pub(super) const DRAW_STORAGE: u32 = 128 * 4 + 4 * 16;

/// The loop iterations of a draw from `columns` logits.
pub(super) fn draw_iterations(columns: u32, workgroup_size: u32) -> u64 {
    let chunk = u64::from(columns.div_ceil(workgroup_size));
    // The counters and the maximum. For each digit, its count and the search for it. Then the
    // random number, the rounds of the running sums, and the chunk twice.
    let narrowing = 8 * (1 + chunk + 16);
    let counters = u64::from(128_u32.div_ceil(workgroup_size));
    let rounds = u64::from(workgroup_size.ilog2());
    // 33 sums find the keys of the share of weight.
    let nucleus = 33 * (1 + chunk + rounds);
    counters + chunk + narrowing + nucleus + PHILOX_ROUNDS + rounds + 2 * chunk
}

pub(super) const ROW_OVERRIDES: &[Override] =
    &[constant!("WORKGROUP_SIZE", workgroup_size, &[32, 64, 256])];

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
    fragments: &[shader!("lib/reduce"), shader!("lib/softmax"), shader!("lib/log")],
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
    fragments: &[shader!("lib/draw"), shader!("lib/softmax"), shader!("lib/philox")],
    stepped: true,
    bindings: &[read(2, "logits"), read(3, "settings"), write(4, "token"), write(5, "tokens")],
    overrides: ROW_OVERRIDES,
    workgroup: |_, o| flat(o.workgroup_size, o.workgroup_size * 8 + DRAW_STORAGE),
    loop_iterations: |dims, o| {
        let Dims::Sample(dims) = dims else { return 0 };
        draw_iterations(dims.columns, o.workgroup_size)
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
