// Elementwise work of a network: y = function(x ∘ other), where ∘ is none, a sum, a product, or the
// magnitude of two halves of a row of x.
//
// Each invocation computes one value. Rows are padded to quads with zeros, which stay zero.

struct MapDims {
    rows: u32,           // N
    features: u32,       // F of a row of y
    x_stride: u32,       // values from one row to the next
    y_stride: u32,
    other_stride: u32,   // 0 if all rows read the same one
    other_step: u32,     // values from one feature to the next: 0 if all read the same one
    operation: u32,
    function: u32,
    slope: f32,          // of leaky_relu
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

const ADD = 1u;
const MULTIPLY = 2u;
const MAGNITUDE = 3u;

const WORKGROUP_SIZE = 64u;

@group(0) @binding(0) var<uniform> dims: MapDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N, ·]  at strides
@group(0) @binding(2) var<storage, read> other: array<f32>;    // [N, ·], [F], [N] or [1]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [N, ·]

@compute @workgroup_size(WORKGROUP_SIZE)
fn map(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let at = (workgroup.x + workgroup.y * num_workgroups.x) * WORKGROUP_SIZE + local_index;
    if at >= dims.rows * dims.features {
        return;
    }
    let row = at / dims.features;
    let feature = at % dims.features;
    let x_at = row * dims.x_stride + feature;
    let other_at = row * dims.other_stride + feature * dims.other_step;
    var value = x[x_at];
    if dims.operation == ADD {
        value += other[other_at];
    } else if dims.operation == MULTIPLY {
        value *= other[other_at];
    } else if dims.operation == MAGNITUDE {
        let imaginary = x[x_at + dims.features];
        value = sqrt(value * value + imaginary * imaginary);
    }
    y[row * dims.y_stride + feature] = activated(dims.function, dims.slope, value);
}
