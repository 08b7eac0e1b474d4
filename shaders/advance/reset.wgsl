// Keeps z until the second half replaces it by the new state. Rows of the state are padded to
// quads.
fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    let d = row / dims.batch;
    z_out[row * dims.state_quads * 4u + j] = gated(d, F, sums.y + own.gates.y);
    return gated(d, F, sums.x + own.gates.x) * own.h;
}
