// y = x · Wᵀ + b for many rows and columns, all directions in one dispatch; see linear/io.wgsl.
//
// As tile32.wgsl, with 64 rows × 64 columns to a workgroup and 8 × 8 to an invocation. Each value
// read from workgroup memory serves eight products instead of four, at the cost of registers. A
// matrix holds four rows of four columns, one row in each of its columns.

const TILE = 64u;          // rows and columns of a workgroup
const TILE_STRIDE = 5u;    // TILE_QUADS + 1, so that a tile's columns fall into different banks

var<workgroup> sh_x: array<vec4<f32>, 320>;   // [TILE, TILE_STRIDE]
var<workgroup> sh_w: array<vec4<f32>, 320>;   // [TILE, TILE_STRIDE]

// One quad of each of four rows or columns.
struct Quads {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn rows_at(at: u32) -> Quads {
    return Quads(
        sh_x[at],
        sh_x[at + TILE_STRIDE],
        sh_x[at + 2u * TILE_STRIDE],
        sh_x[at + 3u * TILE_STRIDE]
    );
}

fn columns_at(at: u32) -> Quads {
    return Quads(
        sh_w[at],
        sh_w[at + TILE_STRIDE],
        sh_w[at + 2u * TILE_STRIDE],
        sh_w[at + 3u * TILE_STRIDE]
    );
}

// Returns a row's quad times the quads of four columns.
fn row_products(x: vec4<f32>, w: Quads) -> vec4<f32> {
    return vec4<f32>(dot(x, w.a), dot(x, w.b), dot(x, w.c), dot(x, w.d));
}

fn products(x: Quads, w: Quads) -> mat4x4<f32> {
    return mat4x4<f32>(
        row_products(x.a, w),
        row_products(x.b, w),
        row_products(x.c, w),
        row_products(x.d, w)
    );
}

@compute @workgroup_size(8, 8)
fn tile64(
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

    // First digit: the first or last four rows. Second digit: the first or last four columns.
    var sum00 = mat4x4<f32>();
    var sum01 = mat4x4<f32>();
    var sum10 = mat4x4<f32>();
    var sum11 = mat4x4<f32>();
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
        var part00 = mat4x4<f32>();
        var part01 = mat4x4<f32>();
        var part10 = mat4x4<f32>();
        var part11 = mat4x4<f32>();
        for (var q = 0u; q < TILE_QUADS; q++) {
            let x_at = local.y * 8u * TILE_STRIDE + q;
            let w_at = local.x * 8u * TILE_STRIDE + q;
            let x0 = rows_at(x_at);
            let x1 = rows_at(x_at + 4u * TILE_STRIDE);
            let w0 = columns_at(w_at);
            let w1 = columns_at(w_at + 4u * TILE_STRIDE);
            part00 += products(x0, w0);
            part01 += products(x0, w1);
            part10 += products(x1, w0);
            part11 += products(x1, w1);
        }
        sum00 += part00;
        sum01 += part01;
        sum10 += part10;
        sum11 += part11;
        workgroupBarrier();
    }
    if in_range {
        let row = first_row + local.y * 8u;
        let column = first_column + local.x * 8u;
        store_rows(row, column, d, sum00);
        store_rows(row, column + 4u, d, sum01);
        store_rows(row + 4u, column, d, sum10);
        store_rows(row + 4u, column + 4u, d, sum11);
    }
}

fn store_rows(row: u32, column: u32, d: u32, sums: mat4x4<f32>) {
    store_row(row, column, d, sums[0]);
    store_row(row + 1u, column, d, sums[1]);
    store_row(row + 2u, column, d, sums[2]);
    store_row(row + 3u, column, d, sums[3]);
}

fn store_row(row: u32, column: u32, d: u32, sums: vec4<f32>) {
    store(row, column, d, sums.x);
    store(row, column + 1u, d, sums.y);
    store(row, column + 2u, d, sums.z);
    store(row, column + 3u, d, sums.w);
}
