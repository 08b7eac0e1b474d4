
fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    let z = sums + own.gates;
    let i = sigmoid(z.x);
    let f = sigmoid(z.y);
    let g = tanh_exact(z.z);
    let o = sigmoid(z.w);
    let cell = fma(f, own.c, i * g);
    c[row * dims.hidden_size + j] = cell;
    return o * tanh_exact(cell);
}
