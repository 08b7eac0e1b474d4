// proj_size of nn.LSTM: h' = W_hr m, where m = o∘tanh(c') takes the state's place as the vector that is multiplied. Its
// units are the R of the projection (dims.hidden_size), the quads summed those of m (dims.state_quads).

alias Gates = f32;
const GATE_COUNT = 1u;

struct GateWeights {
    r: vec4<f32>,
}

@group(0) @binding(5) var<storage, read_write> h_out: array<f32>;     // [D, B, R]     state after the step
@group(0) @binding(6) var<storage, read_write> y: array<f32>;         // [S, B, D, R]  the layer's output
@group(0) @binding(8) var<storage, read> h_before: array<f32>;        // [D, B, R]     state before the step

fn gate_weights(quad: u32) -> GateWeights {
    return GateWeights(weight_quad(quad));
}

fn gate_products(w: GateWeights, m: vec4<f32>) -> Gates {
    return dot(w.r, m);
}

// Stores unit j of row b, or leaves it as it is where the row's sequence does not reach this step.
fn update(d: u32, b: u32, j: u32, sum: Gates) {
    let state_size = (dims.hidden_size + 3u) / 4u * 4u;
    let at = (d * dims.batch + b) * state_size + j;
    let y_row = (step_at.index * dims.batch + b) * dims.directions + d;
    let valid = is_valid(d, b);
    h_out[at] = select(h_before[at], sum, valid);
    y[y_row * state_size + j] = select(0.0, sum, valid);
}
