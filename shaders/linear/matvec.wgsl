// y = x · Wᵀ + b for few rows, all directions in one dispatch; see linear/io.wgsl.
//
// An invocation computes one column of up to ROWS rows. Invocations share no values, so that
// nothing needs staging. Each reads whole tiles of its weight row, 64 bytes at a time.

override ROWS: u32 = 1u;   // at most MAX_ROWS

const MAX_ROWS = 8u;
const WORKGROUP_SIZE = 32u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn matvec(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let column = (tile % dims.column_tiles) * WORKGROUP_SIZE + local_index;
    let first_row = ((tile / dims.column_tiles) % dims.row_tiles) * ROWS;
    // Workgroups that folding added are past the last direction.
    let d = tile / (dims.column_tiles * dims.row_tiles);
    if d >= dims.directions || column >= dims.columns {
        return;
    }
    let quads = dims.halves * dims.half_quads;
    var sums: array<f32, MAX_ROWS>;
    for (var q0 = 0u; q0 < quads; q0 += TILE_QUADS) {
        var parts: array<f32, MAX_ROWS>;
        for (var q = q0; q < min(q0 + TILE_QUADS, quads); q++) {
            let w = load_w(column, d, q);
            for (var r = 0u; r < ROWS; r++) {
                parts[r] += dot(load_x(first_row + r, d, q), w);
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            sums[r] += parts[r];
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        store(first_row + r, column, d, sums[r]);
    }
}
