
fn advance(sums: Gates, own: Inputs, row: u32, j: u32, h: f32) -> f32 {
    let z = sums + own.gate;
    // max(z, 0) may turn NaN into 0. A comparison with NaN is false, so that z stays NaN.
    let relu = select(z, 0.0, z < 0.0);
    return select(tanh_exact(z), relu, RELU);
}
