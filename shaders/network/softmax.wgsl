// The softmax of rows, or its logarithm. In attention a row has as many valid columns as its memory
// has steps. The others become 0.
//
// A workgroup owns a row. Each invocation reduces every WORKGROUP_SIZE-th column, and workgroup
// memory joins their results. The order of a sum depends only on WORKGROUP_SIZE and the columns.

struct SoftmaxDims {
    rows: u32,       // N
    columns: u32,    // F
    stride: u32,     // values from one row to the next, in x and in y
    is_log: u32,     // 1 for the logarithm
    batch: u32,      // B, rows of lengths; 0 if all columns count
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> dims: SoftmaxDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [N, ·]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;   // [B]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [N, ·]

@compute @workgroup_size(WORKGROUP_SIZE)
fn softmax(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added repeat the last row, to reach all barriers, and store nothing.
    let in_range = tile < dims.rows;
    let row = min(tile, dims.rows - 1u);
    let first = row * dims.stride;
    var valid = dims.columns;
    if dims.batch > 0u {
        valid = clamp(lengths[row % dims.batch], 1u, dims.columns);
    }

    var lane_max = x[first];
    for (var i = lane; i < valid; i += WORKGROUP_SIZE) {
        lane_max = max(lane_max, x[first + i]);
    }
    reduce_max(lane, lane_max);
    let row_max = workgroupUniformLoad(&sh[0]);

    // A NaN makes the sum NaN, whether max() returned it or not.
    var lane_sum = 0.0;
    for (var i = lane; i < valid; i += WORKGROUP_SIZE) {
        lane_sum += softmax_term(x[first + i] - row_max);
    }
    reduce_sum(lane, lane_sum);
    let sum = workgroupUniformLoad(&sh[0]);
    if !in_range {
        return;
    }
    let log_sum = log_exact(sum);
    for (var i = lane; i < dims.columns; i += WORKGROUP_SIZE) {
        let z = x[first + i] - row_max;
        let share = select(softmax_term(z) / sum, z - log_sum, dims.is_log == 1u);
        y[first + i] = select(0.0, share, i < valid);
    }
}
