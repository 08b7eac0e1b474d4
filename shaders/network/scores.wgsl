// The scores of attention: how well each step of a memory fits a row's query. A score is the dot
// product of both (Luong), or the weighted sum of tanh(query + key) (Bahdanau).
//
// A workgroup owns a score. Each invocation sums every WORKGROUP_SIZE-th feature, and workgroup
// memory joins their sums. The order of a sum depends only on WORKGROUP_SIZE and the features.

struct ScoresDims {
    batch: u32,           // B
    steps: u32,           // M of the memory
    features: u32,        // F
    query_stride: u32,    // values from one row to the next
    keys_stride: u32,
    y_stride: u32,
    additive: u32,        // 1 for Bahdanau's score
    pad0: u32,
}

@group(0) @binding(0) var<uniform> dims: ScoresDims;
@group(0) @binding(1) var<storage, read> query: array<f32>;     // [B, F]     at strides
@group(0) @binding(2) var<storage, read> keys: array<f32>;      // [M, B, F]  at strides
@group(0) @binding(3) var<storage, read> scale: array<f32>;     // [F]        of the sum
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [B, M]     at strides

@compute @workgroup_size(WORKGROUP_SIZE)
fn scores(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added repeat the last score, to reach all barriers, and store
    // nothing.
    let in_range = tile < dims.batch * dims.steps;
    let score = min(tile, dims.batch * dims.steps - 1u);
    let row = score / dims.steps;
    let step = score % dims.steps;
    let query_first = row * dims.query_stride;
    let key_first = (step * dims.batch + row) * dims.keys_stride;

    var sum = 0.0;
    for (var i = lane; i < dims.features; i += WORKGROUP_SIZE) {
        let q = query[query_first + i];
        let k = keys[key_first + i];
        if dims.additive == 1u {
            sum = fma(scale[i], tanh_exact(q + k), sum);
        } else {
            sum = fma(q, k, sum);
        }
    }
    reduce_sum(lane, sum);
    // Invocation 0 wrote the sum itself, so that no barrier is needed.
    if in_range && lane == 0u {
        y[row * dims.y_stride + step] = sh[0];
    }
}
