// Four columns of a tile are four units of one gate each.

const UNITS = 4u;

struct Held {
    a: Unit,
    b: Unit,
    c: Unit,
    d: Unit,
}

// The rows of the weights, among those of the dispatch, of some columns of the tile.
fn weight_rows(first_unit: u32, columns: vec4<u32>) -> vec4<u32> {
    return min(first_unit + columns, vec4<u32>(dims.units - 1u));
}

fn hold(d: u32, b: u32, unit: u32) -> Held {
    return Held(
        held_unit(d, b, unit),
        held_unit(d, b, unit + 1u),
        held_unit(d, b, unit + 2u),
        held_unit(d, b, unit + 3u),
    );
}

fn release(d: u32, b: u32, unit: u32, sums: vec4<f32>, held: Held) {
    release_unit(d, b, unit, sums.xxxx, held.a);
    release_unit(d, b, unit + 1u, sums.yyyy, held.b);
    release_unit(d, b, unit + 2u, sums.zzzz, held.c);
    release_unit(d, b, unit + 3u, sums.wwww, held.d);
}
