// nn.LSTM, as cell/lstm.wgsl states it.

alias Gates = vec4<f32>;   // i, f, g, o
const GATE_COUNT = 4u;

@group(0) @binding(2) var<storage, read> gates_x: array<vec4<f32>>;   // [S, B, D, H, 1]  W_ih x+b
@group(0) @binding(8) var<storage, read_write> c: array<f32>;         // [D, B, H]        in place

fn gates_x_at(unit: u32) -> Gates {
    return gates_x[unit];
}

// Returns the weights of a quad's four features, for all gates.
fn gate_weights(quad: u32) -> QuadWeights {
    let n = dims.state_quads;
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

fn load_own(d: u32, b: u32, j: u32) -> f32 {
    return c[(d * dims.batch + b) * dims.hidden_size + j];
}

fn store_own(d: u32, b: u32, j: u32, own: f32) {
    c[(d * dims.batch + b) * dims.hidden_size + j] = own;
}
