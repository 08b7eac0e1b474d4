// The biases, and nn.LSTM's own value: c.

@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;   // [L·H + N/4]
@group(0) @binding(8) var<storage, read_write> c: array<f32>;      // [L, B, H]     in place

fn bias_at(unit: u32) -> Gates {
    return bias[unit];
}

fn gate_of(gates: Gates, gate: u32) -> f32 {
    return gates[gate];
}

fn load_own(layer: u32, b: u32, j: u32) -> f32 {
    return c[(layer * dims.batch + b) * dims.hidden_size + j];
}

fn store_own(layer: u32, b: u32, j: u32, own: f32) {
    c[(layer * dims.batch + b) * dims.hidden_size + j] = own;
}
