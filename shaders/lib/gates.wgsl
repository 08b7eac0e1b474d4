// Four columns of a tile are the gates of one unit. A GRU has three gates: its fourth column is the
// third one again, whose sum nobody uses.

const UNITS = 1u;

alias Held = Unit;

// The rows of the weights, among those of the dispatch, of four columns.
fn weight_rows(unit: u32) -> vec4<u32> {
    let first = min(unit, dims.units - 1u) * GATE_COUNT;
    return first + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(GATE_COUNT - 1u));
}

fn hold(d: u32, b: u32, unit: u32) -> Held {
    return held_unit(d, b, unit);
}

fn release(d: u32, b: u32, unit: u32, sums: vec4<f32>, held: Held) {
    release_unit(d, b, unit, sums, held);
}
