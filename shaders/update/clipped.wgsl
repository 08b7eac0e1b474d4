// As update/projected.wgsl, with the projected state clipped.

fn store_unit(d: u32, b: u32, j: u32, sum: Gates, unit: Unit) {
    let next = clipped(sum, real_setting(d, PROJECTION_CLIP));
    h_out[(d * dims.batch + b) * state_size() + j] = select(unit.h, next, unit.valid);
    y[y_row(d, b) * state_size() + j] = select(0.0, next, unit.valid);
}

fn state_size() -> u32 {
    return (dims.hidden_size + 3u) / 4u * 4u;
}
