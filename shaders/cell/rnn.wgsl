// nn.RNN: h' = tanh(·) or relu(·).

alias Gates = f32;
const GATE_COUNT = 1u;

override RELU: bool = false;

struct GateWeights {
    h: vec4<f32>,
}

fn gate_weights(quad: u32) -> GateWeights {
    return GateWeights(weight_quad(quad));
}

fn gate_products(w: GateWeights, h: vec4<f32>) -> Gates {
    return dot(w.h, h);
}

fn advance(sums: Gates, x: u32, d: u32, row: u32, j: u32, h: f32) -> f32 {
    let z = sums + gates_x[x];
    // max(z, 0) may turn NaN into 0. A comparison with NaN is false, so that z stays NaN.
    let relu = select(z, 0.0, z < 0.0);
    return select(tanh_exact(z), relu, RELU);
}
