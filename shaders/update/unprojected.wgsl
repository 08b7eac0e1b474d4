// The cell's result is m, which cell/projection.wgsl projects to the new state. Rows of m are
// padded to quads.

@group(0) @binding(5) var<storage, read_write> m: array<f32>;   // [D, B, H]  o∘tanh(c')

// The values that a unit needs, without its sums.
struct Unit {
    own: Inputs,
    valid: bool,
}

fn load_unit(d: u32, b: u32, j: u32) -> Unit {
    let own = inputs(y_row(d, b) * dims.hidden_size + j, d, d * dims.batch + b, j);
    return Unit(own, is_valid(d, b));
}

// Advances unit j of row b if the row's sequence reaches this step. The projection ignores other
// rows.
fn store_unit(d: u32, b: u32, j: u32, sums: Gates, unit: Unit) {
    if unit.valid {
        let row = d * dims.batch + b;
        let m_size = (dims.hidden_size + 3u) / 4u * 4u;
        m[row * m_size + j] = advance(sums, unit.own, row, j, 0.0);
    }
}
