// Between a tensor of the caller and a buffer of a plan: sizes, and where a value is on the other side.
//
// A plan's buffers have rows padded to quads and each direction in its order of time; the caller's tensor has time where
// PyTorch has it, the directions side by side in a row, and rows as far apart as the caller keeps them. Values are
// words, of which no bit may change.

struct PackDims {
    steps: u32,
    batch: u32,
    directions: u32,
    features: u32,      // F of each direction; the rest of W is padding
    width: u32,         // W
    first_step: u32,
    seq_len: u32,
    offset: u32,        // the caller's first value, and from one step and one row to the next
    step_stride: u32,
    row_stride: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> dims: PackDims;

const WORKGROUP_SIZE = 64u;

// Values of the plan's buffer.
fn own_count() -> u32 {
    return dims.steps * dims.batch * dims.directions * dims.width;
}

// Whether a value of the plan's buffer is padding.
fn is_padding(at: u32) -> bool {
    return at % dims.width >= dims.features;
}

// Where a value of the plan's buffer is in the caller's.
fn callers_place(at: u32) -> u32 {
    let f = at % dims.width;
    let d = (at / dims.width) % dims.directions;
    let b = (at / (dims.width * dims.directions)) % dims.batch;
    let elapsed = dims.first_step + at / (dims.width * dims.directions * dims.batch);
    let t = select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
    return dims.offset + t * dims.step_stride + b * dims.row_stride + d * dims.features + f;
}
