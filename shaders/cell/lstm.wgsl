// nn.LSTM: i, f, o = sigmoid(·), g = tanh(·), c' = f∘c + i∘g, h' = o∘tanh(c').

alias Gates = vec4<f32>;   // i, f, g, o
const GATE_COUNT = 4u;

struct GateWeights {
    i: vec4<f32>,
    f: vec4<f32>,
    g: vec4<f32>,
    o: vec4<f32>,
}

@group(0) @binding(8) var<storage, read_write> c: array<f32>;   // [D, B, H]  cell state, in place

fn gate_weights(quad: u32) -> GateWeights {
    let n = dims.state_quads;
    return GateWeights(
        weight_quad(quad),
        weight_quad(quad + n),
        weight_quad(quad + 2u * n),
        weight_quad(quad + 3u * n)
    );
}

fn gate_products(w: GateWeights, h: vec4<f32>) -> Gates {
    return Gates(dot(w.i, h), dot(w.f, h), dot(w.g, h), dot(w.o, h));
}

fn advance(sums: Gates, x: u32, d: u32, row: u32, j: u32, h: f32) -> f32 {
    let i = sigmoid(sums.x + gates_x[x]);
    let f = sigmoid(sums.y + gates_x[x + 1u]);
    let g = tanh_exact(sums.z + gates_x[x + 2u]);
    let o = sigmoid(sums.w + gates_x[x + 3u]);
    let at = row * dims.hidden_size + j;
    let cell = f * c[at] + i * g;
    c[at] = cell;
    return o * tanh_exact(cell);
}
