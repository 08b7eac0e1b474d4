// y = x · Wᵀ + b for all time steps of a segment, all directions in one dispatch;
// see linear/io.wgsl.
//
// A workgroup of 8 × 8 invocations computes 32 rows × 32 columns, each invocation 4 × 4.

const TILE = 32u;          // rows and columns of a workgroup
const TILE_STRIDE = 5u;    // TILE_QUADS + 1, so that a tile's columns fall into different banks

var<workgroup> sh_x: array<vec4<f32>, 160>;   // [TILE, TILE_STRIDE]
var<workgroup> sh_w: array<vec4<f32>, 160>;   // [TILE, TILE_STRIDE]

// Returns a row's quad times the quads of four columns.
fn products(x: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(dot(x, w0), dot(x, w1), dot(x, w2), dot(x, w3));
}

@compute @workgroup_size(8, 8)
fn tile32(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let column_tile = tile % dims.column_tiles;
    let row_tile = (tile / dims.column_tiles) % dims.row_tiles;
    // Workgroups that folding added are past the last direction. They load and store nothing.
    let d = tile / (dims.column_tiles * dims.row_tiles);
    let in_range = d < dims.directions;
    let first_row = row_tile * TILE;
    let first_column = column_tile * TILE;

    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    let quads = dims.halves * dims.half_quads;
    for (var q0 = 0u; q0 < quads; q0 += TILE_QUADS) {
        if in_range {
            for (var i = local_index; i < TILE * TILE_QUADS; i += 64u) {
                let r = i / TILE_QUADS;
                let q = i % TILE_QUADS;
                sh_x[r * TILE_STRIDE + q] = load_x(first_row + r, d, q0 + q);
                sh_w[r * TILE_STRIDE + q] = load_w(first_column + r, d, q0 + q);
            }
        }
        workgroupBarrier();
        var part0 = vec4<f32>(0.0);
        var part1 = vec4<f32>(0.0);
        var part2 = vec4<f32>(0.0);
        var part3 = vec4<f32>(0.0);
        for (var q = 0u; q < TILE_QUADS; q++) {
            let x_at = local.y * 4u * TILE_STRIDE + q;
            let w_at = local.x * 4u * TILE_STRIDE + q;
            let w0 = sh_w[w_at];
            let w1 = sh_w[w_at + TILE_STRIDE];
            let w2 = sh_w[w_at + 2u * TILE_STRIDE];
            let w3 = sh_w[w_at + 3u * TILE_STRIDE];
            part0 += products(sh_x[x_at], w0, w1, w2, w3);
            part1 += products(sh_x[x_at + TILE_STRIDE], w0, w1, w2, w3);
            part2 += products(sh_x[x_at + 2u * TILE_STRIDE], w0, w1, w2, w3);
            part3 += products(sh_x[x_at + 3u * TILE_STRIDE], w0, w1, w2, w3);
        }
        sum0 += part0;
        sum1 += part1;
        sum2 += part2;
        sum3 += part3;
        workgroupBarrier();
    }
    if in_range {
        let row = first_row + local.y * 4u;
        let column = first_column + local.x * 4u;
        for (var i = 0u; i < 4u; i++) {
            store(row, column + i, d, sum0[i]);
            store(row + 1u, column + i, d, sum1[i]);
            store(row + 2u, column + i, d, sum2[i]);
            store(row + 3u, column + i, d, sum3[i]);
        }
    }
}
