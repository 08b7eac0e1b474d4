// ONNX's GRU with linear_before_reset: r, z = f(·), n = g(W_in x + b_in + r∘(W_hn h + b_hn)).

fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    let d = row / dims.batch;
    let r = gated(d, F, sums.x + own.gates.x);
    let z = gated(d, F, sums.y + own.gates.y);
    let n = gated(d, G, fma(r, sums.z + own.bias_hn, own.gates.z));
    return fma(z, h, (1.0 - z) * n);
}
