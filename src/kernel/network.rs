//! The rows of the families around recurrent layers in a network, and their constants.

use super::Row;
use super::heads::ROW_OVERRIDES;
use super::rows::{COPY, flat, read, write};
use super::text::shader;
use super::uniforms::Dims;

/// Values of [`MapDims::operation`](super::uniforms::MapDims::operation).
pub mod operation {
    /// x itself.
    pub const NONE: u32 = 0;
    /// x + other.
    pub const ADD: u32 = 1;
    /// x · other.
    pub const MULTIPLY: u32 = 2;
    /// √(re² + im²) of the two halves of a row of x.
    pub const MAGNITUDE: u32 = 3;
}

/// Values of [`UnfoldDims::mode`](super::uniforms::UnfoldDims::mode), and `history`.
pub mod padding {
    /// Zeros.
    pub const ZEROS: u32 = 0;
    /// The positions of x, mirrored at its ends.
    pub const REFLECT: u32 = 1;
    /// The first and the last position of x.
    pub const REPLICATE: u32 = 2;
    /// The positions of x from its other end.
    pub const CIRCULAR: u32 = 3;
    /// The positions that came before x.
    pub const HISTORY: u32 = 4;
}

/// Bits of [`UnfoldDims::order`](super::uniforms::UnfoldDims::order).
pub mod order {
    /// Rows of y are `[M, N]`, not `[N, M]`.
    pub const TIME_MAJOR: u32 = 1;
    /// The values of a row are `[C, K]`, not `[K, C]`.
    pub const CHANNELS_FIRST: u32 = 2;
}

pub(super) const MAP: Row = Row {
    name: "map",
    entry: "map",
    source: shader!("network/map"),
    fragments: &[shader!("lib/function"), shader!("lib/activation")],
    bindings: &[read(1, "x"), read(2, "other"), write(3, "y")],
    ..COPY
};

pub(super) const UNFOLD: Row = Row {
    name: "unfold",
    entry: "unfold",
    source: shader!("network/unfold"),
    bindings: &[read(1, "x"), read(2, "history"), write(3, "y")],
    ..COPY
};

pub(super) const HISTORY: Row = Row {
    name: "history",
    entry: "history",
    source: shader!("network/history"),
    bindings: &[read(1, "x"), read(2, "before"), read(3, "lengths"), write(4, "next")],
    ..COPY
};

/// Loop iterations of `passes` loops over a row's columns, and of two reductions.
fn row_iterations(columns: u32, passes: u64, workgroup_size: u32) -> u64 {
    passes * u64::from(columns.div_ceil(workgroup_size)) + 2 * u64::from(workgroup_size.ilog2())
}

pub(super) const LAYER_NORM: Row = Row {
    name: "layer_norm",
    entry: "layer_norm",
    source: shader!("network/layer_norm"),
    fragments: &[shader!("lib/reduce")],
    bindings: &[read(1, "x"), read(2, "scale"), read(3, "shift"), write(4, "y")],
    overrides: ROW_OVERRIDES,
    workgroup: |_, o| flat(o.workgroup_size, o.workgroup_size * 4),
    loop_iterations: |dims, o| {
        let Dims::LayerNorm(dims) = dims else { return 0 };
        row_iterations(dims.features, 3, o.workgroup_size)
    },
    ..COPY
};

pub(super) const SOFTMAX: Row = Row {
    name: "softmax",
    entry: "softmax",
    source: shader!("network/softmax"),
    fragments: &[shader!("lib/reduce"), shader!("lib/softmax"), shader!("lib/log")],
    bindings: &[read(1, "x"), read(2, "lengths"), write(3, "y")],
    loop_iterations: |dims, o| {
        let Dims::Softmax(dims) = dims else { return 0 };
        row_iterations(dims.columns, 3, o.workgroup_size)
    },
    ..LAYER_NORM
};

pub(super) const SCORES: Row = Row {
    name: "scores",
    entry: "scores",
    source: shader!("network/scores"),
    fragments: &[shader!("lib/reduce"), shader!("lib/activation")],
    bindings: &[read(1, "query"), read(2, "keys"), read(3, "scale"), write(4, "y")],
    loop_iterations: |dims, o| {
        let Dims::Scores(dims) = dims else { return 0 };
        row_iterations(dims.features, 1, o.workgroup_size)
    },
    ..LAYER_NORM
};

pub(super) const CONTEXT: Row = Row {
    name: "context",
    entry: "context",
    source: shader!("network/context"),
    bindings: &[read(1, "shares"), read(2, "memory"), write(3, "y")],
    loop_iterations: |dims, _| {
        let Dims::Context(dims) = dims else { return 0 };
        u64::from(dims.steps)
    },
    ..COPY
};
