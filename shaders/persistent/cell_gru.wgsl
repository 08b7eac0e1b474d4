// nn.GRU, as cell/gru.wgsl states it.

alias Gates = vec3<f32>;   // r, z, n
const GATE_COUNT = 3u;

// Returns the weights of a quad's four features, for all gates.
fn gate_weights(quad: u32, n: u32) -> QuadWeights {
    let w = transpose(mat3x4<f32>(
        weight_quad(quad),
        weight_quad(quad + n),
        weight_quad(quad + 2u * n),
    ));
    return QuadWeights(w[0], w[1], w[2], w[3]);
}

// Returns the new state, and the cell's own value: the bias of n, which stays.
fn advance(sums: Gates, x: Gates, h: f32, own: f32) -> vec2<f32> {
    let r = sigmoid(sums.x + x.x);
    let z = sigmoid(sums.y + x.y);
    let n = tanh_exact(fma(r, sums.z + own, x.z));
    return vec2<f32>(fma(z, h, (1.0 - z) * n), own);
}
