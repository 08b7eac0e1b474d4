// nn.GRU: r, z = sigmoid(·), n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = (1 − z)∘n + z∘h.

alias Gates = vec3<f32>;   // r, z, n
const GATE_COUNT = 3u;

struct GateWeights {
    r: vec4<f32>,
    z: vec4<f32>,
    n: vec4<f32>,
}

// Multiplied by r, so that it cannot be folded into the bias of gates_x.
@group(0) @binding(8) var<storage, read> bias_hn: array<f32>;   // [.., H]

fn gate_weights(quad: u32) -> GateWeights {
    let n = dims.state_quads;
    return GateWeights(weight_quad(quad), weight_quad(quad + n), weight_quad(quad + 2u * n));
}

fn gate_products(w: GateWeights, h: vec4<f32>) -> Gates {
    return Gates(dot(w.r, h), dot(w.z, h), dot(w.n, h));
}

fn advance(sums: Gates, x: u32, d: u32, row: u32, j: u32, h: f32) -> f32 {
    let r = sigmoid(sums.x + gates_x[x]);
    let z = sigmoid(sums.y + gates_x[x + 1u]);
    let n = tanh_exact(
        gates_x[x + 2u] + r * (sums.z + bias_hn[(dims.weight_base + d) * dims.hidden_size + j])
    );
    return (1.0 - z) * n + z * h;
}
