// The cell's result is still to be projected (cell/projection.wgsl) before it is a state.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;   // [S, B, D, H, G]  input projections and biases
@group(0) @binding(5) var<storage, read_write> m: array<f32>;   // [D, B, H]        o∘tanh(c'), rows padded to quads

// Advances unit j of row b where the row's sequence reaches this step; the projection does not look at other rows.
fn update(d: u32, b: u32, j: u32, sums: Gates) {
    if is_valid(d, b) {
        let row = d * dims.batch + b;
        let x = (((step_at.index * dims.batch + b) * dims.directions + d) * dims.hidden_size + j) * GATE_COUNT;
        m[row * ((dims.hidden_size + 3u) / 4u * 4u) + j] = advance(sums, x, d, row, j, 0.0);
    }
}
