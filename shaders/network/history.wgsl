// The steps that a causal convolution keeps for its next call: the last H valid ones of each row,
// from x and, where x has fewer, from the history before it.
//
// Each invocation writes one value.

struct HistoryDims {
    rows: u32,             // B
    length: u32,           // H
    channels: u32,         // C
    steps: u32,            // S of x
    x_row_stride: u32,     // values
    x_step_stride: u32,
    pad0: u32,
    pad1: u32,
}

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<uniform> dims: HistoryDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [S, B, C]  at strides
@group(0) @binding(2) var<storage, read> before: array<f32>;      // [B, H, C]
@group(0) @binding(3) var<storage, read> lengths: array<u32>;     // [B]
@group(0) @binding(4) var<storage, read_write> next: array<f32>;  // [B, H, C]

@compute @workgroup_size(WORKGROUP_SIZE)
fn history(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at >= dims.rows * dims.length * dims.channels {
        return;
    }
    let channel = at % dims.channels;
    let j = at / dims.channels % dims.length;
    let row = at / (dims.channels * dims.length);
    // Steps count from the start of the old history. The new one starts as many steps later as the
    // row has valid ones.
    let step = min(lengths[row], dims.steps) + j;
    if step < dims.length {
        next[at] = before[(row * dims.length + step) * dims.channels + channel];
    } else {
        next[at] = x[row * dims.x_row_stride + (step - dims.length) * dims.x_step_stride + channel];
    }
}
