// The gates of the input, and nn.LSTM's own value: c.

@group(0) @binding(2) var<storage, read> gates_x: array<vec4<f32>>;   // [S, B, D, H, 1]  W_ih x+b
@group(0) @binding(8) var<storage, read_write> c: array<f32>;         // [D, B, H]        in place

fn gates_x_at(unit: u32) -> Gates {
    return gates_x[unit];
}

fn load_own(d: u32, b: u32, j: u32) -> f32 {
    return c[(d * dims.batch + b) * dims.hidden_size + j];
}

fn store_own(d: u32, b: u32, j: u32, own: f32) {
    c[(d * dims.batch + b) * dims.hidden_size + j] = own;
}
