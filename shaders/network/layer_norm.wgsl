// nn.LayerNorm over rows: y = (x − mean) / √(variance + eps) · scale + shift. The variance is the
// mean of the squared distances from the mean.
//
// Values count from the first one of their row. So a row of equal values has the variance 0,
// however large they are; a mean that is off by its rounding would be divided by √eps.
//
// A workgroup owns a row. Each invocation sums every WORKGROUP_SIZE-th value, and workgroup memory
// joins their sums. The order of a sum depends only on WORKGROUP_SIZE and the features.

struct LayerNormDims {
    rows: u32,       // N
    features: u32,   // F
    stride: u32,     // values from one row to the next, in x and in y
    eps: f32,
}

@group(0) @binding(0) var<uniform> dims: LayerNormDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [N, ·]
@group(0) @binding(2) var<storage, read> scale: array<f32>;     // [F]
@group(0) @binding(3) var<storage, read> shift: array<f32>;     // [F]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [N, ·]

@compute @workgroup_size(WORKGROUP_SIZE)
fn layer_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added repeat the last row, to reach all barriers, and store nothing.
    let in_range = tile < dims.rows;
    let first = min(tile, dims.rows - 1u) * dims.stride;
    let origin = x[first];

    var sum = 0.0;
    for (var i = lane; i < dims.features; i += WORKGROUP_SIZE) {
        sum += x[first + i] - origin;
    }
    reduce_sum(lane, sum);
    let mean = workgroupUniformLoad(&sh[0]) / f32(dims.features);

    var squares = 0.0;
    for (var i = lane; i < dims.features; i += WORKGROUP_SIZE) {
        let distance = (x[first + i] - origin) - mean;
        squares += distance * distance;
    }
    reduce_sum(lane, squares);
    let variance = workgroupUniformLoad(&sh[0]) / f32(dims.features);
    let rate = 1.0 / sqrt(variance + dims.eps);
    if !in_range {
        return;
    }
    for (var i = lane; i < dims.features; i += WORKGROUP_SIZE) {
        y[first + i] = ((x[first + i] - origin) - mean) * rate * scale[i] + shift[i];
    }
}
