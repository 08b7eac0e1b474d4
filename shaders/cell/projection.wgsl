// The projection of nn.LSTM (proj_size): h' = W_hr m, where m = o∘tanh(c').
//
// The step's product reads m, which update/unprojected.wgsl writes, as its state. Therefore
// dims.hidden_size is R, the size of the projection, and dims.state_quads counts the quads of m.

alias Gates = f32;
const GATE_COUNT = 1u;

struct GateWeights {
    r: vec4<f32>,
}

@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;   // [D, B, R]     state after
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [S, B, D, R]  output
@group(0) @binding(8) var<storage, read> h_before: array<f32>;      // [D, B, R]     state before

fn gate_weights(quad: u32) -> GateWeights {
    return GateWeights(weight_quad(quad));
}

// Adds the products of a quad's four features, one after the other.
fn add_products(sums: Gates, w: GateWeights, m: vec4<f32>) -> Gates {
    return fma(w.r.w, m.w, fma(w.r.z, m.z, fma(w.r.y, m.y, fma(w.r.x, m.x, sums))));
}

// The sum among four equal ones.
fn gates_of(sums: vec4<f32>) -> Gates {
    return sums.x;
}

// The values that a unit needs, without its sum.
struct Unit {
    h: f32,
    valid: bool,
}

fn load_unit(d: u32, b: u32, j: u32) -> Unit {
    return Unit(h_before[(d * dims.batch + b) * state_size() + j], is_valid(d, b));
}
