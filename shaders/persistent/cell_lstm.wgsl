// nn.LSTM, as cell/lstm.wgsl states it.

alias Gates = vec4<f32>;   // i, f, g, o
const GATE_COUNT = 4u;

// Returns the weights of a quad's four features, for all gates.
fn gate_weights(quad: u32, n: u32) -> QuadWeights {
    let w = transpose(mat4x4<f32>(
        weight_quad(quad),
        weight_quad(quad + n),
        weight_quad(quad + 2u * n),
        weight_quad(quad + 3u * n),
    ));
    return QuadWeights(w[0], w[1], w[2], w[3]);
}

// Returns the new state, and the cell's own value: c.
fn advance(sums: Gates, x: Gates, h: f32, own: f32) -> vec2<f32> {
    let z = sums + x;
    let cell = fma(sigmoid(z.y), own, sigmoid(z.x) * tanh_exact(z.z));
    return vec2<f32>(sigmoid(z.w) * tanh_exact(cell), cell);
}
