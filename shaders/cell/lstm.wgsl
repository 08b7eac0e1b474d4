// nn.LSTM: i, f, o = sigmoid(·), g = tanh(·), c' = f∘c + i∘g, h' = o∘tanh(c').

alias Gates = vec4<f32>;   // i, f, g, o
const GATE_COUNT = 4u;

struct GateWeights {
    i: vec4<f32>,
    f: vec4<f32>,
    g: vec4<f32>,
    o: vec4<f32>,
}

@group(0) @binding(2) var<storage, read> gates_x: array<vec4<f32>>;   // [S, B, D, H, 1]  W_ih x+b
@group(0) @binding(8) var<storage, read_write> c: array<f32>;         // [D, B, H]        in place

fn gate_weights(quad: u32) -> GateWeights {
    let n = dims.state_quads;
    return GateWeights(
        weight_quad(quad),
        weight_quad(quad + n),
        weight_quad(quad + 2u * n),
        weight_quad(quad + 3u * n)
    );
}

// Adds the products of a quad's four features, one after the other.
fn add_products(sums: Gates, w: GateWeights, h: vec4<f32>) -> Gates {
    let x = fma(Gates(w.i.x, w.f.x, w.g.x, w.o.x), Gates(h.x), sums);
    let y = fma(Gates(w.i.y, w.f.y, w.g.y, w.o.y), Gates(h.y), x);
    let z = fma(Gates(w.i.z, w.f.z, w.g.z, w.o.z), Gates(h.z), y);
    return fma(Gates(w.i.w, w.f.w, w.g.w, w.o.w), Gates(h.w), z);
}

// The gates among four sums.
fn gates_of(sums: vec4<f32>) -> Gates {
    return sums;
}

// The values that unit x of [S, B, D, H] needs, without its sums.
struct Inputs {
    gates: vec4<f32>,
    c: f32,
}

fn inputs(x: u32, d: u32, row: u32, j: u32) -> Inputs {
    return Inputs(gates_x[x], c[row * dims.hidden_size + j]);
}
