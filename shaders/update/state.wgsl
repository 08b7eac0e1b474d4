// The cell's result is the new state and the output. recurrence/directions.wgsl or, for the layers
// of a stack, update/wave.wgsl gives the step of each direction or layer. The shapes of a wave
// are [L, B, R] and [L, S, B, R].

@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;   // [D, B, R]     state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [S, B, D, R]  output

// The values that a unit needs, without its sums.
struct Unit {
    own: Inputs,
    h: f32,
    valid: bool,
}

fn load_unit(d: u32, b: u32, j: u32) -> Unit {
    let row = d * dims.batch + b;
    let x = y_row(d, b) * dims.hidden_size + j;
    let h = h_in[row * dims.state_quads + j / 4u][j % 4u];
    return Unit(inputs(x, d, row, j), h, is_valid(d, b));
}

// Advances unit j of row b. A row whose sequence does not reach this step keeps its state and
// outputs 0.
fn store_unit(d: u32, b: u32, j: u32, sums: Gates, unit: Unit) {
    let state_size = dims.state_quads * 4u;
    let row = d * dims.batch + b;
    var next = unit.h;
    if unit.valid {
        next = advance(sums, unit.own, row, j, unit.h);
    }
    h_out[row * state_size + j] = next;
    if has_output(d) {
        y[y_row(d, b) * state_size + j] = select(0.0, next, unit.valid);
    }
}
