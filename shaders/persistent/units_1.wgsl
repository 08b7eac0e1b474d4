// One unit to a group of lanes.

const UNITS = 1u;

// The weights of one quad of the state.
struct Block {
    u0: QuadWeights,
}

struct Sums {
    u0: Gates,
}

fn load_block(at: Place, quad: u32) -> Block {
    return Block(
        load_weights(at.d, at.unit0, quad),
    );
}

fn add_block(sums: Sums, w: Block, h: vec4<f32>) -> Sums {
    return Sums(
        add_products(sums.u0, w.u0, h),
    );
}

fn fold_sums(a: Sums, b: Sums, mask: u32, local_index: u32) -> Sums {
    return Sums(
        fold(a.u0, b.u0, mask, local_index),
    );
}

// Returns the whole sum of one row and unit.
fn joined(sums: Sums, local_index: u32) -> Gates {
    return add_lanes(sums.u0, LANES / CHUNK, local_index);
}
