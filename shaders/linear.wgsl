// y = x · Wᵀ + b for all time steps of a segment, every direction in the same dispatch.
//
// A workgroup of 8 × 8 invocations computes 32 rows × 32 columns, each invocation 4 × 4. Rows are (step, batch row)
// pairs in the order in which a direction visits them: the forward direction reads the segment from its start, the
// reverse direction reads the mirrored segment from its end. The output of a bidirectional layer has two parts, each
// stored in its own direction's order; a part is read in step where directions agree and mirrored where they differ.

struct LinearDims {
    steps: u32,
    batch: u32,
    directions: u32,
    columns: u32,
    parts: u32,
    part_quads: u32,
    y_row_stride: u32,
    y_direction_stride: u32,
    y_offset: u32,
    row_tiles: u32,
    column_tiles: u32,
    pad: u32,
}

// Applied to the sums: 0 nothing, 1 sigmoid.
override ACTIVATION: u32 = 0u;

@group(0) @binding(0) var<uniform> dims: LinearDims;
@group(0) @binding(1) var<storage, read> x_same: array<vec4<f32>>;       // [S, B, P, Q]  part of the same direction
@group(0) @binding(2) var<storage, read> x_mirrored: array<vec4<f32>>;   // [S, B, P, Q]  the mirrored segment
//        @binding(3)                    weight                             [D, N, P·Q]   weight/*.wgsl
@group(0) @binding(4) var<storage, read> bias: array<f32>;               // [D, N]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;            // [S, B, D, ·]  columns y_offset..

const TILE = 32u;          // rows and columns of a workgroup
const TILE_QUADS = 4u;     // quads of features staged at a time
const TILE_STRIDE = 5u;    // one more than TILE_QUADS, so that columns of a tile fall into different banks

var<workgroup> sh_x: array<vec4<f32>, 160>;   // [TILE, TILE_STRIDE]
var<workgroup> sh_w: array<vec4<f32>, 160>;   // [TILE, TILE_STRIDE]

fn load_x(row: u32, d: u32, quad: u32) -> vec4<f32> {
    let quads = dims.parts * dims.part_quads;
    if row >= dims.steps * dims.batch || quad >= quads {
        return vec4<f32>(0.0);
    }
    if quad / dims.part_quads == d {
        return x_same[row * quads + quad];
    }
    let step = row / dims.batch;
    let b = row % dims.batch;
    return x_mirrored[((dims.steps - 1u - step) * dims.batch + b) * quads + quad];
}

fn load_w(column: u32, d: u32, quad: u32) -> vec4<f32> {
    let quads = dims.parts * dims.part_quads;
    if column >= dims.columns || quad >= quads {
        return vec4<f32>(0.0);
    }
    return weight_quad((d * dims.columns + column) * quads + quad);
}

// Four columns of one row: the quad's four products, each summed pairwise.
fn products(x: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(dot(x, w0), dot(x, w1), dot(x, w2), dot(x, w3));
}

@compute @workgroup_size(8, 8)
fn linear(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) num_workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile = workgroup.x + workgroup.y * num_workgroups.x;
    let column_tile = tile % dims.column_tiles;
    let row_tile = (tile / dims.column_tiles) % dims.row_tiles;
    // Past the last direction in workgroups that folding added: they load and store nothing.
    let d = tile / (dims.column_tiles * dims.row_tiles);
    let live = d < dims.directions;
    let first_row = row_tile * TILE;
    let first_column = column_tile * TILE;

    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    let quads = dims.parts * dims.part_quads;
    for (var q0 = 0u; q0 < quads; q0 += TILE_QUADS) {
        if live {
            for (var i = local_index; i < TILE * TILE_QUADS; i += 64u) {
                let r = i / TILE_QUADS;
                let q = i % TILE_QUADS;
                sh_x[r * TILE_STRIDE + q] = load_x(first_row + r, d, q0 + q);
                sh_w[r * TILE_STRIDE + q] = load_w(first_column + r, d, q0 + q);
            }
        }
        workgroupBarrier();
        // Each tile is summed on its own and then added: two short chains round less than one long one.
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
    if live {
        let row = first_row + local.y * 4u;
        let column = first_column + local.x * 4u;
        store(row, column, d, sum0);
        store(row + 1u, column, d, sum1);
        store(row + 2u, column, d, sum2);
        store(row + 3u, column, d, sum3);
    }
}

fn store(row: u32, column: u32, d: u32, sums: vec4<f32>) {
    if row >= dims.steps * dims.batch {
        return;
    }
    let at = row * dims.y_row_stride + d * dims.y_direction_stride + dims.y_offset;
    for (var i = 0u; i < 4u; i++) {
        if column + i < dims.columns {
            let z = sums[i] + bias[d * dims.columns + column + i];
            y[at + column + i] = select(z, sigmoid(z), ACTIVATION == 1u);
        }
    }
}
