
fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    let r = sigmoid(sums.x + own.gates.x);
    let z = sigmoid(sums.y + own.gates.y);
    let n = tanh_exact(fma(r, sums.z + own.bias_hn, own.gates.z));
    return fma(z, h, (1.0 - z) * n);
}
