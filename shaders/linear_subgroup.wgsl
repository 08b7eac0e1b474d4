// y = x · Wᵀ + b where a load costs every lane of a vector its own turn, as on software adapters; see shared/linear.wgsl.
//
// An invocation computes four columns of ROWS rows. The invocations of a subgroup read x together, each every `lanes`-th
// quad, and pass it round, which is a single instruction. Needs the feature `subgroups`, and subgroups of 4 or a multiple
// that divide WORKGROUP_SIZE.

override ROWS: u32 = 1u;   // at most MAX_ROWS
// Named, because naga 30 loses count of overrides when an array's size is an expression without a name.
override SUMS: u32 = WORKGROUP_SIZE * ROWS;

const MAX_ROWS = 16u;
const WORKGROUP_SIZE = 16u;
const COLUMNS = 4u;        // of an invocation

// Each invocation's own: an index that is not constant would take all sums out of the registers.
var<workgroup> sh_sums: array<vec4<f32>, SUMS>;   // [ROWS, WORKGROUP_SIZE]

@compute @workgroup_size(WORKGROUP_SIZE)
fn linear_subgroup(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let column = ((tile % dims.column_tiles) * WORKGROUP_SIZE + local_index) * COLUMNS;
    let first_row = ((tile / dims.column_tiles) % dims.row_tiles) * ROWS;
    let d = tile / (dims.column_tiles * dims.row_tiles);
    // Past the last direction in workgroups that folding added.
    if d >= dims.directions {
        return;
    }
    let quads = dims.parts * dims.part_quads;
    // Every invocation takes part in what is passed round: columns past the end are the last one again.
    let columns = min(vec4<u32>(column, column + 1u, column + 2u, column + 3u), vec4<u32>(dims.columns - 1u));
    let first_quads = (columns + (dims.slot + d) * dims.columns) * quads;
    var sums: array<vec4<f32>, MAX_ROWS>;
    for (var q0 = 0u; q0 < quads; q0 += lanes) {
        var own: array<vec4<f32>, MAX_ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            own[r] = load_x(first_row + r, d, q0 + lane);
        }
        for (var t = q0; t < min(q0 + lanes, quads); t += TILE_QUADS) {
            var parts: array<vec4<f32>, MAX_ROWS>;
            for (var q = t; q < min(t + TILE_QUADS, quads); q++) {
                let w0 = weight_quad(first_quads.x + q);
                let w1 = weight_quad(first_quads.y + q);
                let w2 = weight_quad(first_quads.z + q);
                let w3 = weight_quad(first_quads.w + q);
                for (var r = 0u; r < ROWS; r++) {
                    let x = subgroupShuffle(own[r], q - q0);
                    parts[r] += vec4<f32>(dot(x, w0), dot(x, w1), dot(x, w2), dot(x, w3));
                }
            }
            for (var r = 0u; r < ROWS; r++) {
                sums[r] += parts[r];
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        sh_sums[r * WORKGROUP_SIZE + local_index] = sums[r];
    }
    for (var r = 0u; r < ROWS; r++) {
        let row_sums = sh_sums[r * WORKGROUP_SIZE + local_index];
        for (var c = 0u; c < COLUMNS; c++) {
            store(first_row + r, column + c, d, row_sums[c]);
        }
    }
}
