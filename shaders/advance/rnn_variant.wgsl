// ONNX's RNN: h' = f(·).

fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    return gated(row / dims.batch, F, sums + own.gate);
}
