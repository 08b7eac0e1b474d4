// Four columns of a tile are the gates of one unit. A GRU has three gates: its fourth column is the
// third one again, whose sum nobody uses.

const UNITS = 1u;

alias Held = Unit;

// The rows of the weights, among those of the dispatch, of some columns of the tile.
fn weight_rows(first_unit: u32, columns: vec4<u32>) -> vec4<u32> {
    let units = min(first_unit + columns / 4u, vec4<u32>(dims.units - 1u));
    return units * GATE_COUNT + min(columns % 4u, vec4<u32>(GATE_COUNT - 1u));
}

fn hold(d: u32, b: u32, unit: u32) -> Held {
    return held_unit(d, b, unit);
}

fn release(d: u32, b: u32, unit: u32, sums: vec4<f32>, held: Held) {
    release_unit(d, b, unit, sums, held);
}
