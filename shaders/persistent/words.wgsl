// The exchange word by word, in atomics.

// The flag, then the words of each step: the states, and the logits in a generation.
@group(0) @binding(9) var<storage, read_write> exchange: array<atomic<u32>>;   // [64 + S·..]

fn is_failed() -> bool {
    return atomicLoad(&exchange[0]) != 0u;
}

fn raise_flag() {
    atomicStore(&exchange[0], 1u);
}

fn publish(at: u32, bits: u32) {
    atomicStore(&exchange[EXCHANGE_START + at], bits);
}

// Returns the words k and three more, a workgroup's size apart, before the first look. A word that
// does not exist is not 0, so that nobody waits for it.
fn absent(k: u32, words: u32) -> vec4<u32> {
    let places = k + vec4<u32>(0u, 1u, 2u, 3u) * WORKGROUP_SIZE;
    return select(vec4<u32>(0u), vec4<u32>(1u), places >= vec4<u32>(words));
}

// Looks again at the words that were not there.
fn look(seen: vec4<u32>, at: u32) -> vec4<u32> {
    var words = seen;
    if words.x == 0u {
        words.x = atomicLoad(&exchange[at]);
    }
    if words.y == 0u {
        words.y = atomicLoad(&exchange[at + WORKGROUP_SIZE]);
    }
    if words.z == 0u {
        words.z = atomicLoad(&exchange[at + 2u * WORKGROUP_SIZE]);
    }
    if words.w == 0u {
        words.w = atomicLoad(&exchange[at + 3u * WORKGROUP_SIZE]);
    }
    return words;
}
