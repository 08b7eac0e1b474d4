// The gates of the input. An nn.RNN keeps no value from step to step but its state.

@group(0) @binding(2) var<storage, read> gates_x: array<f32>;   // [S, B, D, H, G]  W_ih x + b

fn gates_x_at(unit: u32) -> Gates {
    return gates_x[unit];
}

fn load_own(d: u32, b: u32, j: u32) -> f32 {
    return 0.0;
}

fn store_own(d: u32, b: u32, j: u32, own: f32) {}
