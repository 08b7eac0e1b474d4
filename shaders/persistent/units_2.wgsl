// Two units to a group of lanes.

const UNITS = 2u;

// The weights of one quad of the state.
struct Block {
    u0: QuadWeights,
    u1: QuadWeights,
}

struct Sums {
    u0: Gates,
    u1: Gates,
}

fn load_block(at: Place, quad: u32) -> Block {
    return Block(
        load_weights(at.d, at.unit0, quad),
        load_weights(at.d, at.unit0 + 1u, quad),
    );
}

fn add_block(sums: Sums, w: Block, h: vec4<f32>) -> Sums {
    return Sums(
        add_products(sums.u0, w.u0, h),
        add_products(sums.u1, w.u1, h),
    );
}

fn fold_sums(a: Sums, b: Sums, mask: u32, local_index: u32) -> Sums {
    return Sums(
        fold(a.u0, b.u0, mask, local_index),
        fold(a.u1, b.u1, mask, local_index),
    );
}

// Returns the whole sum of one row and unit.
fn joined(sums: Sums, local_index: u32) -> Gates {
    let span = LANES / CHUNK;
    let sum = fold(sums.u0, sums.u1, span / 2u, local_index);
    return add_lanes(sum, span / 2u, local_index);
}
