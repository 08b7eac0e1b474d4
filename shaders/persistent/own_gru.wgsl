// The gates of the input, and nn.GRU's own value: the bias of n.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;   // [S, B, D, H, G]  W_ih x + b
// Multiplied by r, so that it cannot be folded into the bias of gates_x.
@group(0) @binding(8) var<storage, read> bias_hn: array<f32>;   // [.., H]

fn gates_x_at(unit: u32) -> Gates {
    return Gates(gates_x[3u * unit], gates_x[3u * unit + 1u], gates_x[3u * unit + 2u]);
}

fn load_own(d: u32, b: u32, j: u32) -> f32 {
    return bias_hn[(dims.weight_base + d) * dims.hidden_size + j];
}

fn store_own(d: u32, b: u32, j: u32, own: f32) {}
