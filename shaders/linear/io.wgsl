// Sizes, bindings, loads and stores of `tile` and `matvec`.
//
// A row is a (step, batch row) pair, in the order in which a direction visits the steps. The
// forward direction reads the segment from its start. The reverse direction reads the mirrored
// segment from its end. The output of a bidirectional layer has two halves, each in its own
// direction's order. A row is read at its own place where directions agree, and at the mirrored
// place where they differ.
//
// The order of a sum depends on the number of features alone, and is the same in `tile` and in
// `matvec`: see lib/product.wgsl. A row has the same bits alone and among many.

struct LinearDims {
    steps: u32,
    batch: u32,
    directions: u32,
    columns: u32,
    halves: u32,
    half_quads: u32,
    y_row_stride: u32,
    y_direction_stride: u32,
    y_offset: u32,
    row_tiles: u32,
    column_tiles: u32,
    weight_base: u32,        // of direction 0 in weight and bias; direction d follows at + d
    x_first_row: u32,
    x_direction_rows: u32,   // 0 if all directions read the same rows
    pad0: u32,
    pad1: u32,
}

// The function of the sums, by its number in lib/function.wgsl.
override ACTIVATION: u32 = 0u;

@group(0) @binding(0) var<uniform> dims: LinearDims;
@group(0) @binding(1) var<storage, read> x_same: array<vec4<f32>>;      // [S, B, P, Q]  segment
@group(0) @binding(2) var<storage, read> x_mirrored: array<vec4<f32>>;  // [S, B, P, Q]  mirrored
//        @binding(3)                    weight                            [.., N, P·Q]  weight/
@group(0) @binding(4) var<storage, read> bias: array<f32>;              // [.., N]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;           // [S, B, D, ·]  at y_offset

// The first quads of four rows, in the order of direction d.
struct RowSource {
    at: vec4<u32>,
    mirrored_at: vec4<u32>,
    d: u32,
}

// Rows past the end are the last one again: they are summed and not stored.
fn row_source(wanted: vec4<u32>, d: u32) -> RowSource {
    let quads = dims.halves * dims.half_quads;
    let last = dims.steps * dims.batch - 1u;
    let rows = min(wanted, vec4<u32>(last));
    let steps = rows / dims.batch;
    let mirrored = (dims.steps - 1u - steps) * dims.batch + (rows - steps * dims.batch);
    let at = (rows + (dims.x_first_row + d * dims.x_direction_rows)) * quads;
    return RowSource(at, mirrored * quads, d);
}

// The first quads of four columns. Columns past the end are the last one again.
fn column_source(wanted: vec4<u32>, d: u32) -> vec4<u32> {
    let quads = dims.halves * dims.half_quads;
    let columns = min(wanted, vec4<u32>(dims.columns - 1u));
    return (columns + first_column_of(d)) * quads;
}

// Four columns that follow each other; those past the end are the last one again.
fn columns_from(column: u32) -> vec4<u32> {
    let columns = vec4<u32>(column, column + 1u, column + 2u, column + 3u);
    return min(columns, vec4<u32>(dims.columns - 1u));
}

// The first column of a direction, in weight and bias.
fn first_column_of(d: u32) -> u32 {
    return (dims.weight_base + d) * dims.columns;
}

// Whether direction d reads this quad from x_same. There are two parts at most, one for each
// direction.
fn is_same(d: u32, quad: u32) -> bool {
    let half = select(0u, 1u, quad >= dims.half_quads);
    return half == d || dims.x_direction_rows > 0u;
}

// The biases of four columns.
fn bias_quad(column: u32, d: u32) -> vec4<f32> {
    let at = columns_from(column) + first_column_of(d);
    return vec4<f32>(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
}

fn store(row: u32, column: u32, d: u32, z: f32) {
    if row < dims.steps * dims.batch && column < dims.columns {
        let at = row * dims.y_row_stride + d * dims.y_direction_stride + dims.y_offset + column;
        y[at] = activated(ACTIVATION, 0.0, z);
    }
}
