// The cell's result is the new state and the output.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;       // [S, B, D, H, G]  W_ih x + b
@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;   // [D, B, R]        state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [S, B, D, R]     output

// Advances unit j of row b. A row whose sequence does not reach this step keeps its state and
// outputs 0.
fn update(d: u32, b: u32, j: u32, sums: Gates) {
    let state_size = dims.state_quads * 4u;
    let row = d * dims.batch + b;
    let y_row = (step_at.index * dims.batch + b) * dims.directions + d;
    let h = h_in[row * dims.state_quads + j / 4u][j % 4u];
    let valid = is_valid(d, b);
    var next = h;
    if valid {
        next = advance(sums, (y_row * dims.hidden_size + j) * GATE_COUNT, d, row, j, h);
    }
    h_out[row * state_size + j] = next;
    y[y_row * state_size + j] = select(0.0, next, valid);
}
