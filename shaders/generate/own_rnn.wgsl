// The biases. An nn.RNN keeps no value from step to step but its state.

@group(0) @binding(2) var<storage, read> bias: array<f32>;   // [L·H + N]

fn bias_at(unit: u32) -> Gates {
    return bias[unit];
}

fn gate_of(gates: Gates, gate: u32) -> f32 {
    return gates;
}

fn load_own(layer: u32, b: u32, j: u32) -> f32 {
    return 0.0;
}

fn store_own(layer: u32, b: u32, j: u32, own: f32) {}
