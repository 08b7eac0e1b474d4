// The cell's result is m, which cell/projection.wgsl projects to the new state. Rows of m are
// padded to quads.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;   // [S, B, D, H, G]  W_ih x + b
@group(0) @binding(5) var<storage, read_write> m: array<f32>;   // [D, B, H]        o∘tanh(c')

// Advances unit j of row b if the row's sequence reaches this step. The projection ignores other
// rows.
fn update(d: u32, b: u32, j: u32, sums: Gates) {
    if is_valid(d, b) {
        let row = d * dims.batch + b;
        let x = (((step_at.index * dims.batch + b) * dims.directions + d) * dims.hidden_size + j)
            * GATE_COUNT;
        m[row * ((dims.hidden_size + 3u) / 4u * 4u) + j] = advance(sums, x, d, row, j, 0.0);
    }
}
