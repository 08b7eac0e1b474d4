// Copies between a caller's strided tensor and a plan's buffer: sizes and the index map.
//
// A plan's buffer has rows padded to quads and each direction in its order of time. The caller's
// tensor has PyTorch's order of time, the directions adjacent in a row, and strides between rows.
// Values are copied as words, so that no bit changes.

struct PackDims {
    steps: u32,
    batch: u32,
    directions: u32,
    features: u32,      // F of each direction; the rest of W is padding
    width: u32,         // W
    first_step: u32,
    seq_len: u32,
    offset: u32,        // of the caller's first value
    step_stride: u32,   // in the caller's tensor, in values, as are all strides
    row_stride: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> dims: PackDims;

const WORKGROUP_SIZE = 64u;

// Returns the number of values in the plan's buffer.
fn own_count() -> u32 {
    return dims.steps * dims.batch * dims.directions * dims.width;
}

// Returns whether a value of the plan's buffer is padding.
fn is_padding(at: u32) -> bool {
    return at % dims.width >= dims.features;
}

// Returns the index in the caller's tensor of a value of the plan's buffer.
fn callers_place(at: u32) -> u32 {
    let f = at % dims.width;
    let d = (at / dims.width) % dims.directions;
    let b = (at / (dims.width * dims.directions)) % dims.batch;
    let elapsed = dims.first_step + at / (dims.width * dims.directions * dims.batch);
    let t = select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
    return dims.offset + t * dims.step_stride + b * dims.row_stride + d * dims.features + f;
}
