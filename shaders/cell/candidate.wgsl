// The second half of a GRU whose reset gate comes before the product: n = g(W_in x + W_hn m + b),
// h' = (1 − z)∘n + z∘h, where m = r∘h.
//
// The product reads m, which cell/reset.wgsl writes, as its state. h_out has z, and receives h'.

alias Gates = f32;
const GATE_COUNT = 1u;

struct GateWeights {
    n: vec4<f32>,
}

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;       // [S, B, D, H, 3]  W_ih x + b
@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;   // [D, B, H]        z, then h'
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [S, B, D, H]     output
@group(0) @binding(8) var<storage, read> h_before: array<f32>;      // [D, B, H]        state before

fn gate_weights(quad: u32) -> GateWeights {
    return GateWeights(weight_quad(quad));
}

// Adds the products of a quad's four features, one after the other.
fn add_products(sums: Gates, w: GateWeights, m: vec4<f32>) -> Gates {
    return fma(w.n.w, m.w, fma(w.n.z, m.z, fma(w.n.y, m.y, fma(w.n.x, m.x, sums))));
}

// The sum among four equal ones.
fn gates_of(sums: vec4<f32>) -> Gates {
    return sums.x;
}

// The values that a unit needs, without its sum and z. Units past the end load those of the last
// one, and its z may be replaced by then.
struct Unit {
    gate: f32,
    h: f32,
    valid: bool,
}

fn load_unit(d: u32, b: u32, j: u32) -> Unit {
    let gate = gates_x[(y_row(d, b) * dims.hidden_size + j) * 3u + 2u];
    return Unit(gate, h_before[state_at(d, b, j)], is_valid(d, b));
}

// Stores unit j of row b. A row whose sequence does not reach this step keeps its state and
// outputs 0.
fn store_unit(d: u32, b: u32, j: u32, sum: Gates, unit: Unit) {
    let at = state_at(d, b, j);
    var next = unit.h;
    if unit.valid {
        let z = h_out[at];
        next = fma(z, unit.h, (1.0 - z) * gated(d, G, sum + unit.gate));
    }
    h_out[at] = next;
    y[y_row(d, b) * dims.state_quads * 4u + j] = select(0.0, next, unit.valid);
}

fn state_at(d: u32, b: u32, j: u32) -> u32 {
    return (d * dims.batch + b) * dims.state_quads * 4u + j;
}
