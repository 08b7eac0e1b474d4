// The context of attention: the mean of a memory's steps, weighted with their shares.
//
// Each invocation sums one feature of one row over the steps, in their order.

struct ContextDims {
    batch: u32,            // B
    steps: u32,            // M of the memory
    features: u32,         // F
    shares_stride: u32,    // values from one row to the next
    memory_stride: u32,
    y_stride: u32,
    pad0: u32,
    pad1: u32,
}

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<uniform> dims: ContextDims;
@group(0) @binding(1) var<storage, read> shares: array<f32>;    // [B, M]     at strides
@group(0) @binding(2) var<storage, read> memory: array<f32>;    // [M, B, F]  at strides
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [B, F]     at strides

@compute @workgroup_size(WORKGROUP_SIZE)
fn context(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at >= dims.batch * dims.features {
        return;
    }
    let row = at / dims.features;
    let feature = at % dims.features;
    var sum = 0.0;
    for (var step = 0u; step < dims.steps; step++) {
        let value = memory[(step * dims.batch + row) * dims.memory_stride + feature];
        sum = fma(shares[row * dims.shares_stride + step], value, sum);
    }
    y[row * dims.y_stride + feature] = sum;
}
