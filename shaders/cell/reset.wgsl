// The first half of a GRU whose reset gate comes before the product: r, z = f(·), m = r∘h.
// cell/candidate.wgsl is the second half.

alias Gates = vec2<f32>;   // r, z
const GATE_COUNT = 2u;

struct GateWeights {
    r: vec4<f32>,
    z: vec4<f32>,
}

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;       // [S, B, D, H, 3]  W_ih x + b
@group(0) @binding(8) var<storage, read_write> z_out: array<f32>;   // [D, B, H]        z

fn gate_weights(quad: u32) -> GateWeights {
    return GateWeights(weight_quad(quad), weight_quad(quad + dims.state_quads));
}

// Adds the products of a quad's four features, one after the other.
fn add_products(sums: Gates, w: GateWeights, h: vec4<f32>) -> Gates {
    let x = fma(Gates(w.r.x, w.z.x), Gates(h.x), sums);
    let y = fma(Gates(w.r.y, w.z.y), Gates(h.y), x);
    let z = fma(Gates(w.r.z, w.z.z), Gates(h.z), y);
    return fma(Gates(w.r.w, w.z.w), Gates(h.w), z);
}

// The gates among four sums, of which the last two are the second again.
fn gates_of(sums: vec4<f32>) -> Gates {
    return sums.xy;
}

// The values that unit x of [S, B, D, H] needs, without its sums.
struct Inputs {
    gates: vec2<f32>,
    h: f32,
}

fn inputs(x: u32, d: u32, row: u32, j: u32) -> Inputs {
    let gates = vec2<f32>(gates_x[x * 3u], gates_x[x * 3u + 1u]);
    return Inputs(gates, h_in[row * dims.state_quads + j / 4u][j % 4u]);
}
