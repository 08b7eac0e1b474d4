// Sizes, bindings, loads and stores of a linear layer, for all its schedules.
//
// A row is a (step, batch row) pair, in the order in which a direction visits the steps. The
// forward direction reads the segment from its start. The reverse direction reads the mirrored
// segment from its end. The output of a bidirectional layer has two halves, each in its own
// direction's order. A row is read at its own place where directions agree, and at the mirrored
// place where they differ.
//
// Every schedule sums each tile of TILE_QUADS quads first and then adds up the tiles. Two short
// chains round less than a long one, and a row has the same bits alone and among many.

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

// Function applied to the sums: 0 none, 1 sigmoid.
override ACTIVATION: u32 = 0u;

@group(0) @binding(0) var<uniform> dims: LinearDims;
@group(0) @binding(1) var<storage, read> x_same: array<vec4<f32>>;      // [S, B, P, Q]  segment
@group(0) @binding(2) var<storage, read> x_mirrored: array<vec4<f32>>;  // [S, B, P, Q]  mirrored
//        @binding(3)                    weight                            [.., N, P·Q]  weight/
@group(0) @binding(4) var<storage, read> bias: array<f32>;              // [.., N]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;           // [S, B, D, ·]  at y_offset

const TILE_QUADS = 4u;     // quads of features in a tile

fn load_x(row: u32, d: u32, quad: u32) -> vec4<f32> {
    let quads = dims.halves * dims.half_quads;
    if row >= dims.steps * dims.batch || quad >= quads {
        return vec4<f32>(0.0);
    }
    if quad / dims.half_quads == d || dims.x_direction_rows > 0u {
        return x_same[(dims.x_first_row + d * dims.x_direction_rows + row) * quads + quad];
    }
    let step = row / dims.batch;
    let b = row % dims.batch;
    return x_mirrored[((dims.steps - 1u - step) * dims.batch + b) * quads + quad];
}

fn load_w(column: u32, d: u32, quad: u32) -> vec4<f32> {
    let quads = dims.halves * dims.half_quads;
    if column >= dims.columns || quad >= quads {
        return vec4<f32>(0.0);
    }
    return weight_quad(((dims.weight_base + d) * dims.columns + column) * quads + quad);
}

fn store(row: u32, column: u32, d: u32, sum: f32) {
    if row < dims.steps * dims.batch && column < dims.columns {
        let z = sum + bias[(dims.weight_base + d) * dims.columns + column];
        let at = row * dims.y_row_stride + d * dims.y_direction_stride + dims.y_offset + column;
        y[at] = select(z, sigmoid(z), ACTIVATION == 1u);
    }
}
