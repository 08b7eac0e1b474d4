
// Stores unit j of row b. A row whose sequence does not reach this step keeps its state and
// outputs 0.
fn store_unit(d: u32, b: u32, j: u32, sum: Gates, unit: Unit) {
    h_out[(d * dims.batch + b) * state_size() + j] = select(unit.h, sum, unit.valid);
    y[y_row(d, b) * state_size() + j] = select(0.0, sum, unit.valid);
}

fn state_size() -> u32 {
    return (dims.hidden_size + 3u) / 4u * 4u;
}
