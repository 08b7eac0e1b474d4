// nn.RNN: h' = tanh(·) or relu(·).

alias Gates = f32;
const GATE_COUNT = 1u;

override RELU: bool = false;

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;   // [S, B, D, H, G]  W_ih x + b

struct GateWeights {
    h: vec4<f32>,
}

fn gate_weights(quad: u32) -> GateWeights {
    return GateWeights(weight_quad(quad));
}

// Adds the products of a quad's four features, one after the other.
fn add_products(sums: Gates, w: GateWeights, h: vec4<f32>) -> Gates {
    return fma(w.h.w, h.w, fma(w.h.z, h.z, fma(w.h.y, h.y, fma(w.h.x, h.x, sums))));
}

// The gate that four equal sums are.
fn gates_of(sums: vec4<f32>) -> Gates {
    return sums.x;
}

// The values that unit x of [S, B, D, H] needs, without its sums.
struct Inputs {
    gate: f32,
}

fn inputs(x: u32, d: u32, row: u32, j: u32) -> Inputs {
    return Inputs(gates_x[x]);
}
