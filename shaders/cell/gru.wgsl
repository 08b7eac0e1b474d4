// nn.GRU: r, z = sigmoid(·), n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = (1 − z)∘n + z∘h.

alias Gates = vec3<f32>;   // r, z, n
const GATE_COUNT = 3u;

struct GateWeights {
    r: vec4<f32>,
    z: vec4<f32>,
    n: vec4<f32>,
}

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;   // [S, B, D, H, G]  W_ih x + b
// Multiplied by r, so that it cannot be folded into the bias of gates_x.
@group(0) @binding(8) var<storage, read> bias_hn: array<f32>;   // [.., H]

fn gate_weights(quad: u32) -> GateWeights {
    let n = dims.state_quads;
    return GateWeights(weight_quad(quad), weight_quad(quad + n), weight_quad(quad + 2u * n));
}

// Adds the products of a quad's four features, one after the other.
fn add_products(sums: Gates, w: GateWeights, h: vec4<f32>) -> Gates {
    let x = fma(Gates(w.r.x, w.z.x, w.n.x), Gates(h.x), sums);
    let y = fma(Gates(w.r.y, w.z.y, w.n.y), Gates(h.y), x);
    let z = fma(Gates(w.r.z, w.z.z, w.n.z), Gates(h.z), y);
    return fma(Gates(w.r.w, w.z.w, w.n.w), Gates(h.w), z);
}

// The gates among four sums, of which the fourth is the third again.
fn gates_of(sums: vec4<f32>) -> Gates {
    return sums.xyz;
}

// The values that unit x of [S, B, D, H] needs, without its sums.
struct Inputs {
    gates: vec3<f32>,
    bias_hn: f32,
}

fn inputs(x: u32, d: u32, row: u32, j: u32) -> Inputs {
    let at = x * GATE_COUNT;
    let gates = vec3<f32>(gates_x[at], gates_x[at + 1u], gates_x[at + 2u]);
    return Inputs(gates, bias_hn[(dims.weight_base + d) * dims.hidden_size + j]);
}
