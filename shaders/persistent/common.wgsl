// Sums that lanes share, and the words that workgroups exchange.

const EXCHANGE_START = 64u;   // the flag has a line of memory for itself
const NEGATIVE_ZERO = 0x80000000u;

// The weights of one unit and one quad of features: all gates of each of the four features.
struct QuadWeights {
    x: Gates,
    y: Gates,
    z: Gates,
    w: Gates,
}

fn add_products(sums: Gates, w: QuadWeights, h: vec4<f32>) -> Gates {
    let xy = fma(w.y, Gates(h.y), fma(w.x, Gates(h.x), sums));
    return fma(w.w, Gates(h.w), fma(w.z, Gates(h.z), xy));
}

// Adds the parts of `count` lanes in the same sum. Each lane gets the whole.
fn add_lanes(sum: Gates, count: u32, local_index: u32) -> Gates {
    var s = sum;
    if count > 16u {
        s += partner(s, 16u, local_index);
    }
    if count > 8u {
        s += partner(s, 8u, local_index);
    }
    if count > 4u {
        s += partner(s, 4u, local_index);
    }
    if count > 2u {
        s += partner(s, 2u, local_index);
    }
    if count > 1u {
        s += partner(s, 1u, local_index);
    }
    return s;
}

// Returns the bits of a state in which −0 replaces +0: 0 would mean "not there yet".
fn exchanged(state: f32) -> u32 {
    let bits = bitcast<u32>(state);
    return select(bits, NEGATIVE_ZERO, bits == 0u);
}
