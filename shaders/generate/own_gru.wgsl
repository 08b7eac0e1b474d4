// The biases, and nn.GRU's own value: the bias of n.

@group(0) @binding(2) var<storage, read> bias: array<f32>;      // [(L·H + N/3)·3]
@group(0) @binding(8) var<storage, read> bias_hn: array<f32>;   // [L, H]

fn bias_at(unit: u32) -> Gates {
    return Gates(bias[3u * unit], bias[3u * unit + 1u], bias[3u * unit + 2u]);
}

fn gate_of(gates: Gates, gate: u32) -> f32 {
    return gates[gate];
}

fn load_own(layer: u32, b: u32, j: u32) -> f32 {
    return bias_hn[layer * dims.hidden_size + j];
}

fn store_own(layer: u32, b: u32, j: u32, own: f32) {}
