// Sizes, bindings and the update of one unit at one step, for schedules that iterate over time.

struct SequenceDims {
    seq_len: u32,
    first_step: u32,
    first_index: u32,
    steps: u32,
    batch: u32,
    directions: u32,
    hidden_size: u32,
    state_quads: u32,
    row_tiles: u32,
    weight_base: u32,   // of the first direction in the weights
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> dims: SequenceDims;
//        @binding(2)                    gates_x                      [S, B, D, H, G]  cell/*.wgsl
//        @binding(3)                    weight                       [.., H, G, R/4]  weight/*.wgsl
@group(0) @binding(4) var<storage, read> h_in: array<f32>;         // [D, B, R]        state before
@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;  // [D, B, R]        state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;      // [S, B, D, R]     output
@group(0) @binding(7) var<storage, read> lengths: array<u32>;      // [B]              valid steps
//        @binding(8)                    the cell's own                                cell/*.wgsl

// Returns unit j of row b after step s. A row whose sequence does not reach t keeps its state.
fn update(d: u32, b: u32, j: u32, s: u32, t: u32, sums: Gates, h: f32) -> f32 {
    if b >= dims.batch {
        return h;
    }
    let y_row = ((dims.first_index + s) * dims.batch + b) * dims.directions + d;
    let valid = t < lengths[b];
    var next = h;
    if valid {
        let row = d * dims.batch + b;
        next = advance(sums, inputs(y_row * dims.hidden_size + j, d, row, j), row, j, h);
    }
    y[y_row * dims.state_quads * 4u + j] = select(0.0, next, valid);
    return next;
}

// Returns the time step that direction d visits s steps after the first one.
fn time_step(d: u32, s: u32) -> u32 {
    let elapsed = dims.first_step + dims.first_index + s;
    return select(elapsed, dims.seq_len - 1u - elapsed, d == 1u);
}
