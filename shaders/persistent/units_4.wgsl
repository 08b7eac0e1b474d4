// Four units to a group of lanes.

const UNITS = 4u;

// The weights of one quad of the state.
struct Block {
    u0: QuadWeights,
    u1: QuadWeights,
    u2: QuadWeights,
    u3: QuadWeights,
}

struct Sums {
    u0: Gates,
    u1: Gates,
    u2: Gates,
    u3: Gates,
}

fn load_block(at: Place, quad: u32) -> Block {
    return Block(
        load_weights(at.d, at.unit0, quad),
        load_weights(at.d, at.unit0 + 1u, quad),
        load_weights(at.d, at.unit0 + 2u, quad),
        load_weights(at.d, at.unit0 + 3u, quad),
    );
}

fn add_block(sums: Sums, w: Block, h: vec4<f32>) -> Sums {
    return Sums(
        add_products(sums.u0, w.u0, h),
        add_products(sums.u1, w.u1, h),
        add_products(sums.u2, w.u2, h),
        add_products(sums.u3, w.u3, h),
    );
}

fn fold_sums(a: Sums, b: Sums, mask: u32, local_index: u32) -> Sums {
    return Sums(
        fold(a.u0, b.u0, mask, local_index),
        fold(a.u1, b.u1, mask, local_index),
        fold(a.u2, b.u2, mask, local_index),
        fold(a.u3, b.u3, mask, local_index),
    );
}

// Returns the whole sum of one row and unit.
fn joined(sums: Sums, local_index: u32) -> Gates {
    let span = LANES / CHUNK;
    let even = fold(sums.u0, sums.u2, span / 2u, local_index);
    let odd = fold(sums.u1, sums.u3, span / 2u, local_index);
    let sum = fold(even, odd, span / 4u, local_index);
    return add_lanes(sum, span / 4u, local_index);
}
