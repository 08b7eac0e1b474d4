// nn.RNN, as cell/rnn.wgsl states it.

alias Gates = f32;
const GATE_COUNT = 1u;

override RELU: bool = false;

// Returns the weights of a quad's four features.
fn gate_weights(quad: u32, n: u32) -> QuadWeights {
    let h = weight_quad(quad);
    return QuadWeights(h.x, h.y, h.z, h.w);
}

// Returns the new state, and the cell's own value, which this cell does not have.
fn advance(sums: Gates, x: Gates, h: f32, own: f32) -> vec2<f32> {
    let z = sums + x;
    // max(z, 0) may turn NaN into 0. A comparison with NaN is false, so that z stays NaN.
    let relu = select(z, 0.0, z < 0.0);
    return vec2<f32>(select(tanh_exact(z), relu, RELU), own);
}
