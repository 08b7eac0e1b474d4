// Negative log-likelihood of each row's target under the softmax of its logits:
// log Σ exp(x − max) + (max − x[target]).
//
// A workgroup owns a row. Each invocation reduces every WORKGROUP_SIZE-th column, and workgroup
// memory joins their results. The order of a sum depends only on WORKGROUP_SIZE and the columns.

struct NllDims {
    rows: u32,
    columns: u32,
    pad: vec2<u32>,
}

@group(0) @binding(0) var<uniform> dims: NllDims;
@group(0) @binding(1) var<storage, read> logits: array<f32>;       // [S·B, N]
// A target that is not a column has a loss of 0.
@group(0) @binding(2) var<storage, read> targets: array<u32>;      // [S·B]
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;   // [S·B]

@compute @workgroup_size(WORKGROUP_SIZE)
fn nll(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    // Workgroups that folding added repeat the last row, to reach all barriers, and store nothing.
    let in_range = tile < dims.rows;
    let row = min(tile, dims.rows - 1u);
    let first = row * dims.columns;

    var lane_max = logits[first];
    for (var i = lane; i < dims.columns; i += WORKGROUP_SIZE) {
        lane_max = max(lane_max, logits[first + i]);
    }
    reduce_max(lane, lane_max);
    let row_max = workgroupUniformLoad(&sh[0]);

    // A NaN makes the sum NaN, whether max() returned it or not.
    var lane_sum = 0.0;
    for (var i = lane; i < dims.columns; i += WORKGROUP_SIZE) {
        lane_sum += softmax_term(logits[first + i] - row_max);
    }
    reduce_sum(lane, lane_sum);
    // Invocation 0 wrote the sum itself, so that no barrier is needed.
    if in_range && lane == 0u {
        let column = targets[row];
        var value = 0.0;
        if column < dims.columns {
            value = log_exact(sh[0]) + (row_max - logits[first + column]);
        }
        loss[row] = value;
    }
}
